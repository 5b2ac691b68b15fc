"""Figures of surrogate benchmarks (Yan, 2022, figures 5.1, 5.3, 5.6 and 5.7)."""

import math
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasjax.report import canvas

_TRUE, _PREDICTED, _NOISY, _BAND = (*canvas.PALETTE[:3], "#C9D9EA")


class Panel(NamedTuple):
    """One architecture of figure 5.1.

    Attributes:
      title: printed above.
      epochs: `[T]`, of the horizontal axis.
      true: `[T]`, a real training.
      predicted: `[T]`, the surrogate without noise.
      noisy: `[T]`, the surrogate with noise.
      low: `[T]`, lower end of the central 90 % of noisy curves.
      high: `[T]`, upper end.
    """

    title: str
    epochs: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    noisy: np.ndarray
    low: np.ndarray
    high: np.ndarray


def draw_predictions(
    panels: Sequence[Panel], label: str, path: str | os.PathLike[str]
) -> list[pathlib.Path]:
    """True and predicted curves with and without noise (figures 5.1 and 5.7).

    Args:
      panels: one for each architecture.
      label: of the vertical axis.
      path: file to write; the suffix is replaced.

    Returns:
      The files written, one for each of `canvas.FORMATS`.
    """
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = _figure(3.2 * columns, 2.4 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        epochs = panel.epochs
        axes.fill_between(
            epochs, panel.low, panel.high, color=_BAND, label="90 % of the noise"
        )
        axes.plot(epochs, panel.true, color=_TRUE, linewidth=1.4, label="true")
        axes.plot(
            epochs, panel.predicted, color=_PREDICTED, linewidth=1.4, label="predicted"
        )
        axes.plot(
            epochs, panel.noisy, color=_NOISY, linewidth=1.0, label="predicted, noisy"
        )
        _finish(axes, panel.title)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    figure.legend(
        *grid.flat[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        frameon=False,
    )
    return _save(figure, path)


def draw_rank_study(
    ranks: Sequence[int],
    singular_values: Sequence[float],
    train_error: Sequence[float],
    test_error: Sequence[float],
    curve: np.ndarray,
    reconstructions: dict[int, np.ndarray],
    path: str | os.PathLike[str],
    *,
    epochs: Sequence[int],
    label: str,
) -> list[pathlib.Path]:
    """How many components a curve needs (figure 5.3).

    Args:
      ranks: K numbers of components.
      singular_values: the K-th singular values.
      train_error: mean squared error of reconstructed training curves, by rank.
      test_error: of test curves against their means over seeds, by rank.
      curve: `[T]`, one training.
      reconstructions: by rank, what is left of `curve`, `[T]`.
      path: as in `draw_predictions`.
      epochs: `[T]`, of the horizontal axis.
      label: what the curve is.
    """
    return _save(
        rank_study_figure(
            ranks,
            singular_values,
            train_error,
            test_error,
            curve,
            reconstructions,
            epochs=epochs,
            label=label,
        ),
        path,
    )


def rank_study_figure(
    ranks: Sequence[int],
    singular_values: Sequence[float],
    train_error: Sequence[float],
    test_error: Sequence[float],
    curve: np.ndarray,
    reconstructions: dict[int, np.ndarray],
    *,
    epochs: Sequence[int],
    label: str,
) -> Figure:
    """The figure of `draw_rank_study`, not yet written."""
    figure = _figure(9.6, 2.9)
    left, middle, right = figure.subplots(1, 3)
    left.semilogy(ranks, singular_values, "o-", color=_TRUE, markersize=3)
    left.set(xlabel="component", ylabel="singular value")
    middle.semilogy(ranks, train_error, "o--", color=_TRUE, markersize=3, label="train")
    middle.semilogy(
        ranks, test_error, "o-", color=_PREDICTED, markersize=3, label="test"
    )
    middle.set(xlabel="components kept", ylabel="mean squared error")
    middle.legend(fontsize=8, frameon=False)
    right.plot(epochs, curve, color="#999999", linewidth=1.2, label="training")
    for color, (rank, values) in zip(
        canvas.PALETTE, reconstructions.items(), strict=False
    ):
        right.plot(epochs, values, color=color, linewidth=1.2, label=f"k = {rank}")
    right.set(xlabel="epoch", ylabel=label)
    right.legend(fontsize=8, frameon=False)
    for axes in (left, middle):
        canvas.plain_log_ticks(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes, title in (
        (left, "decomposition"),
        (middle, "reconstruction"),
        (right, "one curve"),
    ):
        _finish(axes, title)
    return figure


def draw_residuals(
    residuals: np.ndarray,
    autocorrelation: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    path: str | os.PathLike[str],
    *,
    epochs: Sequence[int],
) -> list[pathlib.Path]:
    """What the compression leaves over (figure 5.6).

    Args:
      residuals: `[N, T]`, real minus reconstructed curves.
      autocorrelation: `[L + 1]`, averaged over curves, by lag.
      low: `[T]`, lower end of the central 90 % at each epoch.
      high: `[T]`, upper end.
      path: as in `draw_predictions`.
      epochs: `[T]`, of the horizontal axis.
    """
    return _save(
        residuals_figure(residuals, autocorrelation, low, high, epochs=epochs), path
    )


def residuals_figure(
    residuals: np.ndarray,
    autocorrelation: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    epochs: Sequence[int],
) -> Figure:
    """The figure of `draw_residuals`, not yet written."""
    figure = _figure(9.6, 2.9)
    left, middle, right = figure.subplots(1, 3)
    length = residuals.shape[1]
    width = float(np.quantile(np.abs(residuals), 0.995)) or 1.0
    bins = np.linspace(-width, width, 61).tolist()
    chosen = np.unique(np.linspace(0, length - 1, 5).round().astype(int))
    shown = residuals[:, chosen]
    beyond = int(np.sum(np.abs(shown) > width))
    for color, epoch in zip(canvas.PALETTE, chosen, strict=False):
        left.hist(
            residuals[:, epoch],
            bins=bins,
            density=True,
            histtype="step",
            color=color,
            label=f"epoch {epochs[epoch]}",
        )
    left.set(xlabel="residual", ylabel="density")
    if beyond:
        canvas.note(left, f"{beyond} of {shown.size} values lie beyond the axis")
    left.legend(fontsize=7, frameon=False)
    lags = np.arange(len(autocorrelation))
    middle.bar(lags, autocorrelation, color=_TRUE)
    middle.axhline(0, color="black", linewidth=0.6)
    middle.set(xlabel="lag", ylabel="autocorrelation")
    right.fill_between(epochs, low, high, color=_BAND)
    right.axhline(0, color="black", linewidth=0.6)
    right.set(xlabel="epoch", ylabel="residual")
    for axes, title in (
        (left, "residuals"),
        (middle, "within a curve"),
        (right, "90 % interval"),
    ):
        _finish(axes, title)
    return figure


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _save(figure: Figure, path: str | os.PathLike[str]) -> list[pathlib.Path]:
    path = pathlib.Path(path)
    return [
        canvas.save(figure, path.with_suffix(f".{kind}")) for kind in canvas.FORMATS
    ]
