"""CATE-DNGO-LS: a predictor over a table, and steps to neighbours of the best.

Yan, 2022, section 4.2. Each round has two proposals: the rows that the predictor ranks
first, then the nearest neighbours of those of the best that are not among them.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial

from nasjax import predictors
from nasjax.core import errors
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search import embedding_table
from nasjax.search.algorithm import ModelState, SearchAlgorithm
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.search.model_based import (
    acquisition,
    batched_cond,
    observations,
    pool_search,
)
from nasjax.search.model_based.observations import Observations

VARIANTS = ("thesis", "released")
_RELEASED: Mapping[str, Any] = {
    "epochs": 30,
    "output": "sigmoid",
    "loss": "weighted",
    "weight_decay": 1e-2,
    "variant": "released",
}
"""Of `predictors.dngo`."""
_MOST_STALE = 20
"""Rounds without progress after which the released search begins again."""


class LocalPoolState(ModelState):
    """A pool of trainings, and whose turn it is.

    Attributes:
      observations: items are rows of the table, `[P]`.
      visited: bool `[N]`, rows that are no candidates any more: all those of a cell.
      first: int32 `[F]`, random rows that the pool begins with.
      start: int32 `[]`, number of the pool's first training.
      newest: int32 `[]`, number of the first training that the predictor chose last.
      is_local: bool `[]`, whether neighbours of the best come next.
      best: float32 `[]`, the best score of the pool at the last round.
      stale: int32 `[]`, rounds of this pool without a better one.
    """

    observations: Observations
    visited: Array
    first: Array
    start: Array
    newest: Array
    is_local: Array
    best: Array
    stale: Array


def dngo_local_search(
    space: SearchSpace,
    *,
    table: EmbeddingTable | None = None,
    predictor_options: Mapping[str, Any] | None = None,
    acquisition_function: str | None = None,
    exploration: float = 0.5,
    num_init: int = 16,
    batch_size: int = 5,
    capacity: int = 200,
    local: bool = True,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """CATE-DNGO-LS, and without local steps CATE-DNGO.

    DNGO is fitted to the pool, the Q rows of the highest predicted score join it, and
    then the nearest neighbours (Euclidean, not trained yet) of those of the pool's Q
    best that did not just join: Q to 2 Q new architectures a round. The worst of the
    best chooses its neighbour first, as in the released code. Of rows with equal
    vectors one is drawn.

    Args:
      space: what is searched.
      table: the candidates and their vectors, such as CATE's; needed.
      predictor_options: of `predictors.dngo`; None: 30 epochs, as the thesis has it.
      acquisition_function: a key of `acquisition.ACQUISITIONS`; None: the predicted
        score, or `released_cate` where the variant is `released`.
      exploration: of the upper confidence bound.
      num_init: F, random rows at the start.
      batch_size: Q.
      capacity: P, the predictor is fitted to the last P trainings.
      local: whether neighbours are trained.
      variant: "released": ranks by nearly the variance (`released_cate_score`) of the
        released DNGO, and begins again with F random rows, all else forgotten, after
        20 rounds in all without a better score.

    Raises:
      ConfigError: there is no table, name or size as given.
    """
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of CATE-DNGO-LS", variant, VARIANTS)
    observations.check_sizes(
        num_init=num_init, batch_size=batch_size, capacity=capacity
    )
    embedding_table.check(table, space, needed=max(num_init, batch_size))
    assert table is not None
    table = embedding_table.identify(table, space)
    released = variant == "released"
    defaults = _RELEASED if released else {"epochs": 30}
    options = dict(defaults if predictor_options is None else predictor_options)
    predictor = predictors.make("dngo", **options)
    if options.get("variant") == "released":
        predictor = pool_search.with_std(predictor)
    acquire = acquisition.make(
        acquisition_function or ("released_cate" if released else "predicted_score"),
        exploration=exploration,
    )

    def init(table: EmbeddingTable, key: Key) -> LocalPoolState:
        first = embedding_table.first_rows(key, table, num_init)
        nothing = jnp.zeros(table.archs.shape[0], bool)
        return LocalPoolState(
            Observations.empty(capacity, ()),
            embedding_table.mark(table, nothing, first),
            first,
            start=jnp.int32(0),
            newest=jnp.int32(0),
            is_local=jnp.bool_(False),
            best=jnp.float32(-jnp.inf),
            stale=jnp.int32(0),
        )

    def choose(
        key: Key, table: EmbeddingTable, state: LocalPoolState
    ) -> tuple[Array, Array]:
        """Rows `[Q]` that the predictor ranks first, and which of them are used."""
        key_fit, key_rank, key_lot = jax.random.split(key, 3)
        seen = state.observations
        model = predictor.fit(key_fit, table.of(seen.items), seen.valid, seen.observed)
        prediction = predictor.predict(model, table.vectors)
        scores = table.spread(acquire(key_rank, prediction, seen.best))
        return pool_search.highest_cells(
            key_lot, table, scores, state.visited, batch_size
        )

    def ask(
        table: EmbeddingTable, key: Key, state: LocalPoolState
    ) -> tuple[Proposal, LocalPoolState]:
        key_model, key_near, key_again = jax.random.split(key, 3)
        if released:
            state = _begin_again(key_again, table, state)
        seen = state.observations
        near, is_near = _neighbors_of_best(key_near, table, state, batch_size)
        is_near &= state.is_local
        turn = jnp.any(is_near)
        place = seen.upcoming(batch_size) - state.start
        chosen, used = batched_cond.cond_any(
            ~turn & (place[-1] >= num_init),
            choose,
            (key_model, table, state),
            (jnp.zeros(batch_size, jnp.int32), jnp.ones(batch_size, bool)),
            one_by_one=True,
        )
        rows = observations.merge(place, state.first, chosen)
        used = observations.merge(place, jnp.ones(num_init, bool), used)
        rows, used = jnp.where(turn, near, rows), jnp.where(turn, is_near, used)
        proposal = Proposal.batch(
            table.archs[rows], trial=seen.upcoming(batch_size), mask=used
        )
        taken = jnp.where(used, rows, state.visited.shape[0])
        by_model = ~turn & (place[-1] >= num_init)
        improved = seen.best > state.best
        return proposal, state.replace(
            observations=seen.ask(rows, used),
            visited=embedding_table.mark(table, state.visited, taken),
            newest=jnp.where(by_model, seen.asked, state.newest),
            is_local=by_model & local,
            best=jnp.where(by_model, jnp.maximum(seen.best, state.best), state.best),
            stale=state.stale + (by_model & ~improved),
        )

    def tell(
        state: LocalPoolState, proposal: Proposal, evaluation: Evaluation
    ) -> LocalPoolState:
        told = state.observations.tell(proposal.trial, evaluation.valid, proposal.mask)
        return state.replace(observations=told)

    return SearchAlgorithm(Partial(init, table), Partial(ask, table), tell)


def _neighbors_of_best(
    key: Key, table: EmbeddingTable, state: LocalPoolState, count: int
) -> tuple[Array, Array]:
    """Rows `[count]` near the best that are not new, used ones first; and which are."""
    seen = state.observations
    capacity = seen.valid.shape[0]
    scores, places = lax.top_k(seen.valid, min(count, capacity))
    # Place p holds the last training whose number is p modulo the capacity.
    number = seen.asked - 1 - (seen.asked - 1 - places) % capacity
    old = (scores > -jnp.inf) & (number < state.newest)

    def step(visited: Array, inputs: Any) -> tuple[Array, tuple[Array, Array]]:
        key, item, wanted = inputs
        target = table.of(item)
        row, there = embedding_table.nearest(key, table, target, visited)
        used = wanted & there
        met = embedding_table.visit(table, visited, row)
        return jnp.where(used, met, visited), (row, used)

    keys = jax.random.split(key, len(places))
    worst_first = (keys, seen.items[places][::-1], old[::-1])
    _, (rows, used) = lax.scan(step, state.visited, worst_first)
    rest = (0, count - len(places))
    rows, used = jnp.pad(rows, rest), jnp.pad(used, rest)
    order = jnp.argsort(~used, stable=True)
    return rows[order], used[order]


def _begin_again(
    key: Key, table: EmbeddingTable, state: LocalPoolState
) -> LocalPoolState:
    """With an empty pool where there was no progress for long."""
    again = state.stale >= _MOST_STALE
    seen, num_init = state.observations, state.first.shape[0]
    scores = embedding_table.lots(key, state.visited.shape[0]).astype(jnp.float32)
    first, _ = pool_search.highest_cells(key, table, scores, state.visited, num_init)
    met = embedding_table.mark(table, state.visited, first)
    valid = jnp.where(again, -jnp.inf, seen.valid)
    return state.replace(
        observations=seen.replace(valid=valid),
        visited=jnp.where(again, met, state.visited),
        first=jnp.where(again, first, state.first),
        start=jnp.where(again, seen.asked, state.start),
        best=jnp.where(again, -jnp.inf, state.best),
        is_local=state.is_local & ~again,
        stale=jnp.where(again, 0, state.stale),
    )
