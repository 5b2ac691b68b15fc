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


def finals(rng, kind, shape):
    """Skewed final scores of trials and their true mean."""
    if kind == "regret":  # most trials near the optimum, a tail below
        return 0.94 - 0.002 * rng.exponential(size=shape), 0.938
    if kind == "log-normal":
        return rng.lognormal(0, 0.5, shape), np.exp(0.125)
    return rng.normal(0.93, 0.003, shape), 0.93


def covers(interval, mean):
    return np.mean((interval.low <= mean) & (mean <= interval.high))


@pytest.mark.parametrize("kind", ["regret", "log-normal", "normal"])
@pytest.mark.parametrize("size", [10, 20, 30])
def test_few_trials_are_covered_as_promised(kind, size):
    values, mean = finals(np.random.default_rng(size), kind, (size, 6000))
    assert 0.92 <= covers(statistics.mean_interval(values), mean) <= 0.97


@pytest.mark.parametrize("kind", ["regret", "normal"])
def test_many_trials_are_covered_by_the_bootstrap(kind):
    values, mean = finals(np.random.default_rng(3), kind, (500, 1500))
    found = statistics.mean_interval(values, num_resamples=1000)
    assert 0.93 <= covers(found, mean) <= 0.97
    same = statistics.bootstrap_interval(values, num_resamples=1000)
    np.testing.assert_array_equal(found.low, same.low)


def test_a_bootstrap_of_few_skewed_trials_covers_less():
    """Also scipy's BCa, which is why it is not used."""
    values, mean = finals(np.random.default_rng(10), "regret", (10, 1500))
    bca = scipy.stats.bootstrap(
        (values,), np.mean, axis=0, n_resamples=500, method="BCa", rng=0
    ).confidence_interval
    assert covers(bca, mean) < 0.91
    assert covers(statistics.bootstrap_interval(values), mean) < 0.91
    assert covers(statistics.mean_interval(values), mean) > 0.92


@pytest.mark.parametrize("size", [2, 3, 10, 101])
def test_the_transformed_t_interval_solves_its_cubic(size):
    rng = np.random.default_rng(size)
    values = rng.lognormal(size=size)
    found = statistics.skewed_t_interval(values, confidence=0.9)
    mean, scale = values.mean(), values.std(ddof=1)
    slope = scipy.stats.skew(values) / 3
    t = scipy.stats.t.ppf(0.95, size - 1)
    for bound, quantile in ((found.low, t), (found.high, -t)):
        w = (mean - bound) / scale
        cubic = w + slope * w**2 + slope**2 * w**3 / 3 + slope / (2 * size)
        assert np.sqrt(size) * cubic == pytest.approx(quantile, rel=1e-9)
    even = np.concatenate([values, -values])
    low, high = scipy.stats.ttest_1samp(even, 0).confidence_interval(0.95)
    assert statistics.skewed_t_interval(even)[1:] == pytest.approx((low, high))


def test_equal_runs_have_an_empty_interval_and_few_axes_agree_with_one():
    assert statistics.mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
    values = np.random.default_rng(0).exponential(size=(12, 3, 2))
    values[:, 0, 1] = 2.0
    together = statistics.mean_interval(values)
    alone = statistics.mean_interval(values[:, 2, 0])
    assert (together.low[2, 0], together.high[2, 0]) == pytest.approx(alone[1:])
    assert together.low[0, 1] == together.high[0, 1] == 2


def clustered(rng, num_clusters, size, count, shift=0.0):
    """Trials `[C * R, count]` whose embeddings differ more than the trials of one."""
    embedding = rng.normal(shift, 1.0, (num_clusters, 1, count))
    trials = embedding + rng.exponential(size=(num_clusters, size, count)) - 1
    return trials.reshape(-1, count), np.repeat(np.arange(num_clusters), size)


@pytest.mark.parametrize("num_clusters", [2, 5, 20])
def test_clusters_are_the_units_of_interval_and_test(num_clusters):
    rng = np.random.default_rng(num_clusters)
    values, labels = clustered(rng, num_clusters, 10, 4000)
    found = statistics.mean_interval(values, clusters=labels)
    assert 0.935 <= covers(found, 0) <= 0.965
    # As if all were independent, the interval is far too short.
    assert covers(statistics.mean_interval(values), 0) < 0.75
    test = statistics.paired_difference(values, 0 * values, clusters=labels)
    assert np.mean(test.p_value < 0.05) == pytest.approx(1 - covers(found, 0))
    means = values.reshape(num_clusters, 10, -1).mean(axis=1)
    theirs = scipy.stats.ttest_1samp(means, 0)
    np.testing.assert_allclose(test.p_value, theirs.pvalue, rtol=1e-6)


def test_clusters_against_independent_runs_are_compared_by_welch():
    rng = np.random.default_rng(0)
    values, labels = clustered(rng, 5, 10, 3000)
    others = rng.normal(size=(40, 3000))
    found = statistics.unpaired_difference(values, others, first_clusters=labels)
    assert 0.935 <= covers(found, 0) <= 0.975
    means = values.reshape(5, 10, -1).mean(axis=1)
    theirs = scipy.stats.ttest_ind(means, others, equal_var=False)
    # Degrees of freedom are rounded down: a little wider, never narrower.
    assert np.all(found.p_value >= theirs.pvalue - 1e-9)
    assert np.max(found.p_value - theirs.pvalue) < 0.03
    whole = statistics.unpaired_difference(means[:, 0], means[:, 0] + 1)
    same = scipy.stats.ttest_ind(means[:, 0], means[:, 0] + 1, equal_var=False)
    assert whole.p_value == pytest.approx(same.pvalue)
    low, high = same.confidence_interval(0.95)
    assert (whole.low, whole.high) == pytest.approx((low, high))


def test_one_cluster_is_a_sample_of_itself():
    values = np.random.default_rng(0).normal(size=20)
    alone = statistics.mean_interval(values, clusters=np.zeros(20))
    assert alone == statistics.mean_interval(values)
    pair = statistics.paired_difference(values, 0 * values, clusters=[7] * 20)
    assert pair == statistics.paired_difference(values, 0 * values)


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
        (lambda: statistics.mean_interval([1, np.inf]), "not finite"),
        (lambda: statistics.mean_interval([1, 2], clusters=[1]), "do not fit 2 runs"),
        (lambda: statistics.unpaired_difference([1], [2, 3]), "two units"),
        (lambda: statistics.ecdf([np.nan]), "NaN"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
