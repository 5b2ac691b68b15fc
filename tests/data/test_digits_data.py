"""The embedded digits against scikit-learn's arrays."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nasjax import data
from nasjax.data.dataset import Augmentation


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def content(split):
    """Standardised images `[N, 64]` and labels `[N]`."""
    (batch,) = split.eval_batches(batch_size=len(split))
    return np.asarray(batch.images).reshape(len(split), -1), np.asarray(batch.labels)


def test_description(digits):
    assert (digits.name, digits.num_classes) == ("digits", 10)
    assert digits.image_shape == (8, 8, 1)
    assert digits.augmentation == Augmentation(pad=1, flip=False, cutout=2)
    assert digits.class_names == tuple("0123456789")
    assert (len(digits.train), len(digits.test)) == (1437, 360)


def test_training_images_are_standardised(digits):
    images, _ = content(digits.train)
    assert abs(images.mean(dtype=np.float64)) < 1e-5
    assert abs(images.std(dtype=np.float64) - 1) < 1e-5


def test_both_parts_are_stratified(digits):
    _, labels = load_digits(return_X_y=True)
    expected = np.bincount(labels) * 0.2
    found = np.bincount(content(digits.test)[1], minlength=10)
    assert np.all(np.abs(found - expected) <= 1)


def test_parts_are_disjoint_and_hold_every_digit_once(digits):
    pixels, labels = load_digits(return_X_y=True)
    images = np.concatenate([content(digits.train)[0], content(digits.test)[0]])
    found = np.concatenate([content(digits.train)[1], content(digits.test)[1]])
    # Standardisation is a monotone map of the 17 grey levels: recover them by rank.
    levels, gray = np.unique(images, return_inverse=True)
    assert len(levels) == 17
    rows = np.column_stack([gray.reshape(1797, 64), found])
    expected = np.column_stack([pixels.astype(int), labels])
    order = [np.lexsort(table.T) for table in (rows, expected)]
    np.testing.assert_array_equal(rows[order[0]], expected[order[1]])


def test_the_seed_decides_which_are_tested(digits):
    same, other = data.load("digits", seed=0), data.load("digits", seed=1)
    np.testing.assert_array_equal(content(same.test)[0], content(digits.test)[0])
    assert not np.array_equal(content(other.test)[0], content(digits.test)[0])
