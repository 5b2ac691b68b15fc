"""Noise model (iii): a standard deviation of its own for every architecture and epoch.

The noise is taken to be independent and of one variance within a window of epochs, so
a single curve's residuals estimate it; a perceptron learns these estimates from the
de-noised curves and predicts them for new ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import mlp
from nasjax.nasbench.surrogate import scaling as matrices


class WindowNoise(struct.PyTreeNode):
    """N(0, sigma_j(curve)^2) at epoch j.

    Attributes:
      model: from a curve `[T]` to deviations `[T]` in units of `unit`.
      unit: `[T]`, root mean square of the training windows' deviations.
      least: `[T]`, smallest deviation of a training window: the floor of predictions.
    """

    model: mlp.MLP
    unit: Array
    least: Array

    def std(self, curve: Array) -> Array:
        """Deviations `[T]` of the noise of one architecture."""
        return jnp.maximum(self.model.predict(curve) * self.unit, self.least)

    def sample(self, key: Key, curve: Array) -> Array:
        """Noise `[T]` of one training whose mean curve is `curve` `[T]`."""
        return self.std(curve) * jax.random.normal(key, curve.shape, curve.dtype)


def fit(
    key: Key,
    curves: ArrayLike,
    residuals: ArrayLike,
    *,
    width: int = 10,
    epochs: int = 100,
) -> WindowNoise:
    """Trains the model of deviations.

    Args:
      key: of the training.
      curves: `[N, T]`, reconstructed (de-noised) training curves.
      residuals: `[N, T]`, real minus reconstructed curves.
      width: epochs in a window.
      epochs: passes over the curves in training.

    Raises:
      ConfigError: `width` is not between 3 and T.
      DataError: curves and residuals are no finite matrices of one shape.
    """
    matrix = matrices.check(curves, "curves")
    deviations = window_std(residuals, width=width)
    matrices.check(deviations, "residuals", shape=matrix.shape)
    unit = np.sqrt(np.mean(deviations**2, axis=0))
    unit = np.where(unit > 0, unit, 1.0)
    return WindowNoise(
        model=mlp.fit(key, matrix, deviations / unit, epochs=epochs),
        unit=jnp.asarray(unit),
        least=jnp.asarray(deviations.min(axis=0)),
    )


def window_std(residuals: ArrayLike, *, width: int = 10) -> np.ndarray:
    """Sample standard deviation of each row in a window around each epoch.

    The window of epoch j is j - ceil((width - 1) / 2) to j + floor((width - 1) / 2),
    cut at both ends of the curve.

    Args:
      residuals: `[N, T]`.
      width: at least 3, so that a cut window still has two epochs; at most T.

    Returns:
      float64 `[N, T]`.

    Raises:
      ConfigError: `width` is not between 3 and T.
      DataError: the residuals are no finite matrix.
    """
    matrix = matrices.check(residuals, "residuals")
    length = matrix.shape[1]
    if not 3 <= width <= length:
        raise errors.ConfigError(
            f"a window of {width} epochs is not between 3 and {length}, the length of "
            "the curves"
        )
    result = np.empty_like(matrix)
    for j in range(length):
        start, stop = max(j - width // 2, 0), j + (width - 1) // 2 + 1
        result[:, j] = matrix[:, start:stop].std(axis=1, ddof=1)
    return result
