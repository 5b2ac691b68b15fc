"""Mean curves of searches as arrays, in the metric log and as figures."""

import pathlib
from collections.abc import Mapping

import numpy as np

from nasjax.core import arrays, metric_log
from nasjax.experiments import plots
from nasjax.experiments.search_scores import SPLITS, Optima, Scores

CURVES_FILE = "curves.safetensors"
_LOGGED = 50
"""Points of a mean curve in the metric log."""

Curves = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]
"""Of each algorithm, as `comparison.curves` returns them."""


def draw(
    folder: pathlib.Path,
    judged: Mapping[str, Scores],
    optima: Optima,
    *,
    title: str,
    unit: str,
    seconds: str,
    word: str = "regret",
    log: bool = True,
) -> None:
    """Writes `curves.safetensors`, rows of the metric log and `figures/`.

    Args:
      folder: working directory.
      judged: scores of each algorithm.
      optima: what regret is measured against.
      title: of the figures.
      unit: of regrets, `"%"` or `"nats"`.
      seconds: what the axis of time is called.
      word: what the difference to the optima is called.
      log: whether the metric log is written anew.
    """
    from nasjax.report import canvas  # here: it loads matplotlib

    found = plots.results_of_scores(
        judged, optima, title=title, unit=unit, word=word, seconds=seconds
    )
    tree = {
        name: {key.replace("/", "_"): band for key, band in curves.items()}
        | {"final": dict(found.finals[name])}
        for name, curves in found.curves.items()
        if curves
    }
    if tree:
        arrays.save(folder / CURVES_FILE, tree)
    if log:
        _log(folder, found.curves, word)
    drawn = []
    for axis in ("queries", "seconds"):
        if any(f"{axis}/{s}" in own for own in found.curves.values() for s in SPLITS):
            drawn.append(plots.regret_plot(found, axis))
    if any(np.isfinite(f).any() for own in found.finals.values() for f in own.values()):
        drawn.append(plots.ecdf_plot(found))
    for plot in drawn:
        for kind in canvas.FORMATS:
            canvas.save(plot.figure, folder / "figures" / f"{plot.name}.{kind}")


def _log(folder: pathlib.Path, curves: Curves, word: str) -> None:
    """Means by query; the rows of an earlier process are written anew."""
    with metric_log.MetricLog(folder, resume_step=None) as log:
        for name, found in curves.items():
            bands = {
                s: found[f"queries/{s}"] for s in SPLITS if f"queries/{s}" in found
            }
            points = {
                split: dict(zip(band["x"].astype(int), band["mean"], strict=True))
                for split, band in bands.items()
            }
            last = max((max(means) for means in points.values()), default=1)
            for step in np.unique(np.geomspace(1, last, _LOGGED).round().astype(int)):
                row = {
                    f"{split}_{word}": float(means[step])
                    for split, means in points.items()
                    if step in means
                }
                if row:
                    log.write(int(step), row, stage=name)
