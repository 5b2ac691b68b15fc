"""Search algorithms and the loops that run them.

`run` is one `lax.scan`, `run_trials` many of them in a few compiled calls, `drive` a
loop on the host for real trainings; all take any `SearchAlgorithm`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from nasjax.core import errors
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
    "latent_control": latent_reinforce.latent_control,
    "latent_dngo": bayesian_optimization.latent_dngo,
    "latent_reinforce": latent_reinforce.latent_reinforce,
    "neural_predictor": neural_predictor.neural_predictor,
    "supervised_bo": supervised_bo.supervised_bo,
    "supervised_reinforce": supervised_reinforce.supervised_reinforce,
}
"""Factories `(space, **settings) -> SearchAlgorithm`."""


def make(name: str, space: SearchSpace, **settings: Any) -> SearchAlgorithm:
    """The algorithm of a name.

    Args:
      name: a key of `ALGORITHMS`.
      space: what is searched.
      **settings: of the factory, such as `population_size=20`.

    Raises:
      ConfigError: there is no such algorithm or setting, or a setting does not fit.
    """
    if name not in ALGORITHMS:
        raise errors.unknown_name("search algorithm", name, ALGORITHMS)
    known = [*inspect.signature(ALGORITHMS[name]).parameters][1:]
    for setting in settings:
        if setting not in known:
            raise errors.unknown_name(f"setting of {name!r}", setting, known)
    if settings.get("features") is not None:
        _check_features(name, settings["features"], space)
    return carrying(space, lambda space: ALGORITHMS[name](space, **settings))


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
