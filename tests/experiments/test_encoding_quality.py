"""Rank correlations of accuracies that are predicted from encodings."""

import jax
import numpy as np
import pytest
import scipy.stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from nasjax.core.errors import ConfigError, DataError
from nasjax.experiments import encoding_quality

N = 300
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(N, 3)).astype(np.float32)
ACCURACY = np.sin(VECTORS[:, 0]) + 0.5 * VECTORS[:, 1] ** 2
ACCURACY = (ACCURACY + 0.1 * RNG.normal(size=N)).astype(np.float32)
KEY = jax.random.key(0)


def draws(vectors=VECTORS, **changes):
    options = {"num_labels": 40, "num_draws": 6, "num_tested": 100, **changes}
    return encoding_quality.rank_correlations(KEY, vectors, ACCURACY, **options)


@pytest.fixture(scope="module")
def known():
    return draws()


def test_ranks_are_those_of_scikit_learns_process(known):
    expected = []
    for draw in range(6):
        rows = np.asarray(jax.random.permutation(jax.random.fold_in(KEY, draw), N))
        labelled, tested = rows[:40], rows[40:140]
        x = VECTORS[labelled].astype(np.float64)
        mean, std = x.mean(axis=0), x.std(axis=0)
        kernel = ConstantKernel() * RBF() + WhiteKernel(noise_level_bounds=(1e-4, 10))
        process = GaussianProcessRegressor(kernel, normalize_y=True, alpha=0)
        process.fit((x - mean) / std, ACCURACY[labelled])
        ours = process.predict((VECTORS[tested] - mean) / std)
        expected.append(scipy.stats.kendalltau(ACCURACY[tested], ours).statistic)
    np.testing.assert_allclose(known, expected, atol=0.02)
    assert known.mean() > 0.7


def test_a_better_encoding_is_above_a_worse_one_draw_by_draw(known):
    worse = [draws(VECTORS[:, 1:]), draws(VECTORS[:, 2:])]
    table = {"whole": [known], "parts": worse, "control": [worse[1]]}
    found = encoding_quality.summarize(table, ["control"])
    assert found["whole"]["tau"] == pytest.approx(known.mean())
    assert found["whole"]["num_seeds"] == 1 and found["parts"]["num_seeds"] == 2
    against = found["whole"]["against"]["control"]
    assert against["difference"] == pytest.approx((known - worse[1]).mean())
    assert against["ci95"][0] > 0
    # Two seeds: the interval is over them, and far too wide to say anything.
    apart = found["parts"]["against"]["control"]
    assert apart["ci95"][0] < 0 < apart["ci95"][1] and apart["p_value"] > 0.05
    assert "against" in found["control"] and not found["control"]["against"]


def test_more_labels_than_choose_the_kernel(monkeypatch):
    monkeypatch.setattr(encoding_quality, "MOST_FITTED", 20)
    more = draws(num_labels=41, num_draws=2)
    assert more.shape == (2,) and more.mean() > 0.6


@pytest.mark.parametrize("changes", [{"num_labels": 1}, {"num_labels": 299}])
def test_numbers_that_do_not_fit_are_named(changes):
    with pytest.raises(ConfigError, match="of 300 architectures"):
        draws(**changes)
    with pytest.raises(DataError, match="not finite"):
        draws(np.full_like(VECTORS, np.nan))
