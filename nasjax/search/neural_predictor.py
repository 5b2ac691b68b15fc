"""The neural predictor (Wen et al., 2020): learn from a random sample, train the best.

One graph network is fitted to N random architectures and ranks a large random pool, of
which the K best are trained. Unlike Bayesian optimisation it does not learn in between.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search import branches, graphs, mutants, observations
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.graphs import ToGraph
from nasjax.search.observations import Observations

_BLOCK = 128
"""Architectures ranked at a time: all graphs of a pool would not fit into a cache."""


class NeuralPredictorState(struct.PyTreeNode):
    """What was trained, and what is still to be.

    Attributes:
      observations: items are genes `[P, G]`.
      queue: int32 `[L, G]`, architectures to train next: the random sample, later the
        best of the pool.
      wanted: bool `[L]`, which of them are to be trained.
      position: int32 `[]`, how many of the queue have been asked for.
      length: int32 `[]`, how many are in the queue.
    """

    observations: Observations
    queue: Array
    wanted: Array
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
    the last N + K, and ranks a new pool.

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
        num_init=num_train,
        batch_size=batch_size,
        capacity=num_train + num_best,
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
    predictor, as_graph = graphs.predictor(
        "gcn", space, to_graph, num_ops, predictor_options
    )
    num_queue = max(num_train, num_best)
    block = min(_BLOCK, num_pool)

    def init(key: Key) -> NeuralPredictorState:
        sample = mutants.sample_distinct(key, space, num_train)
        rest = jnp.zeros((num_queue - num_train, space.num_genes), jnp.int32)
        return NeuralPredictorState(
            Observations.empty(num_train + num_best, (space.num_genes,)),
            queue=jnp.concatenate([sample, rest]),
            wanted=jnp.arange(num_queue) < num_train,
            position=jnp.int32(0),
            length=jnp.int32(num_train),
        )

    def rank(key: Key, seen: Observations) -> tuple[Array, Array]:
        """The next queue and which of it is new, from a new pool."""
        key_fit, key_pool = jax.random.split(key)
        encoded = jax.vmap(as_graph)(seen.items)
        model = predictor.fit(key_fit, encoded, seen.valid, seen.observed)

        def score(key: Key) -> tuple[Array, Array]:
            archs = jax.vmap(space.sample)(jax.random.split(key, block))
            return archs, predictor.predict(model, jax.vmap(as_graph)(archs)).mean

        # The last block may go beyond the size of the pool.
        keys = jax.random.split(key_pool, -(-num_pool // block))
        archs, scores = lax.map(score, keys)
        pool = archs.reshape(-1, space.num_genes)[:num_pool]
        return _best_new(pool, scores.reshape(-1)[:num_pool], seen.items)

    def _best_new(pool: Array, scores: Array, known: Array) -> tuple[Array, Array]:
        # Some of the best will be alike or trained: look at more than are needed.
        looked = min(num_pool, 4 * num_best + known.shape[0])
        order = observations.highest(scores, jnp.ones(num_pool, bool), looked)[0]
        ordered = pool[order]
        new = mutants.is_new(ordered, known)
        places, used = observations.highest(
            -jnp.arange(looked, dtype=jnp.float32), new, num_best
        )
        rest = num_queue - num_best
        return (
            jnp.pad(ordered[places], ((0, rest), (0, 0))),
            jnp.pad(used, (0, rest)),
        )

    def ask(
        key: Key, state: NeuralPredictorState
    ) -> tuple[Proposal, NeuralPredictorState]:
        used_up = state.position == state.length
        queue, wanted = branches.where_needed(
            used_up,
            lambda: rank(key, state.observations),
            (state.queue, state.wanted),
        )
        queue = jnp.where(used_up, queue, state.queue)
        wanted = jnp.where(used_up, wanted, state.wanted)
        start = jnp.where(used_up, 0, state.position)
        archs = lax.dynamic_slice(
            queue, (start, jnp.int32(0)), (batch_size, space.num_genes)
        )
        used = lax.dynamic_slice(wanted, (start,), (batch_size,))
        seen = state.observations
        proposal = Proposal.batch(archs, trial=seen.upcoming(batch_size), mask=used)
        return proposal, state.replace(
            observations=seen.ask(jnp.where(used[:, None], archs, -1)),
            queue=queue,
            wanted=wanted,
            position=start + batch_size,
            length=jnp.where(used_up, num_best, state.length),
        )

    def tell(
        state: NeuralPredictorState, proposal: Proposal, evaluation: Evaluation
    ) -> NeuralPredictorState:
        told = state.observations.tell(proposal.trial, evaluation.valid)
        return state.replace(observations=told)

    return SearchAlgorithm(init, ask, tell)
