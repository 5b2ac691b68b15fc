"""Integers of the search loops: in range, equally likely, independent of each other."""

import jax
import numpy as np
import pytest

from nasjax.core import sampling


@pytest.mark.parametrize("bound", [3, 100, 300])
def test_every_value_is_equally_likely(bound):
    count, num_keys = 5, 6000
    keys = jax.random.split(jax.random.key(0), num_keys)
    drawn = np.asarray(
        jax.jit(jax.vmap(lambda k: sampling.randint(k, count, bound)))(keys)
    )
    assert drawn.shape == (num_keys, count) and drawn.dtype == np.int32
    assert drawn.min() == 0 and drawn.max() == bound - 1
    # Pearson's statistic has mean `bound - 1` and variance `2 (bound - 1)`.
    counts = np.bincount(drawn.reshape(-1), minlength=bound)
    expected = num_keys * count / bound
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert abs(statistic - (bound - 1)) < 5 * np.sqrt(2 * (bound - 1))
    # Halves of one word are as independent as words.
    correlation = np.corrcoef(drawn.T) - np.eye(count)
    assert abs(correlation).max() < 5 / np.sqrt(num_keys)


def test_uniform_numbers_have_any_count():
    for count in (1, 2, 3, 8, 9):
        drawn = sampling.uniform(jax.random.key(count), count)
        assert drawn.shape == (count,) and ((drawn >= 0) & (drawn < 1)).all()
