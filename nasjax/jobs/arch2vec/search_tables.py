"""Rows of tables 3.2 and 3.3 and of figure 3.6, next to what the thesis found."""

from collections.abc import Mapping
from typing import Any

from nasjax.core import result
from nasjax.experiments import comparison
from nasjax.experiments.search_scores import SPLITS
from nasjax.jobs.search import algorithms, tables

_FIGURES = ("regret_seconds", "regret_queries", "ecdf")


def join(
    entries: Mapping[str, Any], outcomes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """`result.json` of all data sets, without its seconds and configuration.

    Args:
      entries: of algorithms, by name.
      outcomes: by name what `jobs.search` returned.

    Returns:
      `tables`: rows of 3.2 or 3.3, and of figure 3.6 (regrets of the last incumbents);
      `comparisons`, `notes` and `warnings` by data set; `statements`: what may be said
      of each algorithm against the controls; `figures`: files below `search`.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    statements = []
    for label, outcome in outcomes.items():
        table = tables.TABLES[outcome["benchmark"]["space"]]
        for name, found in outcome["algorithms"].items():
            entry = algorithms.settings_of(entries, name)
            row = entry.get("row") or name
            for split in SPLITS:
                made = _row(label, name, row, split, found)
                known = tables.facts(outcome)
                made |= tables.thesis(table, row, split, known)
                rows.setdefault(table, []).append(made)
            rows.setdefault("figure 3.6", []).append(_regret(label, name, row, found))
        statements += comparison.statements(label, outcome["comparisons"])
    return {
        "tables": rows,
        "comparisons": {label: o["comparisons"] for label, o in outcomes.items()},
        "notes": {label: o["notes"] for label, o in outcomes.items()},
        "warnings": {label: o["warnings"] for label, o in outcomes.items()},
        "statements": statements,
        "figures": {
            label: [f"{label}/figures/{name}" for name in _FIGURES]
            for label in outcomes
        },
        "versions": result.versions(),
    }


def _row(
    label: str,
    name: str,
    row: str,
    split: str,
    found: Mapping[str, Any],
) -> dict[str, Any]:
    """One number of a table, in percent."""
    interval = found["ci95"] if split == "test" else found["final_valid_ci95"]
    mean, std = found[f"final_{split}_mean"], found[f"final_{split}_std"]
    return {
        "settings": {
            "row": row,
            "algorithm": name,
            "data_set": label,
            "split": split,
            "queries": found["queries"],
        },
        "value": None if mean is None else 100 * mean,
        "ci95": None if interval is None else [100 * end for end in interval],
        "std": None if std is None else 100 * std,
        "num_seeds": found["num_trials"],
        "clusters": found["clusters"],
    }


def _regret(
    label: str, name: str, row: str, found: Mapping[str, Any]
) -> dict[str, Any]:
    """The end of a curve of figure 3.6, in percent."""
    mean, interval = found["regret_mean"], found["regret_ci95"]
    return {
        "settings": {
            "row": row,
            "algorithm": name,
            "data_set": label,
            "split": found["regret_of"],
            "queries": found["queries"],
        },
        "value": None if mean is None else 100 * mean,
        "ci95": None if interval is None else [100 * end for end in interval],
        "found_optimum": found["found_optimum"],
        "num_seeds": found["num_trials"],
        "clusters": found["clusters"],
        "thesis": None,
    }
