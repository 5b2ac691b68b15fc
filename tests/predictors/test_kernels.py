"""Processes on distances against plain numpy, and by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import encoders, predictors
from nasjax.core import errors
from nasjax.encoders import distances
from nasjax.predictors import gp, kernels
from nasjax.spaces import nasbench201

RNG = np.random.default_rng(0)
X = RNG.integers(0, 3, (20, 6)).astype(float)
Y = X[:, 0] - 0.5 * X[:, 3] + 0.1 * RNG.normal(size=20)
QUERIES = RNG.integers(0, 3, (5, 6)).astype(float)
MASK = np.arange(20) % 5 > 0
KNOWN = {
    "hamming": lambda a, b: float(np.sum(a != b)),
    "manhattan": lambda a, b: float(np.abs(a - b).sum()),
    "euclidean": lambda a, b: float(np.linalg.norm(a - b)),
}


def plain(name, log_length, log_signal, log_noise):
    """Mean, variance and log likelihood by the equations, of the rows in the mask."""
    x, y = X[MASK], Y[MASK]

    def between(a, b):
        return np.array([[KNOWN[name](i, j) for j in b] for i in a])

    own = between(x, x)
    scale = own[~np.eye(len(x), dtype=bool)].mean()

    def kernel(d):
        return np.exp(log_signal) * np.exp(-d / (scale * np.exp(log_length)))

    covariance = kernel(own) + np.exp(log_noise) * np.eye(len(x))
    cross = kernel(between(x, QUERIES))
    solved = np.linalg.solve(covariance, cross)
    variance = np.exp(log_signal) + np.exp(log_noise) - np.sum(cross * solved, axis=0)
    fit = y @ np.linalg.solve(covariance, y)
    log_det = np.linalg.slogdet(covariance)[1]
    likelihood = -0.5 * (fit + log_det + len(x) * np.log(2 * np.pi))
    return solved.T @ y, variance, likelihood


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_process_of_distances_is_the_plain_one(name):
    logs = np.log([0.7, 1.7, 0.02])
    with jax.enable_x64(True):

        @jax.jit
        def regress(x, y, mask):
            inputs = kernels.Distances.measure(getattr(distances, name), x, mask)
            hyper = gp.Hyperparameters(jnp.array(logs[:1]), *jnp.array(logs[1:]))
            process = gp.condition(hyper, inputs, y, mask)
            values = gp.predict(process, jnp.array(QUERIES))
            return *values, process.log_likelihood, gp.likelihood_gradient(process)

        mean, variance, likelihood, slope = regress(X, Y, MASK)
    expected = plain(name, *logs)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-9)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-9)
    np.testing.assert_allclose(likelihood, expected[2], rtol=1e-10)
    for k, found in enumerate((slope.log_length[0], slope.log_signal, slope.log_noise)):
        step = 1e-5 * np.eye(3)[k]
        ends = [plain(name, *(logs + sign * step))[2] for sign in (1, -1)]
        assert float(found) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_a_fit_reads_encodings_by_their_distance():
    """Of 60 cells it predicts others well; the unit of the distance has no effect."""
    cells = nasbench201.enumerate_cells()[:120]
    encode = jax.jit(jax.vmap(encoders.make("adjacency_one_hot", "nasbench201")))
    features = np.asarray(encode(cells), float)
    targets = 0.9 + 0.01 * (cells == 3).sum(1) - 0.02 * (cells == 0).sum(1)
    targets += 0.002 * RNG.normal(size=120)
    mask = np.arange(120) < 60
    means = []
    for unit in (1.0, 40.0):

        def distance(a, b, unit=unit):
            return unit * distances.hamming(a, b)

        made = predictors.make("gp", distance=distance, steps=20)
        with jax.enable_x64(True):
            state = jax.jit(made.fit)(jax.random.key(0), features, targets, mask)
            means.append(np.asarray(jax.jit(made.predict)(state, features).mean))
    assert np.corrcoef(means[0][60:], targets[60:])[0, 1] > 0.9
    np.testing.assert_allclose(means[0], means[1], rtol=1e-8)


def test_equal_inputs_have_a_unit():
    same = kernels.Distances.measure(
        distances.hamming, jnp.ones((4, 2)), jnp.ones(4, bool)
    )
    assert same.scale == 1 and (same.between == 0).all()


def test_a_distance_has_no_dimensions():
    with pytest.raises(errors.ConfigError, match="leave one of ard and distance out"):
        predictors.make("gp", ard=True, distance=distances.hamming)
