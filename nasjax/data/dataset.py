"""What a data set is: batches, splits that yield them, and the facts beside them."""

import abc
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nasjax.core.errors import ConfigError
from nasjax.core.types import Array


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random changes that training makes to one image of a data set.

    Attributes:
      pad: pixels of zeros around the image before a random crop of the old size, so
        it moves by at most `pad` pixels either way; 0: no crop.
      flip: whether half of the images are mirrored left to right.
      cutout: side in pixels of the square that fine-tuning blanks; 0: none.
    """

    pad: int = 0
    flip: bool = False
    cutout: int = 0

    def select(self, *, augment: bool, cutout: bool) -> "Augmentation":
        """The part of it that is on: `augment` keeps crop and flip."""
        return Augmentation(
            pad=self.pad if augment else 0,
            flip=self.flip and augment,
            cutout=self.cutout if cutout else 0,
        )


class Batch(NamedTuple):
    """Images ready for a network.

    Attributes:
      images: float32 `[B, H, W, C]`, standardised with the training set's statistics.
      labels: int32 `[B]`.
      weights: float32 `[B]`, 1, and 0 on the rows that fill up the last batch of an
        evaluation.
    """

    images: Array
    labels: Array
    weights: Array


class Split(abc.ABC):
    """Some images of a data set and the batches drawn from them."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abc.abstractmethod
    def take(self, indices: ArrayLike) -> "Split":
        """The split of the images at `indices`, which shares their storage."""

    @abc.abstractmethod
    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        augment: bool = True,
        cutout: bool = False,
    ) -> Iterator[Batch]:
        """Shuffled batches without end; batch k is a pure function of `seed` and k.

        Every epoch is a new permutation of the split without its last
        `len(self) % batch_size` images.

        Args:
          batch_size: B.
          seed: of the order and of the augmentation.
          start_step: k of the first batch, so that a run resumes where it stopped.
          augment: whether images are cropped and flipped at random.
          cutout: whether the data set's cutout is applied.

        Returns:
          An iterator of batches `start_step`, `start_step + 1`, ...

        Raises:
          ConfigError: the batch is larger than the split.
        """

    @abc.abstractmethod
    def eval_batches(self, *, batch_size: int) -> Iterator[Batch]:
        """All images once, in order and unchanged; the last batch has weights of 0."""

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many whole batches the split holds."""
        return len(self) // batch_size

    def check_batch_size(self, batch_size: int) -> None:
        """Raises `ConfigError` unless at least one batch fits in the split."""
        check_positive(batch_size)
        if batch_size > len(self):
            raise ConfigError(
                f"batch size {batch_size} is larger than the training split of "
                f"{len(self)} images; lower the batch size"
            )


def check_positive(batch_size: int) -> None:
    """Raises `ConfigError` for a batch size below 1."""
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size} is not positive")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A classification task on images.

    Attributes:
      name: registry name.
      num_classes: number of labels.
      image_shape: `(H, W, C)` of every batch.
      augmentation: what training does to an image.
      train: images to learn from.
      test: images that only report.
      class_names: one name a label, or empty where there are none.
      valid: images to validate on, where the data set has some of its own; None: they
        are cut from the training images.
    """

    name: str
    num_classes: int
    image_shape: tuple[int, int, int]
    augmentation: Augmentation
    train: Split
    test: Split
    class_names: tuple[str, ...] = ()
    valid: Split | None = None

    def split_train(self, fraction: float, seed: int) -> tuple[Split, Split]:
        """Cuts the training images in two at random.

        Args:
          fraction: of the images that go to the first part, in (0, 1).
          seed: of the draw.

        Returns:
          Two disjoint splits of `round(fraction * N)` images and of the rest.

        Raises:
          ConfigError: one of the parts would be empty, or the data set has images to
            validate on.
        """
        if self.valid is not None:
            raise ConfigError(
                f"{self.name} has images to validate on, so none are cut from those to "
                "train on: pass --config.data.split= to do without them, or, to train "
                "one architecture, --config.train_fraction=1.0"
            )
        size = len(self.train)
        first = round(fraction * size)
        if not 0 < first < size:
            raise ConfigError(
                f"a training fraction of {fraction} splits {size} images into "
                f"{first} and {size - first}; choose one between 0 and 1"
            )
        order = np.random.default_rng(seed).permutation(size)
        return self.train.take(order[:first]), self.train.take(order[first:])
