"""Random changes of one image `[H, W, C]`; callers vmap over keys and images.

Crop and flip act on the raw pixels, so the border that a crop brings in is black, as
in torchvision's `RandomCrop` before `Normalize`. Cutout follows standardisation, so
the square it leaves has the training set's mean colour (DeVries and Taylor, 2017).
"""

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from nasjax.core.types import Array, Key
from nasjax.data.dataset import Augmentation


def random_crop(key: Key, image: Array, pad: int) -> Array:
    """Moves the image by up to `pad` pixels along each axis; zeros come in."""
    padded = jnp.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    top, left = jax.random.randint(key, (2,), 0, 2 * pad + 1)
    return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)


def random_flip(key: Key, image: Array) -> Array:
    """Mirrors the image left to right with probability 1/2."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def cutout(key: Key, image: Array, size: int) -> Array:
    """Sets a square of side `size` to zero.

    Its centre is uniform over the image, so what lies beyond the border is lost
    (DeVries and Taylor, 2017).
    """
    height, width, _ = image.shape
    key_row, key_column = jax.random.split(key)
    rows = _covered(key_row, height, size)
    columns = _covered(key_column, width, size)
    hole = rows[:, None, None] & columns[None, :, None]
    return jnp.where(hole, jnp.zeros_like(image), image)


def _covered(key: Key, length: int, size: int) -> Array:
    """bool `[length]`: the interval of `size` pixels around a uniform centre."""
    start = jax.random.randint(key, (), 0, length) - size // 2
    position = jnp.arange(length)
    return (position >= start) & (position < start + size)


def standardize(image: Array, mean: ArrayLike, std: ArrayLike) -> Array:
    """`(image - mean) / std` per channel, float32; uint8 pixels are over 255 first."""
    scale = 255 if image.dtype == jnp.uint8 else 1
    mean = jnp.asarray(mean, jnp.float32).reshape(1, 1, -1)
    std = jnp.asarray(std, jnp.float32).reshape(1, 1, -1)
    return (image.astype(jnp.float32) / scale - mean) / std


def augment(
    key: Key,
    image: Array,
    augmentation: Augmentation,
    use_cutout: bool = False,
    *,
    mean: ArrayLike = 0.0,
    std: ArrayLike = 1.0,
) -> Array:
    """Crops, flips, standardises and cuts out one image.

    Args:
      key: of all draws; crop and flip are the same with and without cutout.
      image: `[H, W, C]`, raw: uint8 0..255 or floats.
      augmentation: which changes, static.
      use_cutout: whether cutout is one of them, static.
      mean: `[C]` or a number, on the scale of `standardize`.
      std: likewise.

    Returns:
      float32 `[H, W, C]`.
    """
    key_crop, key_flip, key_cutout = jax.random.split(key, 3)
    if augmentation.pad:
        image = random_crop(key_crop, image, augmentation.pad)
    if augmentation.flip:
        image = random_flip(key_flip, image)
    image = standardize(image, mean, std)
    if use_cutout and augmentation.cutout:
        image = cutout(key_cutout, image, augmentation.cutout)
    return image


def augment_batch(
    key: Key,
    images: Array,
    augmentation: Augmentation,
    *,
    mean: ArrayLike,
    std: ArrayLike,
) -> Array:
    """`augment` of every image `[B, H, W, C]` with a key of its own, cutout included.

    `Augmentation.select` says beforehand which changes are on.
    """

    def one(key: Key, image: Array) -> Array:
        return augment(key, image, augmentation, True, mean=mean, std=std)

    return jax.vmap(one)(jax.random.split(key, images.shape[0]), images)
