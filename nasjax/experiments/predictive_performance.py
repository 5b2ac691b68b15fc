"""What embeddings of architectures tell: accuracy, distance, neighbours, a map.

Yan, 2022, figures 3.2 to 3.5; what walks through the space is in `latent_walks`.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import batching, errors, metrics
from nasjax.core.types import Array, Key
from nasjax.predictors import gp

_CHUNK = 4_096
"""Rows that a Gaussian process predicts at a time."""


class Split(NamedTuple):
    """Rows int64, those that accuracies are predicted from and the others.

    Whatever learns from accuracies sees those of `fitted` only.
    """

    fitted: np.ndarray
    tested: np.ndarray


class Predictions(NamedTuple):
    """Of one Gaussian process.

    Attributes:
      tested: int64 `[K]`, the rows that it was not fitted on.
      predicted: float32 `[K]`, their accuracies.
    """

    tested: np.ndarray
    predicted: np.ndarray


def split(key: Key, count: int, *, num_train: int = 250) -> Split:
    """Random rows to fit to, and all others.

    Args:
      key: of the rows.
      count: N.
      num_train: rows to fit to.

    Raises:
      ConfigError: fewer than two are fitted, or no row is left to test.
    """
    if not 2 <= num_train < count:
        raise errors.ConfigError(
            f"num_train is {num_train} of {count} architectures; at least two are to "
            "be fitted and one to be tested"
        )
    rows = np.asarray(jax.random.permutation(key, count), np.int64)
    return Split(rows[:num_train], np.sort(rows[num_train:]))


def predict(
    key: Key, vectors: np.ndarray, accuracy: np.ndarray, rows: Split
) -> Predictions:
    """Fits a Gaussian process to some rows and predicts the others.

    Args:
      key: of the fit.
      vectors: `[N, D]`.
      accuracy: `[N]`, in [0, 1]; those of tested rows are not read.
      rows: of `split`.

    Raises:
      DataError: a number is not finite.
    """
    vectors = np.asarray(vectors, np.float32)
    accuracy = np.asarray(accuracy, np.float32)
    _check(vectors, accuracy)
    state = _fit(key, vectors[rows.fitted], accuracy[rows.fitted])
    predicted = batching.map_batched(
        functools.partial(_predict, state), vectors[rows.tested], _CHUNK
    )
    return Predictions(rows.tested, predicted)


def predictive_performance(
    accuracy: np.ndarray,
    predictions: Sequence[Predictions],
    *,
    restricted_above: float = 0.8,
) -> dict[str, Any]:
    """Error and correlation of Gaussian processes on other rows (figure 3.2).

    Args:
      accuracy: `[N]`, in [0, 1].
      predictions: of `predict`, one a seed.
      restricted_above: the thesis evaluates rows whose true accuracy is above.

    Returns:
      `{"rmse": {"mean", "std"}, "pearson": {"mean", "std"}, "num_seeds", "num_train",
      "restricted_above": {"threshold", "rmse", "pearson"}}`; the standard deviation is
      over seeds (N - 1 in the denominator). The restricted values are None where a
      seed has fewer than two such rows; a correlation with a constant is NaN.

    Raises:
      ConfigError: there is no seed.
    """
    if not predictions:
        raise errors.ConfigError("num_seeds is 0; it must be above 0")
    accuracy = np.asarray(accuracy, np.float32)
    everything, restricted = [], []
    for found in predictions:
        true = accuracy[found.tested]
        high = true > restricted_above
        everything.append(_scores(true, found.predicted))
        if np.sum(high) > 1:
            restricted.append(_scores(true[high], found.predicted[high]))
    complete = len(restricted) == len(predictions)
    missing = {"rmse": None, "pearson": None}
    return {
        **_summary(everything),
        "num_seeds": len(predictions),
        "num_train": len(accuracy) - len(predictions[0].tested),
        "restricted_above": {
            "threshold": restricted_above,
            **(_summary(restricted) if complete else missing),
        },
    }


def tsne(
    vectors: np.ndarray, *, seed: int = 0, num_points: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 `[K]` of at most `num_points` random vectors, and their places
    float32 `[K, 2]` on a t-SNE map (figure 3.4).

    Raises:
      DataError: there are fewer than four vectors, or one is not finite.
    """
    from nasjax.report import latent_space  # here: it loads matplotlib

    rows = np.arange(len(vectors))
    if len(rows) > num_points:
        rows = np.random.default_rng(seed).choice(rows, num_points, replace=False)
        rows.sort()
    return rows, latent_space.project(np.asarray(vectors)[rows], seed=seed)


def _check(vectors: np.ndarray, accuracy: np.ndarray) -> None:
    if not (np.isfinite(vectors).all() and np.isfinite(accuracy).all()):
        raise errors.DataError(
            "a vector or an accuracy is not finite; leave out what was not measured"
        )


@functools.cache
def _regression() -> Any:
    return gp.gp()


@jax.jit
def _fit(key: Key, features: Array, targets: Array) -> Any:
    return _regression().fit(key, features, targets, jnp.ones(len(targets), bool))


@jax.jit
def _predict(state: Any, features: Array) -> Array:
    mean: Array = _regression().predict(state, features).mean
    return mean


def _scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """RMSE and Pearson's r in float64; r with a constant is NaN."""
    x, y = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    a, b = x - x.mean(), y - y.mean()
    norm = np.sqrt(np.sum(a**2) * np.sum(b**2))
    pearson = float(np.sum(a * b) / norm) if norm > 0 else float("nan")
    return {"rmse": metrics.mse(x, y) ** 0.5, "pearson": pearson}


def _summary(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    names = ("rmse", "pearson")
    return {name: _moments(np.array([s[name] for s in scores])) for name in names}


def _moments(values: np.ndarray) -> dict[str, float]:
    std = values.std(ddof=1) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "std": float(std)}
