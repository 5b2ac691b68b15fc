"""A surrogate's predictions of held-out architectures: a scatter, and fans."""

import numpy as np

from nasjax.core import metrics
from nasjax.experiments.forecasts import LEVELS, Forecasts
from nasjax.report import forecasts as drawings
from nasjax.report.plot import Plot, stack

PANELS = 6


def scatter_plot(found: Forecasts, *, metric: str, surrogate: str) -> Plot:
    """Predicted against measured values of the last epoch.

    Args:
      found: of one surrogate.
      metric: such as `valid_accuracy`, drawn in percent where it is an accuracy.
      surrogate: its name.

    Raises:
      DataError: no architecture has a measured last value.
    """
    scale, label = unit_of(metric)
    true, predicted = scale * found.true[:, -1], scale * found.predicted[:, -1]
    known = np.isfinite(true) & np.isfinite(predicted)
    note = ""
    if known.any():
        tau = metrics.kendall_tau(true[known], predicted[known])
        fit = metrics.r2(true[known], predicted[known])
        note = f"Kendall's tau {tau:.3f}\nR² {fit:.3f}"
    figure = drawings.scatter_figure(true, predicted, label=label, note=note)
    epoch = int(found.epochs[-1])
    caption = (
        f"{surrogate} on {known.sum():,} architectures that it was not fitted to: "
        f"{label} after epoch {epoch}, without noise. On the dashed line predictions "
        "are right."
    )
    columns = {
        "row": found.rows[known],
        "measured": true[known],
        "predicted": predicted[known],
    }
    return Plot("surrogate_scatter", figure, caption, columns)


def fan_plot(found: Forecasts, *, metric: str, surrogate: str) -> Plot:
    """Measured curves in the bands of the surrogate's draws.

    Args:
      found: of one surrogate.
      metric: as in `scatter_plot`.
      surrogate: its name.
    """
    scale, label = unit_of(metric)
    chosen = np.unique(np.linspace(0, len(found.drawn) - 1, PANELS).round().astype(int))
    ends = found.true[found.drawn, -1]
    order = np.argsort(np.where(np.isfinite(ends), ends, -np.inf), kind="stable")
    fans, parts = [], []
    for place in order[chosen].tolist():
        row = int(found.rows[found.drawn[place]])
        fan = drawings.Fan(
            title=f"architecture {row}",
            epochs=found.epochs,
            true=scale * found.true[found.drawn[place]],
            predicted=scale * found.predicted[found.drawn[place]],
            low=scale * found.low[place],
            high=scale * found.high[place],
        )
        fans.append(fan)
        bands = {
            f"{end} {100 * level:.0f} %": values[i]
            for i, level in enumerate(LEVELS)
            for end, values in (("low", fan.low), ("high", fan.high))
        }
        own = {"epoch": fan.epochs, "measured": fan.true, "predicted": fan.predicted}
        parts.append({"row": row} | own | bands)
    figure = drawings.fan_figure(fans, levels=LEVELS, label=label)
    inside = ", ".join(
        f"{100 * found.coverage(level):.0f} % in the {100 * level:.0f} % band"
        for level in sorted(LEVELS)
    )
    caption = (
        f"Measured and predicted curves of {len(fans)} held-out architectures, from "
        f"the lowest to the highest end, with bands of {surrogate}'s draws. Of the "
        f"measured values of {len(found.drawn):,} held-out architectures {inside}."
    )
    return Plot("surrogate_fans", figure, caption, stack(parts))


def unit_of(metric: str) -> tuple[float, str]:
    """What a metric is multiplied with, and what its axis is called."""
    words = metric.replace("valid", "validation").replace("_", " ")
    if metric.endswith("accuracy"):
        return 100.0, f"{words} (%)"
    return 1.0, f"{words} (nats)" if metric.endswith("loss") else words
