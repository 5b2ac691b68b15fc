"""The variational autoencoder of curves: loss, training, interface."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import surrogate_parts

from nasjax.core import errors
from nasjax.nasbench.surrogate import compression, dense, svd, vae

N, T = 96, 16
OPTIONS = {"rank": 3, "hidden": (8, 6), "epochs": 150, "learning_rate": 1e-2}


def draw_curves(seed):
    """Curves of two latent numbers, the level and the trend, and a little noise."""
    rng = np.random.default_rng(seed)
    level, trend = rng.normal(0.6, 0.1, (N, 1)), rng.normal(0, 0.1, (N, 1))
    return level + trend * np.linspace(-2, 2, T) + 0.003 * rng.normal(size=(N, T))


@pytest.fixture(scope="module")
def model():
    return vae.fit(jax.random.key(0), draw_curves(0), **OPTIONS)


def test_the_loss_is_that_of_the_equations(model):
    rng = np.random.default_rng(1)
    noise, curve = rng.normal(size=3), rng.normal(size=T)
    with jax.enable_x64(True):
        layers = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), (model.encoder, model.decoder)
        )
        loss = vae.negative_elbo(jnp.asarray(noise), *layers, jnp.asarray(curve))
    expected = surrogate_parts.negative_elbo(
        noise,
        *jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), layers),
        curve,
    )
    assert float(loss) == pytest.approx(expected, rel=1e-10)


def test_all_layers_are_trained_and_the_loss_falls(model):
    key_encoder, key_decoder, _ = jax.random.split(jax.random.key(0), 3)
    start = (
        dense.init(key_encoder, (T, 8, 6, 6)),
        dense.init(key_decoder, (3, 6, 8, T)),
    )

    def moved(first, last):
        return np.abs(first - last).max()

    moves = jax.tree.map(moved, start, (model.encoder, model.decoder))
    assert len(jax.tree.leaves(moves)) == 12
    assert min(jax.tree.leaves(moves)) > 0.01
    losses = np.asarray(model.losses)
    # At the start a standardised curve of 16 epochs costs about 16.
    assert losses.shape == (150,) and losses[0] > 12 and losses[-10:].mean() < 6


def test_new_curves_are_reconstructed_through_two_numbers(model):
    curves = draw_curves(1)
    codes = np.asarray(compression.compress(model, curves))
    assert codes.shape == (N, 3) and model.rank == 3
    error = np.mean((compression.reconstruct(model, curves) - curves) ** 2)
    assert error < 0.1 * np.mean(np.var(curves, axis=0))
    line = svd.fit(draw_curves(0), rank=1, centered=True)
    assert error < 0.5 * np.mean((compression.reconstruct(line, curves) - curves) ** 2)
    # Two latent numbers made the curves, and two are used.
    assert np.sum(codes.std(axis=0) > 0.5) == 2


def test_equal_keys_give_equal_models(model):
    again = vae.fit(jax.random.key(0), draw_curves(0), **OPTIONS)
    jax.tree.map(np.testing.assert_array_equal, again, model)
    other = vae.fit(jax.random.key(1), draw_curves(0), **OPTIONS)
    assert np.abs(other.losses - model.losses).max() > 0.01


def test_one_curve_is_a_row_of_a_batch(model):
    curve = jnp.asarray(draw_curves(2)[0])
    codes = model.compress(curve)
    np.testing.assert_allclose(
        codes, compression.compress(model, curve[None])[0], rtol=1e-5, atol=1e-6
    )
    scaled = surrogate_parts.dense(
        model.decoder, np.asarray(codes), surrogate_parts.leaky_relu
    )
    expected = scaled * model.scaler.scale + model.scaler.mean
    np.testing.assert_allclose(model.decompress(codes), expected, rtol=1e-5)


def test_bad_input_is_named():
    with pytest.raises(errors.DataError, match="not finite"):
        vae.fit(jax.random.key(0), np.full((5, 4), np.nan))
    with pytest.raises(errors.ConfigError, match="rank must be at least 1, not 0"):
        vae.fit(jax.random.key(0), draw_curves(0), rank=0)
