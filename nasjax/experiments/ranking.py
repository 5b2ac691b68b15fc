"""Ranks of algorithms over several data sets, and which of them are apart.

Demsar (2006), "Statistical comparisons of classifiers over multiple data sets":
Friedman's test asks whether all are alike; if not, two of them are apart where their
mean ranks differ by more than Nemenyi's critical difference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from nasjax.core import errors, metrics

LEAST = 3
"""Data sets: of fewer, no ranks are apart."""


class Ranking(NamedTuple):
    """A algorithms on D data sets.

    Attributes:
      ranks: float64 `[D, A]`, 1 is best, ties share their mean.
      mean_ranks: float64 `[A]`.
      p_value: of Friedman's test; 1 where all scores of every data set are equal.
      critical_difference: Nemenyi's, of mean ranks, at `level`.
      level: of the test.
    """

    ranks: np.ndarray
    mean_ranks: np.ndarray
    p_value: float
    critical_difference: float
    level: float


def rank(scores: ArrayLike, *, level: float = 0.05) -> Ranking:
    """Ranks algorithms by their scores on each data set.

    Friedman's statistic, ties within a data set corrected for, is compared with
    chi-squared of A - 1 degrees of freedom. Nemenyi's difference is

        q(level, A) sqrt(A (A + 1) / (6 D)),

    q the quantile of the studentized range of A means, over sqrt(2).

    Args:
      scores: `[D, A]`, higher is better, all finite.
      level: chance of calling equal algorithms different.

    Raises:
      DataError: fewer than three data sets or two algorithms, or a score is not finite.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or values.shape[0] < LEAST or values.shape[1] < 2:
        raise errors.DataError(
            f"ranks of scores {list(values.shape)}: at least {LEAST} data sets and two "
            "algorithms that all of them have can be compared"
        )
    if not np.isfinite(values).all():
        raise errors.DataError("ranks: a score is not finite; leave its algorithm out")
    count, algorithms = values.shape
    ranks = np.stack([metrics.ranks(-row) for row in values])
    quantile = stats.studentized_range.ppf(1 - level, algorithms, np.inf) / np.sqrt(2)
    difference = quantile * np.sqrt(algorithms * (algorithms + 1) / (6 * count))
    return Ranking(
        ranks, ranks.mean(axis=0), _friedman(ranks), float(difference), level
    )


def _friedman(ranks: np.ndarray) -> float:
    """The p-value of ranks `[D, A]`."""
    count, algorithms = ranks.shape
    spread = np.sum((ranks - (algorithms + 1) / 2) ** 2)
    if spread == 0:
        return 1.0
    between = np.sum((ranks.sum(axis=0) - count * (algorithms + 1) / 2) ** 2)
    statistic = (algorithms - 1) * between / spread
    return float(stats.chi2.sf(statistic, algorithms - 1))


def common(
    scores: Sequence[dict[str, float | None]],
) -> tuple[list[str], np.ndarray]:
    """Algorithms that every data set has a score of, and these `[D, A]`.

    Args:
      scores: of each data set by algorithm, None where there is none.
    """
    names = [
        name
        for name in (scores[0] if scores else {})
        if all(row.get(name) is not None for row in scores)
    ]
    table = [[row[name] for name in names] for row in scores]
    return names, np.array(table, np.float64).reshape(len(scores), len(names))
