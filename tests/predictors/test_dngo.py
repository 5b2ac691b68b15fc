"""DNGO: network, losses and training against golden values and numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import predictors as reference
from shared import shared_file

from nasjax.core import errors
from nasjax.predictors import bayesian_linear, dngo, minibatches, scaling

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def golden():
    with np.load(shared_file("golden", "dngo.npz")) as file:
        return {key: file[key] for key in file.files}


def golden_params(golden):
    return {
        "kernel": golden["weights/fc.kernel"],
        "bias": golden["weights/fc.bias"],
        "out_kernel": golden["weights/out.kernel"][:, 0],
        "out_bias": golden["weights/out.bias"][0],
    }


def test_golden_hidden_units_and_outputs(golden):
    params = golden_params(golden)
    mean, std = golden["inputs/X_mean"], golden["inputs/X_std"]
    for part in ("train", "test"):
        x = (golden[f"inputs/X_{part}"] - mean) / std
        theta = golden[f"inputs/theta_{part}"]
        np.testing.assert_allclose(dngo.hidden(params, x), theta, atol=2e-6)
    x, y = (golden["inputs/X_train"][:10] - mean) / std, golden["inputs/y_train"][:10]
    cases = [
        ("cate_sigmoid", "sigmoid", "weighted", "cate_weighted"),
        ("arch2vec_linear", "linear", "squared", "arch2vec_mse"),
    ]
    for name, output, loss, loss_name in cases:
        outputs = dngo.apply(params, x, output=output)
        expected = golden[f"outputs/network.{name}"][:, 0]
        np.testing.assert_allclose(outputs, expected, atol=1e-6)
        value = dngo.LOSSES[loss](outputs, y, jnp.ones(10))
        np.testing.assert_allclose(value, golden[f"loss/{loss_name}"], rtol=2e-6)


def test_losses_count_valid_rows_only():
    outputs, targets = RNG.normal(size=(2, 6))
    valid = np.array([1.0, 1, 1, 1, 0, 0])
    for loss in dngo.LOSSES.values():
        some = loss(outputs, targets, valid)
        alone = loss(outputs[:4], targets[:4], valid[:4])
        np.testing.assert_allclose(some, alone, rtol=1e-6)


def test_a_fit_is_the_plain_training_and_regression():
    """Standardise, train by Adam on full batches, then regress on the hidden units."""
    x, y = RNG.normal(3.0, 2.0, (14, 3)), RNG.normal(0.9, 0.1, 14)
    queries = RNG.normal(3.0, 2.0, (5, 3))
    key = jax.random.key(3)
    with jax.enable_x64(True):
        predictor = dngo.dngo(num_hidden=8, epochs=3, batch_size=4)
        mask = jnp.arange(17) < 14
        padding = np.full((3, 3), 1e3)
        buffer = np.concatenate([x, padding]), np.concatenate([y, [-np.inf] * 3])
        state = jax.jit(predictor.fit)(key, *map(jnp.asarray, buffer), mask)
        found = jax.jit(predictor.predict)(state, jnp.asarray(queries))
        key_init, key_train = jax.random.split(key)
        start = jax.tree.map(np.asarray, dngo.init(key_init, 3, 8))
        orders = np.asarray(minibatches.permutations(key_train, mask, 3))
    mean, std = x.mean(0), x.std(0)
    expected = reference.train_tanh_network(
        start, (x - mean) / std, y, orders, batch_size=4, rate=1e-2
    )
    for name, value in expected.items():
        np.testing.assert_allclose(state.params[name], value, rtol=1e-7, atol=1e-9)

    def units(rows):
        rows = (rows - mean) / std
        return np.tanh(rows @ expected["kernel"] + expected["bias"])

    alpha, noise = np.exp([state.belief.log_alpha, state.belief.log_noise])
    weights, covariance = reference.linear_posterior(units(x), y, alpha, 1 / noise)
    theta = units(queries)
    variance = noise + np.einsum("md,de,me->m", theta, covariance, theta)
    np.testing.assert_allclose(found.mean, theta @ weights, rtol=1e-5)
    np.testing.assert_allclose(found.std, np.sqrt(variance), rtol=1e-5)


def test_initial_weights_are_uniform_within_the_fan_in():
    params = dngo.init(jax.random.key(0), 4, 400)
    for name, bound in [("kernel", 0.5), ("bias", 0.5), ("out_kernel", 0.05)]:
        values = np.abs(params[name])
        assert 0.95 * bound < values.max() <= bound
        np.testing.assert_allclose(values.mean(), bound / 2, rtol=0.1)


def test_the_released_variant_has_the_variance_in_place_of_sigma():
    x, y = np.float32(RNG.normal(size=(12, 3))), np.float32(RNG.normal(0.9, 0.1, 12))
    predictor = dngo.dngo(num_hidden=8, epochs=2, variant="released")
    mask = np.ones(12, bool)

    @jax.jit
    def run(x, y, mask):
        state = predictor.fit(jax.random.key(0), x, y, mask)
        theta = dngo.hidden(state.params, scaling.apply(state.inputs, x))
        expected = bayesian_linear.predict(state.belief, theta)
        spectrum = bayesian_linear.decompose(theta, y, mask)
        chosen = bayesian_linear.maximize(spectrum, variant="released")
        return predictor.predict(state, x), expected, state.belief, chosen

    found, (mean, variance), belief, chosen = run(x, y, mask)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(found.std, variance, rtol=1e-5)
    np.testing.assert_allclose((belief.log_alpha, belief.log_noise), chosen, atol=0.05)


def test_many_rows_are_scored_like_few():
    """Blocks of rows are an implementation detail, the last of them incomplete."""
    predictor = dngo.dngo(num_hidden=8, epochs=1)
    x = jnp.float32(RNG.normal(size=(600, 3)))
    predict = jax.jit(predictor.predict)
    mask = np.ones(12, bool)
    state = jax.jit(predictor.fit)(jax.random.key(0), x[:12], x[:12, 0], mask)
    many = predict(state, x)
    assert many.mean.shape == many.std.shape == (600,)
    for rows in (slice(0, 20), slice(580, 600)):
        few = predict(state, x[rows])
        np.testing.assert_allclose(many.mean[rows], few.mean, rtol=1e-5)
        np.testing.assert_allclose(many.std[rows], few.std, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"variant": "thesys"}, "did you mean 'thesis'"),
        ({"output": "tanh"}, "known: linear, sigmoid"),
        ({"loss": "square"}, "did you mean 'squared'"),
        ({"epochs": 0}, "epochs is 0; it must be above 0"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(errors.ConfigError, match=message):
        dngo.dngo(**options)
