"""Architectures that searches find on a first surrogate of drawn trainings.

A surrogate is asked most where searches go, and a drawn sample has hardly anything
there (chapter 5; 149 of NAS-Bench-111's cells were found so). A surrogate is fitted to
the curves of what is trained already, every algorithm runs on it, and the best of each
of its trials are kept.
"""

import math
from collections.abc import Sequence

import jax
import numpy as np

from nasjax import spaces
from nasjax.core import errors
from nasjax.experiments import algorithms, embedded_samples, search_problem
from nasjax.nasbench.surrogate import features as feature_registry
from nasjax.nasbench.surrogate import fitting
from nasjax.nasbench.surrogate.model import Surrogate
from nasjax.nasbench.trainings import NUM_EPOCHS, Trainings
from nasjax.search.history import History
from nasjax.search.loops import trials

QUERIES = 150
BEST = 20
"""Architectures that are kept of a trial."""
_SEED = 0
_METRIC = "valid_accuracy"
_MOST_ROUNDS = 20
_FEWEST_TRIALS = 8
"""Trials of a round: what one finds when little is lacking, others found before."""


def find(
    trainings: Trainings,
    space_name: str,
    features: str,
    number: int,
    names: Sequence[str],
    num_evaluated: int,
) -> np.ndarray:
    """The architectures to train besides the drawn ones.

    Args:
      trainings: of drawn architectures; those with seed 0 count.
      space_name: registry name of the space.
      features: registry name of the surrogate's features.
      number: N; each algorithm finds an equal share.
      names: of algorithms, keys of `search.ALGORITHMS`.
      num_evaluated: images that `valid_correct` counts.

    Returns:
      int32 `[N, G]`, algorithm by algorithm; no two of them, and none of the
      trainings', have one fingerprint.

    Raises:
      DataError: the algorithms find too few new ones.
    """
    space = spaces.make(space_name)
    surrogate = first_surrogate(trainings, space_name, features, num_evaluated)
    problem = search_problem.make(surrogate, average=True)
    seen: set[int] = set()
    embedded_samples.distinct(space, trainings.archs, seen)
    found = np.zeros((0, space.num_genes), np.int32)
    for place, name in enumerate(names):
        wanted = number * (place + 1) // len(names)
        algorithm = algorithms.make(name, space, surrogate)
        key = jax.random.fold_in(jax.random.key(_SEED), place)
        for turn in range(_MOST_ROUNDS):
            share = wanted - len(found)
            count = max(_FEWEST_TRIALS, math.ceil(share / BEST))
            keys = jax.random.split(jax.random.fold_in(key, turn), count)
            history = trials.run_trials(
                keys, algorithm, problem.evaluate, budget_queries=QUERIES
            )
            new = embedded_samples.distinct(space, _best(history), seen)
            found = np.concatenate([found, new[:share]])
            if len(found) == wanted:
                break
        else:
            raise errors.DataError(
                f"{name} lacks {wanted - len(found)} new architectures after "
                f"{_MOST_ROUNDS} rounds"
            )
    return found


def first_surrogate(
    trainings: Trainings, space_name: str, features: str, num_evaluated: int
) -> Surrogate:
    """Fitted to the validation curves of seed 0, without noise and costs."""
    encode = jax.jit(jax.vmap(feature_registry.make(features).encode))
    runs = np.flatnonzero(trainings.seed == 0)
    curves = trainings.curves["valid_correct"][runs] / num_evaluated
    settings = fitting.Settings(noise="none", boosting="small")
    inputs = encode(trainings.archs[trainings.row[runs]].astype(np.int32))
    models = fitting.fit(
        jax.random.key(_SEED), np.asarray(inputs), {_METRIC: curves}, settings
    )
    return Surrogate(
        models=models,
        seconds=None,
        space=space_name,
        features=features,
        data_set="digits",
        epochs=tuple(range(1, NUM_EPOCHS + 1)),
        metric="accuracy",
        techniques=settings.techniques,
    )


def _best(history: History) -> np.ndarray:
    """`[R B, G]`, the B best evaluations of each of R trials, trial by trial."""
    order = np.argsort(-np.asarray(history.valid), axis=1, kind="stable")[:, :BEST]
    archs = np.take_along_axis(np.asarray(history.archs), order[..., None], axis=1)
    return archs.reshape(-1, archs.shape[-1])
