"""Pooling: both formulations against loops, ties and second derivatives included."""

import hypothesis
import hypothesis.extra.numpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import pooling as reference

from nasjax.core import formulation
from nasjax.networks import pooling

SIZE = (6, 8)
FORMULATIONS = (formulation.CPU, formulation.LAX)
POOLS = {
    "max": (pooling.max_pool, reference.max_pool, reference.max_pool_gradient),
    "avg": (pooling.avg_pool, reference.avg_pool, reference.avg_pool_gradient),
}


def derivatives(function, name, stride, x, g, u):
    """Value, gradient, and the gradient of the gradient in `g`, in float64."""

    def gradient(x, g):
        return jax.vjp(lambda x: function(x, stride=stride), x)[1](g)[0]

    def everything(x, g, u):
        with formulation.use(name):
            first, pull = jax.vjp(gradient, x, g)
            return function(x, stride=stride), first, pull(u)

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(everything)(x, g, u))


def operands(stride, *, ties):
    rng = np.random.default_rng(stride)
    x, u = rng.normal(size=(2, 2, *SIZE, 3))
    if ties:
        x = np.maximum(x.round(), 0.0)  # after a ReLU most windows hold several zeros
    return x, rng.normal(size=(2, SIZE[0] // stride, SIZE[1] // stride, 3)), u


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", FORMULATIONS)
@pytest.mark.parametrize("kind", POOLS)
def test_values_and_derivatives_are_those_of_loops(kind, name, stride):
    function, expected, expected_gradient = POOLS[kind]
    x, g, u = operands(stride, ties=False)
    y, dx, (dx2, dg2) = derivatives(function, name, stride, x, g, u)
    np.testing.assert_allclose(y, expected(x, stride=stride), atol=1e-12)
    np.testing.assert_allclose(dx, expected_gradient(x, g, stride=stride), atol=1e-12)
    # Pooling is linear where the winners do not change: the second derivative in x
    # vanishes, that in g is the pooling's directional derivative, <dg2, g> = <u, dx>.
    np.testing.assert_array_equal(dx2, np.zeros_like(x))
    np.testing.assert_allclose((dg2 * g).sum(), (u * dx).sum(), rtol=1e-12)
    if kind == "avg":
        np.testing.assert_allclose(dg2, expected(u, stride=stride), atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", FORMULATIONS)
def test_a_tie_goes_to_the_first_pixel(name, stride):
    x, g, u = operands(stride, ties=True)
    y, dx, _ = derivatives(pooling.max_pool, name, stride, x, g, u)
    np.testing.assert_array_equal(y, reference.max_pool(x, stride=stride))
    np.testing.assert_allclose(
        dx, reference.max_pool_gradient(x, g, stride=stride), atol=1e-12
    )


max_pool = jax.jit(pooling.max_pool)
avg_pool = jax.jit(pooling.avg_pool)
maps = hypothesis.extra.numpy.arrays(
    np.float32,
    (1, 5, 4, 1),
    elements=hypothesis.strategies.floats(-100, 100, width=32, allow_subnormal=False),
)


@hypothesis.given(maps)
@hypothesis.settings(deadline=None, max_examples=50)
def test_laws(x):
    highest, mean = max_pool(x), avg_pool(x)
    assert (highest >= x).all()
    assert set(np.asarray(highest).ravel()) <= set(x.ravel())
    assert (mean <= highest + 1e-3).all()
    constant = jnp.full_like(x, x[0, 0, 0, 0])
    np.testing.assert_allclose(avg_pool(constant), constant, rtol=1e-5)
    np.testing.assert_allclose(
        avg_pool(x[..., ::-1, :, :]), mean[..., ::-1, :, :], atol=1e-3
    )


def test_images_of_a_batch_do_not_mix():
    x = np.zeros((1, 4, 4, 2), np.float32)
    x[..., 1] = 1.0
    for pool in (max_pool, avg_pool):
        np.testing.assert_allclose(pool(x), x, rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_of_the_maximum_has_a_gradient(stride):
    """The second derivative of what follows reaches the pixels that won."""

    def loss(x):
        return jnp.sin(pooling.max_pool(x, stride=stride)).sum()

    x, v = np.random.default_rng(3).normal(size=(2, 2, 4, 6, 3))
    h = 1e-6
    with jax.enable_x64(True), formulation.use(formulation.CPU):
        gradient = jax.jit(jax.grad(loss))
        product = jax.grad(lambda x: (gradient(x) * v).sum())(jnp.asarray(x))
        slope = (gradient(x + h * v) - gradient(x - h * v)) / (2 * h)
    assert np.abs(slope).max() > 0.1
    np.testing.assert_allclose(product, slope, atol=1e-6)
