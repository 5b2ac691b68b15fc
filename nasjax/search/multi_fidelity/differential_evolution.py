"""Differential evolution, rand/1/bin (Storn & Price, 1997), on points in [0, 1]^D."""

import jax.numpy as jnp

from nasjax.core import sampling
from nasjax.core.types import Array, Key


def donors(key: Key, pool: Array, others: Array) -> Array:
    """int32 `[3]`, three different members in random order.

    Args:
      key: randomness.
      pool: bool `[M]`, members to choose from.
      others: bool `[M]`, members that fill up a pool of less than three; then those of
        the pool come first.
    """
    size = pool.shape[0]
    scores = sampling.uniform(key, size) + pool + (pool | others)
    return jnp.argsort(-scores)[:3].astype(jnp.int32)


def mutant(points: Array, *, factor: float) -> Array:
    """r1 + F (r2 - r3) of three points `[3, D]`."""
    moved: Array = points[0] + factor * (points[1] - points[2])
    return moved


def crossover(key: Key, target: Array, mutated: Array, *, chance: float) -> Array:
    """Each coordinate `[D]` of the mutant with this chance, at least one of them.

    A coordinate outside of [0, 1] is drawn anew.
    """
    size = target.shape[0]
    crosses, anew, least = jnp.split(
        sampling.uniform(key, 2 * size + 1), (size, 2 * size)
    )
    taken = crosses < chance
    # As in the authors' code one is drawn only where none was taken.
    forced = jnp.arange(size) == sampling.to_integers(least[0], size)
    taken |= forced & ~jnp.any(taken)
    child = jnp.where(taken, mutated, target)
    return jnp.where((child < 0) | (child > 1), anew, child)
