"""Trains the best of an embedded benchmark's surrogate, and ranks another table by it.

Both are `experiments.embedded_checks`; the surrogate is one that `fit` saved.
"""

import pathlib
from typing import Any

import jax

from nasjax import nasbench, spaces
from nasjax.core import errors, progress, result
from nasjax.experiments import embedded_checks, search_inputs
from nasjax.jobs import config_door
from nasjax.jobs.nasbench_x11 import surrogates
from nasjax.jobs.nasbench_x11.settings import Fits
from nasjax.nasbench.sampled_digits import SAMPLED
from nasjax.nasbench.surrogate import storage
from nasjax.nasbench.table import TabularBenchmark

VERIFICATION_FILE = "verification.json"
_LISTED = ("nasbench101",)
"""Spaces whose architectures are all looked at."""


def verify(config: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Writes and prints what the two checks find.

    Raises:
      ConfigError: the data are no embedded benchmark of a large space.
      DataError: nothing is fitted in the folder, or the table cannot be read.
    """
    fits = config_door.read(Fits, config)
    name, wanted = fits.data.name, fits.verify
    if name not in SAMPLED:
        raise errors.ConfigError(
            f"config.data.name is {name!r}: only {', '.join(SAMPLED)} can be verified"
        )
    file = surrogates.saved(folder, fits, fits.sample.surrogate)
    surrogate, sampled = storage.load(file), SAMPLED[name]
    other = None
    if wanted.table:
        other = nasbench.load(wanted.table)
        if not isinstance(other, TabularBenchmark):
            raise errors.ConfigError(f"config.verify.table: {wanted.table} is no table")
    space, archs = spaces.make(sampled.space), None
    if sampled.space in _LISTED:
        inputs = search_inputs.SearchInputs(space, None, 0)
        archs = search_inputs.candidates(inputs)
    best = embedded_checks.best(
        jax.random.key(wanted.seed), surrogate, space, wanted.num_best, archs=archs
    )
    total = wanted.num_trained * len(wanted.seeds)
    with progress.progress(total, description="trainings of the best") as bar:
        order = embedded_checks.order_of_best(
            sampled,
            surrogate,
            best,
            num_trained=wanted.num_trained,
            seeds=wanted.seeds,
            report=bar.update,
        )
    outcome: dict[str, Any] = {"order_of_best": order | {"of": len(best)}}
    if other is not None:
        listed = nasbench.load(name, listed=True)
        outcome["agreement"] = embedded_checks.agreement(surrogate, listed, other)
    outcome |= {
        "surrogate": surrogate.version,
        "config": config,
        "versions": result.versions(),
    }
    result.write(folder / VERIFICATION_FILE, outcome)
    _print(outcome)
    return outcome


def _print(outcome: dict[str, Any]) -> None:
    order = outcome["order_of_best"]
    ceiling = order["kendall_tau_of_seeds"]
    between = "" if ceiling is None else f" (two seeds: {ceiling:.3f})"
    print(
        f"{order['num_trained']} of the best {order['of']} trained: Kendall's tau "
        f"{order['kendall_tau']:.3f}{between}; accuracy {order['trained']:.4f}, "
        f"predicted {order['predicted']:.4f}"
    )
    for part, found in outcome.get("agreement", {}).items():
        if found["spearman"] is not None:
            print(
                f"Spearman with the table, {part}: {found['spearman']:.3f} "
                f"({found['count']:,} architectures)"
            )
