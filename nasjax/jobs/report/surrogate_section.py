"""Surrogates of learning curves: scores beside cheap baselines, a scatter, and fans."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nasjax.core import arrays, errors
from nasjax.experiments import plots
from nasjax.experiments.forecasts import Forecasts
from nasjax.jobs.nasbench_x11 import surrogates
from nasjax.jobs.report import reproduction
from nasjax.jobs.report.parts import Headline, Part, attempt, notes, number
from nasjax.jobs.report.workdirs import AGAIN, Workdir
from nasjax.nasbench.surrogate.cross_validation import COLUMNS as FOLD_COLUMNS
from nasjax.nasbench.surrogate.held_out import KEYS
from nasjax.report import page
from nasjax.report.page import Markup

HEADS = {
    "avg_r2": "R², all epochs",
    "final_r2": "R², last epoch",
    "avg_kt": "Kendall's tau, all",
    "final_kt": "Kendall's tau, last",
    "avg_kl": "KL of noise, all",
    "final_kl": "KL of noise, last",
}


def build(found: Workdir) -> Part:
    """The section of fitted surrogates."""
    outcome, config = found.outcome, found.config
    data = str(config["data"]["name"])
    pieces: list[Any] = [
        page.paragraph(
            f"Fitted to {outcome['num_train']:,} architectures, judged on "
            f"{outcome['num_test']:,} others; one split, seed {config['seed']}, so "
            "there is no interval. The mean curve and a ridge on the features are what "
            "any surrogate must beat."
        ),
        *notes(outcome),
        _table({**outcome["surrogates"], **outcome["baselines"]}),
        *_plots(found),
        *reproduction.pieces(found),
    ]
    scores = outcome["surrogates"]
    best = max(scores, key=lambda name: scores[name]["final_kt"] or 0.0)
    ridge = outcome["baselines"].get("ridge", {}).get("final_kt")
    headline = Headline(
        f"surrogate, {data}",
        f"{best}: Kendall's tau {scores[best]['final_kt']:.3f} at the last epoch",
        "one split has none",
        f"seed {config['seed']}, {outcome['num_test']:,} held out",
        f"ridge {ridge:.3f}" if isinstance(ridge, float) else "–",
    )
    return Part(f"Surrogates of {data}", headline, pieces)


def build_folds(found: Workdir) -> Part:
    """The section of a cross-validation."""
    outcome, config = found.outcome, found.config
    data = str(config["data"]["name"])
    rows = []
    for name, table in {**outcome["cross_validation"], **outcome["baselines"]}.items():
        for inputs, row in table.items():
            cells = [
                (row[k]["mean"], f"{row[k]['mean']:.3f} ({row[k]['std']:.3f})")
                for k in FOLD_COLUMNS
            ]
            rows.append([name, inputs, *cells])
    heads = ("surrogate", "inputs", *(HEADS.get(key, key) for key in FOLD_COLUMNS))
    caption = f"Means (deviations) over {config['folds']} folds."
    pieces = [
        page.table(heads, rows, caption=caption),
        *notes(outcome),
        *reproduction.pieces(found),
    ]
    headline = Headline(
        f"cross-validation, {data}",
        f"{outcome['num_archs']:,} architectures",
        seeds=f"{config['folds']} folds",
    )
    return Part(f"Cross-validation of surrogates of {data}", headline, pieces)


def build_benchmark(found: Workdir) -> Part:
    """The section of an embedded benchmark that was built."""
    outcome = found.outcome
    facts = {
        "file": page.code(str(outcome["output"])),
        "architectures": f"{outcome['architectures']:,}",
        "trainings": f"{outcome['trainings']:,}",
        "seeds": ", ".join(map(str, outcome["seeds"])),
        "size": f"{outcome['megabytes']:.2f} MB",
    }
    reliability = outcome.get("reliability", {})
    facts |= {f"reliability: {k.replace('_', ' ')}": v for k, v in reliability.items()}
    name = str(found.config["build"]["benchmark"])
    headline = Headline(
        f"benchmark {name}",
        f"{outcome['trainings']:,} trainings",
        seeds=f"{len(outcome['seeds'])} seeds",
    )
    pieces = [page.facts(facts), *reproduction.pieces(found)]
    return Part(f"Benchmark {name}", headline, pieces)


def _table(scores: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = [[name, *(number(s.get(key)) for key in KEYS)] for name, s in scores.items()]
    return page.table(("surrogate", *(HEADS[key] for key in KEYS)), rows)


def _plots(found: Workdir) -> list[Any]:
    path = found.folder / surrogates.FORECASTS_FILE
    if not path.exists():
        told = f"no {path.name}: its scatter and fans are not drawn; {AGAIN}"
        return [page.paragraph(told, class_="warning")]
    try:
        tree, facts = arrays.load(path), arrays.load_metadata(path)
        foretold = Forecasts(**{name: np.asarray(tree[name]) for name in tree})
    except (errors.DataError, TypeError) as error:
        return [page.paragraph(f"{path.name}: {error}; {AGAIN}", class_="warning")]
    names = {key: str(facts.get(key, "")) for key in ("metric", "surrogate")}
    return [
        attempt(path, lambda: plots.scatter_plot(foretold, **names)),
        attempt(path, lambda: plots.fan_plot(foretold, **names)),
    ]
