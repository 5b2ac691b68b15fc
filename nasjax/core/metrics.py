"""How well a prediction explains and ranks what was measured, in numpy float64.

Truth comes first, as in scikit-learn. All of these work on the host; a metric that is
not defined for its input is NaN, never an error.
"""

import numpy as np
from numpy.typing import ArrayLike


def mse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean squared error of `[N]` predictions.

    Raises:
      ValueError: the two are not `[N]` with the same N > 0, or hold NaN.
    """
    x, y = _pair(truth, predicted)
    return float(np.mean((x - y) ** 2))


def r2(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Coefficient of determination, 1 - SS_residual / SS_total, of `[N]` predictions.

    A truth without variation has no such coefficient: 1 for a perfect prediction and
    0 for any other, as in scikit-learn.

    Raises:
      ValueError: the two are not `[N]` with the same N > 0, or hold NaN.
    """
    x, y = _pair(truth, predicted)
    residual = np.sum((x - y) ** 2)
    total = np.sum((x - x.mean()) ** 2)
    if total == 0:
        return float(residual == 0)
    return float(1 - residual / total)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rho of `[N]` values: correlation of ranks, ties share their mean.

    NaN where one of the two is constant.

    Raises:
      ValueError: the two are not `[N]` with the same N > 0, or hold NaN.
    """
    x, y = (ranks(values) for values in _pair(first, second))
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt(np.sum(x**2) * np.sum(y**2))
    return float(np.sum(x * y) / norm) if norm > 0 else float("nan")


def kendall_tau(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's tau-b of `[N]` values, in O(N log N).

        tau_b = (P - Q) / sqrt((P + Q + T_1)(P + Q + T_2))

    with P concordant and Q discordant pairs and T_1, T_2 pairs tied in one of the two
    only (Kendall, 1945). Without ties this is (P - Q) / (P + Q). NaN where one of the
    two is constant.

    Raises:
      ValueError: the two are not `[N]` with the same N > 0, or hold NaN.
    """
    x, y = _pair(first, second)
    rank_1, ties_1 = _dense_ranks(x)
    rank_2, ties_2 = _dense_ranks(y)
    joint = rank_1.astype(np.int64) * (int(rank_2.max()) + 1) + rank_2
    _, ties_both = _dense_ranks(joint)
    pairs = len(x) * (len(x) - 1) // 2
    untied_1, untied_2 = pairs - ties_1, pairs - ties_2
    if untied_1 == 0 or untied_2 == 0:
        return float("nan")
    # In order of the first and, among its ties, of the second, only discordant pairs
    # are inversions.
    discordant = count_inversions(rank_2[np.argsort(joint, kind="stable")])
    difference = pairs - ties_1 - ties_2 + ties_both - 2 * discordant
    tau = difference / np.sqrt(untied_1) / np.sqrt(untied_2)
    return float(np.clip(tau, -1, 1))


def ranks(values: ArrayLike) -> np.ndarray:
    """float64 `[N]`, ranks from 1; ties share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def count_inversions(values: np.ndarray) -> int:
    """Pairs i < j with `values[i] > values[j]`, of non-negative integers `[N]`.

    Two numbers differ first in some bit: for each bit from the highest, the numbers
    are grouped by the bits above it, in their original order, and every 0 counts the
    1s before it in its group.
    """
    values = np.asarray(values)
    if len(values) < 2:
        return 0
    # numpy sorts 16-bit numbers by radix.
    values = values.astype(np.min_scalar_type(int(values.max())))
    total = 0
    for bit in reversed(range(int(values.max()).bit_length())):
        # Values are sorted by the bits above `bit` here.
        groups = values.astype(np.int64) >> (bit + 1)
        ones = (values >> bit & 1).astype(np.int64)
        before = np.cumsum(ones) - ones
        starts = np.concatenate([[True], groups[1:] != groups[:-1]])
        base = np.maximum.accumulate(np.where(starts, before, 0))
        total += int(np.sum((before - base)[ones == 0]))
        values = values[np.argsort(values >> bit, kind="stable")]
    return total


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(
            f"expected two vectors of one length, got {x.shape} and {y.shape}"
        )
    if np.isnan(x).any() or np.isnan(y).any():
        raise ValueError("NaN has no rank: leave out what was not measured")
    return x, y


def _dense_ranks(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Ranks from 0 without gaps, and how many pairs are tied."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return inverse, int(np.sum(counts * (counts - 1) // 2))
