"""What a fitted surrogate foretells of held-out architectures, and how often rightly.

found = forecasts.foretell(key, curve_model, study)
found.coverage(0.95)  # of measured values inside the central 95 % of the draws
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import held_out
from nasjax.nasbench.surrogate.model import CurveModel
from nasjax.nasbench.surrogate.study import Study

LEVELS = (0.95, 0.8, 0.5)
"""Shares of the draws inside the central bands, the widest first."""
MOST = 200
"""Architectures whose draws are looked at."""
NUM_DRAWS = 400


class Forecasts(NamedTuple):
    """Curves of K held-out architectures, D of them with bands.

    Attributes:
      epochs: `[T]`.
      rows: int64 `[K]`, of the data.
      true: `[K, T]`, measured.
      predicted: float64 `[K, T]`, without noise.
      drawn: int64 `[D]`, places in `rows`, spread over the last measured value.
      low: `[D, L, T]`, lower ends of the central `LEVELS` of the draws.
      high: `[D, L, T]`, upper ends.
    """

    epochs: np.ndarray
    rows: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    drawn: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def coverage(self, level: float) -> float:
        """Share of the measured values, of all epochs, inside a band of `LEVELS`."""
        place = LEVELS.index(level)
        true = self.true[self.drawn]
        inside = (self.low[:, place] <= true) & (true <= self.high[:, place])
        return float(inside[np.isfinite(true)].mean())


def foretell(
    key: Key,
    fitted: CurveModel,
    study: Study,
    *,
    most: int = MOST,
    num_draws: int = NUM_DRAWS,
) -> Forecasts:
    """Forecasts of a study's held-out architectures.

    Args:
      key: of the draws; each architecture has one of its own.
      fitted: predicts the study's metric.
      study: whose held-out architectures are predicted.
      most: how many of them get bands.
      num_draws: of each.
    """
    data, rows = study.data, np.asarray(study.test)
    chosen = np.sort(study.shown(most))
    low, high = _bands(key, fitted, data.features[chosen], num_draws)
    return Forecasts(
        epochs=np.asarray(data.epochs),
        rows=rows,
        true=np.asarray(data.curves[study.metric][rows]),
        predicted=held_out.predict(fitted.members, data.features[rows]),
        drawn=np.searchsorted(rows, chosen),
        low=low,
        high=high,
    )


def _bands(
    key: Key, fitted: CurveModel, features: np.ndarray, num_draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ends float32 `[D, L, T]`, lower and upper."""
    tails = [(1 - level) / 2 for level in LEVELS]
    shares = jnp.array([*tails, *(1 - tail for tail in tails)])

    def one(key_draw: Key, own: Array) -> Array:
        keys = jax.random.split(key_draw, num_draws)
        curves = jax.vmap(fitted.sample, (0, None))(keys, own)
        return jnp.quantile(curves, shares, axis=0)

    keys = jax.random.split(key, len(features))
    # One architecture at a time: all draws of all of them would not fit.
    ends = jax.jit(lambda k, x: jax.lax.map(lambda pair: one(*pair), (k, x)))(
        keys, jnp.asarray(features)
    )
    low, high = np.split(np.asarray(ends), 2, axis=1)
    return low, high
