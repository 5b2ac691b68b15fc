"""Digits made hard enough to tell small networks apart: shifted, with Gaussian noise.

768 images to train on, corrupted anew each epoch; 512 for validation and 517 for
testing, each in two fixed corrupted copies, cut to 1,024 each. Two copies of an image
are not independent: an accuracy moves in steps of 1/1024, but varies as one of about
700 images does.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core.types import Array
from nasjax.data import digits

NUM_TRAIN, NUM_VALID, NUM_TEST = 768, 512, 517
NUM_EVALUATED = 1024
"""Images of the validation split and of the test split, corrupted copies counted."""
NOISE = 0.4
"""Standard deviation of the noise, on pixels that are standardised."""
COPIES = 2
_EVALUATION_SEED = 0


class NoisyDigits(NamedTuple):
    """Standardised images `[H, W, 1, N]`, batch last, and labels int32 `[N]`.

    Attributes:
      train_images: the 768 clean images.
      train_labels: their digits.
      valid_images: 1,024 corrupted images.
      valid_labels: their digits.
      test_images: 1,024 corrupted images.
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


def load() -> NoisyDigits:
    """The three splits, stratified by class; the same on every call."""
    images, labels = digits.stratified((NUM_TRAIN, NUM_VALID, NUM_TEST))
    mean, std = images[0].mean(), images[0].std()
    clean = [jnp.asarray((part - mean) / std)[..., None] for part in images]
    clean = [jnp.moveaxis(part, 0, -1) for part in clean]
    splits = [(clean[0], jnp.asarray(labels[0], jnp.int32))]
    for number in (1, 2):
        key = jax.random.fold_in(jax.random.key(_EVALUATION_SEED), number)
        copies = [
            corrupt(jax.random.fold_in(key, copy), clean[number])
            for copy in range(COPIES)
        ]
        repeated = jnp.tile(jnp.asarray(labels[number], jnp.int32), COPIES)
        images_ = jnp.concatenate(copies, axis=-1)[..., :NUM_EVALUATED]
        splits.append((images_, repeated[:NUM_EVALUATED]))
    return NoisyDigits(*(array for split in splits for array in split))


def corrupt(key: Array, images: Array) -> Array:
    """Shifts each image by at most one pixel a direction and adds noise.

    Args:
      key: of the draws.
      images: `[H, W, 1, N]`; what is shifted in is the darkest value of the batch.
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
    return moved + NOISE * jax.random.normal(key_noise, moved.shape)


def epochs(key: Array, data: NoisyDigits, *, num_epochs: int, batch: int) -> Epochs:
    """Every epoch: the training images in a new order, corrupted anew, in batches."""
    number = data.train_labels.shape[0]
    steps = number // batch

    def epoch(key: Array) -> tuple[Array, Array]:
        key_order, key_noise = jax.random.split(key)
        order = jax.random.permutation(key_order, number)[: steps * batch]
        images = corrupt(key_noise, data.train_images[..., order])
        images = images.reshape(*images.shape[:-1], steps, batch)
        return jnp.moveaxis(images, -2, 0), data.train_labels[order].reshape(steps, -1)

    return Epochs(*jax.lax.map(epoch, jax.random.split(key, num_epochs)))
