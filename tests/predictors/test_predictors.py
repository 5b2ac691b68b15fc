"""The contract of all predictors, the registry and the scikit-learn interface."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import predictors
from nasjax.core import errors
from nasjax.core.types import Graph

SETTINGS = {
    "bayesian_linear": {},
    "bogcn": dict(num_ops=3, layers=2, width=8, head=8, epochs=60),
    "bohamiann": dict(
        layers=1, width=16, num_burn_in=1500, num_steps=3000, keep_every=25
    ),
    "dngo": dict(num_hidden=32, standardize_targets=True),
    "gcn": dict(num_ops=3, layers=2, width=8, head=8, epochs=60, rate=1e-2),
    "gp": dict(steps=20),
    "linear": dict(standardize_inputs=True, standardize_targets=True, epochs=20),
    "mlp_ensemble": dict(members=3, layers=2, rate=1e-2, epochs=60),
}
NAMES = sorted(SETTINGS)
KNOW_DISTANCE = ("bayesian_linear", "bohamiann", "dngo", "gp", "mlp_ensemble")
CAPACITY, COUNT, QUERIES = 64, 40, 64
RNG = np.random.default_rng(0)


def smooth(x):
    """Accuracies around 0.9 of points in three dimensions."""
    return 0.9 + 0.02 * np.tanh(x[:, 0]) + 0.01 * x[:, 1]


def points(count, *, spread=1.0):
    x = (spread * RNG.normal(size=(count, 3))).astype(np.float32)
    return x, smooth(x).astype(np.float32)


def graphs(count):
    """The score is the share of operation 1."""
    ops = RNG.integers(0, 3, (count, 5)).astype(np.int32)
    adjacency = np.triu(RNG.random((count, 5, 5)) < 0.5, 1).astype(np.int32)
    batch = Graph(adjacency, ops, np.full(count, 5, np.int32))
    return batch, (0.9 + 0.1 * (ops == 1).mean(1)).astype(np.float32)


def is_graph(name):
    return "num_ops" in SETTINGS[name]


@functools.cache
def data(graph):
    draw = graphs if graph else points
    return draw(CAPACITY), draw(QUERIES)


@functools.cache
def make(name):
    return predictors.make(name, **SETTINGS[name])


@functools.cache
def compiled(name):
    predictor = make(name)
    return jax.jit(predictor.fit), jax.jit(predictor.predict)


@functools.cache
def fitted(name, seed=0):
    """State after `COUNT` rows of a buffer whose other rows hold other examples."""
    (features, targets), _ = data(is_graph(name))
    mask = np.arange(CAPACITY) < COUNT
    return compiled(name)[0](jax.random.key(seed), features, targets, mask)


def test_every_predictor_is_tested():
    assert set(predictors.PREDICTORS) == set(SETTINGS)


@pytest.mark.parametrize("name", NAMES)
def test_it_beats_the_mean_of_the_targets(name):
    _, (features, targets) = data(is_graph(name))
    found = compiled(name)[1](fitted(name), features)
    assert found.mean.shape == found.std.shape == (QUERIES,)
    error = np.sqrt(np.mean((np.asarray(found.mean) - targets) ** 2))
    assert error < 0.7 * targets.std()
    assert np.isfinite(found.std).all() and (found.std >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_outside_the_mask_changes_nothing(name):
    (features, targets), (queries, _) = data(is_graph(name))
    fit, predict = compiled(name)
    mask = np.arange(CAPACITY) < COUNT
    other = jax.tree.map(np.copy, features)
    for leaf in jax.tree.leaves(other):
        leaf[COUNT:] = 0 if is_graph(name) else np.nan
    state = fit(jax.random.key(0), other, np.where(mask, targets, -np.inf), mask)
    for one, two in zip(
        predict(state, queries), predict(fitted(name), queries), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", NAMES)
def test_the_key_decides(name):
    (features, targets), _ = data(is_graph(name))
    mask = np.arange(CAPACITY) < COUNT
    again = compiled(name)[0](jax.random.key(0), features, targets, mask)
    same = jax.tree.map(np.array_equal, again, fitted(name))
    assert all(jax.tree.leaves(same))
    if name not in ("bayesian_linear", "gp"):
        other = jax.tree.map(np.array_equal, again, fitted(name, seed=1))
        assert not all(jax.tree.leaves(other))


@pytest.mark.parametrize("name", NAMES)
def test_one_example_is_scored_like_many(name):
    _, (queries, _) = data(is_graph(name))
    predict = compiled(name)[1]
    many = predict(fitted(name), queries)
    one = predict(fitted(name), jax.tree.map(lambda leaf: leaf[3], queries))
    assert one.mean.shape == one.std.shape == ()
    np.testing.assert_allclose(one.mean, many.mean[3], rtol=1e-4)
    np.testing.assert_allclose(one.std, many.std[3], rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("name", KNOW_DISTANCE)
def test_the_deviation_grows_away_from_the_data(name):
    (features, targets), _ = data(False)
    predict = compiled(name)[1]
    near = predict(fitted(name), features)
    far, _ = points(CAPACITY, spread=6.0)
    assert np.median(predict(fitted(name), far).std) > 1.1 * np.median(near.std)


@pytest.mark.parametrize("name", ("bayesian_linear", "bohamiann", "dngo", "gp"))
def test_most_targets_lie_within_two_deviations(name):
    _, (queries, targets) = data(False)
    fits = [compiled(name)[1](fitted(name, seed), queries) for seed in range(4)]
    misses = [np.abs(np.asarray(fit.mean) - targets) / fit.std for fit in fits]
    # There is no noise to cover, and single fits of DNGO differ by .1.
    assert np.mean(np.array(misses) < 2) > 0.6


def test_an_empty_buffer_is_finite():
    mask = jnp.zeros(CAPACITY, bool)
    (features, targets), (queries, _) = data(False)
    for name in ("dngo", "gp", "bayesian_linear"):
        fit, predict = compiled(name)
        found = predict(fit(jax.random.key(0), features, targets, mask), queries)
        assert np.isfinite(found.mean).all() and np.isfinite(found.std).all(), name


def test_trials_under_vmap_are_the_trials_alone():
    (features, targets), (queries, _) = data(False)
    masks = np.arange(CAPACITY)[None] < np.array([[COUNT], [25]])
    predictor, (fit, predict) = make("dngo"), compiled("dngo")
    keys = jax.random.split(jax.random.key(0), 2)

    def trial(key, mask):
        return predictor.predict(predictor.fit(key, features, targets, mask), queries)

    together = jax.jit(jax.vmap(trial))(keys, masks)
    for i in range(2):
        found = predict(fit(keys[i], features, targets, masks[i]), queries)
        np.testing.assert_allclose(together.mean[i], found.mean, rtol=1e-3)
        np.testing.assert_allclose(together.std[i], found.std, rtol=2e-2)


@pytest.mark.parametrize("name", NAMES)
def test_trials_under_vmap_batch_no_factorisation(name):
    """Batched LAPACK kernels of one program can wait for each other for ever."""
    (features, targets), (queries, _) = data(is_graph(name))
    predictor = make(name)

    def trial(key, targets):
        mask = jnp.isfinite(targets)
        return predictor.predict(predictor.fit(key, features, targets, mask), queries)

    keys = jax.random.split(jax.random.key(0), 2)
    program = jax.jit(jax.vmap(trial)).lower(keys, np.stack([targets] * 2))
    calls = re.findall(r"@lapack_\w+\(.*?\) .*?: \((.*?)\) ->", program.as_text())
    operands = [t for call in calls for t in re.findall("tensor<(.*?)>", call)]
    assert all(operand.count("x") <= 2 for operand in operands), operands
    if name in ("bayesian_linear", "bogcn", "dngo", "gp"):
        assert operands


def test_names_and_options_are_checked():
    with pytest.raises(errors.ConfigError, match="predictor 'dgno'.*mean 'dngo'"):
        predictors.make("dgno")
    with pytest.raises(errors.ConfigError, match="option of the predictor 'gp' 'step'"):
        predictors.make("gp", step=3)
    with pytest.raises(errors.ConfigError, match="'gcn' needs num_ops"):
        predictors.make("gcn")


@pytest.fixture(scope="module")
def regressor():
    (features, targets), _ = data(False)
    model = predictors.Regressor(make("bayesian_linear"))
    return model.fit(features[:COUNT], targets[:COUNT])


def test_the_regressor_fits_and_predicts_arrays(regressor):
    _, (queries, _) = data(False)
    mean, std = regressor.predict(queries, return_std=True)
    expected = compiled("bayesian_linear")[1](fitted("bayesian_linear"), queries)
    np.testing.assert_allclose(mean, expected.mean, rtol=1e-5)
    np.testing.assert_allclose(std, expected.std, rtol=1e-3)
    np.testing.assert_array_equal(regressor.predict(queries.tolist()[:5]), mean[:5])


def test_the_regressor_takes_graphs():
    (features, targets), (queries, truth) = data(True)
    model = predictors.Regressor(make("gcn")).fit(features, targets)
    assert np.corrcoef(model.predict(queries), truth)[0, 1] > 0.8


def test_the_regressor_names_what_is_wrong(regressor):
    x, y = np.ones((4, 3)), np.ones(4)
    model = predictors.Regressor(regressor.predictor)
    with pytest.raises(errors.DataError, match="call fit"):
        model.predict(x)
    broken = [
        (x[0], y, r"found the shape \[3\]"),
        (x[:3], y, "3 rows found, 4 are needed"),
        (x, y[:, None], r"found the shape \[4, 1\]"),
        (x[:0], y[:0], "at least one row"),
        (np.where(np.eye(4, 3), np.nan, x), y, r"X: the entry \[0, 0\] is nan"),
        (x, np.where(np.arange(4) == 2, np.inf, y), r"y: the entry \[2\] is inf"),
    ]
    for features, targets, message in broken:
        with pytest.raises(errors.DataError, match=message):
            model.fit(features, targets)
    with pytest.raises(errors.DataError, match=r"was \[\(3,\)\].*found \[\(2,\)\]"):
        regressor.predict(x[:, :2])
