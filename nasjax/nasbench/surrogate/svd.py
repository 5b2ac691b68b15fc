"""Learning curves as a few scores of a truncated singular value decomposition.

The matrix S `[N, T]` of the training curves is U diag(s) V^T; the code of a curve is
its row of U, cut to k columns and standardised, and its inverse is linear, too.
"""

import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Array
from nasjax.nasbench.surrogate import scaling as curve_matrices
from nasjax.nasbench.surrogate.scaling import Scaler


class SVD(struct.PyTreeNode):
    """The optimal linear compression of the curves it was fitted to.

    Attributes:
      mean: `[T]`, subtracted first; zeros if the decomposition is not centred.
      singular_values: `[k]`, decreasing.
      components: `[k, T]`, orthonormal rows of V^T.
      scaler: mean and deviation `[k]` of the training curves' rows of U.
    """

    mean: Array
    singular_values: Array
    components: Array
    scaler: Scaler

    @property
    def rank(self) -> int:
        """k, numbers in a code."""
        return self.components.shape[0]

    def compress(self, curve: Array) -> Array:
        """Curve `[T]` to standardised scores `[k]`."""
        scores = self.components @ (curve - self.mean) / self.singular_values
        return self.scaler.apply(scores)

    def decompress(self, codes: Array) -> Array:
        """Standardised scores `[k]` to the curve `[T]`."""
        scores = self.scaler.undo(codes) * self.singular_values
        return scores @ self.components + self.mean

    def truncate(self, rank: int) -> "SVD":
        """The same decomposition with fewer components."""
        if not 1 <= rank <= self.rank:
            raise errors.ConfigError(
                f"rank {rank} is not between 1 and {self.rank}, the fitted rank"
            )
        return self.replace(
            singular_values=self.singular_values[:rank],
            components=self.components[:rank],
            scaler=Scaler(self.scaler.mean[:rank], self.scaler.scale[:rank]),
        )


def fit(curves: ArrayLike, *, rank: int = 6, centered: bool = False) -> SVD:
    """Decomposes the training curves, on the host in float64.

    Released code: rank 5. Here: 6, as figure 5.3 finds; signs are those that make the
    largest entry of every component positive.

    Args:
      curves: `[N, T]`, any metric in any unit.
      rank: k, numbers in a code.
      centered: subtract the mean curve before; the thesis does not.

    Raises:
      DataError: the curves are no finite matrix.
      ConfigError: the curves do not have that many components.
    """
    matrix = curve_matrices.check(curves, "curves")
    mean = matrix.mean(axis=0) if centered else np.zeros(matrix.shape[1])
    u, s, vt = np.linalg.svd(matrix - mean, full_matrices=False)
    known = _rank(matrix, s)
    if not 1 <= rank <= known:
        raise errors.ConfigError(
            f"rank {rank} is not between 1 and {known}, the rank of the "
            f"{'centred ' if centered else ''}matrix of curves {matrix.shape}"
        )
    u, s, vt = u[:, :rank], s[:rank], vt[:rank]
    signs = np.sign(vt[np.arange(rank), np.abs(vt).argmax(axis=1)])
    return SVD(
        mean=jnp.asarray(mean),
        singular_values=jnp.asarray(s),
        components=jnp.asarray(vt * signs[:, None]),
        scaler=Scaler.fit(u * signs),
    )


def rank_of(curves: ArrayLike) -> int:
    """The most components that curves `[N, T]` have, up to rounding."""
    matrix = curve_matrices.check(curves, "curves")
    return _rank(matrix, np.linalg.svd(matrix, compute_uv=False))


def _rank(matrix: np.ndarray, singular_values: np.ndarray) -> int:
    largest = np.abs(matrix).max() * np.sqrt(matrix.size)
    return int(np.sum(singular_values > largest * np.finfo(np.float64).eps))
