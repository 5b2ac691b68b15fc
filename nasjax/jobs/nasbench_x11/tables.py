"""Tables 5.2 and 5.3 in `result.json`, and what is printed."""

from typing import Any

from nasjax.experiments import published
from nasjax.jobs.nasbench_x11.settings import Data
from nasjax.nasbench.surrogate.cross_validation import COLUMNS
from nasjax.nasbench.surrogate.held_out import KEYS
from nasjax.nasbench.surrogate.study import MIN_LIGHTGBM, Study


def tables(made: Study, scores: dict[str, Any], data: Data) -> dict[str, Any]:
    """Tables 5.2 and 5.3 in the form of every `result.json`.

    Args:
      made: the study.
      scores: by surrogate what `held_out.judge` found.
      data: what they were fitted to.
    """
    known = {
        "features": data.features,
        "num_archs": len(made.data),
        "num_epochs": made.data.curves[made.metric].shape[1],
    }
    rows = [
        {
            "settings": {"surrogate": name, "metric": key, "data": data.name},
            "value": score[key],
            "num_seeds": 1,
            "thesis": published.value("5.2", name, key, known),
        }
        for name, score in scores.items()
        for key in KEYS
        if key in score
    ]
    return {
        "5.2": [r for r in rows if r["settings"]["surrogate"] == "svd_lgb_gkde"],
        "5.3": rows,
    }


def summary(outcome: dict[str, Any]) -> str:
    """The printed table."""
    if "cross_validation" in outcome:
        return _fold_summary(outcome)
    lines = [f"{'surrogate':<22}" + "".join(f"{key:>10}" for key in KEYS)]
    for name, score in outcome["surrogates"].items():
        found = (score.get(key) for key in KEYS)
        cells = (f"{'-':>10}" if v is None else f"{v:>10.3f}" for v in found)
        lines.append(f"{name:<22}" + "".join(cells))
    for name, score in outcome.get("baselines", {}).items():
        cells = (f"{score[key]:>10.3f}" for key in COLUMNS)
        lines.append(f"{name:<22}" + "".join(cells))
    if seeds := outcome.get("seed_noise"):
        noise = f"{seeds['avg_kl']:>10.3f}{seeds['final_kl']:>10.3f}"
        lines.append(f"{'noise fitted to seeds':<22}" + " " * 40 + noise)
    constant = [n for n, score in outcome["surrogates"].items() if not score["avg_kt"]]
    return "\n".join(lines + _constant_note(constant))


def _fold_summary(outcome: dict[str, Any]) -> str:
    title = f"{outcome['num_archs']} architectures, {outcome['num_epochs']} epochs"
    lines = [title, " " * 36 + "".join(f"{key:>16}" for key in COLUMNS)]
    for name, table in {**outcome["cross_validation"], **outcome["baselines"]}.items():
        for inputs, row in table.items():
            scores = [f"{row[k]['mean']:>9.3f} ({row[k]['std']:.3f})" for k in COLUMNS]
            lines.append(f"{name:<16}{inputs:<20}" + "".join(scores))
        if "measured only" in table:
            gains = [table["all features"][key] for key in COLUMNS]
            tests = [
                f"{gain['above_measured_only']:>+7.3f} (p {gain['p_value']:.2f})"
                for gain in gains
            ]
            lines.append(" " * 16 + f"{'above measured only':<20}" + "".join(tests))
    constant = [
        f"{name} from {inputs}"
        for name, table in outcome["cross_validation"].items()
        for inputs, row in table.items()
        if not any(row["avg_kt"].values())
    ]
    return "\n".join(lines + _constant_note(constant))


def _constant_note(names: list[str]) -> list[str]:
    """What a rank correlation of exactly 0 means, with its usual cause."""
    if not names:
        return []
    return [
        f"{', '.join(names)}: the same prediction for all; LightGBM's leaves have at "
        f"least {MIN_LIGHTGBM // 2} curves, so train more architectures, or choose a "
        "surrogate with xgb or mlp"
    ]
