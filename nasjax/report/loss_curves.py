"""Training losses by epoch, one line for each of several trainings."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasjax.core.errors import DataError
from nasjax.report import canvas, search_curves


def loss_figure(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]], *, label: str
) -> Figure:
    """Losses on a logarithmic axis where all are positive.

    Args:
      lines: by name epochs and losses, each `[T]`.
      label: of the vertical axis, with its unit.

    Raises:
      DataError: there is no line.
    """
    if not lines:
        raise DataError("losses: there is no training to draw")
    figure = Figure(figsize=(6.4, 3.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for (name, (epochs, losses)), look in zip(
        lines.items(), search_curves.looks(), strict=False
    ):
        marker = "o" if len(epochs) <= 40 else ""
        axes.plot(
            *(epochs, losses), label=name, linewidth=1.5, marker=marker, ms=3, **look
        )
    axes.set(xlabel="epoch", ylabel=label)
    if min(float(np.min(losses)) for _, losses in lines.values()) > 0:
        axes.set_yscale("log")
        canvas.plain_log_ticks(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    for text in axes.legend(fontsize=8, frameon=False).get_texts():
        text.set_parse_math(False)  # names are a user's own
    return figure
