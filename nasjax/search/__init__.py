"""Search algorithms and the loops that run them.

`run` is one `lax.scan`, `run_trials` many of them in a few compiled calls, `drive` a
loop on the host for real trainings; all take any `SearchAlgorithm`.

    import jax
    from nasjax import nasbench, search, spaces

    table, space = nasbench.load("digits201"), spaces.make("nasbench201")
    algorithm = search.make("random_search", space)
    keys = jax.random.split(jax.random.key(0), 2)
    print(search.run_trials(keys, algorithm, table.evaluate, 10).valid.max())
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nasjax.core import errors, registry
from nasjax.core.types import Evaluation, Proposal, SearchSpace
from nasjax.search import evolution, local_search, random_search, reinforce
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.search.history import History, rescore
from nasjax.search.latent import reinforce as latent_reinforce
from nasjax.search.latent import supervised_bo, supervised_reinforce
from nasjax.search.loops.budget import limit
from nasjax.search.loops.dispatch import LostEvaluation
from nasjax.search.loops.drive import Stopped, drive
from nasjax.search.loops.scan import Run, advance, run, start
from nasjax.search.loops.trials import run_trials
from nasjax.search.model_based import (
    bananas,
    bayesian_optimization,
    bo_gcn,
    neural_predictor,
    pool_local_search,
)
from nasjax.search.multi_fidelity import (
    asha,
    bohb,
    dehb,
    hyperband,
    successive_halving,
)
from nasjax.search.space_arrays import carrying

__all__ = [
    "ALGORITHMS",
    "EmbeddingTable",
    "Evaluation",
    "History",
    "LostEvaluation",
    "Proposal",
    "Run",
    "SearchAlgorithm",
    "Stopped",
    "advance",
    "carrying",
    "drive",
    "inputs_of",
    "limit",
    "make",
    "rescore",
    "run",
    "run_trials",
    "start",
]

ALGORITHMS: Mapping[str, Callable[..., SearchAlgorithm]] = {
    "random_search": random_search.random_search,
    "regularized_evolution": evolution.regularized_evolution,
    "local_search": local_search.local_search,
    "reinforce": reinforce.reinforce,
    "successive_halving": successive_halving.successive_halving,
    "hyperband": hyperband.hyperband,
    "bohb": bohb.bohb,
    "dehb": dehb.dehb,
    "asha": asha.asha,
    "bananas": bananas.bananas,
    "bo_bohamiann": functools.partial(
        bayesian_optimization.bayesian_optimization, predictor="bohamiann"
    ),
    "bo_dngo": functools.partial(
        bayesian_optimization.bayesian_optimization, predictor="dngo"
    ),
    "bo_gcn": bo_gcn.bo_gcn,
    "bo_gp": functools.partial(
        bayesian_optimization.bayesian_optimization, predictor="gp"
    ),
    "cate_dngo": functools.partial(pool_local_search.dngo_local_search, local=False),
    "cate_dngo_ls": pool_local_search.dngo_local_search,
    "latent_control": latent_reinforce.latent_control,
    "latent_dngo": bayesian_optimization.latent_dngo,
    "latent_reinforce": latent_reinforce.latent_reinforce,
    "neural_predictor": neural_predictor.neural_predictor,
    "supervised_bo": supervised_bo.supervised_bo,
    "supervised_reinforce": supervised_reinforce.supervised_reinforce,
}
"""Factories `(space, **settings) -> SearchAlgorithm`."""

_FIELDS = {
    "sample": "(key) -> arch [G]",
    "mutate": "(key, arch [G]) -> arch [G]",
    "neighbors": "(arch [G]) -> (archs [M, G], mask [M])",
    "gene_ranges": "a pair (lowest, highest) for each gene",
}
_MUTATING = (
    "regularized_evolution",
    "bananas",
    "bo_bohamiann",
    "bo_dngo",
    "bo_gcn",
    "bo_gp",
)


def make(name: str, space: SearchSpace, **settings: Any) -> SearchAlgorithm:
    """The algorithm of a name.

    Args:
      name: a key of `ALGORITHMS`.
      space: what is searched.
      **settings: of the factory, such as `population_size=20`.

    Raises:
      ConfigError: there is no such algorithm or setting, a setting does not fit, or
        one that is needed, or a function of an own space, is missing.
    """
    factory = registry.find("search algorithm", ALGORITHMS, name)
    registry.check(repr(name), factory, settings, taken=1, word="setting")
    _check_space(name, space, settings)
    if settings.get("features") is not None:
        _check_features(name, settings["features"], space)
    try:
        return carrying(space, lambda space: factory(space, **settings))
    except errors.ConfigError as error:
        missing = [key for key in inputs_of(name) if settings.get(key) is None]
        if not missing:
            raise
        raise errors.ConfigError(
            f"{error}; experiments.make({name!r}, space, benchmark) finds "
            f"{' and '.join(missing)} by name"
        ) from error


def inputs_of(name: str) -> tuple[str, ...]:
    """Settings of an algorithm that are functions or arrays and cannot be left out.

    Raises:
      ConfigError: there is no such algorithm.
    """
    factory = registry.find("search algorithm", ALGORITHMS, name)
    known = registry.options_of(factory, taken=1)
    if "network" in known:
        return ("network", "candidates")
    if "table" in known and "features" not in known:
        return ("table",)
    return ("features",) if name == "bananas" else ()


def _check_space(name: str, space: SearchSpace, settings: Mapping[str, Any]) -> None:
    """Raises a `ConfigError` where a space lacks what the algorithm calls."""
    chooses = any(settings.get(key) is not None for key in ("table", "candidates"))
    needed = ["sample"]
    if name == "local_search":
        needed.append("neighbors")
    elif name == "reinforce" and settings.get("gene_ranges") is None:
        needed.append("gene_ranges")
    elif name in _MUTATING and not chooses:
        needed.append("mutate")
    for field in needed:
        if not getattr(space, field):
            raise errors.ConfigError(
                f"{name} needs {field} of the space {space.name!r}: {_FIELDS[field]}"
            )


def _check_features(name: str, features: Any, space: SearchSpace) -> None:
    """They are traced once here: a search would find out after its first trainings."""
    if not callable(features):
        raise errors.ConfigError(
            f"features of {name!r}: pass a function of one architecture, such as "
            f"nasjax.encoders.make('path_one_hot', {space.name!r}), not "
            f"{type(features).__name__}"
        )
    arch = jax.ShapeDtypeStruct((space.num_genes,), jnp.int32)
    try:
        shape = jax.eval_shape(features, arch).shape
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        raise errors.ConfigError(
            f"features of {name!r} cannot encode an architecture of {space.name}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    if len(shape) != 1:
        raise errors.ConfigError(
            f"features of {name!r} must turn one architecture into a vector, not into "
            f"an array of shape {shape}"
        )
