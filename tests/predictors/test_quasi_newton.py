"""Minimisation within bounds against functions whose minimum is known, and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from nasjax.predictors import quasi_newton


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def quadratic(x):
    scales = jnp.array([1.0, 30.0, 1000.0], x.dtype)
    return jnp.sum(scales * jnp.square(x - jnp.array([1.0, -2.0, 0.5], x.dtype)))


def walled(x):
    """Not a number beyond a wall that the first steps run into."""
    return jnp.where(x[0] < 2, jnp.square(x[0] - 1.9), jnp.nan)


BOX = ([-5.0, -5.0], [5.0, 5.0])


def minimize(function, start, low, high, *, steps=100, tolerance=1e-12):
    evaluate = jax.value_and_grad(function)
    arrays = [jnp.asarray(x) for x in (start, low, high)]
    return jax.jit(
        lambda *a: quasi_newton.minimize(evaluate, *a, steps=steps, tolerance=tolerance)
    )(*arrays)


@pytest.mark.parametrize(
    "function, start, low, high",
    [
        (rosenbrock, [-1.2, 1.0], [-5.0, -5.0], [5.0, 5.0]),
        (rosenbrock, [-1.2, 1.0], [-5.0, -5.0], [0.5, 5.0]),
        (quadratic, [5.0, 5.0, 5.0], [-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]),
        (quadratic, [5.0, 5.0, 5.0], [2.0, -1.0, -9.0], [9.0, 9.0, 9.0]),
    ],
)
def test_the_minimum_within_the_bounds_is_that_of_scipy(function, start, low, high):
    best = scipy.optimize.minimize(
        lambda x: float(function(jnp.float32(x))),
        start,
        bounds=list(zip(low, high, strict=True)),
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000, "maxfev": 4000},
    )
    with jax.enable_x64(True):
        found = minimize(function, start, low, high)
    np.testing.assert_allclose(found, best.x, atol=1e-3)


def test_values_that_are_no_number_are_too_high():
    found = minimize(walled, [0.0], [-9.0], [9.0])
    np.testing.assert_allclose(found, 1.9, atol=1e-2)


def test_the_best_point_of_few_steps_is_kept():
    points = [minimize(rosenbrock, [-1.2, 1.0], *BOX, steps=n) for n in (1, 2, 4, 8)]
    values = [float(rosenbrock(point)) for point in points]
    assert values == sorted(values, reverse=True)
    np.testing.assert_allclose(values[0], rosenbrock(np.array([-1.2, 1.0])), rtol=1e-5)
