"""Synthetic images: shapes, balance, seeds, and that classes can be told apart."""

import numpy as np
import pytest

from nasjax import data
from nasjax.core.errors import ConfigError


def content(split):
    (batch,) = split.eval_batches(batch_size=len(split))
    return np.asarray(batch.images), np.asarray(batch.labels)


def test_shapes_and_balance():
    dataset = data.load(
        "synthetic", num_train=31, num_test=13, image_size=12, channels=2, num_classes=5
    )
    assert dataset.image_shape == (12, 12, 2)
    images, labels = content(dataset.train)
    assert images.shape == (31, 12, 12, 2)
    assert set(np.bincount(labels, minlength=5).tolist()) == {6, 7}
    assert content(dataset.test)[0].shape == (13, 12, 12, 2)
    np.testing.assert_allclose(images.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(images.std((0, 1, 2)), 1, atol=1e-4)


def test_the_nearest_class_mean_beats_chance_by_far():
    dataset = data.load("synthetic", num_train=300, num_test=200, num_classes=10)
    images, labels = content(dataset.train)
    means = np.stack([images[labels == label].mean(0) for label in range(10)])
    images, labels = content(dataset.test)
    distances = ((images[:, None] - means) ** 2).sum((2, 3, 4))
    assert np.mean(distances.argmin(1) == labels) > 0.95


def test_the_seed_decides_everything():
    one, same, other = (
        content(data.load("synthetic", num_train=8, num_test=4, seed=s).test)[0]
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("option", ["num_train", "num_classes", "image_size"])
def test_sizes_below_one_are_named(option):
    with pytest.raises(ConfigError, match=f"positive {option}, not 0"):
        data.load("synthetic", **{option: 0})
