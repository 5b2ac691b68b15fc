"""Standardisation by the mean and the standard deviation of the observed rows."""

from typing import NamedTuple

import jax.numpy as jnp

from nasjax.core.types import Array
from nasjax.predictors.predictor import Prediction


class Scale(NamedTuple):
    """Moments of the columns.

    Attributes:
      mean: `[D]`, or `[]` for targets.
      std: of the same shape; 1 where a column is constant.
    """

    mean: Array
    std: Array


def measure(values: Array, mask: Array) -> Scale:
    """Mean and population standard deviation of the rows in the mask.

    Args:
      values: `[P, D]` or `[P]`.
      mask: bool `[P]`.
    """
    weights = mask.astype(values.dtype)
    weights = weights / jnp.maximum(jnp.sum(weights), 1)
    mean = weights @ values
    std = jnp.sqrt(weights @ jnp.square(values - mean[None]))
    # A constant column differs from its own mean by rounding only.
    varies = std > 1e-6 * jnp.abs(mean)
    return Scale(mean, jnp.where(varies, std, 1))


def measure_if(standardize: bool, values: Array, mask: Array) -> Scale:
    """`measure`, or else the scale that changes nothing."""
    if standardize:
        return measure(values, mask)
    shape = values.shape[1:]
    return Scale(jnp.zeros(shape, values.dtype), jnp.ones(shape, values.dtype))


def apply(scale: Scale, values: Array) -> Array:
    """(values - mean) / std, row by row."""
    return (values - scale.mean[None]) / scale.std[None]


def undo(scale: Scale, mean: Array, std: Array) -> Prediction:
    """A belief about standardised targets in the unit of the targets.

    Args:
      scale: of the targets.
      mean: `[M]`, of the standardised target.
      std: `[M]`.
    """
    return Prediction(scale.mean + scale.std * mean, scale.std * std)
