"""Model-based search among mutants of the best architectures.

The loop of BANANAS, and of Bayesian optimisation and BO-GCN where the candidates are
too many to list.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.predictors import Predictor
from nasjax.search import novelty
from nasjax.search.algorithm import ModelState, SearchAlgorithm
from nasjax.search.model_based import batched_cond, observations
from nasjax.search.model_based import candidates as mutants
from nasjax.search.model_based.acquisition import Acquire
from nasjax.search.model_based.observations import Observations


class CandidateState(ModelState):
    """What was trained.

    Attributes:
      observations: items are genes `[P, G]`.
      memory: cells that were asked for.
    """

    observations: Observations
    memory: novelty.Memory


def search_candidates(
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
    patience: int = 1,
    only_mutants: bool = False,
    one_by_one: bool = False,
    elementwise: bool = False,
) -> SearchAlgorithm:
    """Fits a model to all scores, ranks mutants of the best by it, trains the first Q.

    Every proposal is one fit. A cell that was trained before, under whatever genes, is
    no candidate, and a batch holds no cell twice (`novelty`). Where too few mutants are
    new, random architectures fill the batch: those that are new, then any.

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
      patience: where the mutants of the best `num_parents` have fewer than C new cells
        among them, those of the next best architecture join, and so on up to
        `patience * num_parents` architectures.
      only_mutants: all candidates get `max_edits` edits, may be old or alike, and a
        batch larger than the number of candidates stays partly unused.
      one_by_one: trials that are vectorised fit one after another; see
        `batched_cond.cond_any`.
      elementwise: how the predictor spends its time; see `ModelState`.

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
        patience=patience,
    )
    plan = _Plan.make(
        num_candidates, min(num_parents, capacity), max_edits, patience, only_mutants
    )
    num_ranks = min(plan.num_ranks, capacity)
    num_spare = 4 * batch_size

    def init(key: Key) -> CandidateState:
        del key
        return CandidateState(
            Observations.empty(capacity, (space.num_genes,)),
            novelty.Memory.empty(space, at_least=max(batch_size, capacity)),
            elementwise=elementwise,
        )

    def candidates(keys: Key, seen: Observations) -> Array:
        """Mutants of the best and random architectures, `[C + S, G]`."""
        parents = mutants.top_k(seen.items, seen.valid, num_ranks)
        parents = parents[np.minimum(plan.ranks, num_ranks - 1)]
        keys_mutate = keys[num_spare:].reshape(plan.edits.max().item(), -1)
        pool = mutants.mutate(keys_mutate, space, parents, jnp.asarray(plan.edits))
        spare = jax.vmap(space.sample)(keys[:num_spare])
        return jnp.concatenate([pool, spare])

    def score(key_fit: Key, key_acquire: Key, seen: Observations, pool: Array) -> Array:
        """How much each mutant `[C, G]` is wanted by a model of all scores, `[C]`."""
        encoded = jax.vmap(encode)(seen.items)
        model = predictor.fit(key_fit, encoded, seen.valid, seen.observed)
        prediction = predictor.predict(model, jax.vmap(encode)(pool))
        goal = seen.best if incumbent is None else jnp.float32(incumbent)
        return acquire(key_acquire, prediction, goal).astype(jnp.float32)

    def prefer(
        scores: Array, prints: Array, memory: novelty.Memory, num_random: Array
    ) -> Array:
        """Scores of mutants `[C]` as those of all candidates `[C + S]`.

        First come `num_random` new random architectures, then new mutants by their
        scores, then other random ones, new and old. -inf: not to be trained.
        """
        lowest = jnp.finfo(scores.dtype).min
        scores = jnp.where(jnp.isnan(scores), lowest / 4, scores)
        scores = jnp.clip(scores, lowest / 4, -lowest / 4)
        pool, spare = jnp.split(prints, [len(scores)])
        fresh = novelty.is_first(spare) & ~memory.knows(spare)
        first = fresh & (jnp.cumsum(fresh) <= num_random)
        if only_mutants:
            last = jnp.where(num_random > 0, lowest, -jnp.inf)
            return jnp.concatenate([scores, jnp.where(first, -lowest, last)])
        same = novelty.equal(pool, spare)
        new = novelty.is_first(pool) & ~memory.knows(pool)
        new &= ~jnp.any(same & first[None], axis=1)
        new &= plan.joins(new) & (num_random < batch_size)
        fresh &= ~jnp.any(same & new[:, None], axis=0)
        others = jnp.where(fresh, lowest / 2, lowest)
        wanted = jnp.where(new, scores, -jnp.inf)
        return jnp.concatenate([wanted, jnp.where(first, -lowest, others)])

    def ask(key: Key, state: CandidateState) -> tuple[Proposal, CandidateState]:
        # One draw for all of them: every one more is a fifth of a second to compile.
        num_keys = 2 + num_spare + plan.edits.max().item() * len(plan.edits)
        keys = jax.random.split(key, num_keys)
        seen = state.observations
        number = seen.upcoming(batch_size)
        pool = candidates(keys[2:], seen)
        num_random = jnp.clip(num_init - number[0], 0, batch_size)
        scores = batched_cond.cond_any(
            num_random < batch_size,
            score,
            (keys[0], keys[1], seen, pool[:-num_spare]),
            jnp.full(len(plan.ranks), -jnp.inf),
            one_by_one=one_by_one,
        )
        prints = novelty.identify(space, pool)
        scores = prefer(scores, prints, state.memory, num_random)
        top, places = jax.lax.top_k(scores, batch_size)
        used = top > -jnp.inf
        archs = pool[places]
        proposal = Proposal.batch(archs, trial=number, mask=used)
        return proposal, state.replace(
            observations=seen.ask(jnp.where(used[:, None], archs, -1)),
            memory=state.memory.add(number, prints[places], used),
        )

    def tell(
        state: CandidateState, proposal: Proposal, evaluation: Evaluation
    ) -> CandidateState:
        told = state.observations.tell(proposal.trial, evaluation.valid, proposal.mask)
        return state.replace(observations=told)

    return SearchAlgorithm(init, ask, tell)


class _Plan(NamedTuple):
    """Which of the best architectures is mutated how often: one entry a candidate.

    Attributes:
      ranks: int `[C]`, place of the parent among the best, 0 the best of all.
      edits: int `[C]`, mutations.
      wave: int `[C]`, candidates of later waves join where those before are too few.
      enough: how many new candidates are not too few.
    """

    ranks: np.ndarray
    edits: np.ndarray
    wave: np.ndarray
    enough: int

    @classmethod
    def make(
        cls,
        num_candidates: int,
        num_parents: int,
        max_edits: int,
        patience: int,
        always_max: bool,
    ) -> "_Plan":
        """The first wave is the best `num_parents`, then one architecture a wave."""
        number = np.arange(num_candidates)
        ranks, edits = number % num_parents, 1 + number // num_parents % max_edits
        wave = np.zeros_like(ranks)
        each = -(-num_candidates // num_parents)
        for later in range(num_parents, num_parents * patience):
            ranks = np.append(ranks, np.full(each, later))
            edits = np.append(edits, 1 + np.arange(each) % max_edits)
            wave = np.append(wave, np.full(each, 1 + later - num_parents))
        edits = np.full_like(edits, max_edits) if always_max else edits
        return cls(ranks, edits, wave, num_candidates)

    @property
    def num_ranks(self) -> int:
        return int(self.ranks.max()) + 1

    def joins(self, new: Array) -> Array:
        """bool `[C]`, which candidates are in a wave that is needed.

        Args:
          new: bool `[C]`, which of them are new.
        """
        before = np.searchsorted(self.wave, self.wave)
        counts = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(new)])
        return counts[before] < self.enough
