"""What a surrogate of learning curves foretells: a scatter and fans of its noise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasjax.core.errors import DataError
from nasjax.report import canvas

_MOST_MARKS = 1500
"""More are drawn as pixels: one mark each would make an SVG of megabytes."""
_SHADES = ("#DCE8F3", "#B3CEE5", "#86B0D5")


class Fan(NamedTuple):
    """One architecture.

    Attributes:
      title: printed above.
      epochs: `[T]`.
      true: `[T]`, a real training.
      predicted: `[T]`, the surrogate without noise.
      low: `[L, T]`, lower ends of the central bands, the widest first.
      high: `[L, T]`, upper ends.
    """

    title: str
    epochs: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray


def scatter_figure(
    true: np.ndarray, predicted: np.ndarray, *, label: str, note: str = ""
) -> Figure:
    """Predicted against measured values `[K]` on equal axes, nothing cut off.

    Args:
      true: measured.
      predicted: by the surrogate.
      label: of what, with its unit.
      note: printed in the corner, such as the correlation.

    Raises:
      DataError: there is no finite value.
    """
    known = np.isfinite(true) & np.isfinite(predicted)
    if not known.any():
        raise DataError("scatter: no architecture has a measured and a predicted value")
    true, predicted = np.asarray(true)[known], np.asarray(predicted)[known]
    figure = Figure(figsize=(4.6, 4.3), layout="constrained", facecolor="white")
    axes = figure.subplots()
    low = float(min(true.min(), predicted.min()))
    high = float(max(true.max(), predicted.max()))
    margin = 0.04 * (high - low) or 1.0
    ends = low - margin, high + margin
    axes.plot(ends, ends, color="#888888", linewidth=0.9, linestyle="--")
    axes.scatter(
        true,
        predicted,
        s=9,
        alpha=0.45,
        linewidths=0,
        color=canvas.PALETTE[0],
        rasterized=len(true) > _MOST_MARKS,
    )
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set(xlabel=f"measured {label}", ylabel=f"predicted {label}")
    axes.text(
        *(0.03, 0.97, note),
        transform=axes.transAxes,
        va="top",
        fontsize=8,
        parse_math=False,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    return figure


def fan_figure(fans: Sequence[Fan], *, levels: Sequence[float], label: str) -> Figure:
    """True and predicted curves, and nested bands of the surrogate's draws.

    Args:
      fans: one for each panel.
      levels: shares of the draws inside the bands, the widest first, such as .95.
      label: of the vertical axis, with its unit.

    Raises:
      DataError: there is no architecture.
    """
    if not fans:
        raise DataError("fans: there is no architecture to draw")
    columns = min(3, len(fans))
    rows = math.ceil(len(fans) / columns)
    figure = Figure(
        figsize=(3.2 * columns, 2.4 * rows + 0.4),
        layout="constrained",
        facecolor="white",
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, fan in zip(grid.flat, fans, strict=False):
        for shade, level, low, high in zip(
            _SHADES, levels, fan.low, fan.high, strict=False
        ):
            axes.fill_between(
                *(fan.epochs, low, high),
                color=shade,
                linewidth=0,
                label=f"{100 * level:.0f} % of draws",
            )
        look = {"linewidth": 1.5}
        axes.plot(
            *(fan.epochs, fan.predicted, "--"),
            color=canvas.PALETTE[0],
            label="predicted",
            **look,
        )
        axes.plot(
            fan.epochs, fan.true, color=canvas.PALETTE[1], label="measured", **look
        )
        axes.set_title(fan.title, loc="left", fontsize=9, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in list(grid.flat)[len(fans) :]:
        axes.set_visible(False)
    for number, axes in enumerate(list(grid.flat)[: len(fans)]):
        if number + columns >= len(fans):
            axes.set_xlabel("epoch")
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    figure.legend(
        *grid.flat[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        fontsize=8,
        frameon=False,
    )
    return figure
