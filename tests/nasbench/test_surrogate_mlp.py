"""The perceptron from features to codes, and how dense layers are trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import surrogate_parts

from nasjax.core import errors, metrics
from nasjax.nasbench.surrogate import dense, mlp

N, D, K = 200, 4, 2
OPTIONS = {"hidden": (16, 12), "epochs": 60, "learning_rate": 1e-2}


def draw(seed):
    """Codes that are no linear function; features of very different scales."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (N, D))
    codes = np.stack([5 + np.sin(3 * x[:, 0]) * x[:, 1], 0.2 * x[:, 2] ** 2], axis=1)
    x[:, 3] = 1  # constant
    return x * [1, 1000, 0.01, 1] + [0, 1e4, 0, 0], codes


def fit_members(keys):
    features, codes = draw(0)
    return jax.vmap(lambda key: mlp.fit(key, features, codes, **OPTIONS))(keys)


@pytest.fixture(scope="module")
def models():
    """Three members, by one vmap over keys."""
    return fit_members(jax.random.split(jax.random.key(0), 3))


def member(models, i):
    return jax.tree.map(lambda leaf: leaf[i], models)


def test_it_learns_what_no_line_can(models):
    features, codes = draw(1)
    predict = jax.jit(jax.vmap(lambda model, x: model.predict(x), (None, 0)))
    members = [np.asarray(predict(member(models, i), features)) for i in range(3)]
    assert members[0].shape == (N, K)
    line = np.linalg.lstsq(np.c_[draw(0)[0], np.ones(N)], draw(0)[1], rcond=None)[0]
    linear = np.c_[features, np.ones(N)] @ line
    assert metrics.r2(codes[:, 0], linear[:, 0]) < 0.3
    for predicted in members:
        assert metrics.r2(codes[:, 0], predicted[:, 0]) > 0.9
    # Members differ, and their mean is better than they are on average.
    spread = np.std(members, axis=0).mean(axis=0)
    assert (spread > 1e-3).all()
    each = np.mean([metrics.mse(codes[:, 0], m[:, 0]) for m in members])
    assert metrics.mse(codes[:, 0], np.mean(members, axis=0)[:, 0]) < each


def test_all_layers_are_trained(models):
    key_init, _ = jax.random.split(jax.random.split(jax.random.key(0), 3)[1])
    start = dense.init(key_init, (D, 16, 12, K))
    moves = jax.tree.map(
        lambda first, last: np.abs(first - last).max(), start, member(models, 1).layers
    )
    assert len(jax.tree.leaves(moves)) == 6
    assert min(jax.tree.leaves(moves)) > 0.01
    losses = np.asarray(models.losses)
    assert (losses[:, -1] < 0.1 * losses[:, 0]).all()


def test_prediction_is_that_of_plain_numpy(models):
    model, x = member(models, 2), draw(2)[0][0]
    scaled = (x - np.asarray(model.scaler.mean)) / np.asarray(model.scaler.scale)
    output = surrogate_parts.dense(model.layers, scaled, lambda y: np.maximum(y, 0))
    expected = output * np.asarray(model.scale) + np.asarray(model.mean)
    np.testing.assert_allclose(model.predict(jnp.asarray(x)), expected, rtol=1e-4)
    np.testing.assert_allclose(model.mean, draw(0)[1].mean(axis=0), rtol=1e-5)
    assert float(model.scaler.scale[3]) == 1


def test_members_depend_on_their_keys_only(models):
    keys = jax.random.split(jax.random.key(0), 3)
    swapped = fit_members(keys[::-1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[::-1], rtol=1e-4, atol=1e-4),
        swapped.layers,
        models.layers,
    )


def test_initial_weights_are_uniform():
    layers = dense.init(jax.random.key(0), (25, 400, 9))
    for layer, bound in zip(layers, (1 / 5, 1 / 20), strict=True):
        for values in (layer["kernel"], layer["bias"]):
            assert bound * 0.8 < np.abs(values).max() <= bound
        assert np.std(layer["kernel"]) == pytest.approx(bound / 3**0.5, rel=0.03)
    assert layers[1]["kernel"].shape == (400, 9)


def test_every_row_is_seen_once_an_epoch():
    """With a rate of zero an epoch's mean loss is that of all rows, whatever order."""
    rows = jnp.arange(12.0)

    def run(rate, batch_size):
        start = {"w": jnp.ones(())}
        return dense.minimize(
            jax.random.key(0), start, lambda k, p, b: p["w"] * jnp.mean(b), rows,
            epochs=3, batch_size=batch_size, learning_rate=rate,
        )  # fmt: skip

    params, losses = run(0.0, 4)
    np.testing.assert_allclose(losses, 5.5, rtol=1e-6)
    assert float(params["w"]) == 1
    # Batches larger than the data are the data: three steps, w falls by the rates
    # 1, 3/4 and 1/4 of a cosine, whose gradient Adam scales to 1.
    params, _ = run(0.1, 100)
    assert float(params["w"]) == pytest.approx(1 - 0.1 * (1 + 0.75 + 0.25), rel=1e-4)


@pytest.mark.parametrize(
    "features, codes, options, error, message",
    [
        (np.ones((5, 2)), np.ones((4, 2)), {}, errors.DataError, r"codes .* \(5, 2\)"),
        (np.ones((5, 2)), np.ones(5), {}, errors.DataError, "codes must have"),
        (np.full((5, 2), np.inf), np.ones((5, 1)), {}, errors.DataError, "features"),
        (np.ones((5, 2)), np.ones((5, 1)), {"batch_size": 0}, errors.ConfigError, "0"),
    ],
)
def test_bad_input_is_named(features, codes, options, error, message):
    with pytest.raises(error, match=message):
        mlp.fit(jax.random.key(0), features, codes, **options)
