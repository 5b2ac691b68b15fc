"""Batch normalisation against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import batch_norm as reference

from nasjax.networks import batch_norm

RNG = np.random.default_rng(0)
X = RNG.normal(1.0, [[[[1.0]]], [[[3.0]]], [[[0.01]]]], size=(3, 4, 5, 6))
"""Three channels; the epsilon shows in the last one."""


def normalize(x, gamma=None, beta=None):
    scale, shift = batch_norm.affine(batch_norm.moments(x), gamma, beta)
    return batch_norm.per_channel(scale) * x + batch_norm.per_channel(shift)


@pytest.mark.parametrize("trained", [False, True])
def test_normalization(trained):
    gamma, beta = RNG.normal(size=(2, 3)) if trained else (None, None)
    with jax.enable_x64(True):
        y = normalize(jnp.asarray(X), gamma, beta)
    expected = reference.normalize(X, scale=gamma, bias=beta)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-10)


def test_running_statistics_after_two_batches():
    mean, var = np.zeros(3), np.ones(3)
    with jax.enable_x64(True):
        statistics = batch_norm.initial_statistics((3,), jnp.float64)
        for x in (X, 2 * X + 1):
            batch = batch_norm.moments(jnp.asarray(x))
            statistics = batch_norm.update(statistics, batch, x[0].size)
            mean, var = reference.running(mean, var, x)
    np.testing.assert_allclose(statistics["mean"], mean, rtol=1e-10)
    np.testing.assert_allclose(statistics["var"], var, rtol=1e-10)


def test_leading_axes_are_independent():
    both = np.stack([X, X[:, :, ::-1] - 3])
    with jax.enable_x64(True):
        together = batch_norm.moments(jnp.asarray(both))
    for i, x in enumerate(both):
        np.testing.assert_allclose(together.mean[i], x.mean((1, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(together.var[i], x.var((1, 2, 3)), rtol=1e-9)


def test_the_gradient_goes_through_the_batch_moments():
    """It is orthogonal to what normalisation removes: a shift and a scaling of x."""
    g = RNG.normal(size=X.shape)
    with jax.enable_x64(True):
        x = 10 * jnp.asarray(X[:2])  # far above the epsilon
        dx = jax.grad(lambda x: (normalize(x) * g[:2]).sum())(x)
        x, dx = np.asarray(x), np.asarray(dx)
    np.testing.assert_allclose(dx.sum((1, 2, 3)), 0.0, atol=1e-10)
    np.testing.assert_allclose((dx * x).sum((1, 2, 3)), 0.0, atol=1e-4)


def test_running_statistics_have_no_gradient():
    def total(x):
        start = batch_norm.initial_statistics((3,), jnp.float32)
        new = batch_norm.update(start, batch_norm.moments(x), x[0].size)
        return new["mean"].sum() + new["var"].sum()

    dx = jax.grad(total)(jnp.asarray(X, jnp.float32))
    np.testing.assert_array_equal(dx, np.zeros_like(X))


def test_a_constant_channel_is_normalized_to_zero():
    """E[x^2] - E[x]^2 may round below zero; the variance must not."""
    x = jnp.full((1, 7, 7, 9), 1234.567, jnp.float32)
    moments = batch_norm.moments(x)
    assert moments.var[0] >= 0
    assert np.isfinite(normalize(x)).all()


def test_a_single_value_keeps_the_variance_finite():
    x = jnp.ones((2, 1, 1, 1))
    start = batch_norm.initial_statistics((2,), jnp.float32)
    new = batch_norm.update(start, batch_norm.moments(x), 1)
    np.testing.assert_allclose(new["var"], 0.9, rtol=1e-6)


@pytest.mark.parametrize("train", [False, True])
def test_the_whole_layer(train):
    """`normalize` on a leading axis of two, with another momentum."""
    x = np.stack([X, 3 * X[:, ::-1] - 1])
    scale, bias, mean = RNG.normal(size=(3, 2, 3))
    var = RNG.uniform(0.5, 2.0, size=(2, 3))
    with jax.enable_x64(True):
        y, new = batch_norm.normalize(
            jnp.asarray(x),
            {"scale": scale, "bias": bias},
            {"mean": mean, "var": var},
            train=train,
            momentum=0.003,
        )
    for i, values in enumerate(x):
        if train:
            expected = reference.normalize(values, scale=scale[i], bias=bias[i])
            after = reference.running(mean[i], var[i], values, momentum=0.003)
        else:
            centred = values - mean[i][:, None, None, None]
            factor = scale[i] / np.sqrt(var[i] + 1e-5)
            expected = centred * factor[:, None, None, None]
            expected += bias[i][:, None, None, None]
            after = mean[i], var[i]
        np.testing.assert_allclose(y[i], expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(new["mean"][i], after[0], rtol=1e-9)
        np.testing.assert_allclose(new["var"][i], after[1], rtol=1e-9)
