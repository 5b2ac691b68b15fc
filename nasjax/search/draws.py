"""Uniform numbers that compile fast."""

import jax

from nasjax.core.types import Array, Key


def uniform(key: Key, count: int) -> Array:
    """float32 `[count]` in [0, 1).

    Drawn as a power of two and cut: XLA takes twice as long to compile the generator
    for an axis of 6 or 10 as for one of 8 or 16.
    """
    return jax.random.uniform(key, (1 << (count - 1).bit_length(),))[:count]
