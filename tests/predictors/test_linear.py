"""The linear predictor against a plain loop of AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import predictors
from nasjax.core import errors
from nasjax.predictors import linear, minibatches

RNG = np.random.default_rng(0)
X = RNG.normal(size=(13, 4))
Y = X @ [0.5, -1.0, 0.0, 2.0] + 0.1 * RNG.normal(size=13)
MASK = np.arange(13) != 7
KEY = jax.random.key(0)
WIDTH, EPOCHS, BATCH = 6, 9, 5


def plain_adamw(params, orders):
    """Squared error of two matrices without bias, batches of five, the last is two."""
    params = [np.asarray(value, float) for value in params]
    first, second = ([np.zeros_like(p) for p in params] for _ in range(2))
    step = 0
    for order in np.asarray(orders)[:, : MASK.sum()]:
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            x, y, step = X[rows], Y[rows], step + 1
            kernel, out = params
            wrong = 2 * (x @ kernel @ out - y) / len(rows)
            slopes = [np.outer(x.T @ wrong, out), (x @ kernel).T @ wrong]
            for k, slope in enumerate(slopes):
                first[k] = 0.9 * first[k] + 0.1 * slope
                second[k] = 0.999 * second[k] + 0.001 * slope**2
                mean, square = first[k] / (1 - 0.9**step), second[k] / (1 - 0.999**step)
                params[k] = params[k] * (1 - 0.01 * 0.01)
                params[k] = params[k] - 0.01 * mean / (np.sqrt(square) + 1e-8)
    return params


def test_a_fit_is_the_plain_one():
    made = predictors.make(
        "linear", width=WIDTH, dropout=0.0, epochs=EPOCHS, batch_size=BATCH
    )
    with jax.enable_x64(True):
        key_init, key_train, _ = jax.random.split(KEY, 3)
        begin = linear.init(key_init, 4, width=WIDTH)
        key_orders, _ = jax.random.split(key_train)
        orders = minibatches.permutations(key_orders, jnp.asarray(MASK), EPOCHS)
        expected = plain_adamw([begin["kernel"], begin["out_kernel"]], orders)
        state = jax.jit(made.fit)(KEY, X, Y, MASK)
        found = jax.tree.map(np.asarray, made.predict(state, X))
    np.testing.assert_allclose(state.params["kernel"], expected[0], rtol=1e-9)
    np.testing.assert_allclose(state.params["out_kernel"], expected[1], rtol=1e-9)
    np.testing.assert_allclose(found.mean, X @ expected[0] @ expected[1], rtol=1e-9)
    assert (found.std == 0).all()


def test_initial_kernels_are_uniform_by_the_number_of_inputs():
    params = linear.init(KEY, 16, width=400)
    for kernel, limit in ((params["kernel"], 0.25), (params["out_kernel"], 0.05)):
        size = np.abs(np.asarray(kernel)).ravel()
        assert size.max() <= limit and abs(size.mean() - limit / 2) < 0.06 * limit


def test_dropout_keeps_the_mean():
    params = linear.init(KEY, 4, width=400)
    keys = jax.random.split(KEY, 2_000)
    drop = jax.vmap(lambda key: linear.apply(params, X[:3], key, dropout=0.2))
    outputs = np.asarray(jax.jit(drop)(keys))
    whole = np.asarray(linear.apply(params, X[:3], None, dropout=0.2))
    noise = outputs.std(axis=0)
    assert np.all(np.abs(outputs.mean(axis=0) - whole) < 4.5 * noise / 2_000**0.5)
    hidden = np.asarray(X[:3] @ params["kernel"] * params["out_kernel"][None])
    expected = np.sqrt(0.25 * np.sum(hidden**2, axis=1))
    np.testing.assert_allclose(noise, expected, rtol=0.1)


def test_released_predictions_drop_units():
    """Other keys give other predictions of one fit; in the thesis' they do not."""
    fits = {}
    for variant in ("thesis", "released"):
        made = predictors.make("linear", variant=variant, epochs=2)
        state = jax.jit(made.fit)(KEY, jnp.float32(X), jnp.float32(Y), MASK)
        fits[variant] = state, jax.jit(made.predict)(state, jnp.float32(X)).mean
    thesis, released = fits["thesis"], fits["released"]
    same = jax.tree.map(np.array_equal, thesis[0].params, released[0].params)
    assert all(jax.tree.leaves(same))
    assert thesis[0].key is None and (thesis[1] != released[1]).all()
    exact = jnp.float32(X) @ thesis[0].params["kernel"] @ thesis[0].params["out_kernel"]
    np.testing.assert_allclose(thesis[1], exact, rtol=1e-4, atol=1e-6)


def test_it_trains_with_dropout():
    made = predictors.make("linear", epochs=40)
    state = jax.jit(made.fit)(KEY, jnp.float32(X), jnp.float32(Y), MASK)
    assert np.corrcoef(made.predict(state, jnp.float32(X)).mean, Y)[0, 1] > 0.95


def test_bad_options_are_named():
    with pytest.raises(errors.ConfigError, match="variant of the linear predictor"):
        predictors.make("linear", variant="relu")
    with pytest.raises(errors.ConfigError, match=r"dropout is 1.0.*in \[0, 1\)"):
        predictors.make("linear", dropout=1.0)
    with pytest.raises(errors.ConfigError, match="epochs is 0"):
        predictors.make("linear", epochs=0)
