"""Walks through a latent space and edit distances along them.

Yan, 2022, figures 3.3, 3.5 and 3.8 to 3.10.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import batching, errors, metrics
from nasjax.core.types import Array, Graph, Key, SearchSpace
from nasjax.encoders import graph_inputs
from nasjax.spaces import edit_distance, nasbench101

_PAIRS = 64
"""Pairs of one compiled call."""


class Pairs(NamedTuple):
    """P pairs of architectures along a walk of L.

    Attributes:
      first: int64 `[P]`, place of the earlier one.
      lags: int64 `[P]`, steps of the walk between the two.
      edits: int64 `[P]`, edit distances of the pruned graphs.
    """

    first: np.ndarray
    lags: np.ndarray
    edits: np.ndarray


class Distances(NamedTuple):
    """P pairs of architectures along a walk.

    Attributes:
      lags: int64 `[P]`, steps of the walk between the two.
      edits: int64 `[P]`, edit distances of the pruned graphs.
      distances: float64 `[P]`, L2 distances of the vectors.
    """

    lags: np.ndarray
    edits: np.ndarray
    distances: np.ndarray

    def spearman(self) -> float:
        """Rank correlation of edit and L2 distance; NaN where one is constant."""
        return metrics.spearman(self.edits, self.distances)

    def by_edits(self, max_edits: int | None = None) -> dict[int, np.ndarray]:
        """L2 distances of each edit distance, up to `max_edits`."""
        return {
            int(edit): self.distances[self.edits == edit]
            for edit in np.unique(self.edits)
            if max_edits is None or edit <= max_edits
        }


def random_walk(key: Key, space: SearchSpace, *, length: int = 1_000) -> np.ndarray:
    """Architectures int32 `[L, G]`, each a random neighbour of the one before.

    A neighbour is one change away, valid and another cell; on NAS-Bench-101 the walk
    starts and stays on seven vertices as written.

    Args:
      key: of the start and the steps.
      space: with `sample` and `neighbors`.
      length: L.
    """
    key_start, key_steps = jax.random.split(key)

    def step(arch: Array, key: Key) -> tuple[Array, Array]:
        archs, mask = space.neighbors(arch)
        chosen = jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf))
        return jnp.where(jnp.any(mask), archs[chosen], arch), arch

    @jax.jit
    def walk(key_start: Key, key_steps: Key) -> Array:
        keys = jax.random.split(key_steps, length)
        return lax.scan(step, space.sample(key_start), keys)[1]

    return np.asarray(walk(key_start, key_steps))


def pairs_of_walk(walk: np.ndarray, space: str, *, max_lag: int = 8) -> Pairs:
    """Pairs of a walk with their edit distances, which hold for every embedding.

    Args:
      walk: architectures int32 `[L, G]`, each one change from the one before.
      space: a key of `graph_inputs.SPECS`.
      max_lag: all pairs of 1 to so many steps are compared.

    Raises:
      ConfigError: arch2vec does not encode the space, or the walk has no two cells.
    """
    length = len(walk)
    lags = range(1, min(max_lag, length - 1) + 1)
    if not lags:
        raise errors.ConfigError(f"a walk of {length} cells has no pair to compare")
    first = np.concatenate([np.arange(length - lag) for lag in lags])
    steps = np.repeat(lags, [length - lag for lag in lags])
    return Pairs(first, steps, edits_between(walk[first], walk[first + steps], space))


def distance_against_edits(pairs: Pairs, vectors: np.ndarray) -> Distances:
    """L2 distance in the latent space against edit distance (figure 3.3).

    Args:
      pairs: of a walk.
      vectors: `[L, D]`, embeddings of the walk.
    """
    vectors = np.asarray(vectors, np.float64)
    gaps = vectors[pairs.first] - vectors[pairs.first + pairs.lags]
    return Distances(pairs.lags, pairs.edits, np.sqrt(np.sum(gaps**2, axis=1)))


def edits_between(first: np.ndarray, second: np.ndarray, space: str) -> np.ndarray:
    """int64 `[B]`: edit distances of architectures int32 `[B, G]`.

    NAS-Bench-101 cells are pruned first; inputs and output of DARTS cells stay.

    Raises:
      ConfigError: arch2vec does not encode the space.
    """
    form = graph_inputs.spec(space)
    pairs = (np.asarray(first), np.asarray(second))
    found = batching.map_batched(lambda pair: _edits(*pair, form.space), pairs, _PAIRS)
    edits: np.ndarray = found.astype(np.int64)
    return edits


def nearest_walk(vectors: np.ndarray, start: int, *, length: int = 16) -> np.ndarray:
    """Rows int64 `[L]`: each the nearest (L2) to the one before, none visited twice.

    Args:
      vectors: `[N, D]`.
      start: the first row.
      length: L.

    Raises:
      ConfigError: there are fewer than L vectors.
    """
    walk: np.ndarray = nearest_walks(vectors, [start], length=length)[0]
    return walk


def nearest_walks(
    vectors: np.ndarray, starts: Sequence[int] | np.ndarray, *, length: int = 16
) -> np.ndarray:
    """Rows int64 `[S, L]`: `nearest_walk` from each of S starts.

    Raises:
      ConfigError: there are fewer than L vectors.
    """
    if len(vectors) < length:
        raise errors.ConfigError(
            f"a walk of {length} cells needs as many vectors, not {len(vectors)}"
        )
    found = _nearest(jnp.asarray(vectors), jnp.asarray(starts, jnp.int32), length)
    return np.asarray(found, np.int64)


def walk_edits(archs: np.ndarray, space: str) -> np.ndarray:
    """int64 `[S, L - 1]`: edit distances along walks int32 `[S, L, G]`.

    Raises:
      ConfigError: arch2vec does not encode the space.
    """
    genes = archs.shape[-1]
    first, second = archs[:, :-1].reshape(-1, genes), archs[:, 1:].reshape(-1, genes)
    return edits_between(first, second, space).reshape(len(archs), -1)


def mean_walk_edits(
    key: Key,
    vectors: np.ndarray,
    archs: np.ndarray,
    space: str,
    *,
    num_starts: int = 100,
    length: int = 16,
) -> dict[str, Any]:
    """Mean edit distance between neighbours of walks from many random starts.

    Args:
      key: of the starts, which are different rows.
      vectors: `[N, D]`.
      archs: int32 `[N, G]`.
      space: a key of `graph_inputs.SPECS`.
      num_starts: S, at most N.
      length: cells of a walk.

    Returns:
      `{"mean", "std", "num_starts", "length"}`; the standard deviation is over starts.

    Raises:
      ConfigError: there are fewer vectors than a walk has cells.
    """
    starts = np.asarray(jax.random.permutation(key, len(vectors)))[:num_starts]
    rows = nearest_walks(vectors, starts, length=length)
    means = walk_edits(np.asarray(archs)[rows], space).mean(axis=1)
    std = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    return {
        "mean": float(means.mean()),
        "std": std,
        "num_starts": len(starts),
        "length": length,
    }


@functools.partial(jax.jit, static_argnames="space")
def pruned_graphs(archs: Array, space: str) -> Graph:
    """Graphs of architectures `[B, G]`, those of NAS-Bench-101 pruned.

    Args:
      archs: int32 `[B, G]`.
      space: a key of `graph_inputs.SPECS`.
    """
    if space == "nasbench101":
        archs = jax.vmap(nasbench101.prune)(archs)
    return jax.vmap(graph_inputs.spec(space).to_graph)(archs)


@functools.partial(jax.jit, static_argnames="space")
def _edits(first: Array, second: Array, space: str) -> Array:
    ends_stay = space == "darts_shared"
    distance = edit_distance.with_fixed_ends if ends_stay else edit_distance.exact
    return edit_distance.of_pairs(
        pruned_graphs(first, space), pruned_graphs(second, space), distance
    )


@functools.partial(jax.jit, static_argnames="length")
def _nearest(vectors: Array, starts: Array, length: int) -> Array:
    def walk(start: Array) -> Array:
        def step(carry: tuple[Array, Array], _: None) -> Any:
            row, fresh = carry
            fresh = fresh.at[row].set(False)
            gaps = vectors - vectors[row][None]
            squares = jnp.where(fresh, jnp.sum(gaps**2, axis=1), jnp.inf)
            return (jnp.argmin(squares).astype(jnp.int32), fresh), row

        fresh = jnp.ones(vectors.shape[0], bool)
        rows: Array = lax.scan(step, (start, fresh), None, length=length)[1]
        return rows

    walks: Array = lax.map(walk, starts)
    return walks
