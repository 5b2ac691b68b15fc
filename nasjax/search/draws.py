"""Random numbers that compile and run fast inside a search.

XLA takes twice as long to compile the generator for an axis of 6 or 10 as for one of 8
or 16, so all are drawn as a power of two and cut.
"""

import jax
import jax.numpy as jnp

from nasjax.core.types import Array, Key

_SMALL = 256


def uniform(key: Key, count: int) -> Array:
    """float32 `[count]` in [0, 1)."""
    return jax.random.uniform(key, (_width(count),))[:count]


def below(key: Key, count: int, bound: int) -> Array:
    """int32 `[count]` in [0, bound), each value as likely.

    Two numbers share a random word where `bound` is at most 256, for the generator is
    the larger part of a search in a table: the probability of a value is then off by up
    to `bound * 2^-16` of itself (.4 % at worst), else by up to `bound * 2^-23`.
    """
    if bound > _SMALL:
        drawn = (uniform(key, count) * bound).astype(jnp.int32)
        return jnp.minimum(drawn, bound - 1)
    words = jax.random.bits(key, (_width((count + 1) // 2),))
    halves = jnp.concatenate([words >> 16, words & 0xFFFF])[:count]
    return (halves * jnp.uint32(bound) >> 16).astype(jnp.int32)


def _width(count: int) -> int:
    return 1 << (count - 1).bit_length()
