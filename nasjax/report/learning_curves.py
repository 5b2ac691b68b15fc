"""Learning curves of many trainings in one figure."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasjax.core.errors import DataError
from nasjax.report import canvas

_PARTS = {"train": "training", "valid": "validation", "test": "test"}
_GREY = "#9AA5B1"


def draw_learning_curves(
    metrics: Mapping[str, np.ndarray],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> list[pathlib.Path]:
    """Draws every training, the one with the best end in colour.

    Args:
      metrics: `[A, T]` by name, NaN where not trained: `train_accuracy`,
        `valid_accuracy`, `test_accuracy` in [0, 1], drawn as errors in percent; else
        `train_loss`, ... in nats.
      path: file to write; the suffix is replaced.
      title: printed above.

    Returns:
      The files written, one for each of `canvas.FORMATS`.

    Raises:
      DataError: there is nothing to draw.
    """
    figure = learning_curves_figure(metrics, title=title)
    path = pathlib.Path(path)
    return [
        canvas.save(figure, path.with_suffix(f".{kind}")) for kind in canvas.FORMATS
    ]


def learning_curves_figure(
    metrics: Mapping[str, np.ndarray], *, title: str = ""
) -> Figure:
    """The figure, not yet written: one panel for each of train, valid and test."""
    panels = _panels(metrics)
    if not panels:
        raise DataError("learning curves: no training has a finite accuracy or loss")
    unit = "error (%)" if any("accuracy" in name for name in metrics) else "loss (nats)"
    figure = Figure(
        figsize=(3.2 * len(panels), 3.2), layout="constrained", facecolor="white"
    )
    best = _best(panels.get("valid", panels.get("test", next(iter(panels.values())))))
    for axes, (part, values) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        epochs = np.arange(1, values.shape[1] + 1)
        few = values.shape[1] <= 40
        marker = {"marker": "o" if few else "", "markersize": 2.5}
        axes.plot(epochs, values.T, color=_GREY, linewidth=0.8, alpha=0.6, **marker)
        axes.plot(
            epochs, values[best], color=canvas.PALETTE[0], linewidth=1.7, **marker
        )
        axes.set(xlabel="epoch", ylabel=unit)
        if np.nanmin(values) >= 0:
            axes.set_ylim(bottom=0)
        axes.set_title(_PARTS[part], loc="left", fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def _panels(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Errors in percent or losses, `[A, T]` by part, of parts that have any."""
    found = {}
    for part in _PARTS:
        if f"{part}_accuracy" in metrics:
            values = 100 * (1 - np.asarray(metrics[f"{part}_accuracy"]))
        elif f"{part}_loss" in metrics:
            values = np.asarray(metrics[f"{part}_loss"])
        else:
            continue
        if np.isfinite(values).any():
            found[part] = values
    return found


def _best(values: np.ndarray) -> int:
    """The training whose last finite value is the lowest."""
    ends = [row[np.isfinite(row)][-1:] for row in values]
    return int(np.argmin([end[0] if len(end) else np.inf for end in ends]))
