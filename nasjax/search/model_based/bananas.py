"""BANANAS (White et al., 2021): an ensemble of networks on the path encoding."""

from collections.abc import Callable, Mapping
from typing import Any

from nasjax import predictors
from nasjax.core import errors
from nasjax.core.types import Array, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.model_based import acquisition, candidate_search

VARIANTS = ("thesis", "released")


def bananas(
    space: SearchSpace,
    *,
    features: Callable[[Array], Array] | None = None,
    acquisition_function: str = "thompson_sampling",
    exploration: float = 0.5,
    num_init: int = 10,
    batch_size: int = 10,
    capacity: int = 200,
    num_candidates: int = 100,
    num_parents: int = 1,
    max_edits: int = 1,
    patience: int = 5,
    predictor_options: Mapping[str, Any] | None = None,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """Trains, round after round, the mutants that an ensemble's samples rank highest.

    The defaults are those of the authors' code (github.com/naszilla/naszilla, read
    there: `nas_algorithms.bananas`, `nas_benchmarks.get_candidates`, `params`), which
    the thesis' comparison of encodings uses (section 4.3): 10 random cells, batches of
    10, independent Thompson sampling, 100 mutants of the best architecture, none of
    them seen before, and those of the second to fifth best as long as there are fewer
    than 100. The ensemble's settings are those of `mlp_ensemble.mlp_ensemble`. Here a
    batch that the mutants cannot fill is filled with random architectures.

    NAS-Bench-x11 (section 5.4) has `num_init=20, batch_size=20, num_candidates=40` and
    `predictor_options={"members": 1, "layers": 20, "epochs": 500, "l1": 0.2, "rate":
    1e-3}`; on NAS-Bench-111 `num_parents=1, max_edits=1`, elsewhere `num_parents=4,
    max_edits=5`.

    Args:
      space: what is searched.
      features: `arch [G] -> float [D]`, the path encoding; needed.
      acquisition_function: a key of `acquisition.ACQUISITIONS`.
      exploration: standard deviations of the upper confidence bound.
      num_init: random architectures at the start.
      batch_size: k, architectures of one round.
      capacity: P, the ensemble is fitted to the last P trainings.
      num_candidates: mutants of one round.
      num_parents: how many of the best are mutated.
      max_edits: mutations of one candidate, 1 to this many.
      patience: mutants of up to `patience * num_parents` architectures are tried where
        those of the best are not new; see `candidate_search.search_candidates`.
      predictor_options: of the ensemble.
      variant: "released": as in the code of NAS-Bench-x11 all mutants get `max_edits`
        edits and their number is divided by it; they may have been trained before or
        be alike. With 4 parents and 5 edits there are 8 of them, fewer than a batch of
        20, so that all are trained and the rest of the batch stays unused.

    Raises:
      ConfigError: `features` is missing, there is no such name, or a size is out of
        range.
    """
    if features is None:
        raise errors.ConfigError(
            "bananas needs features=..., a function arch [G] -> vector [D], such as "
            f"encoders.make('path_one_hot', {space.name!r})"
        )
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of BANANAS", variant, VARIANTS)
    released = variant == "released"
    if released and min(num_parents, max_edits) >= 1:
        num_candidates = num_parents * (num_candidates // (num_parents * max_edits))
        patience = 1
    return candidate_search.search_candidates(
        space,
        predictors.make("mlp_ensemble", **(predictor_options or {})),
        features,
        acquisition.make(acquisition_function, exploration=exploration),
        num_init=num_init,
        batch_size=batch_size,
        capacity=capacity,
        num_candidates=num_candidates,
        num_parents=num_parents,
        max_edits=max_edits,
        patience=patience,
        only_mutants=released,
        one_by_one=True,
    )
