"""Mean ranks of algorithms over data sets, those that are not separated joined.

The critical-difference diagram of Demsar (2006), "Statistical comparisons of
classifiers over multiple data sets", figure 1.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasjax.core.errors import DataError
from nasjax.report import canvas

_ROW = 0.24
"""Inches between two names."""
_BAR = 0.13
"""Inches between two bars."""


def rank_figure(
    names: Sequence[str], ranks: np.ndarray, critical_difference: float
) -> Figure:
    """The diagram as a figure that is not yet written; the best rank is at the left.

    Args:
      names: of the A algorithms.
      ranks: `[A]`, mean ranks, 1 is best.
      critical_difference: means closer than that are joined by a bar.

    Raises:
      DataError: there are fewer than two algorithms.
    """
    count = len(names)
    if count < 2:
        raise DataError("ranks: at least two algorithms can be compared")
    order = np.argsort(ranks, kind="stable")
    sorted_ranks = np.asarray(ranks, np.float64)[order]
    bars = cliques(sorted_ranks, critical_difference)
    half = (count + 1) // 2
    below = 0.25 + _BAR * len(bars)
    height = 0.75 + below + _ROW * half
    figure = Figure(figsize=(7.6, height), facecolor="white")
    low, high = 1.0, float(count)
    pad = 0.45 * (high - low)  # for the names
    axes = figure.add_axes((0, 0, 1, 1), xlim=(low - pad, high + pad))
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    line = 0.7
    axes.plot([low, high], [line, line], color="black", linewidth=1)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [line - 0.06, line], color="black", linewidth=1)
        axes.text(tick, line - 0.1, str(tick), ha="center", va="bottom", size=8)
    _draw_difference(axes, low, high, critical_difference)
    for number, (first, last) in enumerate(bars):
        y = line + 0.14 + _BAR * number
        ends = [sorted_ranks[first] - 0.03, sorted_ranks[last] + 0.03]
        axes.plot(ends, [y, y], color="#333333", linewidth=3.5, solid_capstyle="round")
    for place, index in enumerate(order.tolist()):
        is_left = place < half
        row = place if is_left else count - 1 - place
        y = line + below + _ROW * row
        end = low - 0.02 * pad if is_left else high + 0.02 * pad
        color = canvas.PALETTE[place % len(canvas.PALETTE)]
        at = sorted_ranks[place]
        axes.plot([at, at, end], [line, y, y], color=color, linewidth=1.2)
        text = f"{names[index]} ({at:.2f})"
        align = "right" if is_left else "left"
        axes.text(end, y, text, ha=align, va="center", size=8, parse_math=False)
    return figure


def cliques(ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """First and last place of each largest group that is not separated.

    Args:
      ranks: `[A]`, in increasing order.
      difference: ranks at most that far apart are one group.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _draw_difference(axes: Axes, low: float, high: float, difference: float) -> None:
    """The ruler above the axis; a difference beyond it is told only."""
    y, text = 0.28, f"critical difference {difference:.2f}"
    end = low + difference
    if end > high:
        axes.text(low, y, f"{text}: longer than the axis", size=8, va="center")
        return
    axes.plot([low, end], [y, y], color="black", linewidth=1.2)
    for x in (low, end):
        axes.plot([x, x], [y - 0.05, y + 0.05], color="black", linewidth=1.2)
    axes.text(end + 0.02 * (high - low), y, text, size=8, va="center")
