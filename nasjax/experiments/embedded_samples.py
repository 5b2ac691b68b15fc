"""Which architectures the embedded benchmarks of large spaces are made of.

As NAS-Bench-111 and -311 were (chapter 5): most are drawn, some are found by searches
on a first surrogate of those, for these are where a benchmark is asked most, and all
small cells are there. Each is a different network: no two have one fingerprint.
"""

import jax
import numpy as np

from nasjax.core import batching
from nasjax.core.types import SearchSpace
from nasjax.spaces import darts, nasbench101, nasbench101_cells, nasbench111

_SEED = 0
_DRAWN_AT_ONCE = 4096

_fingerprints_101 = jax.jit(jax.vmap(nasbench101.fingerprint))


def uniform_cells(number: int) -> np.ndarray:
    """int32 `[number, 27]`, drawn from NAS-Bench-101's cells of five and more vertices.

    A larger sample begins with a smaller one.
    """
    cells = nasbench101_cells.cells()
    small = nasbench111.as_integers(_fingerprints_101(nasbench111.small_cells()))
    others = ~np.isin(nasbench111.as_integers(cells.fingerprints), small)
    order = np.random.default_rng(_SEED).permutation(np.flatnonzero(others))
    return cells.archs[order[:number]]


def random_genotypes(number: int) -> np.ndarray:
    """int32 `[number, 32]`, random DARTS genotypes."""
    return _distinct(darts.make(), number)


def shared_genotypes(number: int) -> np.ndarray:
    """int32 `[number, 32]`, random ones whose two cells are equal."""
    return np.tile(_distinct(darts.make(shared=True), number), 2)


def _distinct(space: SearchSpace, number: int) -> np.ndarray:
    """The first of `space.sample`'s that are different networks."""
    draw, prints = jax.jit(jax.vmap(space.sample)), jax.jit(jax.vmap(space.fingerprint))
    found = np.zeros((0, space.num_genes), np.int32)
    key, turn = jax.random.key(_SEED), 0
    while len(found) < number:
        keys = jax.random.split(jax.random.fold_in(key, turn), _DRAWN_AT_ONCE)
        found = np.concatenate([found, np.asarray(draw(keys))])
        found = found[
            _first_of_each(batching.map_batched(prints, found, _DRAWN_AT_ONCE))
        ]
        turn += 1
    return found[:number]


def _first_of_each(fingerprints: np.ndarray) -> np.ndarray:
    """Ascending rows of uint32 `[N, 2]` that differ from all before."""
    keys = nasbench111.as_integers(fingerprints)
    return np.sort(np.unique(keys, return_index=True)[1])
