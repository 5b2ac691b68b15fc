"""Random numbers of a training step: their distribution, and that keys matter."""

import jax
import numpy as np
from scipy import stats

from nasjax.encoders import random_bits

SHAPE = (32, 8, 16)
KEYS = jax.random.split(jax.random.key(0), 50)
normal = jax.jit(lambda key: random_bits.normal(key, SHAPE))
kept = jax.jit(lambda key: random_bits.bernoulli(key, 0.7, SHAPE))


def test_normal_numbers():
    drawn = np.stack([normal(key) for key in KEYS])
    assert drawn.shape == (50, *SHAPE) and drawn.dtype == np.float32
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.01
    # Neighbouring keys and neighbouring numbers have nothing to do with each other.
    flat = drawn.reshape(50, -1)
    for one, other in ((flat[1:], flat[:-1]), (flat[:, 1:], flat[:, :-1])):
        correlation = np.mean(one * other) * np.sqrt(one.size)
        assert abs(correlation) < 4
    np.testing.assert_array_equal(normal(KEYS[0]), drawn[0])


def test_masks():
    drawn = np.stack([kept(key) for key in KEYS])
    assert drawn.dtype == bool
    error = np.sqrt(0.7 * 0.3 / drawn.size)
    assert abs(drawn.mean() - 0.7) < 4 * error
    assert np.all(random_bits.bernoulli(KEYS[0], 1.0, (1000,)))
    assert not np.any(random_bits.bernoulli(KEYS[0], 0.0, (1000,)))
