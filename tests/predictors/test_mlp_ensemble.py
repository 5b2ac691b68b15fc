"""Ensembles of perceptrons against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import predictors as reference

from nasjax.core import errors
from nasjax.predictors import mlp_ensemble

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_network_is_its_layers_one_after_the_other(layers):
    with jax.enable_x64(True):
        params = mlp_ensemble.init(jax.random.key(0), 4, layers=layers, width=5)
        biases = RNG.normal(size=(layers, 5))
        params |= {"biases": jnp.asarray(biases), "out_bias": jnp.asarray(0.7)}
        x = RNG.normal(size=(6, 4))
        outputs = mlp_ensemble.apply(params, jnp.asarray(x))
    kernels = [params["kernel"], *params["kernels"], params["out_kernel"]]
    expected = reference.relu_network(
        [np.asarray(k) for k in kernels], [*biases, 0.7], x
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-10)


def test_the_defaults_train_as_the_authors_do():
    """15 steps of Keras' Adam at .01 with decays .9, .99 on the absolute error."""
    x, y = RNG.normal(size=(9, 4)), RNG.normal(0.9, 0.1, 9)
    key = jax.random.key(1)
    with jax.enable_x64(True):
        ensemble = mlp_ensemble.mlp_ensemble(members=1, layers=2, epochs=15)
        state = jax.jit(ensemble.fit)(key, x, y, jnp.ones(9, bool))
        key_init, _ = jax.random.split(jax.random.split(key, 1)[0])
        start = mlp_ensemble.init(key_init, 4, layers=2, width=20)
    names = ("kernel", "kernels", "biases", "out_kernel", "out_bias")
    expected = reference.train_relu_network(
        [np.float64(start[name]) for name in names],
        x,
        (y - y.mean()) / y.std(),
        steps=15,
        rate=0.01,
        decays=(0.9, 0.99),
    )
    for name, value in zip(names, expected, strict=True):
        np.testing.assert_allclose(state.params[name][0], value, rtol=1e-4, atol=1e-7)


def test_losses_count_valid_rows_only():
    outputs, targets = RNG.normal(size=(2, 5))
    valid = np.array([1.0, 0, 1, 1, 0])
    rows = valid > 0
    error = outputs[rows] - targets[rows]
    found = mlp_ensemble.absolute_loss(outputs, targets, valid)
    np.testing.assert_allclose(found, np.abs(error).mean(), rtol=1e-6)
    found = mlp_ensemble.squared_loss(outputs, targets, valid)
    np.testing.assert_allclose(found, (error**2).mean(), rtol=1e-6)


def fit(**options):
    x, y = jnp.float32(RNG.normal(size=(16, 4))), jnp.float32(RNG.normal(0.9, 0.1, 16))
    settings = dict(members=3, layers=2, width=6, epochs=30, batch_size=8, rate=1e-2)
    predictor = mlp_ensemble.mlp_ensemble(**settings | options)
    state = jax.jit(predictor.fit)(jax.random.key(0), x, y, jnp.ones(16, bool))
    return predictor, state, x


def test_mean_and_deviation_are_those_of_different_members():
    predictor, state, x = fit()
    members = np.asarray(mlp_ensemble.predict_members(state, x))
    found = predictor.predict(state, x)
    assert members.shape == (3, 16)
    assert np.abs(members[0] - members[1]).max() > 1e-3
    np.testing.assert_allclose(found.mean, members.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.std, members.std(0), rtol=1e-4, atol=1e-6)


def test_penalties_shrink_the_output_kernel():
    sizes = []
    for penalty in ({}, {"l1": 1.0}, {"l2": 1.0}):
        _, state, _ = fit(members=1, layers=1, **penalty)
        sizes.append(np.abs(state.params["out_kernel"]).sum())
    assert max(sizes[1:]) < 0.9 * sizes[0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "absolut"}, "did you mean 'absolute'"),
        ({"members": 0}, "members is 0; it must be above 0"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(errors.ConfigError, match=message):
        mlp_ensemble.mlp_ensemble(**options)
