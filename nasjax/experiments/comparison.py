"""Algorithms against each other: regrets, intervals, paired differences, curves.

    judged = {name: search_scores.judge(...) for name in histories}
    optima = search_scores.optima(report, list(judged.values()))
    bands = {name: comparison.curves(scores, optima) for name, scores in judged.items()}
    found = comparison.comparisons(judged, {"bananas": ["random_search"]})

Everything is a function of the `Scores` of finished trials; one interval is used
everywhere, `statistics.mean_interval`, with embeddings as clusters where trials share
them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.core import statistics
from nasjax.experiments.search_scores import SPLITS, Optima, Scores

_ROUNDING = 1e-6
"""Regrets below are the float32 rounding of a mean."""
_CURVE_RESAMPLES = 1000
_SIGNIFICANCE = 0.05


def regret(values: np.ndarray, optimum: float | None) -> np.ndarray:
    """`optimum - values`, NaN where there is no optimum."""
    if optimum is None:
        return np.full(values.shape, np.nan)
    short = optimum - values
    return np.where(np.abs(short) < _ROUNDING, 0.0, short)


def final_regrets(scores: Scores, optima: Optima) -> dict[str, np.ndarray]:
    """Regrets `[R]` of the last incumbents by split, NaN where there is none."""
    return {s: regret(scores.final(s), optima.values[s]) for s in SPLITS}


def summarize(scores: Scores, optima: Optima) -> dict[str, Any]:
    """The numbers of one algorithm; what is not recorded is None.

    `regret_mean` is of the test score, or of the validation score where there is no
    test score; `regret_of` says which. Trials without a score are left out and counted.
    `clusters` is the number of embeddings with a score, over which the intervals then
    are; None where the algorithm reads none. With one, intervals leave out what
    another embedding would give.
    """
    finals = {split: scores.final(split) for split in SPLITS}
    valid, test = (interval(finals[split], scores.clusters) for split in SPLITS)
    split = judged_by([scores])
    short = regret(finals[split], optima.values[split])
    regrets = interval(short, scores.clusters)
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
        "clusters": scored_embeddings(scores, split),
        "embedding_means": _embedding_means(finals[split], scores.clusters),
        "trials_without_score": int(np.isnan(finals["valid"]).sum()),
        "queries": float(scores.num_queries.mean()),
        "simulated_seconds": _mean(scores.seconds),
    }


def interval(values: np.ndarray, clusters: np.ndarray | None = None) -> dict[str, Any]:
    """Mean, 95 % interval and deviation of the finite values `[R]`.

    The one interval of all summaries: `statistics.mean_interval`. One value has none.
    """
    finite = np.isfinite(values)
    known = values[finite]
    if not len(known):
        return {"mean": None, "ci95": None, "std": None}
    labels = None if clusters is None else clusters[finite]
    mean, low, high = statistics.mean_interval(known, clusters=labels)
    if len(known) == 1:
        return {"mean": float(mean), "ci95": None, "std": None}
    return {
        "mean": float(mean),
        "ci95": [float(low), float(high)],
        "std": float(known.std(ddof=1)),
    }


def _embedding_means(
    values: np.ndarray, clusters: np.ndarray | None
) -> list[float] | None:
    """Mean of the finite values with each embedding, None where there is one."""
    if clusters is None:
        return None
    finite = np.isfinite(values)
    if not finite.any():
        return []
    means = statistics.cluster_means(values[finite], clusters[finite])
    return [float(mean) for mean in means]


def scored_embeddings(scores: Scores, split: str) -> int | None:
    """How many embeddings have a trial with a score; None where none is read."""
    if scores.clusters is None:
        return len(scores.embeddings) or None
    return len(np.unique(scores.clusters[np.isfinite(scores.final(split))]))


def judged_by(judged: Sequence[Scores]) -> str:
    """`"test"` where every algorithm has test scores, else `"valid"`."""
    known = [np.isfinite(scores.final("test")).any() for scores in judged]
    return "test" if all(known) else "valid"


def comparisons(
    judged: Mapping[str, Scores], controls: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Each algorithm minus its controls.

    A positive difference is better than the control; `ci95` is of the mean difference.
    Trials of the same key are paired; with the same embeddings, those of the same
    embedding, and the test is over the embeddings. Where only one of the two varies
    over embeddings, or both over different ones, nothing is paired.

    Args:
      judged: scores of each algorithm.
      controls: by name those it is compared with; others than `judged` are left out.

    Returns:
      By algorithm and control `difference`, `ci95`, `p_value`, `test` (which), `of`,
      `num_pairs` (None where nothing is paired) and `clusters` (embeddings of the
      algorithm and of the control).
    """
    split = judged_by(list(judged.values()))
    found: dict[str, dict[str, Any]] = {}
    for name, scores in judged.items():
        for control in controls.get(name, ()):
            if control != name and control in judged:
                row = _compare(scores, judged[control], split)
                if row is not None:
                    found.setdefault(name, {})[control] = row
    return found


def _compare(scores: Scores, control: Scores, split: str) -> dict[str, Any] | None:
    """The difference of two algorithms; None where too little is scored."""
    alike = scores.embeddings == control.embeddings
    single = scores.clusters is None and control.clusters is None
    if alike or single:
        made = _paired(scores, control, split)
    else:
        made = _unpaired(scores, control, split)
    if made is None:
        return None
    difference, test, num_pairs = made
    return {
        "difference": float(difference.mean),
        "ci95": [float(difference.low), float(difference.high)],
        "p_value": float(difference.p_value),
        "test": test,
        "of": split,
        "num_pairs": num_pairs,
        "clusters": [scored_embeddings(each, split) for each in (scores, control)],
    }


Compared = tuple[statistics.PairedDifference, str, int | None]


def _paired(scores: Scores, control: Scores, split: str) -> Compared | None:
    count = max(1, len(scores.embeddings)) if scores.clusters is not None else 1
    grids = [each.final(split).reshape(count, -1) for each in (scores, control)]
    # One of them may have had fewer trials.
    size = min(grid.shape[1] for grid in grids)
    pair = [grid[:, :size].ravel() for grid in grids]
    both = np.isfinite(pair[0]) & np.isfinite(pair[1])
    if not both.any():
        return None
    labels = np.repeat(np.arange(count), size)[both] if count > 1 else None
    if labels is not None and len(np.unique(labels)) == 1:
        labels = None  # the others have no scored pair: as a single embedding
    difference = statistics.paired_difference(
        pair[0][both], pair[1][both], clusters=labels
    )
    test = "sign flips" if labels is None else "paired t over embeddings"
    return difference, test, int(both.sum())


def _unpaired(scores: Scores, control: Scores, split: str) -> Compared | None:
    values, labels = [], []
    for each in (scores, control):
        finals = each.final(split)
        finite = np.isfinite(finals)
        known = None if each.clusters is None else each.clusters[finite]
        values.append(finals[finite])
        labels.append(known)
        if (finite.sum() if known is None else len(np.unique(known))) < 2:
            return None
    difference = statistics.unpaired_difference(
        *values, first_clusters=labels[0], second_clusters=labels[1]
    )
    return difference, "Welch's t over embeddings", None


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
            has_score = np.isfinite(short).any(axis=1)
            scored = short[has_score]
            points = np.isfinite(scored).all(axis=0)
            if len(scored) and points.any():
                labels = scores.clusters
                band = statistics.mean_interval(
                    scored[:, points],
                    clusters=None if labels is None else labels[has_score],
                    num_resamples=_CURVE_RESAMPLES,
                )
                found[f"{axis}/{split}"] = {
                    "x": np.asarray(x, np.float64)[points],
                    **band._asdict(),
                }
    return found


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if np.isfinite(values).all() else None


def ordered(outcome: Mapping[str, Any]) -> list[str]:
    """Algorithms of a result in the order of its configuration; JSON sorts them."""
    rows, asked = outcome["algorithms"], outcome["config"]["algorithms"]
    return sorted(rows, key=lambda n: asked.index(n) if n in asked else len(asked))


def statements(
    label: str, compared: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[str]:
    """A sentence for each algorithm and control: is there a difference?

    There is where the interval is on one side of 0 and the test rejects at 5 %: a sign
    test of a few pairs never does. What is said of a single embedding is said of it.

    Args:
      label: what the sentences begin with, such as the data set.
      compared: what `comparisons` found, of accuracies.
    """
    sentences = []
    for name, controls in compared.items():
        for control, found in controls.items():
            low, high = (100 * end for end in found["ci95"])
            word = verdict(found)
            which = " with this one embedding" if 1 in found["clusters"] else ""
            value = found["p_value"]
            chance = "p < 0.0001" if value < 1e-4 else f"p = {value:.4f}"
            sentences.append(
                f"{label}: {name}{which} is {word} {control}: "
                f"{100 * found['difference']:+.3f} points of {found['of']} accuracy, "
                f"95 % interval {low:+.3f} to {high:+.3f}, "
                f"{chance}, {_units(found)}"
            )
    return sentences


def verdict(found: Mapping[str, Any]) -> str:
    """What one of `comparisons` says: `"better than"` its control, or otherwise."""
    low, high = found["ci95"]
    if found["p_value"] < _SIGNIFICANCE and low * high > 0:
        return "better than" if low > 0 else "worse than"
    return "not separated from"


def _units(found: Mapping[str, Any]) -> str:
    """What a difference is over."""
    clusters = [count for count in found["clusters"] if count]
    parts = [f"{found['num_pairs']} pairs"] if found["num_pairs"] else []
    if clusters:
        parts.append(f"{' and '.join(map(str, sorted(set(clusters))))} embeddings")
    return ", ".join([*parts, found["test"]])
