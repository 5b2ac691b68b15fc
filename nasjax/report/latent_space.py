"""What a latent space of architectures looks like (Yan, 2022, figures 3.2 to 3.4)."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasjax.core.errors import DataError
from nasjax.report import canvas

_LOWEST, _HIGHEST = "black", "red"
_PERPLEXITY = 30
_MOST_COLUMNS = 4
"""Panels side by side."""


class Prediction(NamedTuple):
    """Accuracies of K architectures, in [0, 1].

    Attributes:
      true: `[K]`.
      predicted: `[K]`.
      note: printed in the corner, such as the error.
    """

    true: np.ndarray
    predicted: np.ndarray
    note: str = ""


class Map(NamedTuple):
    """K architectures on a plane.

    Attributes:
      points: `[K, 2]`.
      accuracy: `[K]`, in [0, 1].
    """

    points: np.ndarray
    accuracy: np.ndarray


def draw_predictions(
    panels: Mapping[str, Prediction], path: str | os.PathLike[str], *, title: str = ""
) -> list[pathlib.Path]:
    """Draws predicted against true accuracy (figure 3.2), in percent.

    All panels have the same axes, from the worst to the best true accuracy; how many
    predictions lie outside is said in the panel.

    Args:
      panels: by the name of the representation.
      path: file to write; the suffix is replaced.
      title: printed above the figure.

    Returns:
      The files written, one for each of `canvas.FORMATS`.

    Raises:
      DataError: there is no architecture.
    """
    return _save(predictions_figure(panels, title=title), path)


def predictions_figure(panels: Mapping[str, Prediction], *, title: str = "") -> Figure:
    """The scatter as a figure that is not yet written."""
    figure, grid = _grid(panels, [len(panel.true) for panel in panels.values()])
    truths = np.concatenate([panel.true for panel in panels.values()])
    ends = 100 * float(truths.min()), 100 * float(truths.max())
    for axes, (name, panel) in zip(grid, panels.items(), strict=True):
        axes.plot(ends, ends, color="#888888", linewidth=0.9, linestyle="--")
        axes.scatter(
            100 * np.asarray(panel.true),
            100 * np.asarray(panel.predicted),
            s=4,
            alpha=0.3,
            linewidths=0,
            color=canvas.PALETTE[0],
            rasterized=True,  # one mark each would make an SVG of many megabytes
        )
        margin = 0.03 * (ends[1] - ends[0]) or 1.0
        axes.set_xlim(ends[0] - margin, ends[1] + margin)
        axes.set_ylim(ends[0] - margin, ends[1] + margin)
        axes.set(xlabel="accuracy (%)", ylabel="predicted accuracy (%)")
        place: dict[str, Any] = {
            "transform": axes.transAxes,
            "va": "top",
            "fontsize": 8,
        }
        shown = 100 * np.asarray(panel.predicted)
        outside = np.sum((shown < ends[0] - margin) | (shown > ends[1] + margin))
        note = panel.note
        if outside:
            note += f"\n{outside:,} of {len(shown):,} predictions are outside"
        axes.text(0.03, 0.97, note.strip(), parse_math=False, **place)
        _finish(axes, name)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def draw_distances(
    panels: Mapping[str, Mapping[int, np.ndarray]],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> list[pathlib.Path]:
    """Draws L2 distances of pairs by their edit distance as boxes (figure 3.3).

    A box holds the middle half and the median, whiskers reach 1.5 times its height.

    Args:
      panels: by the name of the representation: L2 distances by edit distance.
      path: as in `draw_predictions`.
      title: as in `draw_predictions`.

    Returns:
      The files written.

    Raises:
      DataError: there is no pair.
    """
    return _save(distances_figure(panels, title=title), path)


def distances_figure(
    panels: Mapping[str, Mapping[int, np.ndarray]], *, title: str = ""
) -> Figure:
    """The boxes as a figure that is not yet written."""
    sizes = [sum(map(len, panel.values())) for panel in panels.values()]
    figure, grid = _grid(panels, sizes)
    colors = canvas.PALETTE
    for axes, (name, panel), color in zip(grid, panels.items(), colors, strict=False):
        edits = sorted(edit for edit, found in panel.items() if len(found))
        axes.boxplot(
            [np.asarray(panel[edit]) for edit in edits],
            positions=edits,
            widths=0.6,
            showfliers=False,
            manage_ticks=False,
            patch_artist=True,
            boxprops={"facecolor": "white", "edgecolor": color},
            medianprops={"color": color, "linewidth": 1.6},
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.set(xlabel="edit distance", ylabel="L2 distance")
        _finish(axes, name)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def draw_maps(
    panels: Mapping[str, Map],
    path: str | os.PathLike[str],
    *,
    limits: tuple[float, float] | None = (0.82, 0.92),
    bins: int = 60,
    title: str = "",
) -> list[pathlib.Path]:
    """Draws accuracy on the plane, averaged in small areas (figure 3.4).

    Areas above the limits are red, those below black, as in the thesis; areas without
    an architecture stay white.

    Args:
      panels: by the name of the representation.
      path: as in `draw_predictions`.
      limits: ends of the colours, in [0, 1]; None: the 5 % and 95 % quantile of what
        is drawn.
      bins: areas along each side.
      title: as in `draw_predictions`.

    Returns:
      The files written.

    Raises:
      DataError: there is no architecture.
    """
    return _save(maps_figure(panels, limits=limits, bins=bins, title=title), path)


def maps_figure(
    panels: Mapping[str, Map],
    *,
    limits: tuple[float, float] | None = (0.82, 0.92),
    bins: int = 60,
    title: str = "",
) -> Figure:
    """The maps as a figure that is not yet written."""
    figure, grid = _grid(panels, [len(panel.points) for panel in panels.values()])
    means = {name: average_in_areas(panel, bins) for name, panel in panels.items()}
    if limits is None:
        drawn = np.concatenate([mean[np.isfinite(mean)] for mean in means.values()])
        low, high = np.quantile(drawn, [0.05, 0.95]).tolist()
        limits = low, max(high, low + 1e-6)
    colors = matplotlib.colormaps["viridis"].with_extremes(
        bad="white", under=_LOWEST, over=_HIGHEST
    )
    scale = Normalize(100 * limits[0], 100 * limits[1])
    for axes, (name, mean) in zip(grid, means.items(), strict=True):
        axes.imshow(
            100 * mean.T,
            origin="lower",
            cmap=colors,
            norm=scale,
            interpolation="nearest",
            aspect="auto",
        )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(name, loc="left", fontsize=9, parse_math=False)
    bar = figure.colorbar(
        ScalarMappable(scale, colors), ax=grid, extend="both", fraction=0.05
    )
    bar.set_label("accuracy (%)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def average_in_areas(panel: Map, bins: int) -> np.ndarray:
    """Mean accuracy float64 `[bins, bins]` of the areas, NaN where there is no point.

    The first axis follows the first coordinate; the areas divide the points' own range.
    """
    x, y = np.asarray(panel.points, np.float64).T
    counts, *edges = np.histogram2d(x, y, bins=bins)
    sums, *_ = np.histogram2d(x, y, bins=edges, weights=np.asarray(panel.accuracy))
    empty = counts == 0
    return np.where(empty, np.nan, sums / np.where(empty, 1, counts))


def project(vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """float32 `[K, 2]`: t-SNE (van der Maaten and Hinton, 2008) of vectors `[K, D]`.

    Starts from the principal components; a seed gives the same map on one machine.

    Raises:
      DataError: there are fewer than four vectors, or one is not finite.
    """
    # scikit-learn takes a second to import; other figures do without it.
    from sklearn.manifold import TSNE

    vectors = np.asarray(vectors, np.float32)
    if len(vectors) < 4 or not np.isfinite(vectors).all():
        raise DataError(
            f"t-SNE of {len(vectors)} vectors: at least four, all finite, can be drawn"
        )
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    init = "pca" if vectors.shape[1] > 1 else "random"
    found = TSNE(perplexity=perplexity, init=init, random_state=seed, n_jobs=1)
    return np.asarray(found.fit_transform(vectors), np.float32)


def _grid(
    panels: Mapping[str, object], sizes: Sequence[int]
) -> tuple[Figure, list[Axes]]:
    if not panels or not all(sizes):
        raise DataError("latent space: a panel has no architecture to draw")
    rows = math.ceil(len(panels) / _MOST_COLUMNS)
    columns = math.ceil(len(panels) / rows)
    size = (4.0 * columns + 0.6, 3.8 * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[len(panels) :]:
        unused.remove()
    return figure, axes[: len(panels)]


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)


def _save(figure: Figure, path: str | os.PathLike[str]) -> list[pathlib.Path]:
    path = pathlib.Path(path)
    return [
        canvas.save(figure, path.with_suffix(f".{kind}")) for kind in canvas.FORMATS
    ]
