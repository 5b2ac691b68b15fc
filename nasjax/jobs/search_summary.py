"""`result.json` of a search: means with intervals, comparisons, the thesis' tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.core import progress, statistics
from nasjax.jobs.search_scores import SPLITS, Optima, Scores

_ROUNDING = 1e-6
"""Regrets below are the float32 rounding of a mean."""
_CURVE_RESAMPLES = 1000

ROWS_3_2 = {
    "random_search": ("Random Search", 93.54),
    "reinforce": ("RL", 93.58),
    "regularized_evolution": ("RE", 93.72),
    "bananas": ("BANANAS", 94.08),
}
"""Table 3.2, NAS-Bench-101: row and mean test accuracy in percent by algorithm."""

ROWS_3_3 = {
    "regularized_evolution": (
        "RE",
        {
            "cifar10": (91.08, 0.43, 93.84, 0.43),
            "cifar100": (73.02, 0.46, 72.86, 0.55),
            "ImageNet16-120": (45.78, 0.56, 45.63, 0.64),
        },
    ),
    "random_search": (
        "RS",
        {
            "cifar10": (90.94, 0.38, 93.75, 0.37),
            "cifar100": (72.17, 0.64, 72.05, 0.77),
            "ImageNet16-120": (45.47, 0.65, 45.33, 0.79),
        },
    ),
    "reinforce": (
        "REINFORCE",
        {
            "cifar10": (91.03, 0.33, 93.82, 0.31),
            "cifar100": (72.35, 0.63, 72.13, 0.79),
            "ImageNet16-120": (45.58, 0.62, 45.30, 0.86),
        },
    ),
}
"""Table 3.3, NAS-Bench-201: row, and by data set mean and standard deviation in percent
of validation and test accuracy."""


def regret(values: np.ndarray, optimum: float | None) -> np.ndarray:
    """`optimum - values`, NaN where there is no optimum."""
    if optimum is None:
        return np.full(values.shape, np.nan)
    short = optimum - values
    return np.where(np.abs(short) < _ROUNDING, 0.0, short)


def algorithm(scores: Scores, optima: Optima, cpu_seconds: float) -> dict[str, Any]:
    """The numbers of one algorithm; what is not recorded is None.

    `regret_mean` is of the test score, or of the validation score where there is no
    test score; `regret_of` says which. Trials without a score are left out and counted.
    """
    finals = {split: scores.final(split) for split in SPLITS}
    valid, test = (interval(finals[split]) for split in SPLITS)
    split = judged_by([scores])
    short = regret(finals[split], optima.values[split])
    regrets = interval(short)
    known = short[np.isfinite(short)]
    return {
        "final_test_mean": test["mean"],
        "ci95": test["ci95"],
        "final_test_std": test["std"],
        "final_valid_mean": valid["mean"],
        "final_valid_ci95": valid["ci95"],
        "final_valid_std": valid["std"],
        "regret_mean": regrets["mean"],
        "regret_ci95": regrets["ci95"],
        "regret_of": split,
        "found_optimum": float((known == 0).mean()) if len(known) else None,
        "num_trials": len(scores.num_queries),
        "trials_without_score": int(np.isnan(finals["valid"]).sum()),
        "queries": float(scores.num_queries.mean()),
        "simulated_seconds": _mean(scores.seconds),
        "cpu_seconds": cpu_seconds,
    }


def interval(values: np.ndarray) -> dict[str, Any]:
    """Mean, 95 % bootstrap interval and deviation of the finite values `[R]`."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"mean": None, "ci95": None, "std": None}
    mean, low, high = statistics.bootstrap_interval(known)
    std = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"mean": float(mean), "ci95": [float(low), float(high)], "std": std}


def judged_by(judged: Sequence[Scores]) -> str:
    """`"test"` where every algorithm has test scores, else `"valid"`."""
    known = [np.isfinite(scores.final("test")).any() for scores in judged]
    return "test" if all(known) else "valid"


def comparisons(
    judged: Mapping[str, Scores], controls: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Each algorithm minus each control, trial by trial with the same key.

    A positive difference is better than the control; `ci95` is of the mean difference,
    `p_value` of the two-sided sign-flip test.
    """
    split = judged_by(list(judged.values()))
    found: dict[str, dict[str, Any]] = {}
    for name, scores in judged.items():
        for control in controls:
            if control == name or control not in judged:
                continue
            # One of them may have had fewer trials.
            size = min(len(scores.num_queries), len(judged[control].num_queries))
            pair = [s.final(split)[:size] for s in (scores, judged[control])]
            both = np.isfinite(pair[0]) & np.isfinite(pair[1])
            if both.any():
                difference = statistics.paired_difference(pair[0][both], pair[1][both])
                found.setdefault(name, {})[control] = {
                    "difference": float(difference.mean),
                    "ci95": [float(difference.low), float(difference.high)],
                    "p_value": float(difference.p_value),
                    "of": split,
                    "num_pairs": int(both.sum()),
                }
    return found


def curves(scores: Scores, optima: Optima) -> dict[str, dict[str, np.ndarray]]:
    """Mean regret with its 95 % band against queries and against time.

    Returns:
      By `queries/SPLIT` and `seconds/SPLIT`: `x`, `mean`, `low`, `high`, each `[K]`, of
      the points at which every scored trial has an incumbent.
    """
    found = {}
    queries = np.arange(1, scores.by_query["valid"].shape[1] + 1)
    for axis, x, values in (
        ("queries", queries, scores.by_query),
        ("seconds", scores.times, scores.by_time),
    ):
        for split in SPLITS:
            short = regret(values[split], optima.values[split])
            scored = short[np.isfinite(short).any(axis=1)]
            points = np.isfinite(scored).all(axis=0)
            if len(scored) and points.any():
                band = statistics.bootstrap_interval(
                    scored[:, points], num_resamples=_CURVE_RESAMPLES
                )
                found[f"{axis}/{split}"] = {
                    "x": np.asarray(x, np.float64)[points],
                    **band._asdict(),
                }
    return found


def tables(
    kinds: Mapping[str, str],
    judged: Mapping[str, Scores],
    problem: Mapping[str, Any],
) -> dict[str, list[dict[str, Any]]]:
    """Rows of tables 3.2 and 3.3, in percent.

    Args:
      kinds: registry name of each algorithm.
      judged: scores of each algorithm.
      problem: what `result.json` says of the benchmarks.
    """
    reward, report = problem["benchmark"], problem["report"]
    if reward["space"] == "nasbench101" and report["metric"] == "accuracy":
        return {"3.2": _rows_3_2(kinds, judged, problem)}
    if (
        reward["space"] == "nasbench201"
        and report["data_set"] in ROWS_3_3["reinforce"][1]
    ):
        return {"3.3": _rows_3_3(kinds, judged, problem)}
    return {}


def _rows_3_2(
    kinds: Mapping[str, str], judged: Mapping[str, Scores], problem: Mapping[str, Any]
) -> list[dict[str, Any]]:
    rows = []
    for name, scores in judged.items():
        label, thesis = ROWS_3_2.get(kinds[name], (name, None))
        # The thesis' rows are of the whole table after 108 epochs.
        whole = not problem["benchmark"]["listed"]
        rows.append(_row(name, label, "test", scores, thesis if whole else None))
    return rows


def _rows_3_3(
    kinds: Mapping[str, str], judged: Mapping[str, Scores], problem: Mapping[str, Any]
) -> list[dict[str, Any]]:
    reward, report = problem["benchmark"], problem["report"]
    alike = (reward["epoch"], report["epoch"]) == (12, 200)
    alike &= reward["data_set"] == report["data_set"]
    rows = []
    for name, scores in judged.items():
        label, published = ROWS_3_3.get(kinds[name], (name, {}))
        numbers = published.get(report["data_set"]) if alike else None
        for place, split in enumerate(SPLITS):
            thesis, std = (
                numbers[2 * place : 2 * place + 2] if numbers else (None, None)
            )
            row = _row(name, label, split, scores, thesis)
            row["settings"]["data_set"] = report["data_set"]
            rows.append(row | {"thesis_std": std})
    return rows


def _row(
    name: str, label: str, split: str, scores: Scores, thesis: float | None
) -> dict[str, Any]:
    numbers = interval(100 * scores.final(split))
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
        "thesis": thesis,
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if np.isfinite(values).all() else None


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
    control = next(iter(outcome["config"]["controls"]), "")
    order = sorted(rows, key=lambda name: -(rows[name][best] or -np.inf))
    for name in order:
        row = rows[name]
        versus = outcome["comparisons"].get(name, {}).get(control, {})
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
        progress.echo(f"{name:<24}{texts}")
    if control in rows and len(rows) > 1:
        progress.echo(f"  against: difference to {control} and its p-value")
    for note in outcome["notes"]:
        progress.echo(f"  {note}")
    progress.echo(
        f"{outcome['seconds']:.0f} s; trials, results and figures in {folder}"
    )


def judged_names(rows: Mapping[str, Any]) -> str:
    """Which split all rows have; see `judged_by`."""
    return (
        "test"
        if all(r["final_test_mean"] is not None for r in rows.values())
        else "valid"
    )


def _text(value: float | None, scale: float, sign: str = "") -> str:
    return "-" if value is None else f"{scale * value:{sign}.3f}"
