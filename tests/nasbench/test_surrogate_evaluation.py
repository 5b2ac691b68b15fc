"""Metrics of curves, divergence of noise, and what residuals look like."""

import csv
import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from reference import surrogate_parts
from shared import shared_file

from nasjax.core import errors
from nasjax.nasbench.surrogate import compression, evaluation, residuals, svd
from nasjax.nasbench.surrogate.noise import epoch_std

N, T = 30, 6


def draw_curves(seed=0, size=N):
    """True and predicted accuracies in [0, 1]."""
    rng = np.random.default_rng(seed)
    truth = 0.5 + 0.1 * rng.normal(size=(size, 1)) + 0.02 * rng.normal(size=(size, T))
    return truth, truth + 0.03 * rng.normal(size=truth.shape)


def test_metrics_are_averages_of_those_of_scipy_and_sklearn():
    truth, predicted = draw_curves()
    found = evaluation.evaluate(truth, predicted)
    rows = []
    for y, p in zip(truth.T, predicted.T, strict=True):
        # Percent with one and two decimals.
        rounded = [np.round(100 * p, decimals) for decimals in (1, 2)]
        rows.append(
            [
                sklearn.metrics.r2_score(y, p),
                scipy.stats.kendalltau(y, p).statistic,
                *(scipy.stats.kendalltau(y, r).statistic for r in rounded),
                scipy.stats.spearmanr(y, p).statistic,
                np.mean((y - p) ** 2),
            ]
        )
    for k, name in enumerate(("r2", "kt", "kt_1", "kt_2", "spearman", "mse")):
        average = np.mean([row[k] for row in rows])
        assert found[f"avg_{name}"] == pytest.approx(average, rel=1e-12)
        assert found[f"final_{name}"] == pytest.approx(rows[-1][k], rel=1e-12)
    assert len(found) == 12


def test_rounding_makes_ties():
    truth = np.tile([[0.1], [0.2], [0.3]], 2)
    predicted = np.tile([[0.5001], [0.5002], [0.9]], 2)
    found = evaluation.evaluate(truth, predicted)
    assert found["final_kt"] == 1
    assert found["final_kt_2"] == 1  # 50.01 and 50.02 percent
    assert found["final_kt_1"] == pytest.approx(2 / np.sqrt(3 * 2))
    assert evaluation.evaluate(truth, predicted, unit=1)["final_kt_2"] < 1


def test_epochs_that_rank_nothing():
    truth, predicted = draw_curves()
    whole = evaluation.evaluate(truth[:, 1:], predicted[:, 1:])
    truth[:, 0] = 0.1
    padded = evaluation.evaluate(truth, predicted)
    assert padded == whole
    constant = evaluation.evaluate(truth, np.full_like(truth, 0.5))
    assert constant["avg_kt"] == constant["final_spearman"] == 0
    assert constant["avg_r2"] < 0
    truth[:, -1] = 0.1
    last = evaluation.evaluate(truth, predicted)
    assert np.isnan(last["final_kt"]) and np.isfinite(last["avg_kt"])


def test_divergence_is_the_formula_of_the_thesis():
    rng = np.random.default_rng(0)
    mean, mean_2 = rng.normal(size=(2, T))
    variance, variance_2 = rng.uniform(0.5, 2, (2, T))
    terms = evaluation.gaussian_kl(mean, variance, mean_2, variance_2)
    expected = surrogate_parts.gaussian_kl(
        mean, np.diag(variance), mean_2, np.diag(variance_2)
    )
    assert terms.mean() == pytest.approx(expected, rel=1e-10)
    assert (terms > 0).all()
    np.testing.assert_allclose(
        evaluation.gaussian_kl(mean, variance, mean, variance), 0, atol=1e-15
    )


STD = np.linspace(0.04, 0.01, T)


@pytest.fixture(scope="module")
def repeats():
    """Twelve architectures, two hundred seeds each."""
    rng = np.random.default_rng(1)
    mean = draw_curves(2, 12)[0]
    return mean, mean[:, None, :] + STD * rng.normal(size=(12, 200, T))


def model_of(std):
    return epoch_std.EpochNoise(jnp.asarray(std, jnp.float32))


def test_average_divergence_is_least_for_the_noise_that_was_there(repeats):
    mean, runs = repeats
    true, wide, narrow = (
        evaluation.average_kl(
            jax.random.key(0), model_of(STD * factor), mean, runs, num_samples=400
        )
        for factor in (1, 2, 0.5)
    )
    assert true.avg_kl < 0.01 and true.raised == 0
    # Equal means, standard deviations of ratio f: log f - 1/2 + 1/(2 f^2).
    assert wide.avg_kl == pytest.approx(np.log(2) - 1 / 2 + 1 / 8, rel=0.1)
    assert narrow.avg_kl == pytest.approx(-np.log(2) - 1 / 2 + 2, rel=0.1)
    assert narrow.final_kl == pytest.approx(-np.log(2) - 1 / 2 + 2, rel=0.25)
    # A mean that is one deviation off adds a half.
    off = evaluation.average_kl(
        jax.random.key(0), model_of(STD), mean + STD, runs, num_samples=400
    )
    assert off.avg_kl == pytest.approx(0.5, rel=0.15)
    assert off.final_kl == pytest.approx(0.5, rel=0.25)


def test_sampled_moments_make_the_divergence(repeats):
    """What is returned is the formula applied to samples with these very keys."""
    mean, runs = repeats
    model, key = model_of(STD), jax.random.key(5)
    runs = runs[:, :3]
    found = evaluation.average_kl(key, model, mean, runs, num_samples=400, min_std=0.02)
    means, variances = [], []
    for i, key_arch in enumerate(jax.random.split(key, 12)):
        samples = np.asarray(
            jax.vmap(model.sample, (0, None))(
                jax.random.split(key_arch, 400), jnp.asarray(mean[i], jnp.float32)
            ),
            np.float64,
        )
        means.append(mean[i] + samples.mean(axis=0))
        variances.append(samples.var(axis=0, ddof=1))
    true = runs.var(axis=1, ddof=1)
    divergences = [
        surrogate_parts.gaussian_kl(
            runs[i].mean(axis=0),
            np.diag(np.maximum(true[i], 0.02**2)),
            means[i],
            np.diag(np.maximum(variances[i], 0.02**2)),
        )
        for i in range(12)
    ]
    assert found.avg_kl == pytest.approx(np.mean(divergences), rel=1e-4)
    raised = (np.sum(true < 4e-4) + np.sum(np.array(variances) < 4e-4)) / (2 * 12 * T)
    assert found.raised == pytest.approx(raised) and 0 < raised < 1


def test_seeds_that_agree_need_a_least_deviation(repeats):
    mean, runs = repeats
    dead = np.full_like(runs, 0.125)
    key, model = jax.random.key(0), model_of(STD)
    finite = evaluation.average_kl(key, model, mean, dead, num_samples=400)
    assert np.isfinite(finite.avg_kl) and finite.raised == 0.5
    with np.errstate(divide="ignore"):
        infinite = evaluation.average_kl(
            key, model, mean, dead, num_samples=400, min_std=0
        )
    assert infinite.avg_kl == np.inf


def test_normality_tells_a_gaussian_from_an_exponential():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=300), rng.exponential(size=300), np.ones(300)
    found = residuals.normality(np.stack(columns, axis=1))
    assert found.dagostino[0] > 0.01 and found.shapiro[0] > 0.01
    assert found.dagostino[1] < 1e-9 and found.shapiro[1] < 1e-9
    np.testing.assert_allclose(found.skewness[:2], [0, 2], atol=0.6)
    assert abs(found.kurtosis[0] - 3) < 1 and found.kurtosis[1] > 5
    assert np.isnan([field[2] for field in found]).all()
    few = residuals.normality(rng.normal(size=(10, 2)))
    assert np.isnan(few.dagostino).all() and np.isfinite(few.shapiro).all()
    many = residuals.normality(rng.normal(size=(5200, 1)))
    assert 0 < many.shapiro[0] <= 1


def test_autocorrelation_is_that_of_the_equation():
    rows = draw_curves()[1]
    with_constant = np.concatenate([rows, np.full((3, T), 0.1)])
    found = residuals.autocorrelation(with_constant, 4)
    for lag in range(5):
        expected = np.mean([surrogate_parts.autocorrelation(r, lag) for r in rows])
        assert found[lag] == pytest.approx(expected, rel=1e-12)
    assert found[0] == 1
    assert np.isnan(residuals.autocorrelation(np.ones((3, T)), 2)).all()


def test_autocorrelation_of_an_autoregression():
    rng = np.random.default_rng(0)
    z = surrogate_parts.autoregression(np.full(400, 0.8), rng.normal(size=(400, 50)))
    np.testing.assert_allclose(
        residuals.autocorrelation(z.T, 3), 0.8 ** np.arange(4), atol=0.04
    )


def test_band_holds_its_share():
    values = np.random.default_rng(0).normal(size=(20_000, 2)) * [1, 0.1]
    low, high = residuals.band(values)
    np.testing.assert_allclose(high, [1.645, 0.1645], rtol=0.03)
    np.testing.assert_allclose(low, [-1.645, -0.1645], rtol=0.03)


def test_ranks_beyond_the_signal_only_fit_noise():
    """Curves of two components: rank 2 is nearest to the mean over seeds."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(90, 2)) @ rng.normal(size=(2, T))
    train = signal + 0.3 * rng.normal(size=signal.shape)
    study = residuals.rank_study(train[:60], train[60:], range(1, 5))
    study_mean = residuals.rank_study(
        train[:60], train[60:], range(1, 5), test_mean=signal[60:]
    )
    best = min(study_mean, key=lambda row: row.test_mse)
    assert best.rank == 2
    assert min(study, key=lambda row: row.test_mse).rank == 4
    np.testing.assert_allclose(
        [row.singular_value for row in study],
        np.linalg.svd(train[:60], compute_uv=False)[:4],
        rtol=1e-5,
    )
    row = study_mean[2]
    model = svd.fit(train[:60], rank=3)
    error = compression.reconstruct(model, train[60:]) - signal[60:]
    assert row.test_mse == pytest.approx(np.mean(error**2), rel=1e-4)
    squares = np.mean((compression.reconstruct(model, train[:60]) - train[:60]) ** 2)
    assert row.train_mse == pytest.approx(squares, rel=1e-4)
    unexplained = squares * 60 * T / np.sum(train[:60] ** 2)
    assert row.explained == pytest.approx(1 - unexplained, rel=1e-4)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: evaluation.evaluate(np.ones((3, 2)), np.ones((3, 3))),
         errors.DataError, r"predictions must have shape \(3, 2\)"),
        (lambda: evaluation.average_kl(None, None, np.ones((2, 3)), np.ones((2, 1, 3))),
         errors.DataError, "1 rows of seeds"),
        (lambda: evaluation.average_kl(None, None, np.ones((2, 4)), np.ones((2, 2, 3))),
         errors.DataError, "predictions"),
        (lambda: residuals.normality(np.ones((2, 2))), errors.DataError, "too few"),
        (lambda: residuals.autocorrelation(np.ones((2, 3)), 3),
         errors.ConfigError, "max_lag 3"),
        (lambda: residuals.band(np.ones((2, 3)), 90), errors.ConfigError, "share"),
        (lambda: residuals.rank_study(np.eye(3), np.eye(3), []),
         errors.ConfigError, "ranks from 1"),
        (lambda: residuals.rank_study(np.eye(3), np.ones((2, 4)), [1]),
         errors.DataError, "test curves"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_real_curves_have_few_components():
    """1,000 MetaQNN networks on CIFAR-10, 20 epochs each."""
    path = shared_file("data", "learning_curves", "metaqnn_cifar10.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    curves = np.array([[float(row[f"acc_{t}"]) for t in range(1, 21)] for row in rows])
    order = np.random.default_rng(0).permutation(len(curves))
    train, test = curves[order[:800]], curves[order[800:]]
    study = residuals.rank_study(train, test, (1, 2, 4, 6))
    errors_test = [row.test_mse for row in study]
    assert errors_test == sorted(errors_test, reverse=True)
    assert study[0].explained > 0.99 and errors_test[-1] < 2e-5
    model = svd.fit(train, rank=6)
    found = evaluation.evaluate(test, compression.reconstruct(model, test))
    assert found["avg_r2"] > 0.99 and found["final_kt"] > 0.95
