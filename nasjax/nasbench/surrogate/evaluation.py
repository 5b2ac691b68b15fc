"""How good a surrogate is: its mean curves, its noise, and the residuals behind them.

Curves are matrices `[N, T]`, one row for each held-out architecture.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nasjax.core import metrics
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import scaling as matrices
from nasjax.nasbench.surrogate.noise import models

METRICS = ("r2", "kt", "kt_1", "kt_2", "spearman", "mse")


def evaluate(
    truth: ArrayLike, predicted: ArrayLike, *, unit: float = 0.01
) -> dict[str, float]:
    """The metrics of table 5.3 that need no noise, and a few more.

    `r2`, `kt` (Kendall's tau-b), `spearman` and `mse` as `avg_NAME`, the mean over
    epochs, and `final_NAME`, at the last; `kt_1` and `kt_2` are tau-b of predictions
    rounded to 1 and 2 decimals of `unit`.

    Epochs at which all of `truth` is one value rank nothing and are left out of the
    means. At the others a constant prediction has rank correlation 0.

    Args:
      truth: `[N, T]`.
      predicted: `[N, T]`.
      unit: what the decimals count: .01 for accuracies in [0, 1], whose decimals are
        those of percent; 1 for losses in nats.

    Raises:
      DataError: the two are no finite matrices of one shape.
    """
    real = matrices.check(truth, "true curves")
    ours = matrices.check(predicted, "predictions", shape=real.shape)
    rows = [
        _metrics(real[:, t], ours[:, t], unit)
        for t in np.flatnonzero(np.ptp(real, axis=0) > 0)
    ]
    last = rows[-1] if np.ptp(real[:, -1]) > 0 else dict.fromkeys(METRICS, np.nan)
    result = {}
    for name in METRICS:
        values = [row[name] for row in rows]
        result[f"avg_{name}"] = float(np.mean(values)) if values else float("nan")
        result[f"final_{name}"] = float(last[name])
    return result


class Divergence(NamedTuple):
    """Kullback-Leibler divergences, means over architectures; lower is better.

    Attributes:
      avg_kl: of the whole curve, divided by its length.
      final_kl: of the last epoch alone.
      raised: share of variances, of both sides, that were raised to the least one.
    """

    avg_kl: float
    final_kl: float
    raised: float


def average_kl(
    key: Key,
    model: models.NoiseModel,
    predicted: ArrayLike,
    runs: ArrayLike,
    *,
    num_samples: int = 200,
    min_std: float = 1e-3,
) -> Divergence:
    """Divergence of sampled curves from repeated trainings, as in table 5.3.

    Both sides are Gaussians with a diagonal covariance, of sample means and variances
    of every epoch: those of the real seeds and of `num_samples` sampled curves.

    Args:
      key: of the samples.
      model: noise model.
      predicted: `[M, T]`, mean curves of the surrogate.
      runs: `[M, S, T]`, curves of S >= 2 held-back seeds of the same architectures.
      num_samples: sampled curves of each architecture.
      min_std: smallest standard deviation of either side, in the unit of the curves.
        The thesis has none; without it seeds that agree exactly, as those of cells
        without a path do, make the divergence infinite.

    Raises:
      DataError: an array is not finite or of another shape, or S < 2.
    """
    repeats = matrices.check(runs, "runs", ndim=3, at_least=1)
    matrices.check(np.swapaxes(repeats, 0, 1), "seeds", ndim=3, at_least=2)
    shape = (repeats.shape[0], repeats.shape[2])
    means = matrices.check(predicted, "predictions", at_least=1, shape=shape)
    moments = _sample_moments(key, model, jnp.asarray(means), num_samples)
    shift, variance = (np.asarray(moment, np.float64) for moment in moments)
    true_variance, least = repeats.var(axis=1, ddof=1), min_std**2
    terms = gaussian_kl(
        repeats.mean(axis=1),
        np.maximum(true_variance, least),
        means + shift,
        np.maximum(variance, least),
    )
    raised = np.mean([true_variance < least, variance < least])
    return Divergence(float(terms.mean()), float(terms[:, -1].mean()), float(raised))


def gaussian_kl(
    mean: np.ndarray,
    variance: np.ndarray,
    predicted_mean: np.ndarray,
    predicted_variance: np.ndarray,
) -> np.ndarray:
    """KL(true || predicted) of independent Gaussians, entry by entry.

        [log(v' / v) - 1 + (m - m')^2 / v' + v / v'] / 2

    The mean over the T epochs of a curve is the thesis' divergence, 1 / (2 T) times
    that of Gaussians with these diagonals.
    """
    ratio = variance / predicted_variance
    shift = (mean - predicted_mean) ** 2 / predicted_variance
    divergence: np.ndarray = (-np.log(ratio) - 1 + shift + ratio) / 2
    return divergence


def _metrics(truth: np.ndarray, predicted: np.ndarray, unit: float) -> dict[str, float]:
    def tau(values: np.ndarray) -> float:
        return float(np.nan_to_num(metrics.kendall_tau(truth, values)))

    return {
        "r2": metrics.r2(truth, predicted),
        "kt": tau(predicted),
        "kt_1": tau(np.round(predicted / unit, 1)),
        "kt_2": tau(np.round(predicted / unit, 2)),
        "spearman": float(np.nan_to_num(metrics.spearman(truth, predicted))),
        "mse": metrics.mse(truth, predicted),
    }


@functools.partial(jax.jit, static_argnums=3)
def _sample_moments(
    key: Key, model: models.NoiseModel, curves: Array, num_samples: int
) -> tuple[Array, Array]:
    """Mean and variance over samples of the noise of each curve, each `[M, T]`."""

    def moments(inputs: tuple[Key, Array]) -> tuple[Array, Array]:
        key, curve = inputs
        keys = jax.random.split(key, num_samples)
        samples = jax.vmap(model.sample, (0, None))(keys, curve)
        return jnp.mean(samples, axis=0), jnp.var(samples, axis=0, ddof=1)

    keys = jax.random.split(key, curves.shape[0])
    found: tuple[Array, Array] = jax.lax.map(moments, (keys, curves))
    return found
