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
    from sklearn.model_selection import train_test_split

    images, labels = _all()
    images = images[..., None]
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


def stratified(sizes: tuple[int, ...]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Disjoint parts of the data set with about the same share of every class.

    Args:
      sizes: images of each part, together at most 1,797.

    Returns:
      Images `[size, 8, 8]` in `[0, 1]` and labels `[size]` of each part; the same on
      every call.
    """
    images, labels = _all()
    random = np.random.default_rng(0)
    # Sorted by how far through its class an image is, every prefix is stratified.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        (rows,) = np.nonzero(labels == label)
        place[random.permutation(rows)] = (np.arange(len(rows)) + 0.5) / len(rows)
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(sizes)
    parts = [order[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    parts = [random.permutation(part) for part in parts]
    return [images[part] for part in parts], [labels[part] for part in parts]


def _all() -> tuple[np.ndarray, np.ndarray]:
    """Images float32 `[1797, 8, 8]` in `[0, 1]` and their labels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return (pixels / 16).astype(np.float32).reshape(-1, 8, 8), labels
