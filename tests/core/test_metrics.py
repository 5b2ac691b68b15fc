"""Metrics against scipy and scikit-learn, with and without ties."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import surrogate_parts

from nasjax.core import metrics

# Few distinct values give ties in one, in the other and in both.
values = st.integers(0, 5).map(float) | st.floats(-1, 1)
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=40)


def constant(array):
    return np.ptp(array) == 0


@settings(deadline=None, max_examples=200)
@given(pairs)
def test_rank_correlations_are_those_of_scipy(rows):
    x, y = np.array(rows).T
    tau, rho = metrics.kendall_tau(x, y), metrics.spearman(x, y)
    if constant(x) or constant(y):
        assert math.isnan(tau) and math.isnan(rho)
        return
    assert tau == pytest.approx(scipy.stats.kendalltau(x, y).statistic, abs=1e-12)
    assert rho == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(pairs)
def test_errors_are_those_of_sklearn(rows):
    x, y = np.array(rows).T
    r2 = sklearn.metrics.r2_score(x, y)
    assert metrics.r2(x, y) == pytest.approx(r2, rel=1e-9, abs=1e-9)
    assert metrics.mse(x, y) == pytest.approx(np.mean((x - y) ** 2))


def test_tau_of_forty_thousand_rounded_accuracies():
    rng = np.random.default_rng(0)
    truth = np.round(rng.normal(0.9, 0.05, 40_000), 3)
    predicted = np.round(truth + rng.normal(0, 0.03, truth.shape), 4)
    expected = scipy.stats.kendalltau(truth, predicted).statistic
    assert metrics.kendall_tau(truth, predicted) == pytest.approx(expected, abs=1e-12)
    assert len(np.unique(truth)) < 1000 and 0.5 < expected < 0.9


def test_tau_by_hand():
    # Pairs of (1, 2, 3, 4) and (1, 3, 2, 4): one of six is discordant.
    assert metrics.kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    # With a tie in the second: (P, Q) = (5, 0), sqrt(6 * 5) pairs.
    assert metrics.kendall_tau([1, 2, 3, 4], [1, 2, 2, 4]) == pytest.approx(
        5 / math.sqrt(30)
    )
    assert metrics.kendall_tau([3, 2, 1], [5, 6, 7]) == -1


@settings(deadline=None)
@given(st.lists(st.integers(0, 100_000), max_size=30))
def test_inversions_are_counted(numbers):
    found = metrics.count_inversions(np.array(numbers, np.int64))
    assert found == surrogate_parts.inversions(numbers)


def test_tied_ranks_share_their_mean():
    np.testing.assert_array_equal(metrics.ranks([5, 1, 5, 0]), [3.5, 2, 3.5, 1])


METRICS = (metrics.mse, metrics.r2, metrics.spearman, metrics.kendall_tau)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "first, second, message",
    [([1, 2], [1, 2, 3], "one length"), ([], [], "one length")]
    + [([[1.0]], [[1.0]], "one length"), ([1, np.nan], [1, 2], "NaN")],
)
def test_bad_input_is_named(metric, first, second, message):
    with pytest.raises(ValueError, match=message):
        metric(first, second)
