"""Bayesian linear regression against golden values, numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from reference import predictors as reference
from shared import shared_file

from nasjax.core import errors
from nasjax.predictors import bayesian_linear as blr

RNG = np.random.default_rng(0)
decompose = jax.jit(blr.decompose)
maximize = jax.jit(blr.maximize, static_argnames="variant")


@pytest.fixture(scope="module")
def golden():
    with np.load(shared_file("golden", "dngo.npz")) as file:
        return {key: file[key] for key in file.files}


@jax.jit
def all_values(theta, y, log_alpha, log_noise, queries):
    """Everything the golden file holds, at each of S settings."""
    spectrum = blr.decompose(theta, y, jnp.ones(len(y), bool))

    def at(log_alpha, log_noise):
        belief = blr.posterior(spectrum, log_alpha, log_noise)
        mean, variance = blr.predict(belief, queries)
        return {
            "mean": mean,
            "variance": variance,
            "weight_posterior_mean": belief.mean,
            "log_det_A": blr.log_determinant(spectrum, log_alpha, log_noise),
            "evidence_textbook": blr.evidence(spectrum, log_alpha, log_noise),
            "evidence_released": blr.evidence(
                spectrum, log_alpha, log_noise, variant="released"
            ),
        }

    return jax.vmap(at)(log_alpha, log_noise)


def settings(golden):
    inputs = [golden[f"inputs/{k}"] for k in ("theta_train", "y_train", "alpha")]
    theta, y, alpha = inputs
    log_noise = -np.log(golden["inputs/beta"].astype(np.float64))
    return theta, y, np.log(alpha.astype(np.float64)), log_noise


def test_golden_values_in_float64(golden):
    with jax.enable_x64(True):
        arrays = [np.float64(a) for a in settings(golden)]
        found = all_values(*arrays, np.float64(golden["inputs/theta_test"]))
    for name, values in found.items():
        expected = golden[f"outputs/{name}"]
        atol = 1e-6 * np.abs(expected[np.isfinite(expected)]).max()
        for i, rtol in [(slice(0, 9), 1e-6), (slice(9, 10), 1e-5)]:
            np.testing.assert_allclose(
                values[i],
                expected[i],
                rtol=rtol,
                atol=atol if "weight" in name else 0,
                err_msg=name,
            )


def test_golden_values_in_float32(golden):
    arrays = [np.float32(a) for a in settings(golden)]
    found = all_values(*arrays, golden["inputs/theta_test"])
    np.testing.assert_allclose(found["mean"], golden["outputs/mean"], atol=1e-5)
    variance = golden["outputs/variance"]
    np.testing.assert_allclose(found["variance"], variance, rtol=2e-3)
    for name in ("log_det_A", "evidence_textbook", "evidence_released"):
        expected = golden[f"outputs/{name}"]
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, err_msg=name)


def test_more_rows_than_features(golden):
    theta, y, points = (
        np.float64(golden[f"inputs/pool150.{k}"])
        for k in ("theta_train", "y_train", "log_alpha_log_noise")
    )
    with jax.enable_x64(True):
        found = all_values(theta, y, points[:, 0], points[:, 1], theta[:5])
    for name in ("evidence_textbook", "evidence_released"):
        expected = golden[f"outputs/pool150.{name}"]
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, err_msg=name)


def problem(num_rows, num_features, noise):
    theta = np.tanh(RNG.normal(size=(num_rows, num_features)))
    y = theta @ RNG.normal(size=num_features) * 0.3 + noise * RNG.normal(size=num_rows)
    return theta, y


@pytest.mark.parametrize("num_rows, num_features", [(6, 9), (12, 9)])
def test_plain_values(num_rows, num_features):
    theta, y = problem(num_rows, num_features, 0.1)
    queries = np.tanh(RNG.normal(size=(4, num_features)))
    alphas, betas = np.array([0.3, 2.0]), np.array([50.0, 1.0])
    with jax.enable_x64(True):
        found = all_values(theta, y, np.log(alphas), -np.log(betas), queries)
    for i, (alpha, beta) in enumerate(zip(alphas, betas, strict=True)):
        mean, covariance = reference.linear_posterior(theta, y, alpha, beta)
        variance = 1 / beta + np.einsum("md,de,me->m", queries, covariance, queries)
        np.testing.assert_allclose(found["mean"][i], queries @ mean, rtol=1e-9)
        np.testing.assert_allclose(found["variance"][i], variance, rtol=1e-9)
        np.testing.assert_allclose(
            found["evidence_textbook"][i],
            reference.linear_evidence(theta, y, alpha, beta),
            rtol=1e-9,
        )
        np.testing.assert_allclose(
            found["evidence_released"][i],
            reference.released_evidence(theta, y, alpha, beta),
            rtol=1e-9,
        )


def test_rows_outside_the_mask_count_for_nothing():
    theta, y = problem(10, 4, 0.1)
    mask = np.arange(10) % 3 > 0

    @jax.jit
    def values(theta, y, mask):
        spectrum = blr.decompose(theta, y, mask)
        belief = blr.posterior(spectrum, jnp.log(0.5), jnp.log(0.1))
        covariance = belief.root @ belief.root.T
        return belief.mean, covariance, blr.evidence(spectrum, -0.7, -2.3)

    with jax.enable_x64(True):
        some = values(theta, y, mask)
        alone = values(theta[mask], y[mask], np.ones(mask.sum(), bool))
    for one, other in zip(some, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def spectrum_of(theta, y):
    return decompose(np.float32(theta), np.float32(y), np.ones(len(y), bool))


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_the_maximum_is_the_one_that_scipy_finds(noise):
    theta, y = problem(20, 6, noise)
    found = np.array(maximize(spectrum_of(theta, y)), np.float64)

    def loss(point):
        return -reference.linear_evidence(theta, y, *np.exp([point[0], -point[1]]))

    best = scipy.optimize.minimize(loss, [0.0, -3.0], method="Nelder-Mead")
    assert loss(found) < best.fun + 1e-4
    np.testing.assert_allclose(found, best.x, atol=0.03)


@pytest.mark.parametrize("variant", blr.VARIANTS)
def test_the_maximum_stays_in_the_box(variant):
    """Targets without noise want infinite beta, targets of 0 infinite alpha."""
    theta, y = problem(20, 6, 0.0)
    for targets in (y, np.zeros(20), np.full(20, 1e4)):
        point = maximize(spectrum_of(theta, targets), variant=variant)
        for value, (low, high) in zip(
            point, (blr.LOG_ALPHA, blr.LOG_NOISE), strict=True
        ):
            assert low <= value <= high


def test_the_released_maximum_is_the_best_of_a_grid():
    theta, y = problem(20, 6, 0.3)
    found = np.array(maximize(spectrum_of(theta, y), variant="released"), np.float64)

    def value(log_alpha, log_noise):
        density = np.exp(-(log_alpha**2) / 2) + np.exp(-((log_noise + 3) ** 2) / 2)
        score = reference.released_evidence(theta, y, *np.exp([log_alpha, -log_noise]))
        return score + density / np.sqrt(2 * np.pi)

    steps = np.linspace(-10, 10, 61)
    best = max(value(a, n) for a in steps for n in steps)
    assert value(*found) > best - 1e-3


def test_an_unknown_variant_is_named():
    spectrum = spectrum_of(*problem(20, 6, 0.1))
    with pytest.raises(errors.ConfigError, match="did you mean 'released'"):
        blr.maximize(spectrum, variant="relased")
