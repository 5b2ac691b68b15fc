"""`result.json` of a search: rows of the thesis' tables, and what is printed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nasjax.core import progress
from nasjax.experiments import comparison, published
from nasjax.experiments.search_scores import SPLITS, Scores

ROWS = {
    "3.2": {
        "random_search": "Random Search",
        "reinforce": "RL",
        "regularized_evolution": "RE",
        "bananas": "BANANAS",
    },
    "3.3": {
        "random_search": "RS",
        "reinforce": "REINFORCE",
        "regularized_evolution": "RE",
    },
}
"""Rows of the thesis' tables by registry name of the algorithm."""


def tables(
    kinds: Mapping[str, str],
    judged: Mapping[str, Scores],
    problem: Mapping[str, Any],
) -> dict[str, list[dict[str, Any]]]:
    """Rows of tables 3.2 and 3.3, in percent.

    Args:
      kinds: registry name of each algorithm.
      judged: scores of each algorithm.
      problem: what `result.json` says of the benchmarks, and the configuration.
    """
    reward, report = problem["benchmark"], problem["report"]
    if report["metric"] != "accuracy" or reward["space"] not in TABLES:
        return {}
    table = TABLES[reward["space"]]
    if table == "3.3" and report["data_set"] not in published.DATA_SETS_3_3:
        return {}
    known, rows = facts(problem), []
    for name, scores in judged.items():
        label = ROWS[table].get(kinds[name], name)
        for split in SPLITS if table == "3.3" else ("test",):
            row = _row(name, label, split, scores)
            row["settings"]["data_set"] = report["data_set"]
            rows.append(row | thesis(table, label, split, known))
    return {table: rows}


TABLES = {"nasbench101": "3.2", "nasbench201": "3.3"}


def facts(problem: Mapping[str, Any]) -> dict[str, Any]:
    """What a search was, in the words of `published`.

    Args:
      problem: `benchmark`, `report` and `config` of `result.json`.
    """
    reward, report = problem["benchmark"], problem["report"]
    section = problem["config"]["budget"]
    budget: Any = (int(section["queries"]), float(section["seconds"]))
    if section.get("like") == CIFAR10:
        budget = published.LIKE_CIFAR10
    return {
        "space": reward["space"],
        "metric": report["metric"],
        "listed": reward["listed"],
        "budget": budget,
        "reward_data_set": reward["data_set"],
        "report_data_set": report["data_set"],
        "reward_epoch": reward["epoch"],
        "report_epoch": report["epoch"],
        "reward_schedule": reward["last_epoch"],
        "report_schedule": report["last_epoch"],
    }


CIFAR10 = {"data_set": "cifar10", "schedule": 12, "queries": 0, "seconds": 12_000.0}
"""The searches whose mean number of queries is the budget of others (section 3.4.2)."""


def thesis(table: str, row: str, column: str, known: Mapping[str, Any]) -> Any:
    """`thesis` and `thesis_std` of a row, None where the thesis has no such number."""
    number = published.find(table, row, column, known)
    value, std = number if number is not None else (None, None)
    return {"thesis": value, "thesis_std": std}


def _row(name: str, label: str, split: str, scores: Scores) -> dict[str, Any]:
    numbers = comparison.interval(100 * scores.final(split), scores.clusters)
    return {
        "settings": {
            "row": label,
            "algorithm": name,
            "split": split,
            "queries": float(scores.num_queries.mean()),
        },
        "value": numbers["mean"],
        "ci95": numbers["ci95"],
        "std": numbers["std"],
        "num_seeds": len(scores.num_queries),
        "clusters": comparison.scored_embeddings(scores, split),
    }


def show(outcome: Mapping[str, Any], folder: Any) -> None:
    """Prints one line for each algorithm, best first."""
    rows = outcome["algorithms"]
    is_accuracy = outcome["report"]["metric"] == "accuracy"
    scale, unit = (100.0, "%") if is_accuracy else (-1.0, "nats")
    head = ("valid", "test", "95 % interval", "regret", "against", "p", "queries")
    widths = (9, 9, 19, 9, 9, 8, 9)
    titles = "".join(f"{h:>{w}}" for h, w in zip(head, widths, strict=True))
    progress.echo(f"{f'({unit})':<24}{titles}")
    best = "final_test_mean" if judged_names(rows) == "test" else "final_valid_mean"
    compared = outcome["comparisons"]
    order = sorted(rows, key=lambda name: -(rows[name][best] or -np.inf))
    for name in order:
        row = rows[name]
        # The first control of an entry is the one that differs in one thing.
        own: dict[str, Any] = compared.get(name, {})
        control = next(iter(own), "")
        versus = own.get(control, {})
        ends = row["ci95"] if best == "final_test_mean" else row["final_valid_ci95"]
        cells = (
            _text(row["final_valid_mean"], scale),
            _text(row["final_test_mean"], scale),
            "-" if ends is None else " - ".join(_text(end, scale) for end in ends),
            _text(row["regret_mean"], abs(scale)),
            _text(versus.get("difference"), abs(scale), sign="+"),
            "-" if not versus else f"{versus['p_value']:.4f}",
            f"{row['queries']:.0f}",
        )
        texts = "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))
        progress.echo(f"{name:<24}{texts}  {control}".rstrip())
    if any(compared.values()):
        progress.echo("  against: difference to the control at the end of the line")
    for name in order:
        if rows[name]["clusters"] == 1:
            progress.echo(
                f"  {name}: one embedding; another may give another mean, which is not "
                "in the interval"
            )
    for note in outcome["notes"]:
        progress.echo(f"  {note}")
    progress.echo(
        f"{outcome['seconds']:.0f} s; trials, results and figures in {folder}"
    )


def judged_names(rows: Mapping[str, Any]) -> str:
    """Which split all rows have; see `comparison.judged_by`."""
    return (
        "test"
        if all(r["final_test_mean"] is not None for r in rows.values())
        else "valid"
    )


def _text(value: float | None, scale: float, sign: str = "") -> str:
    return "-" if value is None else f"{scale * value:{sign}.3f}"
