"""Synthetic images that a network can learn, of any size: for tests and smoke runs."""

import numpy as np

from nasjax.core.errors import ConfigError
from nasjax.data.arrays import ArraySplit
from nasjax.data.dataset import Augmentation, Dataset

_TILES = 4
"""Tiles along each side of a class's pattern: it survives a shift of one pixel."""


def load(
    *,
    num_train: int = 512,
    num_test: int = 128,
    image_size: int = 8,
    channels: int = 3,
    num_classes: int = 10,
    seed: int = 0,
) -> Dataset:
    """Images of one random pattern of tiles a class, under pixel noise.

    Args:
      num_train: images to train on.
      num_test: images to test on.
      image_size: H and W, in pixels.
      channels: C.
      num_classes: labels; they are balanced to within one image.
      seed: of patterns, noise and order.

    Returns:
      A data set of uint8 images.

    Raises:
      ConfigError: a size is not positive.
    """
    sizes = {
        "num_train": num_train,
        "num_test": num_test,
        "image_size": image_size,
        "channels": channels,
        "num_classes": num_classes,
    }
    for name, value in sizes.items():
        if value < 1:
            raise ConfigError(f"synthetic data needs a positive {name}, not {value}")
    rng = np.random.default_rng(seed)
    total = num_train + num_test
    labels = np.concatenate(
        [rng.permutation(np.arange(n) % num_classes) for n in (num_train, num_test)]
    )
    tiles = rng.uniform(32, 224, (num_classes, _TILES, _TILES, channels))
    tile = np.arange(image_size) * _TILES // image_size
    patterns = tiles[:, tile][:, :, tile]
    noise = rng.normal(0, 32, (total, image_size, image_size, channels))
    images = np.clip(np.rint(patterns[labels] + noise), 0, 255).astype(np.uint8)
    augmentation = Augmentation(pad=1, flip=False, cutout=image_size // 4)
    everything = ArraySplit(
        images,
        labels,
        mean=images[:num_train].mean((0, 1, 2)) / 255,
        std=images[:num_train].std((0, 1, 2)) / 255,
        augmentation=augmentation,
    )
    return Dataset(
        name="synthetic",
        num_classes=num_classes,
        image_shape=(image_size, image_size, channels),
        augmentation=augmentation,
        train=everything.take(np.arange(num_train)),
        test=everything.take(np.arange(num_train, total)),
    )
