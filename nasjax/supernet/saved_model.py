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
    tree = jax.tree.map(jnp.asarray, arrays.load(path))  # to the device, once
    masks = jax.tree.map(lambda m: m.astype(jnp.float32), tree["masks"])
    weights = {name.replace(".", "/"): m for name, m in masks["weights"].items()}
    described: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in metadata["net"].items()
    }
    try:
        net = spec.SupernetSpec(**described)
    except TypeError as error:
        raise errors.DataError(
            f"{path}: its description does not fit this version of nasjax ({error})"
        ) from error
    return SavedModel(
        net=net,
        params=tree["params"],
        statistics=tree["statistics"],
        mixing=tree["mixing"],
        masks=masking.Masks(masks["alpha"], masks["beta"], weights),
        facts=metadata["facts"],
    )
