"""Data sets that fit on the device: batches are gathered where they are used."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nasjax.core.errors import DataError
from nasjax.core.types import Array, Key
from nasjax.data import augmentation as augmentations
from nasjax.data.dataset import (
    Augmentation,
    Batch,
    Dataset,
    Split,
    check_positive,
)

NO_AUGMENTATION = Augmentation()


class ArraySplit(Split):
    """Images and labels on the default device.

    Only the numbers of the seed, step and epoch travel to the device: permutation,
    gather, augmentation and standardisation run there, compiled once per batch shape
    (parts of one data set share the compiled functions and the images).

    Attributes:
      augmentation: what `train_batches` does to an image.
    """

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        *,
        mean: ArrayLike,
        std: ArrayLike,
        augmentation: Augmentation,
        indices: ArrayLike | None = None,
    ) -> None:
        """Moves the images to the device.

        Args:
          images: `[N, H, W, C]`, uint8 0..255 or floats.
          labels: `[N]` integers.
          mean: `[C]`, of the training images (uint8 images count as 0..1).
          std: `[C]`, likewise.
          augmentation: what training does to an image.
          indices: `[n]` of the images that belong to the split; all by default.

        Raises:
          DataError: there are not as many labels as images.
        """
        self.augmentation = augmentation
        self._images = jnp.asarray(images)
        self._labels = jnp.asarray(labels, jnp.int32)
        if self._labels.shape != self._images.shape[:1]:
            raise DataError(
                f"there are {self._images.shape[0]} images and labels of shape "
                f"{self._labels.shape}; give one label an image"
            )
        self._mean = jnp.asarray(mean, jnp.float32)
        self._std = jnp.asarray(std, jnp.float32)
        if indices is None:
            indices = np.arange(self._images.shape[0])
        self._host_indices = np.asarray(indices, np.int32)
        self._indices = jnp.asarray(self._host_indices)

    def __len__(self) -> int:
        return len(self._host_indices)

    def take(self, indices: ArrayLike) -> "ArraySplit":
        return ArraySplit(
            self._images,
            self._labels,
            mean=self._mean,
            std=self._std,
            augmentation=self.augmentation,
            indices=self._host_indices[np.asarray(indices, np.int64)],
        )

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        augment: bool = True,
        cutout: bool = False,
    ) -> Iterator[Batch]:
        self.check_batch_size(batch_size)
        applied = self.augmentation.select(augment=augment, cutout=cutout)
        return self._train_batches(batch_size, seed, start_step, applied)

    def _train_batches(
        self, batch_size: int, seed: int, step: int, applied: Augmentation
    ) -> Iterator[Batch]:
        key_order, key_augment = jax.random.split(jax.random.key(seed))
        steps_per_epoch = self.steps_per_epoch(batch_size)
        ordered, order = -1, self._indices
        while True:
            epoch, position = divmod(step, steps_per_epoch)
            if epoch != ordered:
                ordered, order = epoch, _shuffle(key_order, self._indices, epoch)
            rows = _rows(order, position * batch_size, batch_size=batch_size)
            yield self._gather(key_augment, step, rows, applied)
            step += 1

    def eval_batches(self, *, batch_size: int) -> Iterator[Batch]:
        check_positive(batch_size)
        return self._eval_batches(batch_size)

    def _eval_batches(self, batch_size: int) -> Iterator[Batch]:
        key = jax.random.key(0)  # nothing is drawn from it
        for start in range(0, len(self), batch_size):
            rows = _rows(self._indices, start, batch_size=batch_size)
            yield self._gather(key, 0, rows, Augmentation())

    def _gather(
        self, key: Key, step: int, rows: tuple[Array, Array], applied: Augmentation
    ) -> Batch:
        """The batch of the images at `rows`, augmented with `fold_in(key, step)`."""
        indices, weights = rows
        images, labels = _prepare(
            key,
            step,
            self._images,
            self._labels,
            indices,
            self._mean,
            self._std,
            augmentation=applied,
        )
        return Batch(images, labels, weights)


def from_arrays(
    train_images: ArrayLike,
    train_labels: ArrayLike,
    test_images: ArrayLike,
    test_labels: ArrayLike,
    *,
    name: str = "arrays",
    num_classes: int = 0,
    augmentation: Augmentation = NO_AUGMENTATION,
) -> Dataset:
    """A data set of images in memory, standardised by its training images.

    Args:
      train_images: `[N, H, W, C]`, uint8 0..255 or floats.
      train_labels: `[N]` integers from 0.
      test_images: `[M, H, W, C]`, of the same kind.
      test_labels: `[M]`.
      name: of the data set.
      num_classes: 0 for one more than the largest label.
      augmentation: what training does to an image.

    Raises:
      DataError: images and labels, or both sets of images, do not fit each other, or a
        label is outside 0 to `num_classes - 1`.
    """
    images, tested = np.asarray(train_images), np.asarray(test_images)
    if images.ndim != 4 or not len(images) or images.shape[1:] != tested.shape[1:]:
        raise DataError(
            f"images of shape {images.shape} to train on and {tested.shape} to test "
            "on; both must be [N, H, W, C] of one H, W and C"
        )
    if (images.dtype == np.uint8) != (tested.dtype == np.uint8):
        raise DataError(
            f"images are {images.dtype} to train on and {tested.dtype} to test on; "
            "give both as uint8 or both as floats"
        )
    labels = np.concatenate([np.ravel(train_labels), np.ravel(test_labels)])
    classes = num_classes or int(labels.max(initial=0)) + 1
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"labels are {labels.min()} to {labels.max()}; they must be 0 to "
            f"{classes - 1}"
        )
    scale = 255 if images.dtype == np.uint8 else 1
    mean = images.mean((0, 1, 2), dtype=np.float64) / scale
    std = images.std((0, 1, 2), dtype=np.float64) / scale
    train, test = (
        # A channel that never changes stays 0.
        ArraySplit(
            x, y, mean=mean, std=np.where(std > 0, std, 1), augmentation=augmentation
        )
        for x, y in ((images, train_labels), (tested, test_labels))
    )
    height, width, channels = images.shape[1:]
    return Dataset(
        name=name,
        num_classes=classes,
        image_shape=(height, width, channels),
        augmentation=augmentation,
        train=train,
        test=test,
    )


@jax.jit
def _shuffle(key: Key, indices: Array, epoch: int | Array) -> Array:
    """The order of one epoch, int32 `[n]`."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), indices)


@functools.partial(jax.jit, static_argnames="batch_size")
def _rows(order: Array, start: int | Array, *, batch_size: int) -> tuple[Array, Array]:
    """Indices `[B]` from `start` on and weights `[B]`; beyond the end the last again.

    Apart from `_prepare`, so that splits of several sizes share that.
    """
    position = start + jnp.arange(batch_size)
    weights = (position < order.shape[0]).astype(jnp.float32)
    return order[jnp.minimum(position, order.shape[0] - 1)], weights


@functools.partial(jax.jit, static_argnames="augmentation")
def _prepare(
    key: Key,
    step: int | Array,
    images: Array,
    labels: Array,
    indices: Array,
    mean: Array,
    std: Array,
    *,
    augmentation: Augmentation,
) -> tuple[Array, Array]:
    """Images float32 `[B, H, W, C]` and labels int32 `[B]` of one batch."""
    key = jax.random.fold_in(key, step)
    prepared = augmentations.augment_batch(
        key, images[indices], augmentation, mean=mean, std=std
    )
    return prepared, labels[indices]
