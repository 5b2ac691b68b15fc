"""Dense and pointwise convolutions and the factorized reduction against loops."""

import jax
import numpy as np
import pytest
from reference import convolution as reference

from nasjax.core import formulation
from nasjax.networks import convolution

FORMULATIONS = (formulation.CPU, formulation.LAX)


def assert_equal(actual, expected):
    scale = max(np.abs(expected).max(), 1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10 * scale)


def with_gradients(function, name, operands, g):
    def both(operands, g):
        with formulation.use(name):
            y, pull = jax.vjp(function, *operands)
        return y, pull(g)

    with jax.enable_x64(True):
        return jax.jit(both)(operands, g)


@pytest.mark.parametrize("name", FORMULATIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_dense3x3(name, stride):
    rng = np.random.default_rng(stride)
    x, kernel = rng.normal(size=(3, 4, 6, 2)), rng.normal(size=(3, 3, 3, 5))
    g = rng.normal(size=(5, 4 // stride, 6 // stride, 2))

    def function(x, kernel):
        return convolution.dense3x3(x, kernel, stride=stride)

    y, gradients = with_gradients(function, name, (x, kernel), g)
    assert_equal(y, reference.dense(x, kernel, stride=stride))
    expected = reference.dense_gradients(x, kernel, g, stride=stride)
    jax.tree.map(assert_equal, gradients, expected)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_pointwise(leading):
    rng = np.random.default_rng(0)
    x, kernel = (
        rng.normal(size=(*leading, 4, 3, 5, 2)),
        rng.normal(size=(*leading, 4, 6)),
    )
    g = rng.normal(size=(*leading, 6, 3, 5, 2))
    y, (dx, dkernel) = with_gradients(
        convolution.pointwise, formulation.CPU, (x, kernel), g
    )
    for index in np.ndindex(leading):
        as_dense = kernel[index][None, None]
        assert_equal(y[index], reference.dense(x[index], as_dense))
        to_x, to_kernel = reference.dense_gradients(x[index], as_dense, g[index])
        assert_equal(dx[index], to_x)
        assert_equal(dkernel[index], to_kernel[0, 0])


@pytest.mark.parametrize("channels", [4, 5])
def test_factorized_reduction(channels):
    """An odd number of channels gives the first half the extra one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 6, 4, 2))
    kernel1 = rng.normal(size=(2, 3, channels - channels // 2))
    kernel2 = rng.normal(size=(2, 3, channels // 2))
    with jax.enable_x64(True):
        y = jax.jit(convolution.factorized_reduction)(x, kernel1, kernel2)
    for i in range(2):
        assert_equal(y[i], reference.factorized_reduction(x[i], kernel1[i], kernel2[i]))


def test_factorized_reduction_reads_half_of_the_pixels():
    """The gradient touches pixels whose row and column have the same parity."""
    x, kernel = np.ones((1, 4, 6, 1), np.float32), np.ones((1, 1), np.float32)
    dx = jax.grad(lambda x: convolution.factorized_reduction(x, kernel, kernel).sum())(
        x
    )
    rows, columns = np.indices((4, 6))
    np.testing.assert_array_equal(dx[0, ..., 0], (rows % 2 == columns % 2).astype(int))
