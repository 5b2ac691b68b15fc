"""Model-based search over a table: every architecture is scored in every round."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.predictors import Prediction, Predictor
from nasjax.search import embedding_table
from nasjax.search.algorithm import ModelState, SearchAlgorithm
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.search.model_based import batched_cond, observations
from nasjax.search.model_based.acquisition import Acquire
from nasjax.search.model_based.observations import Observations

_ACQUIRE = 0x61637175
"""Number of the key of the ranking, far from those that a fit splits off."""
_LOT = 1
"""Number of the key that decides between equals."""


class PoolState(ModelState):
    """What was trained, and how the search began.

    Attributes:
      observations: items are rows of the table, `[P]`.
      visited: bool `[N]`, rows that are no candidates any more: all those of a cell.
      first: int32 `[F]`, random rows of the first trainings.
    """

    observations: Observations
    visited: Array
    first: Array


def search_pool(
    space: SearchSpace,
    predictor: Predictor,
    table: EmbeddingTable,
    acquire: Acquire,
    *,
    incumbent: float | None = None,
    num_init: int,
    batch_size: int,
    capacity: int,
    repeats: bool = False,
    one_by_one: bool = False,
    elementwise: bool = False,
) -> SearchAlgorithm:
    """Fits a model to all scores, ranks the whole table by it, trains the first Q.

    Every proposal is one fit. Rows that are one cell (`novelty`) are trained once. When
    the table is used up, proposals stay unused.

    Args:
      space: what is searched.
      predictor: fitted to the scores of what was trained.
      table: of the candidates; its arrays are arguments of compiled programs.
      acquire: ranks the candidates.
      incumbent: the score to improve on; None: the best so far.
      num_init: F, random rows at the start.
      batch_size: Q, architectures of one proposal.
      capacity: P, the model is fitted to the last P trainings; it costs time and
        memory, so it should be about the number of queries.
      repeats: rows may be chosen again after they were trained, and rows that are one
        cell together.
      one_by_one: trials that are vectorised fit one after another; see
        `batched_cond.cond_any`.
      elementwise: how the predictor spends its time; see `ModelState`.

    Raises:
      ConfigError: a size is below 1, or the table does not fit.
    """
    observations.check_sizes(
        num_init=num_init, batch_size=batch_size, capacity=capacity
    )
    embedding_table.check(table, space, needed=max(num_init, batch_size))
    if repeats:
        table = table.replace(groups=None)
    else:
        table = embedding_table.identify(table, space)

    def init(table: EmbeddingTable, key: Key) -> PoolState:
        num_rows = table.archs.shape[0]
        first = embedding_table.first_rows(key, table, num_init)
        visited = jnp.zeros(num_rows, bool)
        return PoolState(
            Observations.empty(capacity, ()),
            mark(table, visited, first),
            first,
            elementwise=elementwise,
        )

    def mark(table: EmbeddingTable, visited: Array, rows: Array) -> Array:
        """With rows `[K]` visited; those beyond the end are none."""
        return visited if repeats else embedding_table.mark(table, visited, rows)

    def choose(
        key: Key, table: EmbeddingTable, state: PoolState
    ) -> tuple[Array, Array]:
        """Rows `[Q]`, the most wanted one first, and which of them are used."""
        # Unlike a part of a split it costs nothing where the ranking is not random.
        key_acquire = jax.random.fold_in(key, _ACQUIRE)
        seen = state.observations
        model = predictor.fit(key, table.of(seen.items), seen.valid, seen.observed)
        prediction = predictor.predict(model, table.vectors)
        goal = seen.best if incumbent is None else jnp.float32(incumbent)
        scores = table.spread(acquire(key_acquire, prediction, goal))
        key_lot = jax.random.fold_in(key_acquire, _LOT)
        return highest_cells(key_lot, table, scores, state.visited, batch_size)

    def ask(
        table: EmbeddingTable, key: Key, state: PoolState
    ) -> tuple[Proposal, PoolState]:
        number = state.observations.upcoming(batch_size)
        chosen, used = batched_cond.cond_any(
            number[-1] >= num_init,
            choose,
            (key, table, state),
            (jnp.zeros(batch_size, jnp.int32), jnp.ones(batch_size, bool)),
            one_by_one=one_by_one,
        )
        rows = observations.merge(number, state.first, chosen)
        used = observations.merge(number, jnp.ones(num_init, bool), used)
        taken = jnp.where(used, rows, state.visited.shape[0])
        proposal = Proposal.batch(table.archs[rows], trial=number, mask=used)
        return proposal, state.replace(
            observations=state.observations.ask(rows),
            visited=mark(table, state.visited, taken),
        )

    def tell(state: PoolState, proposal: Proposal, evaluation: Evaluation) -> PoolState:
        told = state.observations.tell(proposal.trial, evaluation.valid, proposal.mask)
        return state.replace(observations=told)

    return SearchAlgorithm(Partial(init, table), Partial(ask, table), tell)


def with_std(predictor: Predictor) -> Predictor:
    """A released predictor, which says the variance, as the contract wants it."""

    def predict(state: Any, features: Any) -> Prediction:
        mean, variance = predictor.predict(state, features)
        return Prediction(mean, jnp.sqrt(variance))

    return Predictor(predictor.fit, predict)


def highest_cells(
    key: Key, table: EmbeddingTable, scores: Array, visited: Array, count: int
) -> tuple[Array, Array]:
    """Rows int32 `[count]` of the highest scores, best first, and whether each is one.

    No two are the same cell, and of equals one is drawn.

    Args:
      key: decides between equals.
      table: of N rows.
      scores: `[N]`; NaN counts as lowest of all.
      visited: bool `[N]`, rows that are not wanted.
      count: how many.
    """

    def take(visited: Array, key: Key) -> tuple[Array, tuple[Array, Array]]:
        row, used = embedding_table.best(key, scores, ~visited)
        return embedding_table.visit(table, visited, row), (row, used)

    return jax.lax.scan(take, visited, jax.random.split(key, count))[1]
