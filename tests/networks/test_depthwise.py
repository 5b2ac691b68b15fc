"""Depthwise convolution: every formulation against loops, first and second order."""

import jax
import numpy as np
import pytest
from reference import convolution as reference

from nasjax.core import formulation
from nasjax.networks import depthwise

BANDED, SHIFTED = (6, 8), (10, 8)
"""Heights and widths on both sides of `depthwise.BANDED_PIXELS`."""

SETTINGS = ((3, 1, 1), (3, 2, 2), (5, 1, 2), (5, 2, 1))
"""Kernel size, stride and dilation: every pair of values occurs."""

CASES = [
    # size, G, E, (k, stride, dilation)
    *((SHIFTED, 2, 3, settings) for settings in SETTINGS),
    *((BANDED, 2, 3, settings) for settings in SETTINGS),
    (SHIFTED, 3, 1, (3, 1, 1)),  # one kernel a map: the second stage of a sep_conv
    ((11, 6), 1, 1, (3, 1, 1)),  # a height that no row block but 1 divides
    ((2, 4), 1, 2, (5, 2, 2)),  # most taps read padding
]


def test_the_sizes_lie_on_both_sides_of_the_threshold():
    assert np.prod(BANDED) <= depthwise.BANDED_PIXELS < np.prod(SHIFTED)


def derivatives(name, stride, dilation):
    """Values, gradients, and the gradients of the gradients, in one program."""

    def value(x, kernel):
        return depthwise.depthwise(x, kernel, stride=stride, dilation=dilation)

    def gradients(x, kernel, g):
        return jax.vjp(value, x, kernel)[1](g)

    def everything(x, kernel, g, u, v):
        with formulation.use(name):
            first, pull = jax.vjp(gradients, x, kernel, g)
            return value(x, kernel), first, pull((u, v))

    return jax.jit(everything)


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    """A case's operands and what both formulations make of them in float64."""
    size, maps, kernels, (k, stride, dilation) = request.param
    rng = np.random.default_rng(0)
    c, n = 2, 3
    small = (size[0] // stride, size[1] // stride)
    x, u = rng.normal(size=(2, maps, c, *size, n))
    kernel, v = rng.normal(size=(2, maps, kernels, c, k, k))
    g = rng.normal(size=(maps, kernels, c, *small, n))
    with jax.enable_x64(True):
        results = {
            name: derivatives(name, stride, dilation)(x, kernel, g, u, v)
            for name in (formulation.CPU, formulation.LAX)
        }
    return (x, kernel, g), {"stride": stride, "dilation": dilation}, results


def assert_equal(actual, expected):
    scale = max(np.abs(expected).max(), 1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", [formulation.CPU, formulation.LAX])
def test_values_and_gradients_are_those_of_loops(case, name):
    (x, kernel, g), settings, results = case
    y, (dx, dkernel), _ = results[name]
    expected_dx = np.zeros_like(x)
    for m, e in np.ndindex(kernel.shape[:2]):
        assert_equal(y[m, e], reference.depthwise(x[m], kernel[m, e], **settings))
        to_x, to_kernel = reference.depthwise_gradients(
            x[m], kernel[m, e], g[m, e], **settings
        )
        expected_dx[m] += to_x
        assert_equal(dkernel[m, e], to_kernel)
    assert_equal(dx, expected_dx)


def test_second_derivatives_agree(case):
    _, _, results = case
    jax.tree.map(assert_equal, results[formulation.CPU][2], results[formulation.LAX][2])


def test_vmap_is_a_loop():
    convolve = jax.jit(depthwise.depthwise)
    keys = jax.random.split(jax.random.key(1))
    xs = jax.random.normal(keys[0], (3, 1, 2, 10, 8, 1))
    kernels = jax.random.normal(keys[1], (3, 1, 1, 2, 3, 3))
    together = jax.jit(jax.vmap(depthwise.depthwise))(xs, kernels)
    for x, kernel, y in zip(xs, kernels, together, strict=True):
        np.testing.assert_allclose(y, convolve(x, kernel), rtol=1e-5, atol=1e-5)
