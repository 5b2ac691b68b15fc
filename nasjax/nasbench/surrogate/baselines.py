"""What a surrogate must beat to have learned anything: a mean curve, and a ridge."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nasjax.nasbench.surrogate import scaling as matrices

PENALTIES = tuple(10.0**k for k in range(-3, 6))
"""Of the ridge; the one with the least leave-one-out error is taken."""


class Ridge(NamedTuple):
    """A linear model of whole curves.

    Attributes:
      mean: `[D]`, of the features; what a missing one (NaN) counts as.
      scale: `[D]`.
      weights: `[D, T]`, of standardised features.
      intercept: `[T]`.
      penalty: of the squared weights.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    penalty: float

    def predict(self, features: ArrayLike) -> np.ndarray:
        """Curves float64 `[N, T]` of features `[N, D]`."""
        x = (np.asarray(features, np.float64) - self.mean) / self.scale
        curves: np.ndarray = np.where(np.isnan(x), 0, x) @ self.weights + self.intercept
        return curves


def fit_ridge(features: ArrayLike, targets: ArrayLike) -> Ridge:
    """The ridge regression (Hoerl and Kennard, 1970) of curves on features.

        min_W |Y - X W|^2 + penalty |W|^2

    with standardised features and the penalty of `PENALTIES` whose leave-one-out
    error, y_i - f_{-i}(x_i) = (y_i - f(x_i)) / (1 - h_ii), has the least mean square
    over all epochs.

    Args:
      features: `[N, D]`; NaN where a value is missing.
      targets: `[N, T]`, curves.

    Raises:
      DataError: features are infinite, curves not finite, or their N differ.
    """
    x = matrices.check(features, "features", missing=True)
    y = matrices.check(targets, "curves", shape=(len(x), *np.shape(targets)[1:]))
    scaler = matrices.Scaler.fit(x)
    mean, scale = (np.asarray(a, np.float64) for a in (scaler.mean, scaler.scale))
    rows = (x - mean) / scale
    rows = np.where(np.isnan(rows), 0, rows)
    center = rows.mean(axis=0)
    u, s, vt = np.linalg.svd(rows - center, full_matrices=False)
    middle = y.mean(axis=0)
    projected = u.T @ (y - middle)

    def leave_one_out(penalty: float) -> float:
        shrink = s**2 / (s**2 + penalty)
        left = y - middle - u @ (shrink[:, None] * projected)
        leverage = u**2 @ shrink + 1 / len(y)
        rest = np.maximum(1 - leverage, np.finfo(np.float64).eps)
        return float(np.mean((left / rest[:, None]) ** 2))

    penalty = min(PENALTIES, key=leave_one_out)
    weights = vt.T @ ((s / (s**2 + penalty))[:, None] * projected)
    return Ridge(mean, scale, weights, middle - center @ weights, penalty)


def predict(
    features: ArrayLike, targets: ArrayLike, asked: ArrayLike
) -> dict[str, np.ndarray]:
    """Curves of both baselines, fitted to some architectures, of others.

    Args:
      features: `[N, D]`.
      targets: `[N, T]`.
      asked: `[M, D]`.

    Returns:
      `"mean curve"` and `"ridge"`, each float64 `[M, T]`.
    """
    y = matrices.check(targets, "curves")
    return {
        "mean curve": np.tile(y.mean(axis=0), (len(np.asarray(asked)), 1)),
        "ridge": fit_ridge(features, y).predict(asked),
    }
