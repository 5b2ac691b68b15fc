"""Batches of in-memory data: order, resume, evaluation, parts and bad input."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.core.errors import ConfigError, DataError
from nasjax.data import arrays
from nasjax.data.arrays import ArraySplit
from nasjax.data.dataset import Augmentation, Dataset

MEAN, STD = (0.5, 0.25), (0.2, 0.4)


def make_split(num=22, pad=0, flip=False, cutout=0):
    """Random images whose label is their position."""
    images = np.random.default_rng(num).integers(0, 256, (num, 4, 5, 2), np.uint8)
    split = ArraySplit(
        images,
        np.arange(num),
        mean=MEAN,
        std=STD,
        augmentation=Augmentation(pad, flip, cutout),
    )
    return split, (images / 255 - MEAN) / STD


def make_dataset(num):
    split, _ = make_split(num)
    return Dataset("test", num, (4, 5, 2), split.augmentation, split, split)


def first(batches, num):
    return list(itertools.islice(batches, num))


def labels_of(split):
    batches = split.eval_batches(batch_size=8)
    return np.concatenate([b.labels[b.weights > 0] for b in batches])


def assert_same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_epoch_shows_no_image_twice_and_the_next_another_order():
    split, _ = make_split(22)
    steps = split.steps_per_epoch(4)
    assert steps == 5
    batches = first(split.train_batches(batch_size=4, seed=0), 3 * steps)
    epochs = np.array([b.labels for b in batches]).reshape(3, -1)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 20
    assert not np.array_equal(epochs[0], epochs[1])
    # What an epoch drops is drawn anew, so three epochs show more than one does.
    assert len(set(epochs.ravel().tolist())) > 20


def test_order_is_uniform():
    split, _ = make_split(4)
    batches = first(split.train_batches(batch_size=2, seed=0), 1200)
    leading = np.array([b.labels[0] for b in batches[::2]])
    shares = np.bincount(leading, minlength=4) / 600
    assert np.all(np.abs(shares - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 600))


def test_images_are_those_of_the_labels():
    split, expected = make_split(22)
    for batch in first(split.train_batches(batch_size=4, seed=5), 3):
        assert batch.images.dtype == np.float32
        assert batch.labels.dtype == np.int32
        np.testing.assert_array_equal(batch.weights, np.ones(4, np.float32))
        np.testing.assert_allclose(
            batch.images, expected[batch.labels], rtol=1e-5, atol=1e-5
        )


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31 - 1), start=st.integers(0, 40))
def test_restart_gives_the_same_batches_bit_for_bit(seed, start):
    split, _ = make_split(22, pad=1, flip=True, cutout=2)
    arguments = {"batch_size": 4, "seed": seed, "cutout": True}
    whole = first(split.train_batches(**arguments), start + 3)
    resumed = first(split.train_batches(**arguments, start_step=start), 3)
    assert_same(whole[start:], resumed)


def test_seeds_differ_in_order_and_in_augmentation():
    split, _ = make_split(22, pad=1)
    one, other = (next(split.train_batches(batch_size=4, seed=seed)) for seed in (0, 1))
    assert not np.array_equal(one.labels, other.labels)
    single = split.take([3])
    images = [
        next(single.train_batches(batch_size=1, seed=s)).images for s in range(20)
    ]
    assert len({np.asarray(image).tobytes() for image in images}) > 3


def test_augmentation_is_drawn_anew_for_every_image_and_step():
    split = make_split(22, pad=1)[0].take([3] * 8)
    batches = first(split.train_batches(batch_size=8, seed=0), 2)
    shifted = [np.asarray(image).tobytes() for b in batches for image in b.images]
    assert len(set(shifted[:8])) > 2
    assert shifted[:8] != shifted[8:]


def test_augment_and_cutout_are_switches():
    split, expected = make_split(22, pad=1, flip=True, cutout=2)
    plain = next(split.train_batches(batch_size=8, seed=0, augment=False))
    np.testing.assert_allclose(
        plain.images, expected[plain.labels], rtol=1e-5, atol=1e-5
    )
    augmented = next(split.train_batches(batch_size=8, seed=0))
    assert not np.allclose(augmented.images, plain.images)
    cut = next(split.train_batches(batch_size=8, seed=0, augment=False, cutout=True))
    changed = ~np.isclose(cut.images, plain.images, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(cut.images)[changed], 0)
    assert changed.any((1, 2, 3)).all()
    np.testing.assert_array_equal(cut.labels, plain.labels)


@pytest.mark.parametrize(("batch_size", "num_batches"), [(8, 3), (11, 2), (30, 1)])
def test_evaluation_is_in_order_and_padded(batch_size, num_batches):
    split, expected = make_split(22, pad=1, flip=True)
    batches = list(split.eval_batches(batch_size=batch_size))
    assert len(batches) == num_batches
    assert all(b.images.shape == (batch_size, 4, 5, 2) for b in batches)
    images, labels, weights = (
        np.concatenate(part) for part in zip(*batches, strict=True)
    )
    np.testing.assert_array_equal(weights, np.arange(len(weights)) < 22)
    np.testing.assert_array_equal(labels[:22], np.arange(22))
    np.testing.assert_allclose(images[:22], expected, rtol=1e-5, atol=1e-5)
    assert np.isfinite(images).all()


def test_float_images_are_taken_as_they_are():
    images = np.linspace(0, 1, 3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4, 1)
    split = ArraySplit(
        images, [0, 1, 2], mean=[0.5], std=[0.5], augmentation=Augmentation()
    )
    (batch,) = split.eval_batches(batch_size=3)
    np.testing.assert_allclose(batch.images, images * 2 - 1, atol=1e-6)


def test_take_of_take_selects_within_the_part():
    split, _ = make_split(22)
    part = split.take([20, 3, 11, 7]).take([2, 0])
    assert len(part) == 2
    np.testing.assert_array_equal(labels_of(part), [11, 20])
    with pytest.raises(IndexError):
        split.take([22])


def test_no_images_no_batches():
    split, _ = make_split(22)
    assert list(split.take([]).eval_batches(batch_size=4)) == []


@pytest.mark.parametrize(("fraction", "size"), [(0.5, 50), (0.8, 81), (0.013, 1)])
def test_parts_of_the_training_set_are_disjoint_and_complete(fraction, size):
    dataset = make_dataset(101)
    parts = dataset.split_train(fraction, seed=1)
    one, other = (labels_of(part) for part in parts)
    assert (len(one), len(other)) == (size, 101 - size)
    assert sorted([*one, *other]) == list(range(101))


def test_parts_follow_the_seed():
    dataset = make_dataset(101)
    one, same, other = (
        labels_of(dataset.split_train(0.5, seed=seed)[0]) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.001, -0.5, 2.0])
def test_a_fraction_that_leaves_a_part_empty_is_named(fraction):
    with pytest.raises(ConfigError, match=f"{fraction} splits 101 images"):
        make_dataset(101).split_train(fraction, seed=0)


def test_a_batch_larger_than_the_split_names_both():
    split, _ = make_split(22)
    # At the call, not when the first batch is asked for.
    with pytest.raises(ConfigError, match=r"batch size 23 .* 22 images"):
        split.train_batches(batch_size=23, seed=0)
    for method, options in (
        (split.train_batches, {"seed": 0}),
        (split.eval_batches, {}),
    ):
        with pytest.raises(ConfigError, match="batch size 0 is not positive"):
            method(batch_size=0, **options)


def test_parts_share_images_and_the_compiled_function():
    dataset = make_dataset(101)
    one, other = dataset.split_train(0.7, seed=0)
    assert one._images is other._images
    next(one.train_batches(batch_size=6, seed=0))
    compiled = arrays._prepare._cache_size()
    for step in (0, 1, 7, 40):
        next(other.train_batches(batch_size=6, seed=step, start_step=step))
    assert arrays._prepare._cache_size() == compiled


def test_images_and_labels_must_be_as_many():
    with pytest.raises(DataError, match=r"3 images and labels of shape \(2,\)"):
        ArraySplit(
            np.zeros((3, 2, 2, 1)),
            [0, 1],
            mean=[0.0],
            std=[1.0],
            augmentation=Augmentation(),
        )
