"""Noise model (i): independent Gaussians, one standard deviation for each epoch."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import scaling as matrices


class EpochNoise(struct.PyTreeNode):
    """N(0, sigma_j^2) at epoch j, the same for all architectures.

    Attributes:
      std: `[T]`.
    """

    std: Array

    def sample(self, key: Key, curve: Array) -> Array:
        """Noise `[T]`; of `curve` `[T]` only the type counts."""
        return self.std * jax.random.normal(key, self.std.shape, curve.dtype)


def fit(residuals: ArrayLike) -> EpochNoise:
    """sigma_j = sqrt(sum_i e_ij^2 / (N - 1)); the mean of residuals is taken as 0.

    Args:
      residuals: `[N, T]`, real minus reconstructed curves.

    Raises:
      DataError: the residuals are no finite matrix.
    """
    matrix = matrices.check(residuals, "residuals")
    variance = np.sum(matrix**2, axis=0) / (len(matrix) - 1)
    return EpochNoise(jnp.asarray(np.sqrt(variance)))
