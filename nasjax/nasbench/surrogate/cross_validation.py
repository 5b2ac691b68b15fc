"""Scores of surrogates by cross-validation, by what they may read."""

from typing import Any

import jax
import numpy as np

from nasjax.core import progress, statistics
from nasjax.nasbench.surrogate import baselines, evaluation, fitting, held_out
from nasjax.nasbench.surrogate.study import Study

COLUMNS = held_out.KEYS[:4]
"""What is judged: no noise is fitted."""


def cross_validate(study: Study) -> dict[str, Any]:
    """K-fold scores of each surrogate by what it may read, and paired comparisons.

    Where some features were measured in the training itself, the surrogate with them
    is compared with the same surrogate on these measurements alone. The two baselines,
    a mean curve and a ridge, stand beside it on the same folds.
    """
    data = study.data
    order = np.random.default_rng(study.seed).permutation(len(data))
    folds = np.array_split(order, study.folds)
    inputs = {"all features": data.features}
    if data.num_measured:
        inputs["architecture only"] = data.features[:, : -data.num_measured]
        inputs["measured only"] = data.features[:, -data.num_measured :]
    targets, outcome = data.curves[study.metric], {}
    everything = np.arange(len(data))
    cheap: dict[str, dict[str, list[dict[str, float]]]] = {}
    for test in folds:
        train = np.setdiff1d(everything, test)
        for key, features in inputs.items():
            predicted = baselines.predict(
                features[train], targets[train], features[test]
            )
            for baseline, curves in predicted.items():
                found = cheap.setdefault(baseline, {}).setdefault(key, [])
                found.append(
                    evaluation.evaluate(targets[test], curves, unit=study.unit)
                )
    # The mean curve reads nothing.
    cheap["mean curve"] = {"no features": cheap["mean curve"]["all features"]}
    for name, settings in study.settings.items():
        scores: dict[str, list[dict[str, float]]] = {key: [] for key in inputs}
        for number, test in enumerate(
            progress.progress(folds, description=f"{name} folds")
        ):
            train = np.setdiff1d(everything, test)
            for key, features in inputs.items():
                mean = fitting.fit_mean(
                    jax.random.fold_in(study.key, number),
                    features[train],
                    targets[train],
                    settings,
                )
                ours = held_out.predict(mean.members, features[test])
                scores[key].append(
                    evaluation.evaluate(targets[test], ours, unit=study.unit)
                )
        outcome[name] = _fold_table(scores)
    return {
        "cross_validation": outcome,
        "baselines": {name: _fold_table(found) for name, found in cheap.items()},
        "num_archs": len(data),
        "num_epochs": targets.shape[1],
        "epochs": list(data.epochs),
        "features": list(data.feature_names),
        "ignored": data.ignored,
        "notes": list(data.notes),
    }


def _fold_table(scores: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Mean and deviation over folds, and the paired test against measurements."""
    table: dict[str, Any] = {}
    for inputs, folds in scores.items():
        columns = {key: [fold[key] for fold in folds] for key in COLUMNS}
        table[inputs] = {
            key: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1))}
            for key, v in columns.items()
        }
    if "measured only" in scores:
        for key in COLUMNS:
            ours, theirs = (
                [fold[key] for fold in scores[inputs]]
                for inputs in ("all features", "measured only")
            )
            difference = statistics.paired_t_test(ours, theirs)
            table["all features"][key] |= {
                "above_measured_only": float(difference.mean),
                "p_value": float(difference.p_value),
            }
    return table
