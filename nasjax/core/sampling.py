"""Random numbers that compile and run fast inside a search.

XLA takes twice as long to compile the generator for an axis of 6 or 10 as for one of 8
or 16, so all are drawn as a power of two and cut. Every call of `jax.random` costs
about half a second of compilation on CPU: a function of a space draws one block of
uniform numbers and cuts it up with `to_integers`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array, Key

_SMALL = 256


def uniform(key: Key, count: int) -> Array:
    """float32 `[count]` in [0, 1)."""
    return jax.random.uniform(key, (_width(count),))[:count]


def randint(key: Key, count: int, bound: int) -> Array:
    """int32 `[count]` in [0, bound), each value as likely.

    Two numbers share a random word where `bound` is at most 256, for the generator is
    the larger part of a search in a table: the probability of a value is then off by up
    to `bound * 2^-16` of itself (.4 % at worst), else by up to `bound * 2^-23`.
    """
    if bound > _SMALL:
        return to_integers(uniform(key, count), bound)
    words = jax.random.bits(key, (_width((count + 1) // 2),))
    halves = jnp.concatenate([words >> 16, words & 0xFFFF])[:count]
    scaled: Array = halves * jnp.uint32(bound)
    return (scaled >> 16).astype(jnp.int32)


def to_integers(uniform: Array, bound: Array | np.ndarray | int) -> Array:
    """int32 uniform in [0, bound) from uniform numbers in [0, 1).

    The 23 random bits of a float32 bias the result by less than `bound * 2^-23`.
    """
    drawn = jnp.floor(uniform * bound).astype(jnp.int32)
    return jnp.minimum(drawn, bound - 1)


def first_valid(candidates: Array, valid: Array, fallback: Array) -> Array:
    """The first of `candidates` `[K, G]` whose `valid` `[K]` is set, or `fallback`."""
    return jnp.where(jnp.any(valid), candidates[jnp.argmax(valid)], fallback)


def _width(count: int) -> int:
    return 1 << (count - 1).bit_length()
