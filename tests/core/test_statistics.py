"""Intervals and tests against scipy, their coverage, and their further axes."""

import numpy as np
import pytest
import scipy.stats

from nasjax.core import statistics


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=60)
    ours = statistics.bootstrap_interval(values, num_resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    # Both bounds are estimates, with a standard error of about .004.
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)
    wider = statistics.bootstrap_interval(values, confidence=0.99)
    assert wider.low < ours.low < ours.mean < ours.high < wider.high


@pytest.mark.parametrize("size, least, most", [(50, 0.92, 0.96), (5, 0.80, 0.87)])
def test_coverage_of_the_bootstrap(size, least, most):
    values = np.random.default_rng(1).normal(2.0, 3.0, (size, 3000))
    interval = statistics.bootstrap_interval(values, num_resamples=2000)
    inside = np.mean((interval.low <= 2) & (2 <= interval.high))
    assert least < inside < most


def test_further_axes_are_kept_and_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(2).normal(size=(20, 3, 2))
    together = statistics.bootstrap_interval(values, seed=5, num_resamples=1500)
    alone = statistics.bootstrap_interval(values[:, 1, 0], seed=5, num_resamples=1500)
    other = statistics.bootstrap_interval(values[:, 1, 0], seed=6, num_resamples=1500)
    for field in statistics.Interval._fields:
        assert getattr(together, field).shape == (3, 2)
        assert getattr(together, field)[1, 0] == pytest.approx(getattr(alone, field))
    assert other.low != alone.low


def test_one_run_has_an_empty_interval():
    assert statistics.bootstrap_interval([0.5]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("size", [2, 3, 5, 6, 30, 101])
@pytest.mark.parametrize("shift", [0.0, 0.3, -2.0])
def test_t_test_is_that_of_scipy(size, shift):
    rng = np.random.default_rng(size)
    first, second = rng.normal(shift, 1, size), rng.normal(0, 1, size)
    ours = statistics.paired_t_test(first, second, confidence=0.9)
    theirs = scipy.stats.ttest_rel(first, second)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    low, high = theirs.confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9)


def test_t_test_of_constant_differences():
    pair = np.array([[1.0, 2.0], [3.0, 4.0]])
    same = statistics.paired_t_test(pair, pair)
    np.testing.assert_array_equal(same.p_value, [1, 1])
    other = statistics.paired_t_test(pair + [1, 0], pair)
    np.testing.assert_allclose(other.p_value, [0, 1], atol=1e-12)


@pytest.mark.parametrize("size", [2, 6, 9])
def test_sign_flips_are_exact_for_few_pairs(size):
    rng = np.random.default_rng(size)
    first = np.round(rng.normal(0.4, 1, size), 1)  # sums that tie
    second = np.round(rng.normal(0, 1, size), 1)
    ours = statistics.paired_difference(first, second, num_resamples=50)
    expected = scipy.stats.permutation_test(
        (first - second,),
        lambda x, axis: np.abs(np.sum(x, axis=axis)).round(9),
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    assert ours.p_value == pytest.approx(expected)
    assert ours.mean == pytest.approx(np.mean(first - second))


def test_one_pair_proves_nothing():
    assert statistics.paired_difference([3], [1]) == (2, 2, 2, 1)


def test_sign_flips_of_many_pairs():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 40, 500))
    first[:, 0] += 3
    result = statistics.paired_difference(first, second, num_resamples=2000)
    assert result.p_value[0] == pytest.approx(1 / 2001)
    assert result.low[0] > 2
    # Without a difference p-values are uniform.
    null = result.p_value[1:]
    assert scipy.stats.kstest(null, "uniform").pvalue > 0.01
    nothing = statistics.paired_difference(second, second, num_resamples=100)
    np.testing.assert_array_equal(nothing.p_value, 1)


def test_ecdf_is_that_of_scipy():
    values = np.random.default_rng(3).integers(0, 6, 50)
    points, shares = statistics.ecdf(values)
    expected = scipy.stats.ecdf(values).cdf
    np.testing.assert_array_equal(points, expected.quantiles)
    np.testing.assert_allclose(shares, expected.probabilities)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: statistics.bootstrap_interval([]), "at least one run"),
        (lambda: statistics.bootstrap_interval([1, np.nan]), "not finite"),
        (lambda: statistics.bootstrap_interval([1, 2], confidence=95), "95"),
        (lambda: statistics.paired_difference([1, 2], [1]), "not pairs"),
        (lambda: statistics.paired_t_test([1], [2]), "two pairs"),
        (lambda: statistics.ecdf([np.nan]), "NaN"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
