"""The neural predictor (Wen et al., 2020): learn from a random sample, train the best.

One graph network is fitted to N random architectures and ranks a large random pool, of
which the K best are trained. Unlike Bayesian optimisation it does not learn in between.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search import novelty
from nasjax.search.algorithm import ModelState, SearchAlgorithm
from nasjax.search.model_based import (
    batched_cond,
    candidates,
    graph_predictors,
    observations,
)
from nasjax.search.model_based.graph_predictors import ToGraph
from nasjax.search.model_based.observations import Observations

_BLOCK = 128
"""Architectures ranked at a time: all graphs of a pool would not fit into a cache."""


class NeuralPredictorState(ModelState):
    """What was trained, and what is still to be.

    Attributes:
      observations: items are genes `[P, G]`.
      memory: cells that were asked for.
      queue: int32 `[L, G]`, architectures to train next: the random sample, later the
        best of the pool.
      prints: `[L, W]`, their identities.
      position: int32 `[]`, how many of the queue have been asked for.
      length: int32 `[]`, how many are in the queue.
    """

    observations: Observations
    memory: novelty.Memory
    queue: Array
    prints: Array
    position: Array
    length: Array


def neural_predictor(
    space: SearchSpace,
    *,
    to_graph: ToGraph | None = None,
    num_ops: int | None = None,
    num_train: int = 100,
    num_pool: int = 10_000,
    num_best: int = 50,
    batch_size: int = 10,
    predictor_options: Mapping[str, Any] | None = None,
) -> SearchAlgorithm:
    """Trains N random architectures, then the K best of a pool by a graph network.

    When all K are trained and there are steps left, the network is fitted again, to
    the last N + K, and ranks a new pool. A cell of the pool that was trained before,
    under whatever genes, or is there twice (`novelty`) comes after all others.

    Paper: N = 172 and all of NAS-Bench-101 is ranked, once; the sizes here are for some
    hundred queries in a space that is too large to be ranked.

    Args:
      space: what is searched.
      to_graph: `(arch [G]) -> Graph`; None: that of the space.
      num_ops: O, operation ids of a cell; None: those of the space.
      num_train: N, the random sample.
      num_pool: architectures of the random pool.
      num_best: K.
      batch_size: Q, architectures of one proposal; divides N and K.
      predictor_options: of `gcn.gcn`, such as `epochs=100`.

    Raises:
      ConfigError: a size is below 1 or does not fit the others, or the number of
        operations is not known.
    """
    sizes = {"num_train": num_train, "num_best": num_best}
    observations.check_sizes(
        batch_size=batch_size,
        capacity=max(num_train + num_best, batch_size),
        num_train=num_train,
        num_best=num_best,
    )
    for name, value in sizes.items():
        if value % batch_size:
            raise errors.ConfigError(
                f"{name} = {value} must be a multiple of batch_size = {batch_size}"
            )
    if num_pool < num_best:
        raise errors.ConfigError(
            f"num_pool = {num_pool} must be at least num_best = {num_best}"
        )
    predictor, as_graph = graph_predictors.predictor(
        "gcn", space, to_graph, num_ops, predictor_options
    )
    num_queue = max(num_train, num_best)
    block = min(_BLOCK, num_pool)

    def init(key: Key) -> NeuralPredictorState:
        sample, prints = candidates.sample_unique(key, space, num_train)
        return NeuralPredictorState(
            Observations.empty(num_train + num_best, (space.num_genes,)),
            novelty.Memory.empty(space, at_least=num_train + num_best),
            queue=_lengthen(sample, num_queue),
            prints=_lengthen(prints, num_queue),
            position=jnp.int32(0),
            length=jnp.int32(num_train),
            elementwise=True,
        )

    def rank(key: Key, state: NeuralPredictorState) -> tuple[Array, Array]:
        """The next queue and its identities, from a new pool."""
        # One split for all of them; the last block may go beyond the pool's size.
        num_blocks = -(-num_pool // block)
        keys = jax.random.split(key, 1 + num_blocks * block)
        seen = state.observations
        encoded = jax.vmap(as_graph)(seen.items)
        model = predictor.fit(keys[0], encoded, seen.valid, seen.observed)

        def score(keys: Key) -> tuple[Array, Array, Array]:
            archs = jax.vmap(space.sample)(keys)
            return (
                archs,
                novelty.identify(space, archs),
                predictor.predict(model, jax.vmap(as_graph)(archs)).mean,
            )

        archs, prints, scores = (
            leaf.reshape(-1, *leaf.shape[2:])[:num_pool]
            for leaf in lax.map(score, keys[1:].reshape(num_blocks, block))
        )
        places = _best_new(scores, prints, state.memory)
        return _lengthen(archs[places], num_queue), _lengthen(prints[places], num_queue)

    def _best_new(scores: Array, prints: Array, memory: novelty.Memory) -> Array:
        """Places `[K]` in the pool: new cells by their scores, then others."""
        # Some of the best will be alike: look at more than are needed.
        looked = min(num_pool, 8 * num_best)
        order = observations.highest(scores, ~memory.knows(prints), looked)[0]
        found = prints[order]
        new = novelty.is_first(found) & ~memory.knows(found)
        return order[novelty.foremost(new, num_best)]

    def ask(
        key: Key, state: NeuralPredictorState
    ) -> tuple[Proposal, NeuralPredictorState]:
        used_up = state.position == state.length
        old = (state.queue, state.prints)
        new = batched_cond.cond_any(used_up, rank, (key, state), old)
        queue, prints = (
            jnp.where(used_up, one, other) for one, other in zip(new, old, strict=True)
        )
        start = jnp.where(used_up, 0, state.position)
        archs, asked = (
            lax.dynamic_slice_in_dim(leaf, start, batch_size)
            for leaf in (queue, prints)
        )
        seen = state.observations
        number = seen.upcoming(batch_size)
        return Proposal.batch(archs, trial=number), state.replace(
            observations=seen.ask(archs),
            memory=state.memory.add(number, asked),
            queue=queue,
            prints=prints,
            position=start + batch_size,
            length=jnp.where(used_up, num_best, state.length),
        )

    def tell(
        state: NeuralPredictorState, proposal: Proposal, evaluation: Evaluation
    ) -> NeuralPredictorState:
        told = state.observations.tell(proposal.trial, evaluation.valid, proposal.mask)
        return state.replace(observations=told)

    return SearchAlgorithm(init, ask, tell)


def _lengthen(rows: Array, length: int) -> Array:
    """Rows `[K, ...]` and zeros behind them, `[length, ...]`."""
    return jnp.pad(rows, ((0, length - rows.shape[0]), (0, 0)))
