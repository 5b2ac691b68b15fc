import numpy as np
import pytest
import scipy.stats

from nasjax.nasbench.reliability import reliability


def test_it_is_the_mean_over_pairs_and_spearman_browns_formula():
    random = np.random.default_rng(0)
    level = random.normal(size=(500, 1))
    values = level + 0.5 * random.normal(size=(500, 3))
    by = level + 0.3 * random.normal(size=(500, 3))
    found = reliability(values, by)
    pairs = ((0, 1), (0, 2), (1, 2))
    every = [scipy.stats.spearmanr(values[:, i], values[:, j])[0] for i, j in pairs]
    np.testing.assert_allclose(found.all, np.mean(every), rtol=1e-6)
    best = np.argsort(by.mean(1))[-100:]
    among = [scipy.stats.spearmanr(*values[best][:, pair].T)[0] for pair in pairs]
    np.testing.assert_allclose(found.best, np.mean(among), rtol=1e-6)
    # Equal to the correlation of two independent means of three in the long run.
    r = np.mean(among)
    np.testing.assert_allclose(found.best_of_mean, 3 * r / (1 + 2 * r), rtol=1e-6)


def test_one_seed_is_refused():
    with pytest.raises(ValueError, match="1 seed has nothing to agree with"):
        reliability(np.zeros((4, 1)))
