"""How fast searches get better: regret by query and by time, and its final spread.

Yan, 2022, figures 3.6, 4.3 and 5.4: means over independent trials.
"""

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from nasjax.core import statistics
from nasjax.core.errors import DataError
from nasjax.report import canvas

_DASHES = ("-", "--", ":", "-.")
_COLUMNS = 4
_DEEPEST = 5.0
"""Times a band may reach below the lowest mean and be shown on a logarithmic axis."""
_LOGARITHMIC = 3.0
"""Times the lowest mean: up to there a linear axis shows as much, with better ticks."""


class Band(NamedTuple):
    """Mean regret of one algorithm and its confidence band.

    Attributes:
      x: float `[K]`, queries or seconds, increasing.
      mean: float `[K]`, >= 0.
      low: float `[K]`.
      high: float `[K]`.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


Bands = Mapping[str, Band]
"""By the name of the algorithm, in the order of the legend."""


def draw_regret(
    panels: Mapping[str, Bands],
    path: str | os.PathLike[str],
    *,
    label: str,
    unit: str = "%",
    title: str = "",
) -> list[pathlib.Path]:
    """Draws mean regret with its band, one panel for each kind of regret.

    Args:
      panels: curves by the name of their vertical axis, such as "test regret".
      path: file to write; the suffix is replaced.
      label: of the horizontal axis, such as "queries".
      unit: `"%"` multiplies regrets by 100.
      title: printed above the first panel.

    Returns:
      The files written, one for each of `canvas.FORMATS`.

    Raises:
      DataError: there is no curve.
    """
    figure = regret_figure(panels, label=label, unit=unit, title=title)
    return _save(figure, path)


def regret_figure(
    panels: Mapping[str, Bands], *, label: str, unit: str = "%", title: str = ""
) -> Figure:
    """The curves as a figure that is not yet written."""
    figure, grid = _grid(panels)
    scale = 100.0 if unit == "%" else 1.0
    for axes, (name, bands) in zip(grid, panels.items(), strict=True):
        for (algorithm, band), look in zip(bands.items(), looks(), strict=False):
            axes.fill_between(
                band.x,
                scale * band.low,
                scale * band.high,
                color=look["color"],
                alpha=0.18,
                linewidth=0,
            )
            axes.plot(band.x, scale * band.mean, label=algorithm, linewidth=1.5, **look)
        _use_logarithms(axes, list(bands.values()), scale)
        axes.set(xlabel=label, ylabel=f"{name} ({unit})")
        _finish(axes)
    _finish_figure(figure, grid, title)
    return figure


def leave_axis(figure: Figure, panels: Mapping[str, Bands], unit: str) -> bool:
    """Whether a band of `regret_figure` goes on below its logarithmic axis."""
    scale = 100.0 if unit == "%" else 1.0
    return any(
        axes.get_yscale() == "log" and scale * band.low.min() < axes.get_ylim()[0]
        for axes, bands in zip(figure.axes, panels.values(), strict=True)
        for band in bands.values()
    )


def draw_ecdf(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    path: str | os.PathLike[str],
    *,
    unit: str = "%",
    title: str = "",
) -> list[pathlib.Path]:
    """Draws which share of the trials ends within a regret (figure 3.6, right).

    Args:
      panels: final regrets `[R]` of each algorithm, by the name of the regret.
      path: file to write; the suffix is replaced.
      unit: as in `draw_regret`.
      title: as in `draw_regret`.

    Returns:
      The files written, one for each of `canvas.FORMATS`.

    Raises:
      DataError: there is no regret.
    """
    return _save(ecdf_figure(panels, unit=unit, title=title), path)


def ecdf_figure(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    *,
    unit: str = "%",
    title: str = "",
) -> Figure:
    """The distributions as a figure that is not yet written."""
    figure, grid = _grid(panels)
    scale = 100.0 if unit == "%" else 1.0
    for axes, (name, finals) in zip(grid, panels.items(), strict=True):
        last = scale * max(float(values.max()) for values in finals.values())
        for (algorithm, values), look in zip(finals.items(), looks(), strict=False):
            points, shares = statistics.ecdf(scale * values)
            # From 0 on, and to the right end at 1.
            x = np.concatenate([[min(0.0, points[0]), points[0]], points[1:], [last]])
            y = np.concatenate([[0.0], shares, [1.0]])
            axes.step(x, y, where="post", label=algorithm, linewidth=1.5, **look)
        axes.set(xlabel=f"final {name} ({unit})", ylabel="share of the trials")
        axes.set_ylim(0, 1.02)
        axes.set_xlim(left=0)
        _finish(axes)
    _finish_figure(figure, grid, title)
    return figure


def legend(name: str, num_trials: int, num_embeddings: int = 0) -> str:
    """An entry of the legend: a name for readers, and how many trials it is of."""
    words = [_WORDS.get(word, word) for word in name.split("_")]
    trials = f"{num_trials} trial{'s' if num_trials != 1 else ''}"
    of = f", {num_embeddings} embeddings" if num_embeddings > 1 else ""
    return f"{' '.join(words)} ({trials}{of})"


_WORDS = {
    "bananas": "BANANAS",
    "bo": "BO",
    "bohamiann": "BOHAMIANN",
    "dngo": "DNGO",
    "gcn": "GCN",
    "gp": "GP",
    "reinforce": "REINFORCE",
    "rl": "RL",
}
"""Words of names that readers write otherwise."""


def looks() -> Iterator[dict[str, Any]]:
    """Colour and dashes of each algorithm: no two of the first 32 are the same."""
    for dashes in _DASHES:
        for color in canvas.PALETTE:
            yield {"color": color, "linestyle": dashes}


def _use_logarithms(axes: Axes, bands: list[Band], scale: float) -> None:
    """Logarithmic axes where that shows more: long runs, regrets above zero."""
    if max(band.x[-1] for band in bands) >= 10 * min(band.x[0] for band in bands):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        # Decades are enough: labels between them take half the time of a figure.
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif all((np.asarray(band.x) % 1 == 0).all() for band in bands):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lowest = min((_lowest(band.mean) for band in bands), default=np.inf)
    highest = max(float(band.mean.max()) for band in bands)
    if highest >= _LOGARITHMIC * lowest:
        # A mean of 0 (all trials at the optimum) leaves the axes at the bottom.
        axes.set_yscale("log", nonpositive="clip")
        # Bands are shown whole, unless one of few trials would flatten all curves.
        ends = max(min(_lowest(band.low) for band in bands), lowest / _DEEPEST)
        axes.set_ylim(bottom=scale * min(0.7 * lowest, 0.95 * ends))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        wide = axes.get_ylim()[1] >= 10 * axes.get_ylim()[0]
        axes.yaxis.set_minor_formatter(NullFormatter() if wide else FuncFormatter(_few))


def _plain(value: float, _: int | None) -> str:
    """A tick as people write it: 70 or 0.3, not 7 x 10^1; very long ones shortened."""
    return f"{value:g}" if value < 1e5 else f"{value:.0e}".replace("e+0", "e")


def _few(value: float, _: int | None) -> str:
    """Labels of minor ticks within a decade: 1, 2, 3 and 5 of it."""
    leading = round(value / 10 ** np.floor(np.log10(value)))
    return _plain(value, None) if leading in (2, 3, 5, 7) else ""


def _lowest(values: np.ndarray) -> float:
    """The least positive value, infinity where there is none."""
    positive = values[values > 0]
    return float(positive.min()) if len(positive) else np.inf


def _grid(panels: Mapping[str, Mapping[str, object]]) -> tuple[Figure, list[Axes]]:
    if not panels or not all(panels.values()):
        raise DataError("search curves: no algorithm has a regret to draw")
    width = 4.6 * len(panels) + 0.6
    figure = Figure(figsize=(width, 4.0), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(1, len(panels), squeeze=False).flat)


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)


def _finish_figure(figure: Figure, grid: list[Axes], title: str) -> None:
    grid[0].set_title(title, loc="left", fontsize=10, parse_math=False)
    # A panel may lack an algorithm; the legend has all.
    entries = {}
    for axes in grid:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(dict(zip(labels, handles, strict=True)))
    legend = figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=min(_COLUMNS, len(entries)),
        fontsize=8,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are a user's own


def _save(figure: Figure, path: str | os.PathLike[str]) -> list[pathlib.Path]:
    path = pathlib.Path(path)
    return [
        canvas.save(figure, path.with_suffix(f".{kind}")) for kind in canvas.FORMATS
    ]
