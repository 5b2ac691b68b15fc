"""Avalanche of the hash, and look-up in sorted tables."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.spaces import fingerprints

find = jax.jit(jax.vmap(fingerprints.find, in_axes=(None, 0)))


def test_mix_is_the_finaliser_of_murmurhash3():
    # Computed with Python integers from the published definition.
    def plain(x):
        x ^= x >> 16
        x = x * 0x85EBCA6B % 2**32
        x ^= x >> 13
        x = x * 0xC2B2AE35 % 2**32
        return x ^ x >> 16

    numbers = [0, 1, 2, 0x80000000, 0xFFFFFFFF, 123456789]
    mixed = fingerprints.mix(jnp.array(numbers, jnp.uint32))
    assert mixed.tolist() == [plain(x) for x in numbers]


def test_one_bit_flips_half_of_the_output():
    numbers = jnp.arange(1000, dtype=jnp.uint32)
    for lane in fingerprints.LANES:
        flipped = [
            jax.lax.population_count(
                fingerprints.start(numbers, lane)
                ^ fingerprints.start(numbers ^ (1 << bit), lane)
            ).mean()
            for bit in (0, 7, 20)
        ]
        assert all(abs(mean - 16) < 1 for mean in flipped)


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_find_gives_the_row_of_every_key_and_of_no_other(size, seed):
    rng = np.random.default_rng(seed)
    # Few high words, so that the low ones decide; sizes share three compilations.
    size = {0: 1, 1: 64, 2: 300}[size % 3]
    keys = rng.choice(2**34, size, replace=False)
    keys.sort()
    table = np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype(np.uint32)
    np.testing.assert_array_equal(find(table, table), np.arange(size))
    absent = table ^ np.array([0, 1], np.uint32)
    rows = {tuple(row): i for i, row in enumerate(table.tolist())}
    expected = [rows.get(tuple(row), -1) for row in absent.tolist()]
    np.testing.assert_array_equal(find(table, absent), expected)


def test_find_looks_beyond_both_ends():
    table = np.array([[5, 5], [5, 7], [6, 0]], np.uint32)
    keys = np.array([[0, 0], [5, 6], [6, 1], [2**32 - 1] * 2], np.uint32)
    assert find(table, keys).tolist() == [-1, -1, -1, -1]
