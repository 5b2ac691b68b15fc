"""BO-GCN: a graph network with a Bayesian linear regression (Shi et al., 2020)."""

from collections.abc import Mapping
from typing import Any

from nasjax.core.types import SearchSpace
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.model_based import acquisition, candidate_search, graph_predictors
from nasjax.search.model_based.graph_predictors import ToGraph


def bo_gcn(
    space: SearchSpace,
    *,
    to_graph: ToGraph | None = None,
    num_ops: int | None = None,
    acquisition_function: str = "expected_improvement",
    exploration: float = 0.5,
    incumbent: float | None = None,
    num_init: int = 16,
    batch_size: int = 5,
    capacity: int = 200,
    num_candidates: int = 100,
    num_parents: int = 10,
    max_edits: int = 2,
    predictor_options: Mapping[str, Any] | None = None,
) -> SearchAlgorithm:
    """Bayesian optimisation among mutants of the best, on graphs.

    Paper: the whole NAS-Bench-101 is ranked in every round; here mutants of the best,
    which every space has. The sizes are those of `bayesian_optimization`, not the
    paper's; the thesis' comparison of encodings (section 4.3) runs naszilla's "bonas",
    which is BANANAS with an ensemble of graph networks.

    Args:
      space: what is searched.
      to_graph: `(arch [G]) -> Graph`; None: that of the space.
      num_ops: O, operation ids of a cell; None: those of the space.
      acquisition_function: a key of `acquisition.ACQUISITIONS`.
      exploration: standard deviations of the upper confidence bound.
      incumbent: of the expected improvement; None: the best score so far.
      num_init: random architectures at the start.
      batch_size: Q, architectures of one round.
      capacity: P, the network is fitted to the last P trainings.
      num_candidates: mutants of one round.
      num_parents: how many of the best are mutated.
      max_edits: mutations of one candidate, 1 to this many.
      predictor_options: of `gcn.bogcn`, such as `epochs=50`.

    Raises:
      ConfigError: there is no such name, a size is out of range, or the number of
        operations is not known.
    """
    predictor, to_graph = graph_predictors.predictor(
        "bogcn", space, to_graph, num_ops, predictor_options
    )
    return candidate_search.search_candidates(
        space,
        predictor,
        to_graph,
        acquisition.make(acquisition_function, exploration=exploration),
        incumbent=incumbent,
        num_init=num_init,
        batch_size=batch_size,
        capacity=capacity,
        num_candidates=num_candidates,
        num_parents=num_parents,
        max_edits=max_edits,
        elementwise=True,
    )
