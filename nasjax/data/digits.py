"""scikit-learn's handwritten digits: 1,797 grey images of 8x8, nothing to download."""

import numpy as np

from nasjax.data.arrays import ArraySplit
from nasjax.data.dataset import Augmentation, Dataset


def load(*, seed: int = 0) -> Dataset:
    """Digits in `[0, 1]`, 1,437 to train on and 360 to test on, stratified by class.

    Args:
      seed: of the draw of the test images.

    Returns:
      A data set of 8x8x1 images and 10 classes.
    """
    # scikit-learn takes a second to import; other data sets do without it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed
    )
    augmentation = Augmentation(pad=1, flip=False, cutout=2)
    everything = ArraySplit(
        images,
        labels,
        mean=images[train].mean((0, 1, 2)),
        std=images[train].std((0, 1, 2)),
        augmentation=augmentation,
    )
    return Dataset(
        name="digits",
        num_classes=10,
        image_shape=(8, 8, 1),
        augmentation=augmentation,
        train=everything.take(train),
        test=everything.take(test),
        class_names=tuple(str(digit) for digit in range(10)),
    )
