"""Rows of tables 3.2 and 3.3 and of figure 3.6, next to what the thesis found."""

from collections.abc import Mapping
from typing import Any

from nasjax.core import result
from nasjax.jobs import search_setup
from nasjax.jobs.search_scores import SPLITS
from nasjax.jobs.search_summary import ROWS_3_3

TABLE_3_2 = {
    "Random Search": 93.54,
    "RL": 93.58,
    "BO": 93.72,
    "RE": 93.72,
    "BANANAS": 94.08,
    "RL (supervised)": 93.74,
    "BO (supervised)": 93.79,
    "arch2vec-RL": 94.10,
    "arch2vec-BO": 94.05,
}
"""NAS-Bench-101: mean test accuracy in percent by row. The last four took 400 queries,
BANANAS 500, the others, which the thesis cites, 1,000."""

TABLE_3_3: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = {
    **dict(ROWS_3_3.values()),
    "BOHB": {
        "cifar10": (90.82, 0.53, 93.61, 0.52),
        "cifar100": (72.59, 0.82, 72.37, 0.90),
        "ImageNet16-120": (45.44, 0.70, 45.26, 0.83),
    },
    "arch2vec-RL": {
        "cifar10": (91.32, 0.42, 94.12, 0.42),
        "cifar100": (73.13, 0.72, 73.15, 0.78),
        "ImageNet16-120": (46.22, 0.30, 46.16, 0.38),
    },
    "arch2vec-BO": {
        "cifar10": (91.41, 0.22, 94.18, 0.24),
        "cifar100": (73.35, 0.32, 73.37, 0.30),
        "ImageNet16-120": (46.34, 0.18, 46.27, 0.37),
    },
}
"""NAS-Bench-201: by row and data set mean and standard deviation in percent of
validation and test accuracy."""

_REWARD_EPOCHS = {"cifar10": 12, "cifar100": 200, "ImageNet16-120": 200}
"""Of table 3.3. The budgets of section 3.3, 500,000 and 1,400,000 seconds, are some 120
trainings of 200 epochs."""
_SIGNIFICANCE = 0.05
_FIGURES = ("regret_seconds", "regret_queries", "ecdf")


def join(
    config: Mapping[str, Any], outcomes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """`result.json` of all data sets, without its seconds.

    Args:
      config: of the run.
      outcomes: by name what `jobs.search` returned.

    Returns:
      `tables`: rows of 3.2 or 3.3, and of figure 3.6 (regrets of the last incumbents);
      `comparisons`, `notes` and `warnings` by data set; `statements`: what may be said
      of each algorithm against the controls; `figures`: files below `search`.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    statements = []
    for label, outcome in outcomes.items():
        table = "3.2" if outcome["benchmark"]["space"] == "nasbench101" else "3.3"
        for name, found in outcome["algorithms"].items():
            entry = search_setup.settings_of(config["search"], name)
            row = entry.get("row") or name
            for split in SPLITS:
                made = _row(label, name, row, split, found, outcome)
                rows.setdefault(table, []).append(made)
            rows.setdefault("figure 3.6", []).append(_regret(label, name, row, found))
        statements += compare(label, outcome)
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
        "config": dict(config),
        "versions": result.versions(),
    }


def _row(
    label: str,
    name: str,
    row: str,
    split: str,
    found: Mapping[str, Any],
    outcome: Mapping[str, Any],
) -> dict[str, Any]:
    """One number of a table, in percent."""
    interval = found["ci95"] if split == "test" else found["final_valid_ci95"]
    mean, std = found[f"final_{split}_mean"], found[f"final_{split}_std"]
    thesis, thesis_std = published(row, split, outcome)
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
        "thesis": thesis,
        "thesis_std": thesis_std,
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
        "thesis": None,
    }


def published(
    row: str, split: str, outcome: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """The thesis' mean and standard deviation in percent, None where it has none.

    None too where the benchmark is not the thesis': a part of NAS-Bench-101, or a
    reward after other epochs.
    """
    reward, report = outcome["benchmark"], outcome["report"]
    if reward["metric"] != "accuracy":
        return None, None
    if reward["space"] == "nasbench101":
        whole = not reward["listed"] and reward["epoch"] == 108
        return (TABLE_3_2.get(row) if whole and split == "test" else None), None
    data_set = report["data_set"]
    alike = reward["data_set"] == data_set and report["epoch"] == 200
    alike &= reward["epoch"] == _REWARD_EPOCHS.get(data_set)
    if not alike or row not in TABLE_3_3:
        return None, None
    numbers = TABLE_3_3[row][data_set]
    return (numbers[0], numbers[1]) if split == "valid" else (numbers[2], numbers[3])


def compare(label: str, outcome: Mapping[str, Any]) -> list[str]:
    """A sentence for each algorithm and control: is there a difference?

    There is where the interval is on one side of 0 and the test rejects at 5 %: an
    interval of a few pairs is too short.
    """
    sentences = []
    for name, controls in outcome["comparisons"].items():
        for control, found in controls.items():
            low, high = (100 * end for end in found["ci95"])
            word = "not separated from"
            if found["p_value"] < _SIGNIFICANCE and low * high > 0:
                word = "better than" if low > 0 else "worse than"
            sentences.append(
                f"{label}: {name} is {word} {control}: "
                f"{100 * found['difference']:+.3f} points of {found['of']} accuracy, "
                f"95 % interval {low:+.3f} to {high:+.3f}, p = "
                f"{found['p_value']:.4f}, {found['num_pairs']} pairs"
            )
    return sentences
