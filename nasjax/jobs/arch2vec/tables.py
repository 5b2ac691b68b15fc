"""Rows of table 3.1, of one pre-training seed or of several."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.experiments import comparison, published
from nasjax.jobs.arch2vec.settings import Pretraining

COLUMNS = {
    "accuracy": "reconstruction_exact",
    "validity": "validity_released",
    "uniqueness": "uniqueness",
    "strict validity": "validity_strict",
    "strict uniqueness": "uniqueness_strict",
}
"""By column what a variant has measured: by the published check, which the thesis used,
and by the rules of the space."""
NOTE = (
    "uniqueness counts labelled graphs: isomorphic graphs with another order of nodes "
    "are different, where the thesis counts hashes that are equal for both; strict "
    "uniqueness counts isomorphic cells once"
)
"""Of `result.json`, and printed below the table."""
_ROWS = {"thesis": "arch2vec", "released": "arch2vec"}
"""Variants that are a row of the thesis under another name; `improved` is none."""


def rows(
    config: Pretraining, measured: Sequence[Mapping[str, Mapping[str, float]]]
) -> list[dict[str, Any]]:
    """Rows for `result.json`, in percent: means over seeds with 95 % intervals.

    Args:
      config: of the job.
      measured: of each seed what `evaluation.measure` found, by variant.
    """
    found = []
    for variant in config.variants:
        known = facts(config, variant)
        for column, field in COLUMNS.items():
            # Unknown where nothing valid was generated: NaN, in a file null.
            values = 100 * np.array([seed[variant][field] for seed in measured], float)
            numbers = comparison.interval(values)
            row = _ROWS.get(variant, variant)
            found.append(
                {
                    "settings": {
                        "space": config.space,
                        "variant": variant,
                        "column": column,
                    },
                    "value": numbers["mean"],
                    "ci95": numbers["ci95"],
                    "std": numbers["std"],
                    "num_seeds": int(np.isfinite(values).sum()),
                    "thesis": published.value("3.1", row, column, known),
                }
            )
    return found


def facts(config: Pretraining, variant: str) -> dict[str, Any]:
    """What a pre-training was, in the words of `published`."""
    settings = config.settings.get(variant, {})
    changed = tuple(sorted(k for k, v in settings.items() if v is not None))
    keys = ("space", "held_out", "epochs", "batch_size", "learning_rate", "num_points")
    whole = {"nasbench101": 423_624, "nasbench201": 15_625, "darts_shared": 600_000}
    return {
        **{key: getattr(config, key) for key in keys},
        "num_archs": config.num_archs or whole[config.space],
        "changed": changed,
    }


def text(row: Mapping[str, Any]) -> str:
    """A cell of the printed table."""
    if row["value"] is None:
        return "-"
    value = f"{row['value']:.2f}"
    if row["ci95"] is None:
        return value
    low, high = row["ci95"]
    return f"{value} ({low:.2f} - {high:.2f})"
