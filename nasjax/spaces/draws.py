"""Integers from one block of uniform numbers, and the choice among candidates.

Every call of `jax.random` costs about half a second of compilation on CPU; one call
for each function of a space, sliced up with `below`, keeps search programs small.
"""

import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array


def below(uniform: Array, bound: Array | np.ndarray | int) -> Array:
    """int32 uniform in [0, bound) from uniform numbers in [0, 1).

    The 23 random bits of a float32 bias the result by less than `bound * 2^-23`.
    """
    drawn = jnp.floor(uniform * bound).astype(jnp.int32)
    return jnp.minimum(drawn, bound - 1)


def first_valid(candidates: Array, valid: Array, fallback: Array) -> Array:
    """The first of `candidates` `[K, G]` whose `valid` `[K]` is set, or `fallback`."""
    return jnp.where(jnp.any(valid), candidates[jnp.argmax(valid)], fallback)
