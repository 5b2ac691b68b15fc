"""Gaussian process regression against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from nasjax.core import errors
from nasjax.predictors import gp, kernels

RNG = np.random.default_rng(0)
X = RNG.normal(size=(25, 3))
Y = np.sin(X[:, 0]) + 0.1 * X[:, 1] + 0.05 * RNG.normal(size=25)
Y = (Y - Y.mean()) / Y.std()
QUERIES = 2 * RNG.normal(size=(7, 3))


@jax.jit
def regress(hyper, x, y, mask):
    """Mean and variance at `QUERIES`, log likelihood and its gradient."""
    process = gp.condition(hyper, kernels.Points(x), y, mask)
    values = gp.predict(process, jnp.asarray(QUERIES, x.dtype))
    return *values, process.log_likelihood, gp.likelihood_gradient(process)


def hyperparameters(lengths, signal, noise):
    logs = [jnp.log(jnp.asarray(v, float)) for v in (lengths, signal, noise)]
    return gp.Hyperparameters(*logs)


def sklearn_gp(lengths, signal, noise, **options):
    kernel = ConstantKernel(signal) * RBF(lengths) + WhiteKernel(noise)
    return GaussianProcessRegressor(kernel, alpha=0, **options)


@pytest.mark.parametrize("lengths", [[0.7], [0.5, 1.0, 3.0]])
def test_a_fixed_process_is_that_of_scikit_learn(lengths):
    oracle = sklearn_gp(lengths, 1.7, 0.02, optimizer=None).fit(X, Y)
    mean, std = oracle.predict(QUERIES, return_std=True)
    value, slope = oracle.log_marginal_likelihood(
        oracle.kernel_.theta, eval_gradient=True
    )
    with jax.enable_x64(True):
        hyper = hyperparameters(lengths, 1.7, 0.02)
        found = regress(hyper, X, Y, np.ones(25, bool))
    np.testing.assert_allclose(found[0], mean, rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(found[1]), std, rtol=1e-8)
    np.testing.assert_allclose(found[2], value, rtol=1e-9)
    length, signal, noise = map(np.atleast_1d, found[3])
    np.testing.assert_allclose(
        np.concatenate([signal, length, noise]), slope, rtol=1e-7, atol=1e-9
    )


def test_rows_outside_the_mask_count_for_nothing():
    mask = np.arange(25) % 4 > 0
    with jax.enable_x64(True):
        hyper = hyperparameters([0.8], 1.2, 0.05)
        some = regress(hyper, X, Y, mask)
        alone = regress(hyper, X[mask], Y[mask], np.ones(mask.sum(), bool))
    for one, other in zip(jax.tree.leaves(some), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("ard", [False, True])
def test_the_likelihood_reaches_what_scikit_learn_finds(ard):
    lengths = [1.0] * (3 if ard else 1)
    oracle = sklearn_gp(lengths, 1.0, 0.1, n_restarts_optimizer=2, random_state=0)
    oracle.kernel.k1.k2.length_scale_bounds = (1e-2, 1e3)
    oracle.fit(X, Y)
    mask = jnp.ones(25, bool)
    x, y = jnp.float32(X), jnp.float32(Y)
    hyper = jax.jit(lambda: gp.maximize(kernels.Points(x), y, mask, ard=ard))()
    assert hyper.log_length.shape == (3 if ard else 1,)
    found = regress(hyper, x, y, mask)[2]
    assert found > oracle.log_marginal_likelihood_value_ - (0.3 if ard else 0.01)
    # From where ours ends scikit-learn goes no further.
    lengths, signal, noise = map(np.exp, hyper)
    there = sklearn_gp(lengths if ard else lengths[0], signal, noise).fit(X, Y)
    assert found > there.log_marginal_likelihood_value_ - 0.01


def test_a_large_buffer_changes_nothing():
    """Sizes of programs are chosen by the number of observations, wherever they are."""
    predictor = gp.gp(steps=20)
    capacity = 130
    places = RNG.permutation(capacity)[:25]
    mask = np.isin(np.arange(capacity), places)
    x, y = np.zeros((capacity, 3)), np.zeros(capacity)
    order = np.flatnonzero(mask)
    x[order], y[order] = X, Y

    def run(x, y, mask):
        state = predictor.fit(jax.random.key(0), x, y, mask)
        return predictor.predict(state, jnp.asarray(QUERIES, x.dtype))

    for last, size in ((0, 65), (64, 65), (65, 130), (129, 130)):
        rows = jnp.arange(capacity) == last
        assert gp._by_size(rows, jnp.int32) == size
    with jax.enable_x64(True):
        alone = jax.jit(run)(X, Y, np.ones(25, bool))
        inside = jax.jit(run)(x, y, mask)
        masks = np.stack([mask, np.ones(capacity, bool)])
        both = jax.jit(jax.vmap(run, (None, None, 0)))(x, y, masks)
    for one, other, many in zip(alone, inside, both, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
        np.testing.assert_allclose(many[0], other, rtol=1e-5)


def test_bad_options_are_named():
    with pytest.raises(errors.ConfigError, match="steps is 0"):
        gp.gp(steps=0)
