"""Digits made hard enough to tell small networks apart: shifted, with Gaussian noise.

768 images to train on, corrupted anew each epoch; 512 for validation and 517 for
testing, each in a few fixed corrupted copies, of which 512 a copy are kept. Copies of
an image are not independent: with two of them an accuracy moves in steps of 1/1024, but
varies as one of about 700 images does.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core.types import Array
from nasjax.data import digits

NUM_TRAIN, NUM_VALID, NUM_TEST = 768, 512, 517
_EVALUATION_SEED = 0


@dataclasses.dataclass(frozen=True)
class Corruption:
    """How hard the images are, and how many are evaluated.

    Attributes:
      noise: standard deviation of the noise, on pixels that are standardised.
      copies: corrupted copies of the images of the validation and the test split.
    """

    noise: float = 0.4
    copies: int = 2

    @property
    def num_evaluated(self) -> int:
        """Images of the validation split, and of the test split, copies counted."""
        return self.copies * min(NUM_VALID, NUM_TEST)


class NoisyDigits(NamedTuple):
    """Standardised images `[H, W, 1, N]`, batch last, and labels int32 `[N]`.

    Attributes:
      train_images: the 768 clean images.
      train_labels: their digits.
      valid_images: corrupted images, `Corruption.num_evaluated` of them.
      valid_labels: their digits.
      test_images: as many.
      test_labels: their digits.
    """

    train_images: Array
    train_labels: Array
    valid_images: Array
    valid_labels: Array
    test_images: Array
    test_labels: Array


class Epochs(NamedTuple):
    """Batches of several epochs: `[E, S, H, W, 1, B]` and `[E, S, B]`."""

    images: Array
    labels: Array


def load(corruption: Corruption = Corruption()) -> NoisyDigits:
    """The three splits, stratified by class; the same on every call."""
    number_evaluated = corruption.num_evaluated
    images, labels = digits.stratified((NUM_TRAIN, NUM_VALID, NUM_TEST))
    mean, std = images[0].mean(), images[0].std()
    clean = [jnp.asarray((part - mean) / std)[..., None] for part in images]
    clean = [jnp.moveaxis(part, 0, -1) for part in clean]
    splits = [(clean[0], jnp.asarray(labels[0], jnp.int32))]
    for number in (1, 2):
        key = jax.random.fold_in(jax.random.key(_EVALUATION_SEED), number)
        copies = [
            corrupt(jax.random.fold_in(key, copy), clean[number], corruption.noise)
            for copy in range(corruption.copies)
        ]
        repeated = jnp.tile(jnp.asarray(labels[number], jnp.int32), corruption.copies)
        images_ = jnp.concatenate(copies, axis=-1)[..., :number_evaluated]
        splits.append((images_, repeated[:number_evaluated]))
    return NoisyDigits(*(array for split in splits for array in split))


def corrupt(key: Array, images: Array, noise: float) -> Array:
    """Shifts each image by at most one pixel a direction and adds noise.

    Args:
      key: of the draws.
      images: `[H, W, 1, N]`; what is shifted in is the darkest value of the batch.
      noise: its standard deviation.
    """
    key_shift, key_noise = jax.random.split(key)
    height, width, _, number = images.shape
    darkest = images.min()
    padded = jnp.pad(images - darkest, ((1, 1), (1, 1), (0, 0), (0, 0))) + darkest
    shifts = jax.random.randint(key_shift, (2, number), 0, 3)
    rows = shifts[:1] + jnp.arange(height)[:, None]  # [H, N]
    columns = shifts[1:] + jnp.arange(width)[:, None]
    moved = jnp.take_along_axis(padded, rows[:, None, None, :], axis=0)
    moved = jnp.take_along_axis(moved, columns[None, :, None, :], axis=1)
    return moved + noise * jax.random.normal(key_noise, moved.shape)


def epochs(
    key: Array, data: NoisyDigits, *, num_epochs: int, batch: int, noise: float
) -> Epochs:
    """Every epoch: the training images in a new order, corrupted anew, in batches."""
    number = data.train_labels.shape[0]
    steps = number // batch

    def epoch(key: Array) -> tuple[Array, Array]:
        key_order, key_noise = jax.random.split(key)
        order = jax.random.permutation(key_order, number)[: steps * batch]
        images = corrupt(key_noise, data.train_images[..., order], noise)
        images = images.reshape(*images.shape[:-1], steps, batch)
        return jnp.moveaxis(images, -2, 0), data.train_labels[order].reshape(steps, -1)

    return Epochs(*jax.lax.map(epoch, jax.random.split(key, num_epochs)))
