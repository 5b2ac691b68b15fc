"""Searches: every algorithm with its interval and control, curves, and found cells."""

from collections.abc import Mapping
from typing import Any

from nasjax.core import arrays, errors
from nasjax.experiments import comparison, plots
from nasjax.experiments.search_scores import SPLITS
from nasjax.jobs.report import cells, reproduction
from nasjax.jobs.report.parts import (
    Headline,
    Part,
    attempt,
    counted,
    interval,
    known_columns,
    notes,
    number,
    p_value,
    tables,
)
from nasjax.jobs.report.workdirs import Workdir
from nasjax.jobs.search import figures
from nasjax.report import page
from nasjax.report.page import Markup

POINTS = 3
"""Decimals of percent and nats."""


def build(found: Workdir) -> Part:
    """The section of a search, by trials or with real trainings."""
    outcome = found.outcome
    rows, report = outcome["algorithms"], outcome["report"]
    title = f"Search: {outcome['benchmark']['space']} on {report['data_set']}"
    pieces: list[Any] = [_introduction(found), *notes(outcome), _table(outcome)]
    compared = _comparisons(outcome)
    if compared is not None:
        pieces += [page.heading(3, "Against the controls"), compared]
    pieces += _curves(found)
    pieces += [page.heading(3, "Best architecture of each algorithm"), *_cells(outcome)]
    pieces += reproduction.pieces(found)
    best = best_of(rows)
    return Part(title, _headline(outcome, best), pieces)


def best_of(rows: Mapping[str, Any]) -> str:
    """The algorithm with the best mean of the score that all have, "" for none."""
    key = f"final_{judged_by(rows)}_mean"
    known = {name: row[key] for name, row in rows.items() if row[key] is not None}
    return max(known, key=lambda name: known[name], default="")


def judged_by(rows: Mapping[str, Any]) -> str:
    """`"test"` where every algorithm has a mean test score, else `"valid"`."""
    whole = all(row["final_test_mean"] is not None for row in rows.values())
    return "test" if whole else "valid"


def build_joined(found: Workdir) -> Part:
    """Searches with arch2vec's embeddings on several data sets: the joined tables."""
    outcome = found.outcome
    statements = [page.element("li", line) for line in outcome["statements"]]
    told = (note for part in ("warnings", "notes") for note in _flat(outcome, part))
    pieces = [
        page.paragraph("What may be said of each algorithm and control:"),
        page.element("ul", *statements),
        *(page.paragraph(note, class_="soft") for note in told),
        *tables(outcome["tables"]),
        *reproduction.pieces(found),
    ]
    count = len(statements)
    headline = Headline("searches in embeddings", f"{count} comparisons")
    return Part("Searches in embeddings, all data sets", headline, pieces)


def _flat(outcome: Mapping[str, Any], name: str) -> list[str]:
    return [f"{label}: {note}" for label, own in outcome[name].items() for note in own]


def _scale(outcome: Mapping[str, Any]) -> tuple[float, str]:
    """What scores are multiplied with, and their unit; a loss is minus its score."""
    is_accuracy = outcome["report"]["metric"] == "accuracy"
    return (100.0, "%") if is_accuracy else (-1.0, "nats")


def _introduction(found: Workdir) -> Markup:
    outcome, config = found.outcome, found.config
    reward, report = outcome["benchmark"], outcome["report"]
    budget = config["budget"]
    limits = [
        f"{budget[key]:g} {key}"
        for key in ("queries", "epochs", "seconds")
        if key in budget and budget[key]
    ]
    if "optimum" in outcome:
        kind = outcome["optimum"]["kind"]
        against = "the best of the table" if kind == "table" else "the best found here"
        judged = (
            f"Incumbents are judged by mean scores after epoch {report['epoch']}, "
            f"regret is to {against}."
        )
    else:
        judged = "Every architecture was trained; incumbents are judged by their own."
    return page.paragraph(
        f"Reward: one training of {counted(reward['epoch'], 'epoch')} on "
        f"{reward['data_set']}. "
        f"Budget of a trial: {', '.join(limits) or 'as configured'}. Seed "
        f"{config['seed']}. {judged} Intervals are of the mean, 95 %."
    )


def _table(outcome: Mapping[str, Any]) -> Markup:
    scale, unit = _scale(outcome)
    rows, split = outcome["algorithms"], judged_by(outcome["algorithms"])
    key, ends = (
        ("final_test_mean", "ci95")
        if split == "test"
        else ("final_valid_mean", "final_valid_ci95")
    )
    order = sorted(rows, key=lambda name: -(rows[name][key] or float("-inf")))
    shown = []
    for name in order:
        row = rows[name]
        shown.append(
            [
                name,
                number(row["final_valid_mean"], POINTS, scale=scale),
                number(row["final_test_mean"], POINTS, scale=scale),
                (row[key], interval(row[ends], POINTS, scale=scale)),
                number(row["regret_mean"], POINTS, scale=abs(scale)),
                (row["regret_mean"], interval(row["regret_ci95"], 3, scale=abs(scale))),
                number(row["found_optimum"], 0, scale=100.0),
                number(row["num_trials"], 0),
                number(row["clusters"], 0),
                number(row["queries"], 0),
                number(row["simulated_seconds"], 0),
                number(row["cpu_seconds"], 0),
            ]
        )
    columns = (
        "algorithm",
        f"validation ({unit})",
        f"test ({unit})",
        f"95 % of {'test' if split == 'test' else 'validation'}",
        f"regret ({unit})",
        "95 % of regret",
        "optimum found (%)",
        "trials",
        "embeddings",
        "queries",
        "seconds",
        "CPU s",
    )
    return page.table(*known_columns(columns, shown))


def _comparisons(outcome: Mapping[str, Any]) -> Markup | None:
    scale, unit = abs(_scale(outcome)[0]), _scale(outcome)[1]
    rows = []
    for name, controls in outcome["comparisons"].items():
        for control, row in controls.items():
            words = comparison.verdict(row)
            pairs = f"{row['num_pairs']} pairs" if row["num_pairs"] else "unpaired"
            rows.append(
                [
                    name,
                    words,
                    control,
                    number(row["difference"], POINTS, scale=scale, sign="+"),
                    (row["difference"], interval(row["ci95"], POINTS, scale=scale)),
                    (row["p_value"], p_value(row["p_value"])),
                    f"{pairs}, {row['test']}",
                ]
            )
    if not rows:
        return None
    points = "points" if unit == "%" else unit
    columns = ("algorithm", "is", "control", f"by ({points})", "95 %", "p", "over")
    of = next(iter(next(iter(outcome["comparisons"].values())).values()))["of"]
    caption = f"Differences of mean {'validation' if of == 'valid' else of} scores."
    return page.table(columns, rows, caption=caption)


def _curves(found: Workdir) -> list[Any]:
    path = found.folder / figures.CURVES_FILE
    try:
        results = plots.results_of_run(found.outcome, arrays.load(path))
    except errors.DataError as error:
        return [page.paragraph(str(error), class_="warning")]
    made = [attempt(path, lambda: plots.regret_plot(results, "queries"))]
    if any(f"seconds/{s}" in own for own in results.curves.values() for s in SPLITS):
        made.append(attempt(path, lambda: plots.regret_plot(results, "seconds")))
    return [*made, attempt(path, lambda: plots.ecdf_plot(results))]


def _cells(outcome: Mapping[str, Any]) -> list[Markup]:
    scale, unit = _scale(outcome)
    best = {}
    for name in comparison.ordered(outcome):
        for first in outcome["algorithms"][name].get("found", ())[:1]:
            scores = [
                f"{words} {abs(scale) * abs(first[key]):.2f} {unit}"
                for key, words in (("valid", "validation"), ("test", "test"))
                if isinstance(first[key], float)
            ]
            trials = counted(first["num_trials"], "trial")
            often = f"the end of {first['trials']} of {trials}"
            facts = {"caption": ", ".join([*scores, often])}
            best[name] = {"arch": first["arch"], "genes": first["genes"], **facts}
    try:
        return cells.drawings(str(outcome["benchmark"]["space"]), best)
    except errors.NasjaxError as error:
        return [page.paragraph(str(error), class_="warning")]


def _headline(outcome: Mapping[str, Any], best: str) -> Headline:
    what = f"search, {outcome['benchmark']['space']}, {outcome['report']['data_set']}"
    if not best:
        return Headline(what, "no trial has a score")
    scale, unit = _scale(outcome)
    row, split = outcome["algorithms"][best], judged_by(outcome["algorithms"])
    ends = row["ci95"] if split == "test" else row["final_valid_ci95"]
    words = "test" if split == "test" else "validation"
    kind = "accuracy" if unit == "%" else "loss"
    value = scale * row[f"final_{split}_mean"]
    clusters = row.get("clusters")
    embeddings = f", {counted(clusters, 'embedding')}" if clusters else ""
    control = "–"
    # The first control of an entry is the one that differs in one thing.
    for name, against in list(outcome["comparisons"].get(best, {}).items())[:1]:
        words_of = comparison.verdict(against)
        control = f"{words_of} {name} (p {p_value(against['p_value'])})"
    return Headline(
        what,
        f"{best}: {words} {kind} {value:.{POINTS}f} {unit}",
        interval(ends, POINTS, scale=scale),
        counted(row["num_trials"], "trial") + embeddings,
        control,
    )
