"""Batch normalisation as a scale and a shift, with its statistics an explicit pytree.

    BN(x) = x * scale + shift
    scale = gamma / sqrt(var + eps),  shift = beta - mean * scale

Handing out scale and shift instead of the normalised map lets a weighted sum of
normalised maps be one pass over memory: the weights multiply scale and shift.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from nasjax.core.types import Array

Statistics = dict[str, Array]

EPSILON = 1e-5
MOMENTUM = 0.1
"""Weight of the new batch in the running statistics (PyTorch's convention)."""


class Moments(NamedTuple):
    """Per-channel mean and biased variance `[..., C]` that normalise a map."""

    mean: Array
    var: Array


def initial_statistics(shape: tuple[int, ...], dtype: DTypeLike) -> Statistics:
    """Running statistics before any batch: mean 0, variance 1, each of `shape`."""
    return {"mean": jnp.zeros(shape, dtype), "var": jnp.ones(shape, dtype)}


def moments(x: Array) -> Moments:
    """Batch moments of `x` `[..., C, H, W, N]` over H, W and N.

    Uses E[x^2] - E[x]^2, one pass over memory, clipped at zero.
    """
    mean = x.mean((-3, -2, -1))
    square = (x * x).mean((-3, -2, -1))
    return Moments(mean, jax.nn.relu(square - mean * mean))


def update(
    statistics: Statistics, batch: Moments, count: int, *, momentum: float = MOMENTUM
) -> Statistics:
    """Running statistics after one batch of `count` values a channel.

    The running variance takes the unbiased batch variance, as in PyTorch and in
    TensorFlow's fused layer (whose `momentum` is one minus this one).
    """
    unbiased = batch.var * (count / max(count - 1, 1))
    new = {"mean": batch.mean, "var": unbiased}
    return {
        name: (1 - momentum) * old + momentum * lax.stop_gradient(new[name])
        for name, old in statistics.items()
    }


def normalize(
    x: Array,
    params: dict[str, Array],
    statistics: Statistics,
    *,
    train: bool,
    momentum: float = MOMENTUM,
) -> tuple[Array, Statistics]:
    """The whole layer.

    Args:
      x: `[..., C, H, W, N]`.
      params: `scale` and `bias` `[..., C]`; empty for a layer that trains neither.
      statistics: running moments `[..., C]`.
      train: normalise with the moments of the batch and update the running ones, or
        normalise with the running ones.
      momentum: as in `update`.

    Returns:
      The normalised map and the new statistics (the old ones in evaluation).
    """
    if train:
        used = moments(x)
        count = x.shape[-3] * x.shape[-2] * x.shape[-1]
        statistics = update(statistics, used, count, momentum=momentum)
    else:
        used = Moments(statistics["mean"], statistics["var"])
    scale, shift = affine(used, params.get("scale"), params.get("bias"))
    return per_channel(scale) * x + per_channel(shift), statistics


def affine(
    stats: Moments,
    gamma: Array | None = None,
    beta: Array | None = None,
    *,
    epsilon: float = EPSILON,
) -> tuple[Array, Array]:
    """Scale and shift `[..., C]` of the normalisation with these moments."""
    scale = lax.rsqrt(stats.var + epsilon)
    if gamma is not None:
        scale = scale * gamma
    shift = -stats.mean * scale
    return scale, shift if beta is None else shift + beta


def per_channel(values: Array) -> Array:
    """`[..., C]` to `[..., C, 1, 1, 1]`, to multiply a feature map."""
    return values[..., None, None, None]
