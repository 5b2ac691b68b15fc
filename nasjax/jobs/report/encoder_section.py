"""arch2vec: what each variant has learnt, its loss, and the rows of table 3.1."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nasjax.core import metric_log
from nasjax.experiments import plots
from nasjax.jobs.report import reproduction
from nasjax.jobs.report.parts import (
    Headline,
    Part,
    attempt,
    counted,
    interval,
    notes,
    number,
    tables,
)
from nasjax.jobs.report.workdirs import Workdir
from nasjax.report import page
from nasjax.report.page import Markup

if TYPE_CHECKING:
    from nasjax.report.plot import Plot

ACCURACY = "accuracy"
"""The column of table 3.1: reconstruction."""


def build(found: Workdir) -> Part:
    """The section of a pre-training, of one seed or of several."""
    outcome, config = found.outcome, found.config
    seeds = outcome.get("seeds", [config["seed"]])
    rows = [r for r in outcome["tables"]["3.1"] if r["value"] is not None]
    pieces: list[Any] = [
        page.paragraph(
            f"Variants {', '.join(map(str, config['variants']))} on {config['space']}, "
            f"{counted(config['epochs'], 'epoch')}. Seeds: "
            f"{', '.join(map(str, seeds))}. "
            + ("One seed has no interval." if len(seeds) == 1 else "")
        ),
        *tables(outcome["tables"]),
        *notes(outcome),
    ]
    if "neighbours" in outcome:
        pieces += _representations(outcome)
    if metric_log.read(found.folder):
        pieces.append(attempt(found.folder, lambda: _losses(found)))
    pieces += reproduction.pieces(found)
    best = max(
        (r for r in rows if r["settings"]["column"] == ACCURACY),
        key=lambda row: row["value"],
        default=None,
    )
    told = "nothing was reconstructed"
    if best is not None:
        variant = best["settings"]["variant"]
        told = f"{variant}: {best['value']:.2f} % reconstructed exactly"
    headline = Headline(
        f"arch2vec, {config['space']}",
        told,
        interval(best["ci95"], 2) if best and len(seeds) > 1 else "one seed has none",
        counted(len(seeds), "seed"),
    )
    return Part(f"arch2vec on {config['space']}", headline, pieces)


def _representations(outcome: Mapping[str, Any]) -> list[Markup]:
    """What neighbours and predictions say of each representation."""
    rows = []
    for name, near in outcome["neighbours"].items():
        fitted = outcome.get("predictive", {}).get(name, {})
        rows.append(
            [
                name,
                *(
                    number(fitted.get(key, {}).get("mean"), 4)
                    for key in ("rmse", "pearson")
                ),
                number(near["mean"], 2),
                number(outcome["distances"][name]["spearman"], 3),
            ]
        )
    columns = (
        "representation",
        "RMSE of a prediction",
        "Pearson's r",
        "edits between neighbours",
        "L2 and edit distance: Spearman",
    )
    caption = (
        "Predictions of accuracy (in [0, 1]) from the embedding, means over seeds; "
        "mean edit distance along walks from neighbour to neighbour."
    )
    return [page.table(columns, rows, caption=caption)]


def _losses(found: Workdir) -> "Plot":
    made: Plot = plots.pretraining_plot(metric_log.read(found.folder))
    return made
