"""Slimming: removes what masking left dead from a supernet, for good.

Going backward from the classifier, a channel is needed when a kernel entry that is
not zero reads it for a needed output; every other channel of the stem, the
preprocessing, the nodes and inside the operations is cut away. Going forward, a node
that no live operation feeds is a constant and so is whatever reads it alone. It is
not simply zero: with running statistics BN shifts even an empty map, and zero padding
lets a separable convolution turn such a shift into a map that differs at the borders.
These maps are evaluated once and folded into the biases, so that a slim network
computes what the masked one does in evaluation, whatever its statistics are.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Tree
from nasjax.networks import batch_norm
from nasjax.networks import operations as ops
from nasjax.supernet import masking, slim_network, spec
from nasjax.supernet.slim_network import (
    SlimNetwork,
    apply,
    count,
    evaluate,
    load,
    save,
)

__all__ = ["SlimNetwork", "apply", "count", "evaluate", "load", "save", "slim"]

Flags = np.ndarray
"""bool `[C]`, one flag a channel."""

_operate = jax.jit(slim_network.operate, static_argnames=("name", "stride"))
_preprocess = jax.jit(slim_network.preprocess)


class _Folded(NamedTuple):
    """A layer with BN and coefficient folded in, cut to the channels it needs.

    Attributes:
      arrays: kernels, inner biases, scales.
      reads: which input channels its result depends on.
      shift: `[C_kept]`, what it adds to every pixel besides.
    """

    arrays: Tree
    reads: Flags
    shift: np.ndarray


class _Value(NamedTuple):
    """A feature map: the channels that are kept, and the map if it is constant."""

    kept: Flags
    constant: np.ndarray | None

    def positions(self, reads: Flags) -> np.ndarray:
        """Where the channels `reads` are among those kept."""
        places: np.ndarray = (np.cumsum(self.kept) - 1)[reads]
        return places


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Backward half of one cell: channels needed of every node, and what is left."""

    wanted: list[Flags]
    inputs: list[_Folded]
    operations: dict[tuple[int, int, str], _Folded]


def slim(
    params: Tree,
    statistics: Tree,
    mixing: jax.Array,
    masks: masking.Masks,
    *,
    net: spec.SupernetSpec,
) -> SlimNetwork:
    """Physically removes dead operations, edges, nodes, cells and channels.

    Args:
      params: weights, masked already or not.
      statistics: BN running moments.
      mixing: `[A, E, O]`, masked mixing coefficients.
      masks: binary masks.
      net: description of the supernet.

    Returns:
      A network whose logits equal `network.apply(..., train=False)` of the masked
      supernet up to rounding. Operations with a coefficient of zero are gone; so are
      those that `derive.liveness` calls dead because nothing feeds them, with what
      they still add in evaluation kept in biases.
    """
    dtype = params["classifier"]["kernel"].dtype
    params = _on_host(masking.masked_params(params, masks.weights))
    statistics = _on_host(statistics)
    coefficients = np.asarray(mixing * masks.alpha * masks.beta[..., None], np.float64)

    # outputs[k + 2] belongs to cell k; the stem stands for cells -2 and -1
    wanted = [np.zeros(c, bool) for c in net.stem_channels]
    wanted += [np.zeros(net.num_steps * cell.channels, bool) for cell in net.cells]
    wanted[-1] = (params["classifier"]["kernel"] != 0).any(1)
    plans: list[Any] = [None] * net.num_cells
    for k in reversed(range(net.num_cells)):
        plans[k] = _plan(params, statistics, coefficients, wanted[k + 2], net, k)
        for i, folded in enumerate(plans[k].inputs):
            wanted[k + i] |= folded.reads
    new: Tree = {"cells": {}}
    new["stem"], before, last = _stem(params, statistics, wanted[0], wanted[1], net)
    outputs, cells = [[before], [last]], []
    for k, plan in enumerate(plans):
        cell, arrays, nodes = _build(plan, outputs[k : k + 2], net.cells[k], dtype)
        cells.append(cell)
        outputs.append(nodes)
        if cell:
            new["cells"][str(k)] = arrays
    new["classifier"], channels = _classifier(params["classifier"], outputs[-1])
    description = slim_network.Description(
        image_shape=net.image_shape,
        num_classes=net.num_classes,
        stem=net.stem,
        stem_stride=net.stem_stride,
        cells=tuple(cells),
        classifier=channels,
    )
    present = {name: tree for name, tree in new.items() if tree}
    return SlimNetwork(_cast(present, dtype), description)


def _on_host(tree: Tree) -> Tree:
    moved: Tree = jax.tree.map(lambda x: np.asarray(x, np.float64), tree)
    return moved


def _cast(tree: Tree, dtype: Any) -> Tree:
    converted: Tree = jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)
    return converted


# --- backward: which channels are needed -------------------------------------------


def _plan(
    params: Tree,
    statistics: Tree,
    coefficients: np.ndarray,
    wanted: Flags,
    net: spec.SupernetSpec,
    k: int,
) -> _Plan:
    cell, weights = net.cells[k], coefficients[net.arch_index(k)]
    own, moments = params["cells"][str(k)], statistics["cells"][str(k)]
    needed = [np.zeros(cell.channels, bool) for _ in range(spec.NUM_INPUTS)]
    needed += list(wanted.reshape(net.num_steps, -1).copy())
    operations = {}
    for e, (source, target) in sorted(
        enumerate(net.edges), key=lambda edge: edge[1][1], reverse=True
    ):
        strided = cell.reduction and source < spec.NUM_INPUTS
        for o, name in enumerate(net.operations):
            if name == ops.NONE or weights[e, o] == 0 or not needed[target].any():
                continue
            folded = _fold(
                name,
                _at_edge(own["operations"].get(name, {}), e),
                _at_edge(moments["operations"].get(name, {}), e),
                weights[e, o],
                needed[target],
                strided,
            )
            needed[source] |= folded.reads
            operations[source, target, name] = folded
    inputs = []
    for i in range(spec.NUM_INPUTS):
        name = f"preprocess{i}"
        scale, shift = _affine(own[name], moments[name], "bn")
        inputs.append(_fold_kernels(own[name], scale, shift, needed[i]))
    return _Plan(needed, inputs, operations)


def _at_edge(tree: Tree, e: int) -> Tree:
    found: Tree = jax.tree.map(lambda x: x[e] if e < len(x) else None, tree)
    return found


def _affine(params: Tree, statistics: Tree, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of a BN in evaluation (`batch_norm.affine` in float64)."""
    moments, trained = statistics[name], params.get(name, {})
    scale = trained.get("scale", 1.0) / np.sqrt(moments["var"] + batch_norm.EPSILON)
    return scale, trained.get("bias", 0.0) - moments["mean"] * scale


def _fold(
    name: str,
    params: Tree,
    statistics: Tree,
    weight: np.ndarray,
    wanted: Flags,
    strided: bool,
) -> _Folded:
    """One operation, for the channels of its target that are wanted."""
    if name in ops.CONVOLUTIONS:
        stages = ops.CONVOLUTIONS[name].stages
        return _fold_convolution(params, statistics, weight, wanted, stages)
    if name == ops.SKIP and not strided:
        return _Folded({"scale": weight}, wanted, np.zeros(wanted.sum()))
    scale, shift = _affine(params, statistics, "bn")
    scale, shift = weight * scale, weight * shift
    if name in ops.POOLS:
        return _Folded({"scale": scale[wanted]}, wanted, shift[wanted])
    return _fold_kernels(params, scale, shift, wanted)


def _fold_convolution(
    params: Tree, statistics: Tree, weight: np.ndarray, wanted: Flags, stages: int
) -> _Folded:
    arrays: Tree = {}
    outer_shift, alive = np.zeros(0), True
    for stage in reversed(range(1, stages + 1)):
        scale, shift = _affine(params, statistics, f"bn{stage}")
        if stage == stages:
            scale, outer_shift = weight * scale, weight * shift[wanted]
        else:
            arrays[f"bias{stage}"] = shift[wanted]
        kernel, taps = params[f"pointwise{stage}"] * scale, params[f"depthwise{stage}"]
        kernel = kernel[:, wanted]
        reads = (kernel != 0).any(1) & (taps != 0).any((1, 2))
        alive = alive and bool(reads.any())
        # Where nothing is read one channel stays: its taps or its row are zero.
        wanted = reads if reads.any() else np.arange(len(reads)) == 0
        arrays[f"depthwise{stage}"] = taps[wanted]
        arrays[f"pointwise{stage}"] = kernel[wanted]
    return _Folded(arrays, wanted & alive, outer_shift)


def _fold_kernels(
    params: Tree, scale: np.ndarray, shift: np.ndarray, wanted: Flags
) -> _Folded:
    """A 1x1 convolution or factorized reduction, with its BN's scale and shift."""
    names = {"conv": "kernel", "conv1": "kernel1", "conv2": "kernel2"}
    present = [name for name in names if name in params]
    ends = np.cumsum([params[name].shape[1] for name in present])[:-1]
    columns, scales = np.split(wanted, ends), np.split(scale, ends)
    kernels = [
        (params[name] * factor)[:, flags]
        for name, factor, flags in zip(present, scales, columns, strict=True)
    ]
    reads = np.any([(kernel != 0).any(1) for kernel in kernels], axis=0)
    arrays = {names[n]: x[reads] for n, x in zip(present, kernels, strict=True)}
    return _Folded(arrays, reads, shift[wanted])


def _stem(
    params: Tree, statistics: Tree, before: Flags, last: Flags, net: spec.SupernetSpec
) -> tuple[Tree, _Value, _Value]:
    """Cuts the stem; it stays even if its kernels are zero, but for unread outputs."""
    arrays: Tree = {}
    deepest = {"cifar": 1, "imagenet4": 2, "imagenet8": 3}[net.stem]
    split = net.stem == "imagenet8"  # cells -2 and -1 are different maps there
    wanted = last if split else before | last
    values = [_Value(wanted, None)]
    for i in reversed(range(1, deepest + 1)):
        scale, shift = _affine(params["stem"], statistics["stem"], f"bn{i}")
        kernel = (params["stem"][f"conv{i}"] * scale)[..., wanted]
        reads = (kernel != 0).any((0, 1, 3))
        if i == 1:
            reads[:] = True
        elif wanted.any() and not reads.any():
            reads[0] = True
        if split and i == deepest:
            reads |= before
            values.insert(0, _Value(reads, None))
        if wanted.any():
            layer = {"kernel": kernel[:, :, reads], "bias": shift[wanted]}
            arrays[f"conv{i}"] = layer
        wanted = reads
    return arrays, values[0], values[-1]


# --- forward: which maps are constant ----------------------------------------------


def _build(
    plan: _Plan, incoming: Sequence[list[_Value]], cell: spec.CellSpec, dtype: Any
) -> tuple[slim_network.SlimCell | None, Tree, list[_Value]]:
    """Description, arrays and output nodes of one cell."""
    arrays: Tree = {"nodes": {}, "operations": {}}
    stride = 2 if cell.reduction else 1
    nodes, channels = [], []
    for i, folded in enumerate(plan.inputs):
        layer, value, reads = _input(folded, incoming[i], plan.wanted[i], cell, dtype)
        nodes.append(value)
        channels.append(reads)
        if reads:
            arrays[f"preprocess{i}"] = layer
    live = []
    height, width = cell.size[0] // stride, cell.size[1] // stride
    for target in range(spec.NUM_INPUTS, len(plan.wanted)):
        wanted = plan.wanted[target]
        bias, fed = np.zeros((wanted.sum(), height, width)), False
        for (source, _, name), folded in _into(plan, target):
            bias += folded.shift[:, None, None]
            step = stride if source < spec.NUM_INPUTS else 1
            if nodes[source].constant is not None or not folded.reads.any():
                bias += _constant(folded, nodes[source], name, step, bias.shape, dtype)
                continue
            fed = True
            positions = nodes[source].positions(folded.reads)
            reads = tuple(positions.tolist())
            live.append(slim_network.Operation(name, source, target, reads))
            edge = arrays["operations"].setdefault(f"{source}>{target}", {})
            edge[name] = folded.arrays
        nodes.append(_Value(wanted, None if fed else bias))
        if fed:
            arrays["nodes"][str(target)] = _compressed(bias)
    outputs = nodes[spec.NUM_INPUTS :]
    if not live:
        return None, {}, outputs
    description = slim_network.SlimCell(
        stride=stride,
        inputs=(channels[0], channels[1]),
        operations=tuple(sorted(live, key=lambda o: (o.source, o.target))),
        nodes=tuple(int(node) for node in arrays["nodes"]),
    )
    return description, arrays, outputs


def _into(plan: _Plan, target: int) -> list[tuple[tuple[int, int, str], _Folded]]:
    return [item for item in plan.operations.items() if item[0][1] == target]


def _input(
    folded: _Folded,
    incoming: list[_Value],
    wanted: Flags,
    cell: spec.CellSpec,
    dtype: Any,
) -> tuple[Tree, _Value, tuple[int, ...]]:
    """Layer, value and channels read of one preprocessed input."""
    positions, rows, constants, constant_rows = _sort_rows(incoming, folded.reads)
    bias = np.broadcast_to(folded.shift[:, None, None], (wanted.sum(), *cell.size))
    if wanted.any() and len(constant_rows):
        kernels = {name: x[constant_rows] for name, x in folded.arrays.items()}
        images = jnp.asarray(constants[..., None], dtype)
        bias = bias + np.asarray(_preprocess(_cast(kernels, dtype), images))[..., 0]
    kernels = {name: x[rows] for name, x in folded.arrays.items()}
    value = _Value(wanted, None if positions else bias)
    return kernels | {"bias": _compressed(bias)}, value, positions


def _sort_rows(
    incoming: list[_Value], reads: Flags
) -> tuple[tuple[int, ...], list[int], np.ndarray, list[int]]:
    """Splits the rows of a kernel over concatenated maps into live and constant.

    Returns:
      Positions of the live ones in the concatenation of live maps, their rows, the
      constant maps, and their rows.
    """
    positions: list[int] = []
    rows: list[int] = []
    constants: list[np.ndarray] = []
    constant_rows: list[int] = []
    channel = row = start = 0
    for value in incoming:
        order = value.positions(reads[channel : channel + len(value.kept)])
        channel += len(value.kept)
        these = range(row, row + len(order))
        row += len(order)
        if value.constant is None:
            positions += (start + order).tolist()
            rows += these
            start += int(value.kept.sum())
        elif len(order):
            constants.append(value.constant[order])
            constant_rows += these
    return (
        tuple(positions),
        rows,
        np.concatenate(constants) if constants else np.zeros(0),
        constant_rows,
    )


def _constant(
    folded: _Folded,
    source: _Value,
    name: str,
    stride: int,
    shape: tuple[int, ...],
    dtype: Any,
) -> np.ndarray:
    """What an operation adds to its target when it reads no image."""
    if folded.reads.any():
        assert source.constant is not None
        images = source.constant[source.positions(folded.reads)]
    elif name in ops.CONVOLUTIONS:  # an empty map; its inner biases still count
        size = [side * stride for side in shape[1:]]
        images = np.zeros((len(folded.arrays["depthwise1"]), *size))
    else:
        return np.zeros(shape)
    images = jnp.asarray(images[..., None], dtype)
    layer = _cast(folded.arrays, dtype)
    return np.asarray(_operate(layer, images, name=name, stride=stride))[..., 0]


def _compressed(bias: np.ndarray) -> np.ndarray:
    """`[C, H, W]`, or `[C]` where no channel varies over the pixels."""
    corner = bias[:, :1, :1]
    return corner[:, 0, 0] if (bias == corner).all() else bias


def _classifier(params: Tree, last: list[_Value]) -> tuple[Tree, tuple[int, ...]]:
    kernel = params["kernel"]
    reads = (kernel != 0).any(1)
    positions, rows, constants, constant_rows = _sort_rows(last, reads)
    kernel, bias = kernel[reads], params["bias"]
    if constant_rows:
        bias = bias + constants.mean((1, 2)) @ kernel[constant_rows]
    layer = {"bias": bias}
    if positions:
        layer["kernel"] = kernel[rows]
    return layer, positions
