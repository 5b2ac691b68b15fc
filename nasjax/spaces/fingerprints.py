"""Order-free hashing of labelled graphs on uint32, and look-up in sorted tables.

A fingerprint is two uint32 lanes that never share a constant, so that two different
graphs collide with a probability of about 2^-64. Everything here is unsigned
arithmetic that wraps around, hence the same on every device.
"""

import jax
import jax.numpy as jnp

from nasjax.core.types import Array

LANES: tuple[tuple[int, int, int], ...] = (
    (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D),
    (0x27D4EB2F, 0x165667B1, 0xD6E8FEB9),
)
"""Per lane: a seed and two odd multipliers (in- and out-neighbours)."""


VERSION = 1
"""Raised whenever any space's fingerprint changes; files that store some name it."""


def mix(x: Array) -> Array:
    """Bijective avalanche of uint32: every input bit flips half of the output bits.

    The finaliser of MurmurHash3 (Appleby, 2011).
    """
    x = x ^ (x >> 16)
    x = x * jnp.uint32(0x85EBCA6B)
    x = x ^ (x >> 13)
    x = x * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def start(number: Array, lane: tuple[int, int, int]) -> Array:
    """Colour of a label in one lane, uint32 of any shape."""
    seed, inward, _ = lane
    return mix(number.astype(jnp.uint32) * jnp.uint32(inward) + jnp.uint32(seed))


def finish(lanes: Array) -> Array:
    """Mixes the lanes `[2]` once more, such that 0 stays 0.

    The two turns of the loop keep XLA from fusing a long unrolled hash with what reads
    it: compilation then takes minutes in some programs.
    """
    mixed: Array = jax.lax.fori_loop(0, 2, lambda _, lane: mix(lane), lanes)
    return mixed


def find(table: Array, fingerprint: Array) -> Array:
    """Row of a fingerprint in a sorted table by binary search.

    Args:
      table: uint32 `[N, 2]`, distinct rows in lexicographic order.
      fingerprint: uint32 `[2]`.

    Returns:
      int32 `[]`, the row, or -1 where the table has no such row.
    """
    high, low = table[:, 0], table[:, 1]
    last = table.shape[0] - 1

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        first, end = bounds
        middle = (first + end) >> 1
        key = high[middle], low[middle]
        before = (key[0] < fingerprint[0]) | (
            (key[0] == fingerprint[0]) & (key[1] < fingerprint[1])
        )
        return jnp.where(before, middle + 1, first), jnp.where(before, end, middle)

    bounds = jnp.int32(0), jnp.int32(last)
    row, _ = jax.lax.fori_loop(0, max(last, 1).bit_length(), halve, bounds)
    found = (high[row] == fingerprint[0]) & (low[row] == fingerprint[1])
    return jnp.where(found, row, -1)
