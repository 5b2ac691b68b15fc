"""Curves of trainings: a supernet's stages, single architectures, pre-training."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nasjax.core.errors import DataError
from nasjax.report import cells, curves, genotypes, learning_curves, loss_curves
from nasjax.report.plot import Plot, stack

_PARTS = ("train", "valid", "test")


def supernet_plot(
    rows: Iterable[Mapping[str, Any]],
    *,
    recalibrated: Mapping[str, float] | None = None,
) -> Plot:
    """Errors over the epochs of all stages of HM-NAS.

    Args:
      rows: of `metrics.jsonl`.
      recalibrated: test accuracy of a stage after its BN statistics were estimated
        afresh.

    Raises:
      DataError: no row holds an accuracy.
    """
    stages = curves.with_recalibrated(curves.read_stages(rows), recalibrated or {})
    parts = [
        {
            "stage": stage.name,
            "split": split,
            "epoch": np.array([epoch for epoch, _ in points]),
            "error": np.array([100 * error for _, error in points]),
        }
        for stage in stages
        for split, points in (("train", stage.train), ("test", stage.test))
        if points
    ]
    caption = (
        "Error over the epochs of one run, its stages shaded: solid on the test "
        "images, dashed on the training images."
    )
    return Plot("curves", curves.curves_figure(stages), caption, stack(parts))


def learning_curve_plot(metrics: Mapping[str, np.ndarray], *, title: str) -> Plot:
    """Every training of single architectures, the best one in colour.

    Args:
      metrics: `[A, T]` by name, as `train_accuracy` in [0, 1] or `valid_loss`.
      title: what was trained.

    Raises:
      DataError: there is nothing to draw.
    """
    figure = learning_curves.learning_curves_figure(metrics, title=title)
    parts = [
        {
            "training": number,
            "metric": name,
            "epoch": np.arange(1, len(curve) + 1),
            "value": np.asarray(curve, np.float64),
        }
        for name, values in metrics.items()
        for number, curve in enumerate(np.asarray(values))
    ]
    count = len(next(iter(metrics.values())))
    caption = (
        f"Learning curves of {count:,} training{'s' if count != 1 else ''}: {title}. "
        "The one with the best last validation value is blue."
    )
    return Plot("curves", figure, caption, stack(parts))


def pretraining_plot(rows: Iterable[Mapping[str, Any]]) -> Plot:
    """Training loss of encoders over epochs.

    Args:
      rows: of `metrics.jsonl`: `stage` is the variant; `epoch`, `train_loss`.

    Raises:
      DataError: no row holds a loss.
    """
    found: dict[str, dict[float, float]] = {}
    for row in rows:
        epoch, loss = row.get("epoch"), row.get("train_loss")
        if isinstance(epoch, int | float) and isinstance(loss, int | float):
            found.setdefault(str(row.get("stage", "")), {})[float(epoch)] = float(loss)
    if not found:
        raise DataError("pre-training: no row of the log has a loss")
    lines = {
        name: (np.array(list(points)), np.array(list(points.values())))
        for name, points in found.items()
    }
    figure = loss_curves.loss_figure(lines, label="loss of an architecture (nats)")
    parts = [
        {"variant": name, "epoch": epochs, "loss": losses}
        for name, (epochs, losses) in lines.items()
    ]
    caption = f"Loss on the training architectures by epoch: {', '.join(lines)}."
    return Plot("pretraining", figure, caption, stack(parts))


def cell_plot(name: str, cell: Mapping[str, Any]) -> Plot:
    """What is left of a cell after masking, edges as wide as their mixing weights.

    Args:
      name: of the cell.
      cell: of a genotype; see `report.cells.draw_cell`.

    Raises:
      DataError: the cell is malformed.
    """
    read = genotypes.read_cell(cell, name)
    parts = [
        {
            "source": edge.source,
            "target": edge.target,
            "edge weight": edge.weight,
            "operation": np.array([operation for operation, _ in edge.operations]),
            "operation weight": np.array([weight for _, weight in edge.operations]),
        }
        for edge in read.edges
    ]
    caption = (
        f"The {name} cell: {len(read.edges)} of {read.num_possible_edges} edges are "
        "left. Edges are as wide as their mixing weights, which stand at the corners "
        "with those of the operations."
    )
    figure = cells.cell_figure(read, title=f"{name} cell")
    safe = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    return Plot(f"cell_{safe}", figure, caption, stack(parts))
