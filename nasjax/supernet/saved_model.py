"""A searched network on disk: weights, BN statistics, masks and its description.

One safetensors file holds everything that evaluation needs, so a reloaded model gives
the same bits; BN statistics are part of it.
"""

import dataclasses
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import arrays, errors, read_guard
from nasjax.core.types import Tree
from nasjax.supernet import masking, spec

FORMAT = "nasjax.supernet/1"
_CLASSIFIER_MASK = "masks/weights/classifier.kernel"
_TYPES = {"operations": str, "stem": str, "arch_sharing": str, "affine": bool}
"""Of the fields of a description that are no integers."""


class SavedModel(NamedTuple):
    """A masked network ready for evaluation.

    Attributes:
      net: its description.
      params: effective weights; masked entries are zero.
      statistics: BN running moments.
      mixing: `[A, E, O]`, masked mixing coefficients.
      masks: binary masks of operations, edges and kernels.
      facts: JSON-ready facts stored beside it, such as the genotype.
    """

    net: spec.SupernetSpec
    params: Tree
    statistics: Tree
    mixing: Any
    masks: masking.Masks
    facts: dict[str, Any]


def save(path: str | os.PathLike[str], model: SavedModel) -> None:
    """Writes the model, atomically. Masks are stored as one byte an entry."""
    masks = jax.tree.map(lambda m: np.asarray(m) > 0, model.masks)
    kernels = {name.replace("/", "."): m for name, m in masks.weights.items()}
    tree = {
        "params": model.params,
        "statistics": model.statistics,
        "mixing": model.mixing,
        "masks": {"alpha": masks.alpha, "beta": masks.beta, "weights": kernels},
    }
    net = dataclasses.asdict(model.net)
    metadata = {"format": FORMAT, "net": net, "facts": model.facts}
    arrays.save(path, tree, metadata=metadata)


def load(path: str | os.PathLike[str]) -> SavedModel:
    """Reads what `save` wrote.

    Raises:
      DataError: the file is missing, damaged or of another format.
    """
    metadata = arrays.load_metadata(path)
    if metadata.get("format") != FORMAT:
        raise errors.DataError(
            f"{path}: not a saved HM-NAS network (format "
            f"{read_guard.show(metadata.get('format'))}, "
            f"expected {FORMAT!r})"
        )
    with read_guard.guard(path, "damaged", remedy="train or get it again"):
        return _restore(path, metadata)


def _restore(path: str | os.PathLike[str], metadata: dict[str, Any]) -> SavedModel:
    tree = arrays.load(path)
    net = _describe(metadata["net"], tree)
    _check_shapes(tree, net)
    tree = jax.tree.map(jnp.asarray, tree)  # to the device, once
    masks = jax.tree.map(lambda m: m.astype(jnp.float32), tree["masks"])
    weights = {name.replace(".", "/"): m for name, m in masks["weights"].items()}
    return SavedModel(
        net=net,
        params=tree["params"],
        statistics=tree["statistics"],
        mixing=tree["mixing"],
        masks=masking.Masks(masks["alpha"], masks["beta"], weights),
        facts=dict(metadata["facts"]),
    )


def _describe(fields: dict[str, Any], tree: Tree) -> spec.SupernetSpec:
    """The description, no larger than the arrays beside it allow."""
    described: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
    }
    for name, value in described.items():
        for item in value if isinstance(value, tuple) else (value,):
            wanted = _TYPES.get(name, int)
            if type(item) is not wanted:
                raise errors.DataError(f"net.{name}: not {wanted.__name__}")
    steps, num_edges = described["num_steps"], np.shape(tree["mixing"])[1]
    if num_edges != steps * (steps + 3) // 2:  # two inputs and the nodes before
        raise errors.DataError(f"net.num_steps = {steps} with {num_edges} edges")
    if described["num_cells"] != len(tree["params"]["cells"]):
        raise errors.DataError("net.num_cells is not the number of cells")
    try:
        return spec.SupernetSpec(**described)
    except (TypeError, errors.ConfigError) as error:
        raise errors.DataError(
            f"its description does not fit this version of nasjax ({error})"
        ) from error


def _check_shapes(tree: Tree, net: spec.SupernetSpec) -> None:
    """Raises `DataError` unless the arrays are those of the description."""
    params = spec.parameter_shapes(net)
    alpha = len(net.arch_names), len(net.edges), len(net.operations)
    wanted = {
        "params": params,
        "statistics": jax.tree.map(
            lambda shape: {"mean": shape, "var": shape},
            spec.statistics_shapes(net),
            is_leaf=_is_shape,
        ),
        "mixing": alpha,
        "masks": {
            "alpha": alpha,
            "beta": alpha[:2],
            "weights": {
                path.replace("/", "."): shape
                for path, shape in _by_path(params).items()
                if path.rsplit("/", 1)[-1] not in masking.UNMASKED
            },
        },
    }
    expected, found = _by_path(wanted), _by_path(jax.tree.map(np.shape, tree))
    if _CLASSIFIER_MASK not in found:  # fine-tuned on other classes: a new classifier
        expected.pop(_CLASSIFIER_MASK)
    for path in {**expected, **found}:
        if expected.get(path) != found.get(path):
            raise errors.DataError(
                f"{read_guard.show(path)} is {found.get(path, 'missing')}, not "
                f"{expected.get(path, 'an array of this network')}"
            )
    kinds = {array.dtype.kind for array in jax.tree.leaves(tree)}
    if not kinds <= set("fbu"):
        raise errors.DataError("an array holds no real numbers")


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple)


def _by_path(tree: Tree) -> dict[str, tuple[int, ...]]:
    flat = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_shape)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): shape
        for path, shape in flat
    }
