"""Training curves of one run, its stages shaded (Yan, 2022, figure 2.3)."""

import itertools
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasjax.core.errors import DataError
from nasjax.report import canvas

_LABELS = {
    "supernet": "supernet training",
    "masking": "hierarchical masking",
    "finetune": "fine-tuning",
}
_SHADES = ("#E3EDF7", "#FBE9D2", "#DFF1E5", "#F1E4F1")


class Stage(NamedTuple):
    """One stage of a run.

    Attributes:
      name: its name in the log.
      start: epoch of the run at which it begins.
      end: epoch of the run at which it ends.
      test: (epoch, error) points; errors in [0, 1].
      train: (epoch, error) points; errors in [0, 1].
      recalibrated: test error in [0, 1] after the stage, with BN statistics estimated
        afresh; None where they were not.
    """

    name: str
    start: float
    end: float
    test: list[tuple[float, float]]
    train: list[tuple[float, float]]
    recalibrated: float | None = None


def draw_curves(
    rows: Iterable[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    recalibrated: Mapping[str, float] | None = None,
) -> list[pathlib.Path]:
    """Draws test error (solid) and train error (dashed) over the epochs of a run.

    Args:
      rows: rows of `metrics.jsonl`; each names its `stage` and `epoch`, and
        `test_accuracy` and `train_accuracy` in [0, 1] where they were measured.
      path: file to write; the suffix is replaced.
      title: printed above the curves.
      recalibrated: test accuracy in [0, 1] of a stage whose BN statistics were
        estimated afresh at its end; a diamond there, and a number in the legend.

    Returns:
      The files written, one for each of `canvas.FORMATS`.

    Raises:
      DataError: no row holds an accuracy.
    """
    stages = with_recalibrated(read_stages(rows), recalibrated or {})
    figure = curves_figure(stages, title=title)
    path = pathlib.Path(path)
    return [
        canvas.save(figure, path.with_suffix(f".{kind}")) for kind in canvas.FORMATS
    ]


def read_stages(rows: Iterable[Mapping[str, Any]]) -> list[Stage]:
    """Sorts log rows into stages on one axis of epochs.

    A stage whose epochs do not begin after the end of the stage before counts its
    own epochs and is moved behind that end. Rows of the same stage and step are one;
    where both hold a value, as after an interruption, the later counts.

    Raises:
      DataError: no row holds an accuracy.
    """
    logs: dict[str, dict[Any, dict[str, Any]]] = {}
    for number, row in enumerate(rows):
        if _number(row, "epoch") is not None:
            log = logs.setdefault(str(row.get("stage", "training")), {})
            measured = {key: item for key, item in row.items() if item is not None}
            log.setdefault(row.get("step", f"row {number}"), {}).update(measured)
    stages: list[Stage] = []
    for name, log in logs.items():
        start = stages[-1].end if stages else 0.0
        epochs = [float(row["epoch"]) for row in log.values()]
        shift = start if min(epochs) <= start else 0.0
        points = [
            sorted(
                (epoch + shift, 1.0 - accuracy)
                for epoch, row in zip(epochs, log.values(), strict=True)
                if (accuracy := _number(row, key)) is not None
            )
            for key in ("test_accuracy", "train_accuracy")
        ]
        stages.append(Stage(name, start, max(epochs) + shift, points[0], points[1]))
    if not any(stage.test or stage.train for stage in stages):
        raise DataError(
            "training curves: no row has an 'epoch' and a 'test_accuracy' or "
            "'train_accuracy'; let the run log at least one epoch"
        )
    return stages


def with_recalibrated(
    stages: Iterable[Stage], accuracy: Mapping[str, float]
) -> list[Stage]:
    """Stages with the test accuracy that some have once BN statistics are fresh."""
    return [
        s._replace(recalibrated=1.0 - accuracy[s.name]) if s.name in accuracy else s
        for s in stages
    ]


def curves_figure(stages: list[Stage], *, title: str = "") -> Figure:
    """The curves as a figure that is not yet written."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    few = sum(len(stage.test) + len(stage.train) for stage in stages) <= 120
    for stage, shade in zip(stages, itertools.cycle(_SHADES), strict=False):
        axes.axvspan(
            stage.start, stage.end, color=shade, zorder=0, label=_stage_label(stage)
        )
        _draw_errors(axes, stage.train, "train error", "--", few)
        _draw_errors(axes, stage.test, "test error", "-", few)
        _draw_recalibrated(axes, stage)
    axes.set_xlim(stages[0].start, max(stages[-1].end, stages[0].start + 1e-6))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="epoch", ylabel="error (%)")
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    curves = ("test error", "test error, BN statistics recalibrated", "train error")
    order = [name for name in curves if name in unique]
    order += [name for name in unique if name not in curves]
    axes.legend(
        [unique[name] for name in order],
        order,
        fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),  # below, where no point is
        ncols=2,
        frameon=False,
    )
    return figure


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _stage_label(stage: Stage) -> str:
    """Name of a stage and its last test errors, which a flat line hides."""
    facts = []
    if stage.test:
        facts.append(f"ends at {100 * stage.test[-1][1]:.2f} %")
    if stage.recalibrated is not None:
        facts.append(f"{100 * stage.recalibrated:.2f} % recalibrated")
    name = _LABELS.get(stage.name, stage.name)
    return f"{name} ({', '.join(facts)})" if facts else name


def _draw_recalibrated(axes: Axes, stage: Stage) -> None:
    if stage.recalibrated is not None:
        axes.plot(
            [stage.end],
            [100 * stage.recalibrated],
            "D",
            color=canvas.PALETTE[1],
            markersize=4.5,
            label="test error, BN statistics recalibrated",
            clip_on=False,  # the last one stands on the edge
        )


def _draw_errors(
    axes: Axes, points: list[tuple[float, float]], label: str, dashes: str, few: bool
) -> None:
    if points:
        epochs, errors = zip(*points, strict=True)
        axes.plot(
            epochs,
            [100 * error for error in errors],
            dashes,
            color=canvas.PALETTE[0],
            linewidth=1.7 if dashes == "-" else 1.1,
            marker="o" if few else "",
            markersize=2.5,
            label=label,
            clip_on=False,
        )
