"""What the residuals of a compression look like, and how many components it needs."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.nasbench.surrogate import scaling as matrices
from nasjax.nasbench.surrogate import svd

_SHAPIRO = 5000
"""Beyond this many values the approximation of Shapiro and Wilk's p is not valid."""


class RankRow(NamedTuple):
    """One row of the study of ranks.

    Attributes:
      rank: k.
      singular_value: the k-th.
      explained: share of the squared singular values up to k.
      train_mse: of reconstructed training curves.
      test_mse: of reconstructed test curves, against the test's mean curves.
    """

    rank: int
    singular_value: float
    explained: float
    train_mse: float
    test_mse: float


def rank_study(
    train: ArrayLike,
    test: ArrayLike,
    ranks: Iterable[int],
    *,
    test_mean: ArrayLike | None = None,
    centered: bool = False,
) -> list[RankRow]:
    """Reconstruction error by rank (figure 5.3, left and middle).

    Args:
      train: `[N, T]`, the curves that are decomposed.
      test: `[M, T]`, single trainings of other architectures, which are compressed.
      ranks: each at most the rank of `train`.
      test_mean: `[M, T]`, the same architectures averaged over several seeds, the
        truth of the thesis' study: a rank too high reproduces the noise of `test`.
        Default: `test` itself, whose error only falls.
      centered: as for `svd.fit`.

    Raises:
      DataError: a matrix is not finite or of another shape.
      ConfigError: there is no rank, or one is too high.
    """
    rows = matrices.check(train, "training curves")
    shape = (len(np.atleast_1d(test)), rows.shape[1])
    tests = matrices.check(test, "test curves", at_least=1, shape=shape)
    truth = tests
    if test_mean is not None:
        truth = matrices.check(test_mean, "test means", at_least=1, shape=shape)
    ranks = list(ranks)
    if min(ranks, default=0) < 1:
        raise errors.ConfigError(f"a study needs ranks from 1, not {ranks}")
    whole = svd.fit(rows, rank=max(ranks), centered=centered)
    mean = np.asarray(whole.mean, np.float64)
    components = np.asarray(whole.components, np.float64)
    squares = np.asarray(whole.singular_values, np.float64) ** 2
    total = np.sum((rows - mean) ** 2)

    def error(curves: np.ndarray, truth: np.ndarray, rank: int) -> float:
        # Scores and their scales cancel: a reconstruction is a projection.
        kept = components[:rank]
        return float(np.mean(((curves - mean) @ kept.T @ kept + mean - truth) ** 2))

    return [
        RankRow(
            rank=rank,
            singular_value=float(np.sqrt(squares[rank - 1])),
            explained=float(np.sum(squares[:rank]) / total),
            train_mse=error(rows, rows, rank),
            test_mse=error(tests, truth, rank),
        )
        for rank in ranks
    ]


class Normality(NamedTuple):
    """How far the residuals of each epoch are from a Gaussian, each `[T]`.

    Attributes:
      skewness: 0 for a Gaussian.
      kurtosis: 3 for a Gaussian.
      dagostino: p-value of D'Agostino and Pearson's test; NaN below 20 rows.
      shapiro: p-value of Shapiro and Wilk's, of at most the first 5,000 rows.
    """

    skewness: np.ndarray
    kurtosis: np.ndarray
    dagostino: np.ndarray
    shapiro: np.ndarray


def normality(residuals: ArrayLike) -> Normality:
    """Tests of each epoch's residuals (figure 5.6, left); NaN where all are equal.

    Args:
      residuals: `[N, T]`, N >= 3.

    Raises:
      DataError: the residuals are no finite matrix.
    """
    matrix = matrices.check(residuals, "residuals", at_least=3)
    rows = np.full((matrix.shape[1], 4), np.nan)
    for t in np.flatnonzero(np.ptp(matrix, axis=0) > 0):
        values = matrix[:, t]
        rows[t, 0] = scipy.stats.skew(values)
        rows[t, 1] = scipy.stats.kurtosis(values, fisher=False)
        if len(values) >= 20:
            rows[t, 2] = scipy.stats.normaltest(values).pvalue
        rows[t, 3] = scipy.stats.shapiro(values[:_SHAPIRO]).pvalue
    return Normality(*rows.T)


def autocorrelation(residuals: ArrayLike, max_lag: int) -> np.ndarray:
    """Autocorrelation within a curve, averaged over curves (figure 5.6, middle).

        r_l = sum_t (e_t - m)(e_{t+l} - m) / sum_t (e_t - m)^2,   m = mean of the curve

    Args:
      residuals: `[N, T]`; constant rows have no autocorrelation and are left out.
      max_lag: L < T.

    Returns:
      float64 `[L + 1]`, 1 at lag 0; NaN if all rows are constant.

    Raises:
      DataError: the residuals are no finite matrix.
      ConfigError: `max_lag` is not between 0 and T - 1.
    """
    matrix = matrices.check(residuals, "residuals", at_least=1)
    length = matrix.shape[1]
    if not 0 <= max_lag < length:
        raise errors.ConfigError(f"max_lag {max_lag} is not between 0 and {length - 1}")
    varied = matrix[np.ptp(matrix, axis=1) > 0]
    if not len(varied):
        return np.full(max_lag + 1, np.nan)
    deviations = varied - varied.mean(axis=1, keepdims=True)
    power = np.sum(deviations**2, axis=1)
    lagged = [
        np.sum(deviations[:, : length - lag] * deviations[:, lag:], axis=1)
        for lag in range(max_lag + 1)
    ]
    means: np.ndarray = np.mean(np.stack(lagged) / power, axis=1)
    return means


def band(residuals: ArrayLike, share: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Central interval of every epoch's residuals (figure 5.6, right).

    Args:
      residuals: `[N, T]`, or sampled noise.
      share: of the values inside.

    Returns:
      Lower and upper ends, each float64 `[T]`.

    Raises:
      DataError: the residuals are no finite matrix.
      ConfigError: `share` is not between 0 and 1.
    """
    matrix = matrices.check(residuals, "residuals")
    if not 0 < share < 1:
        raise errors.ConfigError(f"share must be between 0 and 1, not {share}")
    low, high = np.quantile(matrix, [(1 - share) / 2, (1 + share) / 2], axis=0)
    return low, high
