"""Ranks of algorithms over the searches of a report, where there are enough."""

from collections.abc import Mapping, Sequence
from typing import Any

from nasjax.core import errors, read_guard
from nasjax.experiments import plots, ranking
from nasjax.jobs.report import search_section
from nasjax.jobs.report.workdirs import AGAIN, SEARCH, Workdir
from nasjax.report import page


def build(found: Sequence[Workdir]) -> list[Any]:
    """HTML and the plot of a section; nothing where there are fewer than two searches.

    Searches with real trainings and on benchmarks are one kind; of two on the same data
    set the first counts.
    """
    scores: dict[str, Mapping[str, float | None]] = {}
    twice = []
    for run in found:
        if run.kind != SEARCH:
            continue
        name = (
            f"{run.outcome['benchmark']['space']}/{run.outcome['report']['data_set']}"
        )
        if name in scores:
            twice.append(f"{run.name}: {name} again, not ranked")
            continue
        rows = run.outcome["algorithms"]
        key = f"final_{search_section.judged_by(rows)}_mean"
        scores[name] = {algorithm: row[key] for algorithm, row in rows.items()}
    if len(scores) + len(twice) < 2:
        return []
    remarks = [page.paragraph(text, class_="soft") for text in twice]
    if len(scores) < ranking.LEAST:
        told = (
            f"Searches on {len(scores)} data set{'s' if len(scores) > 1 else ''} "
            f"({', '.join(scores)}): ranks are tested from {ranking.LEAST} on."
        )
        return [page.paragraph(told), *remarks]
    try:
        with read_guard.guard("ranks", "scores cannot be compared", remedy=AGAIN):
            return [plots.rank_plot(scores), *remarks]
    except errors.DataError as error:
        return [page.paragraph(str(error), class_="warning"), *remarks]
