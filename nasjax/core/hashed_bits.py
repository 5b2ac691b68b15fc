"""Random bits as a hash of their own numbers.

Dropout needs many bits, none of them more than once and none after the step. A hash of
the place of each number and a seed is an elementwise function: it costs a tenth of a
generator, is fused with what reads it, and gives the same bits when it is asked again,
so that a backward pass need not store them.
"""

import math

import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array


def bernoulli(seed: Array, probability: float, shape: tuple[int, ...]) -> Array:
    """Bools of a shape that are true with a probability, exact to 2^-24.

    Args:
      seed: uint32 `[]`; other seeds give other bits.
      probability: of True.
      shape: of fewer than 2^32 numbers.
    """
    kept: Array = _bits(seed, shape) < jnp.uint32(round(probability * 2**24))
    return kept


def integers(seed: Array, count: int, shape: tuple[int, ...]) -> Array:
    """Uniform int32 below a count of at most 256."""
    scaled: Array = _bits(seed, shape) * jnp.uint32(count) >> 24
    return scaled.astype(jnp.int32)


def drop(seed: Array, rate: float, x: Array) -> Array:
    """Dropout: 0 with a probability, else `x / (1 - rate)`; `x` itself at rate 0."""
    if not rate:
        return x
    return jnp.where(bernoulli(seed, 1 - rate, x.shape), x / (1 - rate), 0)


def fold_in(seed: Array, number: Array | int) -> Array:
    """uint32 of a number's shape, a hash of both; another seed or number, another hash.

    Multipliers and shifts have the least bias of their form (Wellons, 2018).
    """
    x = jnp.asarray(number, jnp.uint32) * jnp.uint32(0x9E3779B1) ^ seed
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    mixed: Array = x ^ (x >> 16)
    return mixed


def _bits(seed: Array, shape: tuple[int, ...]) -> Array:
    """Uniform uint32 numbers of 24 bits."""
    places = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    bits: Array = fold_in(seed, places) >> 8
    return bits
