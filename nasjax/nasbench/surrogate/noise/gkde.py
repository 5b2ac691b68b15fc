"""Noise model (ii): a Gaussian kernel density estimate of whole residual curves."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import scaling as matrices

VARIANTS = ("thesis", "released")


class GKDE(struct.PyTreeNode):
    """A residual curve of a random training architecture, plus kernel noise.

        noise = clip(data_i + factor z, -clip, clip) / divisor,   z ~ N(0, I)

    Attributes:
      data: `[N, T]`, the residuals.
      factor: `[T, r]`, factor factor^T is the kernel's covariance; r is its rank.
      clip: `[]`, in the unit of the curves; infinity for none.
      divisor: `[]`.
    """

    data: Array
    factor: Array
    clip: Array
    divisor: Array

    def sample(self, key: Key, curve: Array) -> Array:
        """Noise `[T]`; of `curve` `[T]` only the type counts."""
        key_row, key_kernel = jax.random.split(key)
        row = jax.random.randint(key_row, (), 0, self.data.shape[0])
        z = jax.random.normal(key_kernel, self.factor.shape[1:], curve.dtype)
        noise = self.data[row] + self.factor @ z
        return jnp.clip(noise, -self.clip, self.clip) / self.divisor


def fit(
    residuals: ArrayLike, *, variant: str = "thesis", released_clip: float = 0.03
) -> GKDE:
    """A kernel estimate with Scott's bandwidth (Scott, 1992).

    The kernel's covariance is N^(-2 / (T + 4)) times that of the residuals; in high
    dimensions this factor is near 1, so samples have nearly twice the residuals'
    variance. It is factorised by its eigenvectors, because the residuals of a
    rank-k compression have no full rank (where scipy's `gaussian_kde` fails).

    `variant="released"` clips at plus or minus 3 in the unit of the released curves,
    halves, and takes residuals with the other sign, as the published benchmarks do.

    Args:
      residuals: `[N, T]`, real minus reconstructed curves.
      variant: `"thesis"` or `"released"`.
      released_clip: the released 3 in the unit of the residuals. For accuracies in
        [0, 1] that is .03 where the released curves are percent (NAS-Bench-311) and
        3, which never clips, where they are fractions (NAS-Bench-111); for losses 3.

    Raises:
      ConfigError: there is no such variant.
      DataError: the residuals are no finite matrix.
    """
    matrix = matrices.check(residuals, "residuals")
    if variant not in VARIANTS:
        raise errors.unknown_name("variant", variant, VARIANTS)
    size, length = matrix.shape
    covariance = np.atleast_2d(np.cov(matrix, rowvar=False))
    covariance *= size ** (-2 / (length + 4))
    if variant == "released":
        return from_kernel(-matrix, covariance, clip=released_clip, divisor=2.0)
    return from_kernel(matrix, covariance)


def from_kernel(
    data: np.ndarray,
    covariance: np.ndarray,
    *,
    clip: float = np.inf,
    divisor: float = 1.0,
) -> GKDE:
    """The estimate with the given kernel, such as that of a `gaussian_kde` in scipy.

    Args:
      data: `[N, T]`, scipy's `dataset` transposed.
      covariance: `[T, T]` of the kernel, scipy's `covariance`, bandwidth included.
      clip: largest absolute noise before the division.
      divisor: of the clipped noise.
    """
    values, vectors = np.linalg.eigh(covariance)
    least = np.abs(values).max() * len(values) * np.finfo(np.float64).eps
    kept = values > least
    return GKDE(
        data=jnp.asarray(data),
        factor=jnp.asarray(vectors[:, kept] * np.sqrt(values[kept])),
        clip=jnp.asarray(clip, float),
        divisor=jnp.asarray(divisor, float),
    )
