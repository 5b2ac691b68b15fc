"""Which architectures the embedded benchmarks of large spaces are made of.

As NAS-Bench-111 and -311 were (chapter 5): most are drawn, some are found by searches
on a first surrogate of those, for these are where a benchmark is asked most, and all
small cells are there. Each is a different network: no two have one fingerprint.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

from nasjax.core import batching
from nasjax.core.types import SearchSpace
from nasjax.spaces import darts, nasbench101, nasbench101_cells, nasbench111

_SEED = 0
_CHUNK = 1024
"""Rows of one compiled call."""


def uniform_cells(number: int) -> np.ndarray:
    """int32 `[number, 27]`, drawn from NAS-Bench-101's cells of five and more vertices.

    A larger sample begins with a smaller one.
    """
    cells = nasbench101_cells.cells()
    small = nasbench111.as_integers(
        np.asarray(_fingerprints(nasbench101.make())(nasbench111.small_cells()))
    )
    others = ~np.isin(nasbench111.as_integers(cells.fingerprints), small)
    order = np.random.default_rng(_SEED).permutation(np.flatnonzero(others))
    chosen: np.ndarray = cells.archs[order[:number]]
    return chosen


def random_genotypes(number: int) -> np.ndarray:
    """int32 `[number, 32]`, random DARTS genotypes."""
    return _drawn(darts.make(), number)


def shared_genotypes(number: int) -> np.ndarray:
    """int32 `[number, 32]`, random ones whose two cells are equal."""
    return np.tile(_drawn(darts.make(shared=True), number), 2)


def distinct(space: SearchSpace, archs: np.ndarray, seen: set[int]) -> np.ndarray:
    """The first of each network of `archs` `[N, G]` that is not seen, in their order.

    Args:
      space: whose fingerprints tell networks apart.
      archs: int `[N, G]`.
      seen: fingerprints as integers; those of what is returned are added.
    """
    if not len(archs):
        return archs
    rows = archs.astype(np.int32)
    prints = batching.map_batched(_fingerprints(space), rows, _CHUNK)
    kept = []
    for row, key in enumerate(nasbench111.as_integers(prints).tolist()):
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return rows[kept]


@functools.cache
def _fingerprints(space: SearchSpace) -> Callable[[np.ndarray], jax.Array]:
    return jax.jit(jax.vmap(space.fingerprint))


def _drawn(space: SearchSpace, number: int) -> np.ndarray:
    """The first of `space.sample`'s that are different networks."""
    draw = jax.jit(jax.vmap(space.sample))
    key, seen = jax.random.key(_SEED), set[int]()
    found = np.zeros((0, space.num_genes), np.int32)
    turn = 0
    while len(found) < number:
        keys = jax.random.split(jax.random.fold_in(key, turn), _CHUNK)
        found = np.concatenate([found, distinct(space, np.asarray(draw(keys)), seen)])
        turn += 1
    return found[:number]
