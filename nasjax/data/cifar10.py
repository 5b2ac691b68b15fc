"""CIFAR-10 from the official files, in the python or the binary form.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

import os

import numpy as np

from nasjax.core import paths
from nasjax.data import batch_content, batch_files, split_files
from nasjax.data.arrays import ArraySplit
from nasjax.data.dataset import Augmentation, Dataset

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

MEAN = (0.4914, 0.4822, 0.4465)
"""Per channel, of the 50,000 training images on the scale 0..1."""

STD = (0.2470, 0.2435, 0.2616)


def load(*, dir: str | os.PathLike[str], split: str = "") -> Dataset:
    """Reads the five training batches and the test batch of a folder.

    Args:
      dir: `cifar-10-batches-py`, `cifar-10-batches-bin` or the folder that holds one
        of them. Files may have any number of images.
      split: name of a file in `dir`, or its path, that cuts the training images into
        training and validation. NAS-Bench-201's is `cifar-split.txt` of its code,
        25,000 images each; it was drawn once, and no seed gives it again.
        "": all are training images, and there is no validation.

    Returns:
      A data set of 32x32x3 images; pad 4, crop, flip, and cutout 16.

    Raises:
      DataError: a file is missing, truncated, of another form, holds a label outside
        0..9 or as many labels as it has not images, or is a pickle with anything but
        arrays in it; or the split is malformed or of another data set.
    """
    kind = batch_files.CIFAR10
    root = paths.expand(dir)
    folder, suffix = batch_files.find(kind, root)
    augmentation = Augmentation(pad=4, flip=True, cutout=16)

    def read(*names: str) -> ArraySplit:
        parts = [batch_content.read(kind, folder / f"{name}{suffix}") for name in names]
        pixels, labels = zip(*parts, strict=True)
        return ArraySplit(
            batch_content.images(np.concatenate(pixels), kind.side),
            np.concatenate(labels),
            mean=MEAN,
            std=STD,
            augmentation=augmentation,
        )

    valid, train = split_files.cut(
        read(*kind.train), split, (folder, root), keys=split_files.TRAIN_KEYS
    )
    return Dataset(
        name=kind.name,
        num_classes=10,
        image_shape=(kind.side, kind.side, 3),
        augmentation=augmentation,
        train=train,
        test=read(kind.test),
        class_names=CLASS_NAMES,
        valid=valid,
    )
