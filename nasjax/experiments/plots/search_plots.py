"""Regret by query and by time, and where trials end."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nasjax.core import statistics
from nasjax.core.errors import DataError
from nasjax.core.types import LAST
from nasjax.experiments import comparison, search_scores
from nasjax.experiments.search_problem import Problem
from nasjax.experiments.search_scores import SPLITS, Optima, Scores
from nasjax.report import search_curves
from nasjax.report.plot import Plot, stack

MOST_POINTS = 100
"""Of a curve that is drawn; more cannot be told apart, and make a page of megabytes."""
AXES = ("queries", "seconds")


class SearchResults(NamedTuple):
    """Finished trials of algorithms on one benchmark, as arrays.

    Attributes:
      curves: by algorithm what `comparison.curves` returns: `AXIS/SPLIT` to `x`,
        `mean`, `low`, `high`, each `[K]`.
      finals: by algorithm and split the final regrets `[R]`, NaN where there is none.
      num_trials: by algorithm.
      num_embeddings: by algorithm, 0 where it reads none.
      title: what was searched.
      word: `"regret"`, `"error"` or `"loss"`.
      unit: `"%"` or `"nats"`; arrays are in [0, 1] or nats.
      seconds: what the axis of time is called.
    """

    curves: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]
    finals: Mapping[str, Mapping[str, np.ndarray]]
    num_trials: Mapping[str, int]
    num_embeddings: Mapping[str, int]
    title: str
    word: str = "regret"
    unit: str = "%"
    seconds: str = "simulated seconds"


def results_of_histories(
    histories: Mapping[str, Any], problem: Problem, *, min_epochs: int | None = LAST
) -> SearchResults:
    """Results of what `search.run_trials` returned.

    Args:
      histories: by algorithm, `[R, K, ...]` with R >= 1.
      problem: what was searched, and what judges.
      min_epochs: of an incumbent.
    """
    listed = list(histories.values())
    times = search_scores.time_grid(listed, 0.0)
    queries = max(np.shape(history.mask)[1] for history in listed)
    judged = {
        name: search_scores.judge(
            history, problem, queries, times, min_epochs=min_epochs
        )
        for name, history in histories.items()
    }
    return results_of_scores(
        judged,
        search_scores.optima(problem.report, list(judged.values())),
        title=f"{problem.reward.space} on {problem.report.data_set}",
        unit="%" if problem.report.metric == "accuracy" else "nats",
    )


def results_of_scores(
    judged: Mapping[str, Scores],
    optima: Optima,
    *,
    title: str,
    unit: str = "%",
    word: str = "regret",
    seconds: str = "simulated seconds",
) -> SearchResults:
    """Results of algorithms whose incumbents are judged.

    Args:
      judged: by algorithm.
      optima: what regret is measured against.
      title: as in `SearchResults`, like the others.
    """
    return SearchResults(
        curves={name: comparison.curves(s, optima) for name, s in judged.items()},
        finals={
            name: comparison.final_regrets(s, optima) for name, s in judged.items()
        },
        num_trials={name: len(s.num_queries) for name, s in judged.items()},
        num_embeddings={name: len(s.embeddings) for name, s in judged.items()},
        title=title,
        word=word,
        unit=unit,
        seconds=seconds,
    )


def results_of_run(
    outcome: Mapping[str, Any], arrays: Mapping[str, Any]
) -> SearchResults:
    """Results of a finished working directory.

    Args:
      outcome: `result.json` of `launch/search.py`.
      arrays: `curves.safetensors` beside it; final regrets are not in older ones.

    Raises:
      DataError: the two are not of one run.
    """
    rows = outcome["algorithms"]
    names = [name for name in comparison.ordered(outcome) if name in arrays]
    if not names:
        raise DataError(
            "search: curves of other algorithms than result.json; run the same command "
            "again"
        )
    report, is_real = outcome["report"], "optimum" not in outcome
    is_accuracy = report["metric"] == "accuracy"
    loss = "error" if is_accuracy else "loss"
    return SearchResults(
        curves={
            name: {
                f"{axis}/{split}": arrays[name][f"{axis}_{split}"]
                for axis in AXES
                for split in SPLITS
                if f"{axis}_{split}" in arrays[name]
            }
            for name in names
        },
        finals={name: arrays[name].get("final", {}) for name in names},
        num_trials={name: int(rows[name]["num_trials"]) for name in names},
        num_embeddings={name: int(rows[name]["clusters"] or 0) for name in names},
        title=f"{outcome['benchmark']['space']} on {report['data_set']}",
        word=loss if is_real else "regret",
        unit="%" if is_accuracy else "nats",
        seconds="training seconds" if is_real else "simulated seconds",
    )


def regret_plot(found: SearchResults, axis: str = "queries") -> Plot:
    """Mean regret of the incumbents with its 95 % band.

    Args:
      found: of any number of algorithms.
      axis: `"queries"` or `"seconds"`.

    Raises:
      DataError: no algorithm has a curve on this axis.
    """
    panels: dict[str, dict[str, search_curves.Band]] = {}
    parts, scale = [], 100.0 if found.unit == "%" else 1.0
    for split in SPLITS:
        for name, curves in found.curves.items():
            if f"{axis}/{split}" not in curves:
                continue
            band = search_curves.Band(**thin(curves[f"{axis}/{split}"]))
            own = panels.setdefault(_panel(found, split), {})
            own[_legend(found, name)] = band
            numbers = {
                end: scale * getattr(band, end) for end in ("mean", "low", "high")
            }
            parts.append({"algorithm": name, "split": split, axis: band.x} | numbers)
    if not panels:
        raise DataError(f"search curves: no algorithm has a {found.word} by {axis}")
    label = found.seconds if axis == "seconds" else axis
    figure = search_curves.regret_figure(
        panels, label=label, unit=found.unit, title=found.title
    )
    cut = ""
    if search_curves.leave_axis(figure, panels, found.unit):
        cut = " Bands that leave the axis reach lower."
    caption = (
        f"Mean {found.word} of the best architecture so far, by {label}: "
        f"{found.title}, {_trials(found)}. Bands are 95 % intervals of the mean over "
        f"{_units(found)}.{cut}"
    )
    return Plot(f"{found.word}_{axis}", figure, caption, stack(parts))


def ecdf_plot(found: SearchResults) -> Plot:
    """Which share of the trials ends within a regret.

    Raises:
      DataError: no final regret is known.
    """
    panels: dict[str, dict[str, np.ndarray]] = {}
    parts, scale = [], 100.0 if found.unit == "%" else 1.0
    for split in SPLITS:
        for name, finals in found.finals.items():
            values = np.asarray(finals.get(split, ()), np.float64)
            values = _spread(np.sort(values[np.isfinite(values)]))
            if not len(values):
                continue
            own = panels.setdefault(_panel(found, split), {})
            own[_legend(found, name)] = values
            points, shares = statistics.ecdf(scale * values)
            facts = {"algorithm": name, "split": split}
            parts.append(facts | {f"final {found.word}": points, "share": shares})
    if not panels:
        raise DataError(
            f"distribution: no trial has a final {found.word}; run the same command "
            "again, which writes them"
        )
    figure = search_curves.ecdf_figure(panels, unit=found.unit, title=found.title)
    caption = (
        f"Share of the trials that end with at most this {found.word}: {found.title}, "
        f"{_trials(found)}."
    )
    return Plot("ecdf", figure, caption, stack(parts))


def thin(band: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """At most `MOST_POINTS` points of a curve, even in their logarithm, ends kept."""
    x = np.asarray(band["x"], np.float64)
    if len(x) > MOST_POINTS:
        wanted = np.geomspace(max(x[0], 1e-9), x[-1], MOST_POINTS)
        places = np.unique(np.searchsorted(x, wanted * (1 - 1e-12)).clip(0, len(x) - 1))
    else:
        places = np.arange(len(x))
    return {
        name: np.asarray(band[name], np.float64)[places]
        for name in ("x", "mean", "low", "high")
    }


def _spread(values: np.ndarray) -> np.ndarray:
    """At most `MOST_POINTS` of sorted values, at even ranks, both ends kept."""
    if len(values) <= MOST_POINTS:
        return values
    places = np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int)
    return np.take(values, places)


def _units(found: SearchResults) -> str:
    """What the intervals are over."""
    shared = any(count > 1 for count in found.num_embeddings.values())
    return "trials, or embeddings where trials share them" if shared else "trials"


def _panel(found: SearchResults, split: str) -> str:
    return f"{'validation' if split == 'valid' else split} {found.word}"


def _legend(found: SearchResults, name: str) -> str:
    return search_curves.legend(
        name, found.num_trials[name], found.num_embeddings[name]
    )


def _trials(found: SearchResults) -> str:
    counts = sorted(set(found.num_trials.values()))
    least, most = counts[0], counts[-1]
    number = str(least) if least == most else f"{least} to {most}"
    return f"{number} trial{'s' if most != 1 else ''} each"
