"""Augmentation of one image against plain numpy, its statistics, and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.data import augmentation
from nasjax.data.dataset import Augmentation

HEIGHT, WIDTH = 5, 6


def unique_image(channels=2):
    """An image in which no value occurs twice and none is zero."""
    size = HEIGHT * WIDTH * channels
    return np.arange(1, size + 1, dtype=np.uint8).reshape(HEIGHT, WIDTH, channels)


def all_crops(image, pad):
    """Every crop that padding allows, by numpy slicing, keyed by its offset."""
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    offsets = range(2 * pad + 1)
    return {
        (top, left): padded[top : top + HEIGHT, left : left + WIDTH]
        for top in offsets
        for left in offsets
    }


def all_cutouts(image, size):
    """Every cutout, from the index arithmetic of DeVries and Taylor's code."""
    results = {}
    for y in range(HEIGHT):
        for x in range(WIDTH):
            mask = np.ones((HEIGHT, WIDTH, 1), image.dtype)
            top, bottom = np.clip([y - size // 2, y - size // 2 + size], 0, HEIGHT)
            left, right = np.clip([x - size // 2, x - size // 2 + size], 0, WIDTH)
            mask[top:bottom, left:right] = 0
            results[y, x] = image * mask
    return results


def draw(function, image, num, *args):
    keys = jax.random.split(jax.random.key(1), num)
    one = jax.jit(jax.vmap(lambda key: function(key, jnp.asarray(image), *args)))
    return np.asarray(one(keys))


def frequencies(drawn, expected):
    """Share of the draws that equal each distinct expected image; all must match one.

    Returns shares and probabilities where every entry of `expected` is equally likely.
    """
    images = np.stack(list(expected.values())).reshape(len(expected), -1)
    distinct, multiplicity = np.unique(images, axis=0, return_counts=True)
    found, counts = np.unique(drawn.reshape(len(drawn), -1), axis=0, return_counts=True)
    np.testing.assert_array_equal(found, distinct)
    return counts / len(drawn), multiplicity / len(expected)


def assert_close_to_binomial(shares, probabilities, num):
    deviation = np.sqrt(probabilities * (1 - probabilities) / num)
    assert np.all(np.abs(shares - probabilities) < 5 * deviation)


@pytest.mark.parametrize("pad", [1, 2])
def test_crops_are_uniform_over_all_shifts_of_at_most_pad(pad):
    image = unique_image()
    drawn = draw(augmentation.random_crop, image, 4000, pad)
    assert drawn.dtype == np.uint8
    shares, probabilities = frequencies(drawn, all_crops(image, pad))
    assert len(shares) == (2 * pad + 1) ** 2
    assert_close_to_binomial(shares, probabilities, 4000)


def test_half_of_the_images_are_mirrored():
    image = unique_image()
    drawn = draw(augmentation.random_flip, image, 4000)
    shares, probabilities = frequencies(drawn, {0: image, 1: image[:, ::-1]})
    assert_close_to_binomial(shares, probabilities, 4000)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_cutout_is_a_clipped_square_around_a_uniform_centre(size):
    image = unique_image()
    drawn = draw(augmentation.cutout, image, 6000, size)
    shares, probabilities = frequencies(drawn, all_cutouts(image, size))
    assert_close_to_binomial(shares, probabilities, 6000)


def test_cutout_area_of_digits_by_hand():
    # 8 centres, an interval [c - 1, c + 1): one pixel at c = 0, two elsewhere.
    holes = np.asarray(draw(augmentation.cutout, np.ones((8, 8, 1)), 6000, 2)) == 0
    areas, counts = np.unique(holes.sum((1, 2, 3)), return_counts=True)
    np.testing.assert_array_equal(areas, [1, 2, 4])
    assert_close_to_binomial(counts / 6000, np.array([1, 14, 49]) / 64, 6000)


def test_standardize_divides_bytes_by_255_and_leaves_floats():
    image = unique_image(3)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    expected = (image.astype(np.float64) / 255 - mean) / std
    for value in (jnp.asarray(image), jnp.asarray(image / 255, jnp.float32)):
        result = augmentation.standardize(value, mean, std)
        assert result.dtype == jnp.float32
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_a_crop_brings_in_black_and_cutout_the_mean():
    white = jnp.full((HEIGHT, WIDTH, 1), 255, jnp.uint8)
    chosen = Augmentation(pad=2, flip=True, cutout=2)
    keys = jax.random.split(jax.random.key(0), 200)

    def one(key):
        return augmentation.augment(key, white, chosen, True, mean=0.25, std=0.5)

    images = jax.jit(jax.vmap(one))(keys)
    # (0 - .25) / .5, the mean itself, and (1 - .25) / .5.
    assert set(np.unique(np.round(images, 5)).tolist()) == {-0.5, 0.0, 1.5}


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1))
def test_cutout_changes_neither_crop_nor_flip(seed):
    image = jnp.asarray(unique_image())
    chosen = Augmentation(pad=1, flip=True, cutout=2)
    key = jax.random.key(seed)
    plain = np.asarray(augmentation.augment(key, image, chosen))
    cut = np.asarray(augmentation.augment(key, image, chosen, use_cutout=True))
    hole = np.any(cut != plain, axis=2)
    np.testing.assert_array_equal(cut[hole], 0)
    np.testing.assert_array_equal(cut[~hole], plain[~hole])
    assert hole.sum() <= 4


def test_no_augmentation_only_standardizes():
    image = jnp.asarray(unique_image())
    result = augmentation.augment(jax.random.key(0), image, Augmentation(), True)
    np.testing.assert_allclose(result, unique_image() / 255, rtol=1e-6)


def test_batch_equals_a_loop_over_images():
    images = np.random.default_rng(0).integers(0, 256, (7, HEIGHT, WIDTH, 3), np.uint8)
    chosen = Augmentation(pad=2, flip=True, cutout=3)
    statistics = {"mean": np.array([0.1, 0.2, 0.3]), "std": np.array([0.5, 0.6, 0.7])}

    @jax.jit
    def one(key, image):
        return augmentation.augment(key, image, chosen, True, **statistics)

    @jax.jit
    def several(key, images):
        return augmentation.augment_batch(key, images, chosen, **statistics)

    key = jax.random.key(3)
    batch = several(key, images)
    for i, key_image in enumerate(jax.random.split(key, 7)):
        expected = one(key_image, images[i])
        np.testing.assert_allclose(batch[i], expected, rtol=1e-6, atol=1e-6)


def test_select_keeps_what_is_on():
    chosen = Augmentation(pad=4, flip=True, cutout=16)
    assert chosen.select(augment=True, cutout=True) == chosen
    assert chosen.select(augment=True, cutout=False) == Augmentation(4, True, 0)
    assert chosen.select(augment=False, cutout=True) == Augmentation(0, False, 16)
