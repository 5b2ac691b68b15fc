"""Colour jitter against colorsys and numpy; its split; errors."""

import colorsys
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import data
from nasjax.core.errors import ConfigError
from nasjax.data import color_jitter

STRENGTHS = (0.4, 0.4, 0.4, 0.2)


def image(seed=0):
    pixels = np.random.default_rng(seed).uniform(size=(4, 5, 3)).astype(np.float32)
    pixels[0, 0] = 0.25  # grey: no hue
    pixels[0, 1] = (1, 0, 0)
    return pixels


@pytest.mark.parametrize("turn", [-0.45, -0.2, 0.0, 0.1, 0.5])
def test_hue_is_that_of_colorsys(turn):
    pixels = image()
    expected = np.empty_like(pixels)
    for place in np.ndindex(4, 5):
        h, s, v = colorsys.rgb_to_hsv(*pixels[place].tolist())
        expected[place] = colorsys.hsv_to_rgb((h + turn) % 1.0, s, v)
    turned = color_jitter.turn_hue(jnp.asarray(pixels), turn)
    np.testing.assert_allclose(turned, expected, atol=2e-6)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_mixing_is_that_of_the_equations(factor):
    pixels = image().astype(np.float64)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    for change, other in (
        (color_jitter.brighten, np.zeros((4, 5))),
        (color_jitter.contrast, np.full((4, 5), grey.mean())),
        (color_jitter.saturate, grey),
    ):
        expected = np.clip(factor * pixels + (1 - factor) * other[..., None], 0, 1)
        found = change(jnp.asarray(pixels, jnp.float32), factor)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_strength_nothing_changes_and_with_it_images_stay_in_range():
    jitter = jax.jit(color_jitter.jitter, static_argnums=2)
    pixels, key = jnp.asarray(image()), jax.random.key(0)
    np.testing.assert_allclose(jitter(key, pixels, (0.0,) * 4), pixels, atol=2e-6)
    keys = jax.random.split(key, 30)
    changed = np.stack([jitter(k, pixels, STRENGTHS) for k in keys])
    assert changed.min() >= 0 and changed.max() <= 1
    assert len(np.unique(changed.sum((1, 2, 3)))) == 30


def colored(strengths=STRENGTHS):
    synthetic = data.load("synthetic", num_train=12, num_test=4)
    named = dataclasses.replace(synthetic, name="cifar10")
    return named, color_jitter.jittered(named, strengths)


def test_training_batches_are_functions_of_seed_and_step_and_others_are_untouched():
    plain, changed = colored()
    options = {"batch_size": 4, "seed": 5}
    stream = changed.train.train_batches(**options)
    batches = [next(stream) for _ in range(3)]
    again = next(changed.train.train_batches(**options, start_step=2))
    np.testing.assert_array_equal(batches[2].images, again.images)
    original = plain.train.train_batches(**options)
    for batch in batches:
        other = next(original)
        np.testing.assert_array_equal(batch.labels, other.labels)
        assert not np.allclose(batch.images, other.images, atol=0.1)
    still = next(changed.train.train_batches(**options, augment=False))
    bare = next(plain.train.train_batches(**options, augment=False))
    np.testing.assert_array_equal(still.images, bare.images)
    evaluated = next(changed.train.eval_batches(batch_size=4))
    unchanged = next(plain.train.eval_batches(batch_size=4))
    np.testing.assert_array_equal(evaluated.images, unchanged.images)
    assert len(changed.train.take([0, 3])) == 2


@pytest.mark.parametrize("strengths", [(0.4,), (0.4, 0.4, -0.1, 0), (0, 0, 0, 0.6)])
def test_strengths_out_of_range_are_refused(strengths):
    with pytest.raises(ConfigError, match="four strengths"):
        colored(strengths)


def test_a_data_set_without_known_colours_is_refused():
    with pytest.raises(ConfigError, match="not digits"):
        color_jitter.jittered(data.load("digits"), STRENGTHS)
