"""Trainings of single architectures: last scores over seeds, curves, and the best."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nasjax.core import arrays, errors
from nasjax.experiments import comparison, plots
from nasjax.jobs.report import cells, reproduction
from nasjax.jobs.report.parts import (
    Headline,
    Part,
    attempt,
    counted,
    interval,
    known_columns,
    number,
    tables,
)
from nasjax.jobs.report.workdirs import AGAIN, Workdir
from nasjax.jobs.train_architecture import run
from nasjax.report import page
from nasjax.report.page import Markup

if TYPE_CHECKING:
    from nasjax.report.plot import Plot

MOST = 50
"""Architectures that are listed."""
DRAWN = 4
"""Of the best, that are drawn."""


def build(found: Workdir) -> Part:
    """The section of trained architectures, best first."""
    outcome, config = found.outcome, found.config
    rows = outcome["architectures"]
    data, space = str(config["data"]["name"]), str(config["space"])
    kind = "accuracy" if "test_accuracy" in rows[0] else "loss"
    scale, unit = (100.0, "%") if kind == "accuracy" else (1.0, "nats")
    names = [p for p in ("train", "valid", "test") if f"{p}_{kind}" in rows[0]]
    judge = "valid" if "valid" in names else names[-1]
    order = _order(rows, f"{judge}_{kind}", kind)
    shown = []
    for place in order[:MOST]:
        row = rows[place]
        own = [comparison.interval(_values(row[f"{p}_{kind}"])) for p in names]
        shown.append(
            [
                *(number(n["mean"], 3, scale=scale) for n in own),
                (own[-1]["mean"], interval(own[-1]["ci95"], 3, scale=scale)),
                number(len(row[f"{names[-1]}_{kind}"]), 0),
                number(row["parameters"], 0),
                page.code(str(row["arch"])),
            ]
        )
    columns = (
        *(f"{_WORDS[p]} {kind} ({unit})" for p in names),
        f"95 % of {_WORDS[names[-1]]}",
        "seeds",
        "parameters",
        "architecture",
    )
    more = len(rows) - len(shown)
    diverged = sum(int(row["diverged"]) for row in rows)
    remarks = [f"... and {more} more"] if more > 0 else []
    remarks += [f"{counted(diverged, 'training')} diverged"] if diverged else []
    pieces: list[Any] = [
        page.table(
            *known_columns(columns, shown),
            caption="Means over seeds, after the last epoch.",
        ),
        *(page.paragraph(text, class_="soft") for text in remarks),
        *tables(outcome["tables"]),
        attempt(found.folder, lambda: _curves(found, f"{space} on {data}")),
        page.heading(3, f"The best by {_WORDS[judge]} {kind}"),
        *_cells(found, order, space, f"{judge}_{kind}", scale, unit),
        *reproduction.pieces(found),
    ]
    first = rows[order[0]]
    best = comparison.interval(_values(first[f"{judge}_{kind}"]))
    value = "diverged" if best["mean"] is None else f"{scale * best['mean']:.2f} {unit}"
    headline = Headline(
        f"trainings, {space}, {data}",
        f"best {_WORDS[judge]} {kind} {value} of {counted(len(rows), 'architecture')}",
        interval(best["ci95"], 2, scale=scale),
        counted(len(first[f"{judge}_{kind}"]), "seed"),
    )
    return Part(f"Trainings: {space} on {data}", headline, pieces)


_WORDS = {"train": "training", "valid": "validation", "test": "test"}


def _values(values: Any) -> np.ndarray:
    """Numbers of a file, None where a training diverged."""
    return np.array([np.nan if v is None else v for v in values], np.float64)


def _order(rows: Any, key: str, kind: str) -> list[int]:
    """Places of the rows, best first, those without a score last."""
    means = np.array([np.mean(_values(row[key])) for row in rows])
    worst = np.where(
        np.isfinite(means), means, -np.inf if kind == "accuracy" else np.inf
    )
    order = np.argsort(-worst if kind == "accuracy" else worst, kind="stable")
    return [int(place) for place in order]


def _curves(found: Workdir, title: str) -> "Plot":
    tree = arrays.load(found.folder / run.CURVES_FILE)
    metrics = {k: v for k, v in tree.items() if k.endswith(("_loss", "_accuracy"))}
    made: Plot = plots.learning_curve_plot(metrics, title=title)
    return made


def _cells(
    found: Workdir, order: list[int], space: str, key: str, scale: float, unit: str
) -> list[Markup]:
    rows = found.outcome["architectures"]
    try:
        archs = arrays.load(found.folder / run.CURVES_FILE)["archs"]
        seeds = len(archs) // len(rows)
        best = {
            f"architecture {place + 1}": {
                "arch": rows[place]["arch"],
                "genes": archs[place * seeds].tolist(),
                "caption": f"{scale * np.mean(_values(rows[place][key])):.2f} {unit}",
            }
            for place in order[:DRAWN]
        }
        return cells.drawings(space, best)
    except (errors.NasjaxError, LookupError) as error:
        told = f"{run.CURVES_FILE}: {error}; {AGAIN}"
        return [page.paragraph(told, class_="warning")]
