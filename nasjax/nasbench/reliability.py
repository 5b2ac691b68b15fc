"""How far one training's rank among architectures is the architecture's own."""

import itertools
from typing import NamedTuple

import numpy as np

from nasjax.core import metrics


class Reliability(NamedTuple):
    """Agreement of repeated trainings.

    Attributes:
      all: Spearman correlation of two seeds, mean over pairs of seeds.
      best: the same among the best share by the mean over seeds.
      best_of_mean: of the mean of all S seeds there, S r / (1 + (S - 1) r)
        (Spearman-Brown), r being `best`.
    """

    all: float
    best: float
    best_of_mean: float


def reliability(
    values: np.ndarray, by: np.ndarray | None = None, *, share: float = 0.2
) -> Reliability:
    """Compares seeds with each other.

    Args:
      values: `[F, S]`, a score of F architectures with S seeds.
      by: `[F, S]`, whose means say which are the best; another score than `values`
        (test for validation), since a score's own noise would choose. None: `values`.
      share: of the architectures that count as the best.

    Raises:
      ValueError: there is only one seed.
    """
    seeds = values.shape[1]
    if seeds < 2:
        raise ValueError(f"{seeds} seed has nothing to agree with: give at least 2")
    mean = (values if by is None else by).mean(axis=1)
    best = mean >= np.quantile(mean, 1 - share)
    among_best = _agreement(values[best])
    return Reliability(
        _agreement(values),
        among_best,
        seeds * among_best / (1 + (seeds - 1) * among_best),
    )


def _agreement(values: np.ndarray) -> float:
    pairs = itertools.combinations(values.T, 2)
    return float(np.mean([metrics.spearman(first, second) for first, second in pairs]))
