"""Intervals and tests for means over independent runs, in numpy float64.

The first axis holds the N independent runs (seeds, trials, folds). Further axes, such
as the queries of a search, are kept: every result has one value for each of them, all
from the same resamples of runs.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_EXACT = 14
"""Up to this many pairs all sign flips are tried, 16,384 of them."""
_BLOCK = 1000
"""Resamples held at a time."""


class Interval(NamedTuple):
    """A mean and its confidence interval, each a float64 array of the kept axes."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class PairedDifference(NamedTuple):
    """Mean of first minus second, its interval and a two-sided p-value."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray


def bootstrap_interval(
    values: ArrayLike,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> Interval:
    """Percentile bootstrap of the mean over runs (Efron, 1979).

    With few runs it is too short (at N = 5 a 95 % interval covers about 83 %); a
    t interval (`paired_t_test` against zeros) is wider there.

    Args:
      values: `[N, ...]`, N >= 1 runs.
      seed: of the resamples; equal seeds give equal intervals.
      confidence: share of resampled means inside.
      num_resamples: how many times N runs are drawn with replacement.

    Raises:
      ValueError: there is no run, a value is not finite, or `confidence` is not
        between 0 and 1.
    """
    runs = _runs(values)
    low, high = _tails(confidence)
    rng = np.random.default_rng(seed)
    size, flat = len(runs), runs.reshape(len(runs), -1)
    means = np.empty((num_resamples, flat.shape[1]))
    for start in range(0, num_resamples, _BLOCK):
        block = means[start : start + _BLOCK]
        # How often each run is drawn, as a matrix product instead of a gather.
        drawn = rng.integers(0, size, (len(block), size))
        drawn += size * np.arange(len(block))[:, None]
        counts = np.bincount(drawn.ravel(), minlength=len(block) * size)
        block[:] = counts.reshape(len(block), size) @ flat / size
    bounds = np.quantile(means, [low, high], axis=0).reshape(2, *runs.shape[1:])
    return Interval(runs.mean(axis=0), bounds[0], bounds[1])


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> PairedDifference:
    """Bootstrap interval and sign-flip permutation test of a mean difference.

    If the two did not differ, every difference could as well have the other sign: the
    p-value is the share of sign flips whose mean is at least as far from 0. All flips
    are tried up to 14 pairs; beyond, `num_resamples` drawn ones and the observed.

    Args:
      first: `[N, ...]`.
      second: `[N, ...]`, run i of one seed, split or fold with `first[i]`.
      seed: of resamples and flips.
      confidence: of the interval.
      num_resamples: of the interval and, beyond 14 pairs, of the test.

    Raises:
      ValueError: the shapes differ, there is no run, or a value is not finite.
    """
    differences = _differences(first, second)
    interval = bootstrap_interval(
        differences, seed=seed, confidence=confidence, num_resamples=num_resamples
    )
    size, flat = len(differences), differences.reshape(len(differences), -1)
    # Equal sums in another order of addition must count as equal.
    observed = np.abs(flat.sum(axis=0)) - 1e-12 * np.abs(flat).sum(axis=0)
    extreme, flips = np.zeros(flat.shape[1]), 0
    for signs in _sign_flips(size, seed, num_resamples):
        extreme += np.sum(np.abs(signs @ flat) >= observed, axis=0)
        flips += len(signs)
    if size > _EXACT:
        extreme, flips = extreme + 1, flips + 1
    p_value = (extreme / flips).reshape(interval.mean.shape)
    return PairedDifference(*interval, p_value)


def paired_t_test(
    first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95
) -> PairedDifference:
    """Student's t interval and test of a mean difference, for a few folds.

    Args:
      first: `[N, ...]`, N >= 2.
      second: `[N, ...]`, paired with `first`.
      confidence: of the interval.

    Raises:
      ValueError: the shapes differ, N < 2, or a value is not finite.
    """
    differences = _differences(first, second)
    size = len(differences)
    if size < 2:
        raise ValueError("a t-test needs at least two pairs")
    _tails(confidence)
    mean = differences.mean(axis=0)
    error = differences.std(axis=0, ddof=1) / np.sqrt(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0.0, mean / error)
    half = _t_quantile(confidence, size - 1) * error
    return PairedDifference(
        mean, mean - half, mean + half, 1 - _t_inside(np.abs(t), size - 1)
    )


def ecdf(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Empirical distribution of `[N]` values.

    Returns:
      The distinct values, increasing, and for each the share of `values` up to it.

    Raises:
      ValueError: there is no value, or one is NaN.
    """
    flat = np.asarray(values, np.float64).ravel()
    if not len(flat) or np.isnan(flat).any():
        raise ValueError("an ecdf needs at least one value, and none may be NaN")
    points, counts = np.unique(flat, return_counts=True)
    return points, np.cumsum(counts) / len(flat)


def _runs(values: ArrayLike) -> np.ndarray:
    runs = np.asarray(values, np.float64)
    if runs.ndim == 0 or not len(runs):
        raise ValueError("expected one value for each of at least one run")
    if not np.isfinite(runs).all():
        raise ValueError("a value is not finite: leave out or count failed runs")
    return runs


def _differences(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    x, y = _runs(first), _runs(second)
    if x.shape != y.shape:
        raise ValueError(f"{x.shape} and {y.shape} are not pairs")
    return x - y


def _tails(confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, not {confidence}")
    return (1 - confidence) / 2, (1 + confidence) / 2


def _sign_flips(size: int, seed: int, num_resamples: int) -> Iterator[np.ndarray]:
    """Blocks of signs `[B, N]`: all of them, or `num_resamples` drawn ones."""
    if size <= _EXACT:
        codes = np.arange(1 << size)[:, None]
        yield 1.0 - 2.0 * (codes >> np.arange(size) & 1)
        return
    rng = np.random.default_rng([seed, 1])
    for start in range(0, num_resamples, _BLOCK):
        block = min(_BLOCK, num_resamples - start)
        yield 1.0 - 2.0 * rng.integers(0, 2, (block, size))


def _t_inside(t: np.ndarray, freedom: int) -> np.ndarray:
    """P(|T| <= t), t >= 0, by the finite sums for whole degrees of freedom.

    Abramowitz and Stegun (1964), 26.7.3 and 26.7.4, in theta = arctan(t / sqrt(nu)).
    """
    theta = np.arctan(t / np.sqrt(freedom))
    sine, cosine = np.sin(theta), np.cos(theta)
    odd = freedom % 2
    term = cosine if odd else np.ones_like(theta)
    total = np.zeros_like(theta)
    for power in range(odd, freedom - 1, 2):
        total = total + term
        term = term * cosine**2 * (power + 1) / (power + 2)
    inside = 2 / np.pi * (theta + sine * total) if odd else sine * total
    return np.clip(inside, 0, 1)


def _t_quantile(confidence: float, freedom: int) -> float:
    """The t with P(|T| <= t) = confidence, by bisection."""
    low, high = 0.0, 1.0
    while _t_inside(np.asarray(high), freedom) < confidence:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        short = _t_inside(np.asarray(middle), freedom) < confidence
        low, high = (middle, high) if short else (low, middle)
    return high
