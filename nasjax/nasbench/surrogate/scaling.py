"""Matrices of learning curves: checked, and standardised column by column."""

import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Array


class Scaler(struct.PyTreeNode):
    """Zero mean and unit variance of every column of the fitted rows.

    Attributes:
      mean: `[D]`.
      scale: `[D]`, population standard deviation; 1 where a column is constant.
    """

    mean: Array
    scale: Array

    @classmethod
    def fit(cls, rows: np.ndarray) -> "Scaler":
        """Statistics of `[N, D]`, in float64 whatever the type of jax's arrays.

        NaN is a missing value; a column without any has mean 0.
        """
        known = np.isfinite(rows)
        if known.all():
            mean, scale = rows.mean(axis=0), rows.std(axis=0)
        else:
            count = np.maximum(known.sum(axis=0), 1)
            mean = np.where(known, rows, 0).sum(axis=0) / count
            squares = np.where(known, rows - mean, 0) ** 2
            scale = np.sqrt(squares.sum(axis=0) / count)
        # Columns that vary by rounding only are constant.
        steady = scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(jnp.asarray(mean), jnp.asarray(np.where(steady, 1.0, scale)))

    def apply(self, x: Array) -> Array:
        """Standardised `[D]`."""
        return (x - self.mean) / self.scale

    def undo(self, x: Array) -> Array:
        """The inverse of `apply`."""
        return x * self.scale + self.mean


def standardize(rows: np.ndarray) -> tuple[Scaler, Array]:
    """The scaler of `[N, D]`, and the rows it makes of them, computed in float64."""
    scaler = Scaler.fit(rows)
    mean, scale = np.asarray(scaler.mean), np.asarray(scaler.scale)
    return scaler, jnp.asarray((rows - mean) / scale)


def check(
    values: ArrayLike,
    name: str,
    *,
    ndim: int = 2,
    at_least: int = 2,
    shape: tuple[int, ...] | None = None,
    missing: bool = False,
) -> np.ndarray:
    """The values as float64, if a model can be fitted to them.

    Args:
      values: `[N, ...]`.
      name: what they are, for the message.
      ndim: number of axes.
      at_least: smallest N.
      shape: what the shape must be, where another array says it.
      missing: whether a value may be NaN, as features may.

    Raises:
      errors.DataError: the shape is another, there are too few rows, or a value is
        not finite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != ndim or (shape is not None and array.shape != shape):
        wanted = f"{ndim} axes" if shape is None else f"shape {shape}"
        raise errors.DataError(f"{name} must have {wanted}, found shape {array.shape}")
    if len(array) < at_least:
        raise errors.DataError(
            f"{len(array)} rows of {name} are too few; give at least {at_least}"
        )
    allowed = ~np.isinf(array) if missing else np.isfinite(array)
    bad = np.flatnonzero(~allowed.reshape(len(array), -1).all(axis=1))
    if len(bad) and missing:
        raise errors.DataError(
            f"row {bad[0]} of {name} ({len(bad)} in all) is infinite; use NaN where a "
            "value is not known"
        )
    if len(bad):
        raise errors.DataError(
            f"row {bad[0]} of {name} ({len(bad)} in all) is not finite; leave out "
            "trainings that diverged or were cut short"
        )
    return array
