"""Parameters and multiply-accumulates, dense, structural and effective.

Dense counts the whole supernet. Structural leaves out dead operations, edges and cells.
Effective also leaves out weights whose mask is zero; the thesis' 1.8M parameters are of
this kind. MACs are those of convolutions and the classifier for one image; BN, pooling
and additions are free, as in the DARTS literature.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.supernet import derive, masking, spec


class Count(NamedTuple):
    """Trained parameters, and multiply-accumulates of one image."""

    params: int
    macs: int


@dataclasses.dataclass(frozen=True)
class _Layer:
    """One parameter array: its shape, where it lives and how often it is applied."""

    path: str
    shape: spec.Shape
    positions: int  # output pixels each weight is multiplied at; 0 for biases and BN
    live: np.ndarray  # [E] for operations, else []


def dense(net: spec.SupernetSpec) -> Count:
    """The whole supernet, alpha and beta not counted."""
    return _count(net, derive.liveness(net), None)


def structural(net: spec.SupernetSpec, masks: masking.Masks) -> Count:
    """Live operations, edges and cells with all their weights."""
    return _count(net, derive.liveness(net, masks), None)


def effective(net: spec.SupernetSpec, masks: masking.Masks) -> Count:
    """Live operations, edges and cells, unmasked weights only."""
    return _count(net, derive.liveness(net, masks), masks.weights)


def _count(
    net: spec.SupernetSpec,
    live: tuple[derive.CellLiveness, ...],
    weights: masking.Weights | None,
) -> Count:
    params = macs = 0
    for layer in _layers(net, live):
        if weights is not None and layer.path in weights:
            kept = np.asarray(weights[layer.path]) > 0
        else:
            kept = np.ones(layer.shape, bool)
        per_part = kept.reshape(*layer.live.shape, -1).sum(-1)
        number = int((per_part * layer.live).sum())
        params += number
        macs += number * layer.positions
    return Count(params, macs)


def _layers(
    net: spec.SupernetSpec, live: tuple[derive.CellLiveness, ...]
) -> list[_Layer]:
    flat = jax.tree_util.tree_flatten_with_path(
        spec.parameter_shapes(net), is_leaf=lambda x: isinstance(x, tuple)
    )[0]
    return [_layer(net, live, [entry.key for entry in p], shape) for p, shape in flat]


def _layer(
    net: spec.SupernetSpec,
    live: tuple[derive.CellLiveness, ...],
    names: list[str],
    shape: spec.Shape,
) -> _Layer:
    path = "/".join(names)
    everything = np.ones((), bool)
    vector = names[-1] in ("scale", "bias")
    if names[0] == "classifier":
        return _Layer(path, shape, 0 if vector else 1, everything)
    if names[0] == "stem":
        positions = 0 if vector else _stem_positions(net, names[1])
        return _Layer(path, shape, positions, everything)
    k = int(names[1])
    cell, alive = net.cells[k], live[k]
    if names[2].startswith("preprocess"):
        used = np.asarray(alive.inputs[int(names[2][-1])])
        return _Layer(path, shape, 0 if vector else math.prod(cell.size), used)
    per_edge = alive.operations[: shape[0], net.operations.index(names[3])]
    positions = math.prod(cell.size) // (4 if cell.reduction else 1)
    return _Layer(path, shape, 0 if vector else positions, per_edge)


def _stem_positions(net: spec.SupernetSpec, name: str) -> int:
    height, width, _ = net.image_shape
    stride = net.stem_stride if net.stem == "cifar" else 2 ** int(name[-1])
    return (height // stride) * (width // stride)


def table(net: spec.SupernetSpec, masks: masking.Masks) -> dict[str, dict[str, int]]:
    """`{"params": {"dense", "structural", "effective"}, "macs": {...}}`."""
    counts = {
        "dense": dense(net),
        "structural": structural(net, masks),
        "effective": effective(net, masks),
    }
    return {
        "params": {name: count.params for name, count in counts.items()},
        "macs": {name: count.macs for name, count in counts.items()},
    }


def summary(counts: Any) -> str:
    """One line for people."""
    params = counts["params"]
    saved = 100 * (1 - params["effective"] / params["dense"])
    return (
        f"parameters {params['dense']:,} dense, {params['structural']:,} structural, "
        f"{params['effective']:,} effective ({saved:.1f} % fewer)"
    )
