"""Bayesian optimisation with any predictor, over a table or over mutants of the best.

arch2vec-BO is `predictor="dngo"` over a table of embeddings.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nasjax import predictors
from nasjax.core import errors
from nasjax.core.types import Array, SearchSpace
from nasjax.search import embedding_table, gene_features
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.search.model_based import acquisition, candidate_search, pool_search

VARIANTS = ("thesis", "released")

_RELEASED: Mapping[str, Mapping[str, Any]] = {
    "nasbench201": {"incumbent": 1.0, "batch_size": 1},
}
_RELEASED_ELSEWHERE: Mapping[str, Any] = {"incumbent": 0.95, "batch_size": 5}
"""Settings of the published scripts."""
_ONE_BY_ONE = ("bayesian_linear", "dngo", "gp")
"""Predictors whose fits gain nothing from being vectorised over trials."""
_ELEMENTWISE = ("bohamiann",)
"""Predictors whose fits are twice as slow without optimised fusions; those of graph
networks are a quarter slower."""


def bayesian_optimization(
    space: SearchSpace,
    *,
    predictor: str = "dngo",
    predictor_options: Mapping[str, Any] | None = None,
    features: Callable[[Array], Array] | None = None,
    table: EmbeddingTable | None = None,
    acquisition_function: str = "expected_improvement",
    exploration: float = 0.5,
    incumbent: float | None = None,
    num_init: int = 16,
    batch_size: int | None = None,
    capacity: int = 200,
    num_candidates: int = 100,
    num_parents: int = 10,
    max_edits: int = 2,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """Fits a predictor in every round and trains what it ranks highest.

    With a table all its rows are candidates and each is trained at most once. Without,
    candidates are mutants of the best architectures, and the predictor reads
    `features` of an architecture.

    `num_init=16` and `batch_size=5` are those of the arch2vec searches (thesis, section
    3.3); how mutants are made is ours. The thesis' comparison of encodings (section
    4.3) runs `nas_algorithms.pybnn_search` of github.com/naszilla/naszilla (read
    there): `num_init=20, batch_size=10, num_parents=1, max_edits=1,
    acquisition_function="upper_confidence_bound", exploration=0.5` on "dngo" and
    "bohamiann".

    Args:
      space: what is searched.
      predictor: "dngo", "gp", "bohamiann", "mlp_ensemble" or "bayesian_linear".
      predictor_options: of its factory in `nasjax.predictors`.
      features: `arch [G] -> float [D]`; None: one-hot genes. Not with a table.
      table: the candidates and their vectors, such as arch2vec embeddings.
      acquisition_function: a key of `acquisition.ACQUISITIONS`.
      exploration: standard deviations of the upper confidence bound.
      incumbent: the score that the expected improvement is over; None: the best so
        far. Thesis, section 3.3: 0.95 throughout.
      num_init: random architectures at the start.
      batch_size: Q, architectures of one round; None: 5.
      capacity: P, the predictor is fitted to the last P trainings.
      num_candidates: mutants of one round.
      num_parents: how many of the best are mutated.
      max_edits: mutations of one candidate, 1 to this many.
      variant: "released", only DNGO over a table: the published arch2vec searches. The
        predictive variance stands where the standard deviation belongs, the evidence
        is the released one, the incumbent 0.95 (1.0 on NAS-Bench-201), the batch size
        there 1, and what was trained before may be chosen again.

    Raises:
      ConfigError: there is no such name, a size is out of range, or settings exclude
        each other.
    """
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of Bayesian optimisation", variant, VARIANTS)
    if predictor in ("gcn", "bogcn"):
        raise errors.ConfigError(f"{predictor!r} reads graphs: search by bo_gcn")
    if table is not None and features is not None:
        raise errors.ConfigError("pass features=... or table=..., not both")
    released = variant == "released"
    if released and (predictor != "dngo" or table is None):
        raise errors.ConfigError(
            "variant = 'released' is DNGO over a table: predictor 'dngo', table=..."
        )
    options = dict(predictor_options or {})
    published: Mapping[str, Any] = {}
    if released:
        published = _RELEASED.get(space.name, _RELEASED_ELSEWHERE)
        options["variant"] = "released"
    model = predictors.make(predictor, **options)
    if incumbent is None:
        incumbent = published.get("incumbent")
    if batch_size is None:
        batch_size = published.get("batch_size", 5)
    acquire = acquisition.make(
        acquisition_function, exploration=exploration, variant=variant
    )
    if table is not None:
        return pool_search.search_pool(
            space,
            pool_search.with_std(model) if released else model,
            table,
            acquire,
            incumbent=incumbent,
            num_init=num_init,
            batch_size=batch_size,
            capacity=capacity,
            repeats=released,
            one_by_one=predictor in _ONE_BY_ONE,
            elementwise=predictor in _ELEMENTWISE,
        )
    return candidate_search.search_candidates(
        space,
        model,
        gene_features.one_hot(space) if features is None else features,
        acquire,
        incumbent=incumbent,
        num_init=num_init,
        batch_size=batch_size,
        capacity=capacity,
        num_candidates=num_candidates,
        num_parents=num_parents,
        max_edits=max_edits,
        one_by_one=predictor in _ONE_BY_ONE,
        elementwise=predictor in _ELEMENTWISE,
    )


def latent_dngo(
    space: SearchSpace,
    *,
    table: EmbeddingTable | None = None,
    predictor_options: Mapping[str, Any] | None = None,
    acquisition_function: str = "expected_improvement",
    exploration: float = 0.5,
    incumbent: float | None = None,
    num_init: int = 16,
    batch_size: int | None = None,
    capacity: int = 200,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """arch2vec-BO (thesis, section 3.3): DNGO over a table of embeddings.

    Args:
      space: what is searched.
      table: the candidates and their vectors; needed.
      predictor_options: of `dngo.dngo`, as all others see `bayesian_optimization`.
      acquisition_function: ranks the rows.
      exploration: of the upper confidence bound.
      incumbent: of the expected improvement.
      num_init: random rows at the start.
      batch_size: rows of one round.
      capacity: trainings that the predictor is fitted to.
      variant: "thesis" or "released".

    Raises:
      ConfigError: there is no table, or as `bayesian_optimization`.
    """
    embedding_table.check(table, space, needed=num_init)
    return bayesian_optimization(
        space,
        predictor="dngo",
        predictor_options=predictor_options,
        table=table,
        acquisition_function=acquisition_function,
        exploration=exploration,
        incumbent=incumbent,
        num_init=num_init,
        batch_size=batch_size,
        capacity=capacity,
        variant=variant,
    )
