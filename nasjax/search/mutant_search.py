"""Model-based search among mutants of the best architectures.

The loop of BANANAS, and of Bayesian optimisation and BO-GCN where the candidates are
too many to list.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.predictors import Predictor
from nasjax.search import branches, mutants, observations
from nasjax.search.acquisition import Acquire
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.observations import Observations


class MutantState(struct.PyTreeNode):
    """What was trained, and how the search began.

    Attributes:
      observations: items are genes `[P, G]`.
      first: int32 `[F, G]`, random architectures of the first trainings.
    """

    observations: Observations
    first: Array


def over_mutants(
    space: SearchSpace,
    predictor: Predictor,
    encode: Callable[[Array], Any],
    acquire: Acquire,
    *,
    incumbent: float | None = None,
    num_init: int,
    batch_size: int,
    capacity: int,
    num_candidates: int,
    num_parents: int,
    max_edits: int,
    only_mutants: bool = False,
) -> SearchAlgorithm:
    """Fits a model to all scores, ranks mutants of the best by it, trains the first Q.

    Every proposal is one fit. What was trained before is no candidate; where too few
    mutants are new, random architectures fill the batch.

    Args:
      space: what is searched.
      predictor: fitted to the scores of what was trained.
      encode: `arch [G] ->` features of one architecture, an array or a tree.
      acquire: ranks the candidates.
      incumbent: the score to improve on; None: the best so far.
      num_init: F, random architectures at the start.
      batch_size: Q, architectures of one proposal.
      capacity: P, the model is fitted to the last P trainings; it costs time and
        memory, so it should be about the number of queries.
      num_candidates: C, mutants of one proposal.
      num_parents: how many of the best are mutated.
      max_edits: mutations of one candidate, 1 to this many.
      only_mutants: all candidates get `max_edits` edits, may be old or alike, and a
        batch larger than the number of candidates stays partly unused.

    Raises:
      ConfigError: a size is below 1, or a batch does not fit.
    """
    observations.check_sizes(
        num_init=num_init,
        batch_size=batch_size,
        capacity=capacity,
        num_candidates=num_candidates,
        num_parents=num_parents,
        max_edits=max_edits,
    )
    num_spare = 2 * batch_size

    def init(key: Key) -> MutantState:
        return MutantState(
            Observations.empty(capacity, (space.num_genes,)),
            mutants.sample_distinct(key, space, num_init),
        )

    def candidates(key: Key, seen: Observations) -> tuple[Array, Array]:
        """Architectures `[C + S, G]`, and which of them may be trained."""
        key_mutate, key_spare = jax.random.split(key)
        parents = mutants.best(seen.items, seen.valid, min(num_parents, capacity))
        pool = mutants.mutate(
            key_mutate,
            space,
            parents,
            num_candidates=num_candidates,
            max_edits=max_edits,
            always_max=only_mutants,
        )
        spare = jax.vmap(space.sample)(jax.random.split(key_spare, num_spare))
        pool = jnp.concatenate([pool, spare])
        if only_mutants:
            return pool, jnp.arange(num_candidates + num_spare) < num_candidates
        return pool, mutants.is_new(pool, seen.items)

    def choose(key: Key, seen: Observations) -> tuple[Array, Array]:
        """Architectures `[Q, G]`, the most wanted one first, and which are used."""
        key_fit, key_candidates, key_acquire = jax.random.split(key, 3)
        encoded = jax.vmap(encode)(seen.items)
        model = predictor.fit(key_fit, encoded, seen.valid, seen.observed)
        pool, allowed = candidates(key_candidates, seen)
        prediction = predictor.predict(model, jax.vmap(encode)(pool[:num_candidates]))
        goal = seen.best if incumbent is None else jnp.float32(incumbent)
        scores = acquire(key_acquire, prediction, goal)
        # Random architectures only where there are not enough mutants.
        lowest = jnp.full(num_spare, jnp.finfo(scores.dtype).min)
        scores = jnp.concatenate([scores, lowest])
        places, used = observations.highest(scores, allowed, batch_size)
        return pool[places], used

    def ask(key: Key, state: MutantState) -> tuple[Proposal, MutantState]:
        seen = state.observations
        number = seen.upcoming(batch_size)
        nothing = jnp.full((batch_size, space.num_genes), -1, jnp.int32)
        chosen, used = branches.where_needed(
            number[-1] >= num_init,
            lambda: choose(key, seen),
            (nothing, jnp.ones(batch_size, bool)),
        )
        archs = observations.merge(number, state.first, chosen)
        used = observations.merge(number, jnp.ones(num_init, bool), used)
        seen = seen.ask(jnp.where(used[:, None], archs, -1))
        proposal = Proposal.batch(archs, trial=number, mask=used)
        return proposal, state.replace(observations=seen)

    def tell(
        state: MutantState, proposal: Proposal, evaluation: Evaluation
    ) -> MutantState:
        told = state.observations.tell(proposal.trial, evaluation.valid)
        return state.replace(observations=told)

    return SearchAlgorithm(init, ask, tell)
