"""Random brightness, contrast, saturation and hue of colour images.

As torchvision's `ColorJitter`, which ImageNet trainings in the mobile setting use, but
on real numbers instead of bytes.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from numpy.typing import ArrayLike

from nasjax.core.errors import ConfigError
from nasjax.core.types import Array, Key
from nasjax.data import cifar10, cifar100, imagenet, imagenet16
from nasjax.data.dataset import Batch, Dataset, Split

STATISTICS = {
    "cifar10": (cifar10.MEAN, cifar10.STD),
    "cifar100": (cifar100.MEAN, cifar100.STD),
    "imagenet": (imagenet.MEAN, imagenet.STD),
    "imagenet16": (imagenet16.MEAN, imagenet16.STD),
}
"""Mean and deviation per channel that a data set's batches are standardised with."""

_GREY = (0.299, 0.587, 0.114)
"""Luma of ITU-R 601."""


def jitter(key: Key, image: Array, strengths: tuple[float, ...]) -> Array:
    """Changes one image in four ways, in random order.

    Args:
      key: of all draws.
      image: `[H, W, 3]` in [0, 1].
      strengths: b, c, s, h: factors of brightness, contrast and saturation are uniform
        in [1 - b, 1 + b] and so on, the hue turns by up to h (of 1) either way.

    Returns:
      `[H, W, 3]` in [0, 1].
    """
    key_order, key_draws = jax.random.split(key)
    order = jax.random.permutation(key_order, 4)
    draws = jax.random.uniform(key_draws, (4,), minval=-1.0, maxval=1.0)
    draws = draws * jnp.asarray(strengths)
    changes = [
        lambda x: brighten(x, 1 + draws[0]),
        lambda x: contrast(x, 1 + draws[1]),
        lambda x: saturate(x, 1 + draws[2]),
        lambda x: turn_hue(x, draws[3]),
    ]
    jittered: Array = lax.fori_loop(
        0, 4, lambda i, x: lax.switch(order[i], changes, x), image
    )
    return jittered


def brighten(image: Array, factor: Array | float) -> Array:
    """Mixes with black."""
    return jnp.clip(image * factor, 0, 1)


def contrast(image: Array, factor: Array | float) -> Array:
    """Mixes with the mean grey of the image."""
    return _mix(image, _grey(image).mean(), factor)


def saturate(image: Array, factor: Array | float) -> Array:
    """Mixes with the grey image."""
    return _mix(image, _grey(image), factor)


def turn_hue(image: Array, turn: Array | float) -> Array:
    """Turns the hue of every pixel; saturation and value stay (HSV).

    Args:
      image: `[H, W, 3]` in [0, 1].
      turn: part of the colour circle.
    """
    high, low = image.max(-1), image.min(-1)
    spread = high - low
    safe = jnp.where(spread > 0, spread, 1)
    red, green, blue = jnp.moveaxis(image, -1, 0)
    sixth = jnp.where(
        high == red,
        (green - blue) / safe,
        jnp.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = (sixth / 6 + turn) % 1.0

    def channel(offset: int) -> Array:
        # The channel is `high` in a third of the circle, `low` in the opposite one.
        place = (offset + 6 * hue) % 6.0
        share = jnp.clip(jnp.minimum(place, 4 - place), 0, 1)
        return high - spread * share

    return jnp.stack([channel(5), channel(3), channel(1)], axis=-1)


def jittered(dataset: Dataset, strengths: tuple[float, ...]) -> Dataset:
    """The data set with colour jitter in its training batches.

    Raises:
      ConfigError: a strength is out of range, or the data set's colours are unknown.
    """
    if len(strengths) != 4 or min(strengths) < 0 or strengths[-1] > 0.5:
        raise ConfigError(
            f"color_jitter={strengths}: give four strengths, of brightness, contrast, "
            "saturation (not negative) and hue (0 to .5)"
        )
    if dataset.name not in STATISTICS:
        raise ConfigError(
            f"color_jitter fits {' and '.join(sorted(STATISTICS))}, not {dataset.name}"
        )
    train = JitteredSplit(dataset.train, tuple(strengths), dataset.name)
    return dataclasses.replace(dataset, train=train)


class JitteredSplit(Split):
    """A split whose augmented batches have their colours changed as well.

    Jitter and the crops and flips before it commute; batches come standardised, which
    is undone for the change.
    """

    def __init__(self, split: Split, strengths: tuple[float, ...], name: str) -> None:
        """See `jittered`; `name` is a key of `STATISTICS`."""
        self._split, self._strengths, self._name = split, strengths, name

    def __len__(self) -> int:
        return len(self._split)

    def take(self, indices: ArrayLike) -> "JitteredSplit":
        return JitteredSplit(self._split.take(indices), self._strengths, self._name)

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        augment: bool = True,
        cutout: bool = False,
    ) -> Iterator[Batch]:
        batches = self._split.train_batches(
            batch_size=batch_size,
            seed=seed,
            start_step=start_step,
            augment=augment,
            cutout=cutout,
        )
        return self._jitter(batches, seed, start_step) if augment else batches

    def _jitter(
        self, batches: Iterator[Batch], seed: int, step: int
    ) -> Iterator[Batch]:
        key = jax.random.fold_in(jax.random.key(seed), 1)
        for number, batch in enumerate(batches, step):
            images = _jitter_batch(
                jax.random.fold_in(key, number),
                batch.images,
                strengths=self._strengths,
                name=self._name,
            )
            yield batch._replace(images=images)

    def eval_batches(self, *, batch_size: int) -> Iterator[Batch]:
        return self._split.eval_batches(batch_size=batch_size)


@functools.partial(jax.jit, static_argnames=("strengths", "name"))
def _jitter_batch(
    key: Key, images: Array, *, strengths: tuple[float, ...], name: str
) -> Array:
    """Standardised images `[B, H, W, 3]` with other colours, standardised."""
    mean, std = (jnp.asarray(v, jnp.float32)[None, None] for v in STATISTICS[name])

    def one(key: Key, image: Array) -> Array:
        raw = jnp.clip(image * std + mean, 0, 1)
        return (jitter(key, raw, strengths) - mean) / std

    return jax.vmap(one)(jax.random.split(key, images.shape[0]), images)


def _grey(image: Array) -> Array:
    """`[H, W, 1]`."""
    return (image * jnp.asarray(_GREY)[None, None]).sum(-1, keepdims=True)


def _mix(image: Array, other: Any, factor: Array | float) -> Array:
    return jnp.clip(factor * image + (1 - factor) * other, 0, 1)
