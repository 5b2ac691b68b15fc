"""Architecture gradients in float64, and when the architecture is updated.

One network is compiled twice: its first-order gradients and the exact second order.
"""

import functools
import types

import jax
import jax.flatten_util
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import supernet_small as small

from nasjax.core import errors
from nasjax.supernet import bilevel, mixing, objective

pytestmark = pytest.mark.xdist_group("bilevel")

NET = small.network(operations=("sep_conv_3x3", "max_pool_3x3", "skip_connect"))
MU, DECAY, RATE = 0.9, 3e-4, 0.05


@pytest.fixture(scope="module", autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def problem(float64):
    """Weights, coefficients, momentum and two batches, far from any symmetry."""
    rng = np.random.default_rng(0)
    params = small.random_params(rng, NET)
    return types.SimpleNamespace(
        params=params,
        mixing=np.asarray(mixing.coefficients(small.random_arch(rng, NET), NET)),
        statistics=small.random_statistics(rng, NET),
        momentum=jax.tree.map(lambda w: 0.1 * rng.normal(size=w.shape), params),
        train=small.random_images(rng, NET),
        valid=small.random_images(rng, NET),
    )


def gradients(problem, params, coefficients, batch):
    return objective.gradients(
        params, coefficients, problem.statistics, *batch, net=NET
    )


def second_order(function, problem, rate=RATE):
    return np.asarray(
        function(
            problem.params,
            problem.mixing,
            problem.statistics,
            problem.momentum,
            rate,
            problem.train,
            problem.valid,
            net=NET,
            mu=MU,
            decay=DECAY,
        )
    )


@pytest.fixture(scope="module")
def exact(problem):
    return second_order(bilevel.exact, problem)


def plain_step(params, gradient, momentum, rate=RATE):
    """w' as PyTorch's SGD takes it: weight decay first, then momentum."""

    def step(w, g, m):
        buffer = MU * np.asarray(m) + (np.asarray(g) + DECAY * np.asarray(w))
        return np.asarray(w) - rate * buffer

    return jax.tree.map(step, params, gradient, momentum)


def test_unrolled_weights_are_one_sgd_step(problem):
    rng = np.random.default_rng(1)
    gradient = jax.tree.map(lambda w: rng.normal(size=w.shape), problem.params)
    ours = bilevel.unrolled_weights(
        problem.params, gradient, problem.momentum, RATE, mu=MU, decay=DECAY
    )
    plain = plain_step(problem.params, gradient, problem.momentum)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15),
        ours,
        plain,
    )


def test_exact_is_the_slope_of_the_unrolled_validation_loss(problem, exact):
    def unrolled_loss(coefficients):
        gradient = gradients(problem, problem.params, coefficients, problem.train)
        moved = plain_step(problem.params, gradient.params, problem.momentum)
        return float(gradients(problem, moved, coefficients, problem.valid).loss)

    rng, h = np.random.default_rng(2), 1e-5
    scale = np.abs(exact).max()
    for index in rng.permutation(exact.size)[:12]:
        step = np.zeros(exact.size)
        step[index] = h
        step = step.reshape(exact.shape)
        slope = unrolled_loss(problem.mixing + step)
        slope = (slope - unrolled_loss(problem.mixing - step)) / (2 * h)
        assert abs(slope - exact.flat[index]) < 1e-6 * scale, index


def test_first_order_is_the_limit_of_no_step(problem, exact):
    first = bilevel.first_order(
        problem.params, problem.mixing, problem.statistics, problem.valid, net=NET
    )
    at_zero = second_order(bilevel.exact, problem, rate=0.0)
    np.testing.assert_allclose(at_zero, first, rtol=1e-9, atol=1e-12)
    # The second-order term is there to be seen.
    assert np.abs(exact - first).max() > 0.01 * np.abs(exact).max()


def plain_finite_differences(problem, radius):
    """Liu et al. (2019), eq. 8, with weights as one vector."""
    here = gradients(problem, problem.params, problem.mixing, problem.train)
    moved = plain_step(problem.params, here.params, problem.momentum)
    after = gradients(problem, moved, problem.mixing, problem.valid)
    weights, rebuild = jax.flatten_util.ravel_pytree(problem.params)
    v = np.asarray(jax.flatten_util.ravel_pytree(after.params)[0])
    eps = radius / np.sqrt((v**2).sum())
    plus, minus = (
        np.asarray(
            gradients(
                problem,
                rebuild(weights + sign * eps * v),
                problem.mixing,
                problem.train,
            ).mixing
        )
        for sign in (1, -1)
    )
    return np.asarray(after.mixing) - RATE * (plus - minus) / (2 * eps)


def test_finite_differences_are_their_formula_and_compile_nothing(problem):
    plain = plain_finite_differences(problem, bilevel.RADIUS)
    compiled = objective.gradients._cache_size()
    ours = second_order(bilevel.finite_differences, problem)
    assert objective.gradients._cache_size() == compiled
    np.testing.assert_allclose(ours, plain, rtol=1e-8, atol=1e-10)


def test_finite_differences_approach_exact_as_the_radius_shrinks(problem, exact):
    def error(radius):
        difference = plain_finite_differences(problem, radius) - exact
        return np.linalg.norm(difference) / np.linalg.norm(exact)

    assert error(bilevel.RADIUS) < 0.05
    assert error(1e-3 * bilevel.RADIUS) < 1e-5


# --- when ---------------------------------------------------------------------------

probability = functools.partial(bilevel.update_probability, warmup=20, total=120)


@pytest.mark.parametrize("decay", bilevel.DECAYS)
def test_sigma_starts_at_one_after_warm_start_and_never_grows(decay):
    values = [probability(step, decay=decay) for step in range(130)]
    assert values[:20] == [0.0] * 20
    assert values[20] == 1.0
    assert all(a >= b >= 0 for a, b in zip(values[20:], values[21:], strict=False))
    assert values[120:] == [0.0] * 10  # the training is over


@given(
    decay=st.sampled_from(sorted(bilevel.DECAYS)),
    warmup=st.integers(0, 50),
    length=st.integers(1, 200),
    step=st.integers(0, 300),
    zero_after=st.floats(0, 1),
)
def test_sigma_is_a_probability_that_keeps_its_zeros(
    decay, warmup, length, step, zero_after
):
    total = warmup + length
    p = bilevel.update_probability(
        step, warmup=warmup, total=total, decay=decay, zero_after=zero_after
    )
    assert 0 <= p <= 1
    if step < warmup or step >= zero_after * total:
        assert p == 0


def test_sigma_in_the_middle():
    middle = {decay: probability(70, decay=decay) for decay in bilevel.DECAYS}
    assert middle == pytest.approx(
        {
            "cosine": 0.5,
            "linear": 0.5,
            "exponential": np.exp(-2.5),
            "step": 0.25,
            "constant": 1.0,
        }
    )


def test_unknown_decay_names_the_nearest():
    with pytest.raises(errors.ConfigError, match="did you mean 'cosine'"):
        probability(30, decay="cosin")


def test_the_draw_depends_on_key_and_step_only():
    key = jax.random.key(0)
    draws = np.asarray(bilevel.update_draws(key, 0, count=60))
    np.testing.assert_array_equal(bilevel.update_draws(key, 25, count=10), draws[25:35])
    other = np.asarray(bilevel.update_draws(jax.random.key(1), 0, count=60))
    assert (draws != other).all() and len(set(draws)) == 60
    assert (draws >= 0).all() and (draws < 1).all()


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7, 1.0])
def test_the_frequency_is_the_probability(p):
    key, number = jax.random.key(3), 500
    updates = int((bilevel.update_draws(key, 0, count=number) < p).sum())
    four_sigma = 4 * np.sqrt(p * (1 - p) / number)
    assert abs(updates / number - p) <= four_sigma
