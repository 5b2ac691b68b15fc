"""Hashed bits: their distribution, that seeds matter, and dropout."""

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import hashed_bits

SHAPE = (16, 7, 64)
SEEDS = jnp.arange(60, dtype=jnp.uint32)
kept = jax.jit(jax.vmap(lambda seed: hashed_bits.bernoulli(seed, 0.9, SHAPE)))
drawn = jax.jit(jax.vmap(lambda seed: hashed_bits.integers(seed, 5, SHAPE)))


def test_bits_are_true_with_their_probability_and_independent():
    found = np.asarray(kept(SEEDS))
    assert abs(found.mean() - 0.9) < 4 * np.sqrt(0.09 / found.size)
    flat = (found.reshape(60, -1) - 0.9) / 0.3
    # Neighbouring seeds, neighbouring places, and places a row apart.
    shifts = [(flat[1:], flat[:-1])]
    shifts += [(flat[:, n:], flat[:, :-n]) for n in (1, 2, 7, 64, 448)]
    for one, other in shifts:
        assert abs(np.mean(one * other)) * np.sqrt(one.size) < 4
    # Totals of a seed vary as those of independent draws.
    spread = flat.sum(1).var() / flat.shape[1]
    assert 0.6 < spread < 1.6


def test_integers_are_uniform():
    found = np.asarray(drawn(SEEDS))
    counts = np.bincount(found.ravel(), minlength=5)
    assert counts.shape == (5,)
    expected = found.size / 5
    assert np.sum((counts - expected) ** 2 / expected) < 18.5  # p = .001, 4 degrees


def test_certain_and_impossible():
    assert hashed_bits.bernoulli(SEEDS[3], 1.0, (1000,)).all()
    assert not hashed_bits.bernoulli(SEEDS[3], 0.0, (1000,)).any()


def test_fold_in_gives_every_number_another_hash():
    numbers = jnp.arange(50_000, dtype=jnp.uint32)
    found = np.asarray(hashed_bits.fold_in(jnp.uint32(7), numbers))
    assert len(np.unique(found)) == len(found)  # a bijection
    other = np.asarray(hashed_bits.fold_in(jnp.uint32(8), numbers))
    flipped = np.bitwise_count(found ^ other).mean()
    assert 15 < flipped < 17


def test_dropout_keeps_the_mean_and_is_the_identity_at_rate_0():
    x = jnp.ones((40_000,))
    found = np.asarray(hashed_bits.drop(SEEDS[1], 0.25, x))
    np.testing.assert_allclose(np.unique(found), [0, 4 / 3], rtol=1e-6)
    assert abs(found.mean() - 1) < 0.02
    assert hashed_bits.drop(SEEDS[1], 0.0, x) is x
