"""Acquisition functions against scipy's formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from nasjax.core import errors
from nasjax.predictors import Prediction
from nasjax.search.model_based import acquisition

RNG = np.random.default_rng(0)
MEAN, STD = RNG.uniform(0.6, 1, 50), RNG.uniform(0.01, 0.2, 50)
KEY = jax.random.key(0)


def scipy_improvement(mean, std, incumbent):
    u = (mean - incumbent) / std
    return std * (u * stats.norm.cdf(u) + stats.norm.pdf(u))


def test_expected_improvement_is_that_of_scipy():
    with jax.enable_x64(True):
        ours = acquisition.expected_improvement(MEAN, jnp.asarray(STD), 0.9)
        logs = acquisition.log_expected_improvement(MEAN, jnp.asarray(STD), 0.9)
    expected = scipy_improvement(MEAN, STD, 0.9)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    np.testing.assert_allclose(logs, np.log(expected), rtol=1e-5, atol=1e-7)


def test_expected_improvement_is_the_mean_of_samples():
    samples = RNG.normal(0.8, 0.1, 400_000)
    mean = np.maximum(samples - 0.9, 0).mean()
    ours = acquisition.expected_improvement(jnp.float32(0.8), jnp.float32(0.1), 0.9)
    assert abs(float(ours) - mean) < 3e-4


def test_the_logarithm_does_not_underflow_and_keeps_the_order():
    u = -np.geomspace(1e-3, 1e4, 200)
    # log h(u), h = phi(u) + u Phi(u), by the scaled complementary error function.
    mills = np.sqrt(np.pi / 2) * special.erfcx(-u / np.sqrt(2))
    small = np.where(u > -1e3, 1 + u * mills, 1 / u**2 - 3 / u**4)
    expected = stats.norm.logpdf(u) + np.log(small)
    std = np.full_like(u, 0.1)
    ours = acquisition.log_expected_improvement(
        jnp.float32(0.1 * u), jnp.float32(std), 0.0
    )
    np.testing.assert_allclose(ours - np.log(0.1), expected, rtol=2e-5, atol=2e-4)
    assert (np.diff(ours) < 0).all()


def test_without_uncertainty_improvement_is_what_the_mean_gains():
    mean = jnp.array([0.5, 0.9, 0.95])
    gained = acquisition.expected_improvement(mean, jnp.zeros(3), 0.8)
    np.testing.assert_allclose(gained, [0, 0.1, 0.15], atol=1e-6)
    logs = acquisition.log_expected_improvement(mean, jnp.zeros(3), 0.8)
    assert np.isfinite(logs).all() and (np.diff(logs) > 0).all()


def test_the_released_one_takes_the_variance_for_the_standard_deviation():
    with jax.enable_x64(True):
        ours = acquisition.expected_improvement(
            MEAN, jnp.asarray(STD), 0.95, variant="released"
        )
    np.testing.assert_allclose(
        ours, scipy_improvement(MEAN, STD**2, 0.95), rtol=1e-7, atol=1e-30
    )


def test_released_zeros_are_ranked_at_random_below_all_others():
    prediction = Prediction(jnp.array([0.5] * 40 + [0.94]), jnp.full(41, 0.1))
    rank = acquisition.make("expected_improvement", variant="released")
    scores = [rank(key, prediction, jnp.float32(0.95)) for key in jax.random.split(KEY)]
    for score in scores:
        assert (score[:40] <= 0).all() and score[40] > 0
        assert len(set(score[:40].tolist())) == 40
    assert jnp.argmax(scores[0][:40]) != jnp.argmax(scores[1][:40])


def test_upper_confidence_bound_and_its_exploration():
    prediction = Prediction(jnp.float32(MEAN), jnp.float32(STD))
    rank = acquisition.make("upper_confidence_bound", exploration=2.0)
    np.testing.assert_allclose(rank(KEY, prediction, 0.9), MEAN + 2 * STD, rtol=1e-6)


def test_thompson_samples_have_the_predicted_moments():
    many = Prediction(jnp.full(20_000, 0.7), jnp.full(20_000, 0.05))
    draws = np.asarray(acquisition.make("thompson_sampling")(KEY, many, 0.9))
    assert stats.kstest((draws - 0.7) / 0.05, "norm").pvalue > 1e-3


def test_unknown_names_are_named():
    with pytest.raises(errors.ConfigError, match="did you mean 'thompson_sampling'"):
        acquisition.make("thompson_sample")
    with pytest.raises(errors.ConfigError, match="variant of EI"):
        acquisition.make("expected_improvement", variant="old")
    with pytest.raises(errors.ConfigError, match="variant of EI"):
        acquisition.expected_improvement(MEAN, STD, 0.9, variant="old")
