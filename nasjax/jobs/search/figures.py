"""Mean curves of searches as arrays, in the metric log and as figures."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nasjax.core import arrays, metric_log
from nasjax.experiments import comparison
from nasjax.experiments.search_scores import SPLITS, Optima, Scores

if TYPE_CHECKING:
    from nasjax.report import search_curves

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
    from nasjax.report import search_curves  # here: it loads matplotlib

    curves = {name: comparison.curves(s, optima) for name, s in judged.items()}
    labels = {name: legend(name, scores) for name, scores in judged.items()}
    title = f"{title}; bands are 95 % intervals of the mean"
    tree = {
        name: {key.replace("/", "_"): band for key, band in found.items()}
        for name, found in curves.items()
        if found
    }
    if tree:
        arrays.save(folder / CURVES_FILE, tree)
    if log:
        _log(folder, curves, word)
    names = {"valid": f"validation {word}", "test": f"test {word}"}
    for axis, label in (("queries", "queries"), ("seconds", seconds)):
        panels = _panels(curves, axis, names, labels)
        if panels:
            path = folder / "figures" / f"{word}_{axis}"
            search_curves.draw_regret(panels, path, label=label, unit=unit, title=title)
    finals = _finals(judged, optima, names, labels)
    if finals:
        path = folder / "figures" / "ecdf"
        search_curves.draw_ecdf(finals, path, unit=unit, title=title.split(";")[0])


def legend(name: str, scores: Scores) -> str:
    """An entry of the legend: a name for readers, and how many trials it is of."""
    words = [_WORDS.get(word, word) for word in name.split("_")]
    trials, embeddings = len(scores.num_queries), len(scores.embeddings)
    of = f", {embeddings} embeddings" if embeddings > 1 else ""
    return f"{' '.join(words)} ({trials} trial{'s' if trials != 1 else ''}{of})"


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


def _panels(
    curves: Curves, axis: str, names: Mapping[str, str], labels: Mapping[str, str]
) -> "dict[str, dict[str, search_curves.Band]]":
    from nasjax.report import search_curves  # here: it loads matplotlib

    panels = {}
    for split in SPLITS:
        bands = {
            labels[name]: search_curves.Band(**found[f"{axis}/{split}"])
            for name, found in curves.items()
            if f"{axis}/{split}" in found
        }
        if bands:
            panels[names[split]] = bands
    return panels


def _finals(
    judged: Mapping[str, Scores],
    optima: Optima,
    names: Mapping[str, str],
    labels: Mapping[str, str],
) -> dict[str, dict[str, np.ndarray]]:
    panels: dict[str, dict[str, np.ndarray]] = {}
    for split in SPLITS:
        for name, scores in judged.items():
            short = comparison.regret(scores.final(split), optima.values[split])
            known = short[np.isfinite(short)]
            if len(known):
                panels.setdefault(names[split], {})[labels[name]] = known
    return panels


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
