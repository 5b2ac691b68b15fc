"""The 1,101 cells that NAS-Bench-111 is made of (Yan, 2022, chapter 5).

Cells of the NAS-Bench-101 space, in three groups: all of fewer than five vertices, some
that searches have found, for these are where a surrogate is asked most, and the rest
uniformly at random from all others.
"""

from typing import NamedTuple

import jax
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Key
from nasjax.spaces import nasbench101, nasbench101_cells

NUM_UNIFORM = 861
NUM_SEARCHED = 149
NUM_SMALL = 91
MAX_SMALL_VERTICES = 4

_fingerprints = jax.jit(jax.vmap(nasbench101.fingerprint))

UNIFORM, SEARCHED, SMALL = range(3)
GROUPS = ("uniform", "searched", "small")


class Sample(NamedTuple):
    """Attributes:
    archs: int32 `[N, 27]`, pairwise different cells, one group after another.
    groups: int32 `[N]`, an index of `GROUPS`.
    """

    archs: np.ndarray
    groups: np.ndarray


def small_cells() -> np.ndarray:
    """All 91 unique cells of fewer than five vertices, int32 `[91, 27]`."""
    return nasbench101_cells.enumerate_cells(MAX_SMALL_VERTICES).archs


def sample(
    key: Key,
    cells: nasbench101_cells.Cells,
    searched: np.ndarray,
    *,
    num_uniform: int = NUM_UNIFORM,
) -> Sample:
    """The cells to train.

    Args:
      key: of the uniform draw.
      cells: the space, one representative of each class.
      searched: int32 `[S, 27]`, what searches have found; 149 in the thesis. Those that
        are isomorphic to an earlier or to a small one are left out.
      num_uniform: cells of the first group; they are drawn without replacement and
        belong to no other group.

    Raises:
      DataError: the space has too few other cells.
    """
    small, small_keys = unique(small_cells())
    found, found_keys = unique(searched, known=small_keys)
    taken = set(small_keys) | set(found_keys)
    keys = as_integers(cells.fingerprints)
    free = np.flatnonzero(~np.isin(keys, np.array(sorted(taken), np.uint64)))
    if num_uniform > len(free):
        raise errors.DataError(
            f"{num_uniform} cells are to be drawn from {len(free)} others; draw fewer"
        )
    drawn = np.asarray(jax.random.permutation(key, len(free)))[:num_uniform]
    parts = (cells.archs[free[drawn]], found, small)
    groups = np.repeat(np.arange(3, dtype=np.int32), [len(part) for part in parts])
    return Sample(np.concatenate(parts).astype(np.int32), groups)


def unique(
    archs: np.ndarray, *, known: list[int] | tuple[int, ...] = ()
) -> tuple[np.ndarray, list[int]]:
    """The first cell of each class in their order, and the keys of the classes.

    Args:
      archs: int32 `[N, 27]`.
      known: keys of classes that are left out.
    """
    seen, kept = set(known), []
    keys = as_integers(_fingerprints(archs)).tolist()
    for row, key in enumerate(keys):
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return np.asarray(archs)[kept], [keys[row] for row in kept]


def as_integers(fingerprints: np.ndarray) -> np.ndarray:
    """uint64 `[N]` of fingerprints uint32 `[N, 2]`."""
    lanes = np.asarray(fingerprints).astype(np.uint64)
    return lanes[:, 0] << np.uint64(32) | lanes[:, 1]
