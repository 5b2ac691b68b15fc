"""The architectures that autoencoders learn from, by the rules of their spaces."""

import functools
import math
import os
from collections.abc import Callable

import jax
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.encoders import graph_inputs
from nasjax.spaces import darts, darts_costs, nasbench101_cells, nasbench201

MAX_MACS = 600_000_000
"""Multiply-accumulates of a DARTS network in the mobile setting (section 3.4)."""
NUM_DARTS = 600_000
_DRAWS = 1 << 15


def architectures(
    space: str,
    key: Key,
    *,
    count: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """Architectures of a space in random order, int32 `[M, G]`.

    nasbench101 and nasbench201: all of them, or a random part. darts_shared: different
    cells with at most `MAX_MACS`, uniform over operations (`none` included) and inputs.

    Args:
      space: a key of `graph_inputs.SPECS`.
      key: of the order and the draws.
      count: M; 0: all, or 600,000 of darts_shared.
      cache_dir: of the enumerated NAS-Bench-101 cells.
      report: is told how many more DARTS cells have been found.

    Raises:
      ConfigError: there is no such space, or it has fewer architectures.
    """
    graph_inputs.spec(space)
    if space == "darts_shared":
        return draw_darts(key, count or NUM_DARTS, report=report)
    if space == "nasbench101":
        archs = nasbench101_cells.cells(cache_dir).archs
    else:
        archs = nasbench201.enumerate_cells()
    if count > len(archs):
        raise errors.ConfigError(
            f"{space} has {len(archs)} architectures: count = {count} is too many"
        )
    order = np.asarray(jax.random.permutation(key, len(archs)))
    chosen: np.ndarray = archs[order[: count or None]]
    return chosen


def split(archs: np.ndarray, held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """The first architectures to train on and the last to judge by.

    Raises:
      ConfigError: one of the two would be empty.
    """
    count = math.floor(len(archs) * (1 - held_out))
    if not 0 < count < len(archs):
        raise errors.ConfigError(
            f"held_out = {held_out} of {len(archs)} architectures leaves one part empty"
        )
    return archs[:count], archs[count:]


def draw_darts(
    key: Key,
    count: int,
    *,
    max_macs: int = MAX_MACS,
    report: Callable[[int], None] = lambda _: None,
) -> np.ndarray:
    """Distinct shared DARTS cells int32 `[count, 16]` of the mobile setting.

    Networks have 14 cells of 48 channels on 224 x 224 pixels, and multiply-accumulates
    are counted as thop does; isomorphic cells count once.

    Raises:
      ConfigError: the limit leaves too few cells.
    """
    found: list[np.ndarray] = []
    seen: np.ndarray = np.zeros(0, np.uint64)
    number, total, idle = 0, 0, 0
    while total < count:
        archs, keys, small = _draw(jax.random.fold_in(key, number))
        number += 1
        wide = np.asarray(keys).astype(np.uint64)
        keys = wide[:, 0] << np.uint64(32) | wide[:, 1]
        rows = np.flatnonzero(np.asarray(small) <= max_macs)
        _, first = np.unique(keys[rows], return_index=True)
        rows = rows[np.sort(first)]
        rows = rows[~np.isin(keys[rows], seen)]
        idle = 0 if len(rows) else idle + 1
        if idle > 10:
            raise errors.ConfigError(
                f"only {total} DARTS cells of at most {max_macs} multiply-accumulates "
                f"were found, not {count}"
            )
        seen = np.concatenate([seen, keys[rows]])
        found.append(np.asarray(archs)[rows])
        total += len(rows)
        report(min(len(rows), count - (total - len(rows))))
    return np.concatenate(found)[:count]


@jax.jit
def _draw(key: Key) -> tuple[Array, Array, Array]:
    cost = functools.partial(
        darts_costs.costs,
        channels=48,
        num_layers=14,
        image_size=224,
        num_classes=1000,
        stem="imagenet",
    )
    sample = functools.partial(
        darts.sample, num_cells=1, num_ops=len(darts.OP_NAMES) + 1
    )
    archs = jax.vmap(sample)(jax.random.split(key, _DRAWS))
    macs = jax.vmap(lambda arch: cost(arch).thop)(archs)
    return archs, jax.vmap(darts.fingerprint)(archs), macs
