"""Noise of repeated trainings: deviations by epoch and accuracy, and an AR(1) in time.

Residuals of a compression lack what the compression keeps, and late in training they
understate the spread between seeds; this model is fitted to several seeds of each
architecture instead. Its extent depends on the epoch and on how good the curve is
there, and neighbouring epochs are correlated, more when the learning rate is small.
Models of several metrics of the same trainings (`fit_joint`) draw from the same normal
numbers, so that with one key they are the metrics of one training: where its accuracy
is above the mean, its loss is below.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import scaling as matrices


class SeedNoise(struct.PyTreeNode):
    """Marginally N(0, sigma_jb^2) at epoch j for a curve whose value lies in bin b.

        z_j = rho_j z_{j-1} + sqrt(1 - rho_j^2) e_j,   noise_j = sigma_jb z_j,
        e_j = mix . n_j,   n_j ~ N(0, I)

    Attributes:
      std: `[T, B]`, sigma.
      edges: `[T, B - 1]`, increasing; a value on an edge is in the upper bin.
      rho: `[T]`, correlation with the epoch before; 0 at the first.
      factor: `[T, T]`, the recursion as a lower triangular matrix: z = factor e.
      mix: `[M]` of length 1, this metric's row of the Cholesky factor of the
        correlations between the M metrics that are drawn together.
    """

    std: Array
    edges: Array
    rho: Array
    factor: Array
    mix: Array

    def deviations(self, curve: Array) -> Array:
        """sigma `[T]` along one curve `[T]`."""
        bins = jnp.sum(curve[:, None] >= self.edges, axis=1)
        return jnp.take_along_axis(self.std, bins[:, None], axis=1)[:, 0]

    def sample(self, key: Key, curve: Array) -> Array:
        """Noise `[T]` of one training whose mean curve is `curve` `[T]`."""
        shape = (*self.mix.shape, *curve.shape)
        z = self.factor @ (self.mix @ jax.random.normal(key, shape, curve.dtype))
        return self.deviations(curve) * z


def fit(runs: ArrayLike, *, num_bins: int = 5) -> SeedNoise:
    """Fits to repeated trainings of the same architectures.

    Args:
      runs: `[N, S, T]`, curves of S >= 2 seeds.
      num_bins: B; bins hold equally many architectures at every epoch, by their mean
        over seeds, unless values are tied.

    Raises:
      ConfigError: `num_bins` is not positive.
      DataError: there are no two seeds, or a value is not finite.
    """
    return fit_joint({"runs": runs}, num_bins=num_bins)["runs"]


def fit_joint(
    runs: Mapping[str, ArrayLike], *, num_bins: int = 5
) -> dict[str, SeedNoise]:
    """Fits to several metrics of the same trainings, which are then drawn together.

    Args:
      runs: by metric `[N, S, T]`, as of `fit`.
      num_bins: as of `fit`.

    Returns:
      By metric a model; each is that of `fit`, and with one key the correlations of
      their `e` are those of the trainings, over all epochs.

    Raises:
      ConfigError: `num_bins` is not positive.
      DataError: as of `fit`, or the metrics are not of the same trainings.
    """
    if num_bins < 1:
        raise errors.ConfigError(f"num_bins must be at least 1, not {num_bins}")
    models, innovations, shape = {}, [], None
    for name, values in runs.items():
        repeats = matrices.check(values, name, ndim=3, shape=shape)
        shape = repeats.shape
        if shape[1] < 2:
            raise errors.DataError("one seed shows no noise; give at least two")
        models[name], e = _fit(repeats, num_bins)
        innovations.append(e.reshape(-1))
    mix = _cholesky(np.stack(innovations))
    return {
        name: model.replace(mix=jnp.asarray(row))
        for (name, model), row in zip(models.items(), mix, strict=True)
    }


def _fit(repeats: np.ndarray, num_bins: int) -> tuple[SeedNoise, np.ndarray]:
    """The model of one metric, and its e `[N, S, T]` in these trainings."""
    num_seeds = repeats.shape[1]
    mean = repeats.mean(axis=1)
    noise = repeats - mean[:, None, :]
    shares = np.arange(1, num_bins) / num_bins
    edges = np.quantile(mean, shares, axis=0).T
    # S deviations from their own mean have S - 1 degrees of freedom.
    variance = np.sum(noise**2, axis=1) / (num_seeds - 1)
    bins = np.sum(mean[:, :, None] >= edges, axis=2)
    std = np.sqrt(_mean_by_bin(variance, bins, num_bins))
    own = np.take_along_axis(std.T, bins, axis=0)
    z = noise / np.where(own > 0, own, 1.0)[:, None, :]
    rho = _correlations(z)
    model = SeedNoise(
        std=jnp.asarray(std),
        edges=jnp.asarray(edges),
        rho=jnp.asarray(rho),
        factor=jnp.asarray(_recursion(rho)),
        mix=jnp.ones(1),
    )
    return model, _innovations(z, rho)


def _mean_by_bin(variance: np.ndarray, bins: np.ndarray, num_bins: int) -> np.ndarray:
    """`[T, B]`; an empty bin takes the mean of its epoch."""
    member = bins[:, :, None] == np.arange(num_bins)
    counts = member.sum(axis=0)
    sums = np.sum(variance[:, :, None] * member, axis=0)
    whole = np.broadcast_to(variance.mean(axis=0)[:, None], sums.shape)
    return np.where(counts > 0, sums / np.maximum(counts, 1), whole)


def _correlations(z: np.ndarray) -> np.ndarray:
    """`[T]`, of standardised noise `[N, S, T]` with its epoch before."""
    power = np.sum(z**2, axis=(0, 1))
    products = np.sum(z[:, :, 1:] * z[:, :, :-1], axis=(0, 1))
    norm = np.sqrt(power[1:] * power[:-1])
    rho = np.where(norm > 0, products / np.where(norm > 0, norm, 1.0), 0.0)
    return np.concatenate([[0.0], np.clip(rho, -1, 1)])


def _recursion(rho: np.ndarray) -> np.ndarray:
    """The factor of the recursion: row j is rho_j times row j - 1, plus a diagonal."""
    factor = np.diag(np.sqrt(1 - rho**2))
    for j in range(1, len(rho)):
        factor[j] += rho[j] * factor[j - 1]
    return factor


def _innovations(z: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """e of the recursion `[N, S, T]`; 0 where an epoch repeats the one before."""
    new = z.copy()
    new[:, :, 1:] -= rho[1:] * z[:, :, :-1]
    scale = np.sqrt(1 - rho**2)
    return np.where(scale > 1e-6, new / np.maximum(scale, 1e-6), 0.0)


def _cholesky(e: np.ndarray) -> np.ndarray:
    """Cholesky factor `[M, M]` of the correlations of rows `[M, K]`.

    A metric without noise is correlated with none.
    """
    norm = np.sqrt(np.sum(e**2, axis=1, keepdims=True))
    unit = e / np.where(norm > 0, norm, 1.0)
    correlations = unit @ unit.T
    np.fill_diagonal(correlations, 1.0)
    # A metric that another one determines would leave a zero on the diagonal.
    mixed = (1 - 1e-9) * correlations + 1e-9 * np.eye(len(e))
    factor: np.ndarray = np.linalg.cholesky(mixed)
    return factor
