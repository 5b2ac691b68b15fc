"""Candidates near the best architectures so far."""

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Key, SearchSpace


def mutate(
    key: Key,
    space: SearchSpace,
    parents: Array,
    *,
    num_candidates: int,
    max_edits: int,
    always_max: bool = False,
) -> Array:
    """Mutants int32 `[C, G]` of parents `[K, G]`.

    Parents take turns; so do numbers of edits from 1 to `max_edits`, unless all mutants
    get `max_edits`.
    """
    number = jnp.arange(num_candidates)
    edits = 1 + number // parents.shape[0] % max_edits
    edits = jnp.full_like(edits, max_edits) if always_max else edits
    archs = parents[number % parents.shape[0]]

    def edit(step: Array, archs: Array) -> Array:
        keys = jax.random.split(jax.random.fold_in(key, step), num_candidates)
        changed = jax.vmap(space.mutate)(keys, archs)
        return jnp.where((step < edits)[:, None], changed, archs)

    return lax.fori_loop(0, max_edits, edit, archs)


def best(archs: Array, valid: Array, count: int) -> Array:
    """The `count` architectures int32 `[count, G]` of highest score.

    Where fewer are scored the best one is repeated.

    Args:
      archs: int32 `[P, G]`.
      valid: float32 `[P]`, -inf where there is no score.
      count: how many.
    """
    top, places = lax.top_k(valid, count)
    return archs[jnp.where(top > -jnp.inf, places, places[0])]


def is_new(pool: Array, known: Array) -> Array:
    """bool `[C]`: neither known nor earlier in the pool, by genes.

    Args:
      pool: int32 `[C, G]`.
      known: int32 `[P, G]`.
    """

    def equal(left: Array, right: Array) -> Array:
        return jnp.all(left[:, None] == right[None], axis=2)

    number = jnp.arange(pool.shape[0])
    earlier = number[None] < number[:, None]
    repeated = jnp.any(equal(pool, pool) & earlier, axis=1)
    return ~repeated & ~jnp.any(equal(pool, known), axis=1)


def sample_distinct(key: Key, space: SearchSpace, count: int) -> Array:
    """Different architectures int32 `[count, G]` drawn by `space.sample`.

    Twice as many are drawn; if they hold too few different ones, some are repeated.
    """
    drawn = jax.vmap(space.sample)(jax.random.split(key, 2 * count))
    number = jnp.arange(2 * count)
    new = is_new(drawn, drawn[:0])
    # The new ones in the order in which they were drawn, then the repeated ones.
    rank = jnp.where(new, -number, -number - 2 * count)
    return drawn[lax.top_k(rank, count)[1]]
