"""Random numbers of a training step.

`jax.random` on CPU draws in a loop that takes longer for the few thousand numbers of a
batch than a layer of the network. Here XLA generates them, by the same algorithm and
half as long; the numbers are others.
"""

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Key


def normal(key: Key, shape: tuple[int, ...]) -> Array:
    """Standard normal float32 numbers; none is beyond 5.3."""
    middle = (_bits(key, shape).astype(jnp.float32) + 0.5) * 2.0**-22 - 1
    return jnp.sqrt(2.0) * lax.erf_inv(middle)


def bernoulli(key: Key, probability: float, shape: tuple[int, ...]) -> Array:
    """Bools that are true with a probability, exact to 2^-23."""
    return _bits(key, shape) < round(probability * 2**23)


def _bits(key: Key, shape: tuple[int, ...]) -> Array:
    """Uniform int32 numbers of 23 bits."""
    state = jnp.resize(jax.random.key_data(key), (4,))
    _, bits = lax.rng_bit_generator(
        state, shape, jnp.uint32, algorithm=lax.RandomAlgorithm.RNG_THREE_FRY
    )
    numbers: Array = (bits >> 9).astype(jnp.int32)
    return numbers
