"""arch2vec-RL: steps in an embedding space, learnt by REINFORCE, and its control."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.tree_util import Partial

from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search import embedding_table
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.search.latent import lstm_policy, rollout


class Episodes(struct.PyTreeNode):
    """The last W episodes; episode e is at place e mod W.

    Attributes:
      states: float32 `[W, T, D]`, embedding before each step.
      actions: float32 `[W, T, D]`.
      asked: int32 `[]`, how many episodes have been asked for.
      rewards: their scores, as far as they are told; None in the control.
    """

    states: Array
    actions: Array
    asked: Array
    rewards: rollout.Rewards | None


class LatentState(struct.PyTreeNode):
    """A walk through the table, and the policy that leads it.

    Attributes:
      state: float32 `[D]`, embedding of the architecture that was met last.
      visited: bool `[N]`, rows that are not met again: all those of a cell.
      episodes: what is needed to learn from scores that are still to be told.
      params: of the policy; None in the control.
      optimizer: its state; None in the control.
    """

    state: Array
    visited: Array
    episodes: Episodes
    params: Any
    optimizer: Any


def latent_reinforce(
    space: SearchSpace,
    *,
    table: EmbeddingTable | None = None,
    episode_length: int = 16,
    num_hidden: int = 128,
    learning_rate: float = 1e-2,
    discount: float = 0.8,
    baseline: float = 0.95,
    relative: bool = False,
    pending: int = 4,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """arch2vec-RL (thesis, section 3.3).

    The policy reads the embedding of the architecture that was met last and draws an
    action from N(mean, I); the architecture met next is the row nearest to the action
    that was not met before; rows that are one cell (`novelty`) count as one. After an
    episode of T steps the policy ascends

        1/T sum_t G_t log N(action_t; mean_t, I),  G_t = sum_k discount^k (r_(t+k) - b).

    Rewards are only needed at the end of an episode, so a proposal is an episode. The
    walk starts at a random row, which is not trained, and goes on from episode to
    episode; the policy's memory does not. Thesis on NAS-Bench-201's CIFAR-10:
    `discount=0.4, baseline=0.4`.

    Args:
      space: what is searched.
      table: of the architectures and their embeddings; needed.
      episode_length: T, also the batch size Q.
      num_hidden: units of the LSTM.
      learning_rate: of Adam.
      discount: of later rewards, in [0, 1].
      baseline: b, subtracted from every reward.
      relative: the row nearest to the embedding of the last architecture plus the
        action is met, instead of the row nearest to the action.
      pending: W, episodes that may be in flight at once; others teach nothing.
      variant: "released": rewards are not discounted, G_t = r_t - b (the published
        scripts overwrite the returns), rows of one cell are met apart, and on
        NAS-Bench-201 the nearest row of all, visited or not, is never taken.

    Raises:
      ConfigError: there is no table or no such variant, or a setting is out of range.
    """
    rollout.check_learning(
        discount=discount, num_hidden=num_hidden, learning_rate=learning_rate
    )
    walk = _Walk(space, table, episode_length, relative, pending, variant)
    if variant == "released":
        discount = 0.0
    optimizer = optax.adam(learning_rate)

    def init(table: EmbeddingTable, key: Key) -> LatentState:
        key_start, key_policy = jax.random.split(key)
        params = lstm_policy.init(key_policy, table.vectors.shape[1], num_hidden)
        return walk.start(table, key_start, params, optimizer.init(params))

    def ask(
        table: EmbeddingTable, key: Key, state: LatentState
    ) -> tuple[Proposal, LatentState]:
        def act(
            key: Key, memory: lstm_policy.Memory, place: Array
        ) -> tuple[Array, lstm_policy.Memory]:
            memory, mean = lstm_policy.step(state.params, memory, place)
            return mean + jax.random.normal(key, mean.shape), memory

        return walk.episode(key, table, state, act, lstm_policy.forget(state.params))

    def tell(
        state: LatentState, proposal: Proposal, evaluation: Evaluation
    ) -> LatentState:
        episodes = state.episodes
        place = proposal.trial[0] // episode_length % pending
        assert episodes.rewards is not None  # by init
        told, rewards, complete = episodes.rewards.tell(
            proposal, evaluation.valid, episodes.asked
        )
        slope = lstm_policy.gradient(
            state.params,
            episodes.states[place],
            episodes.actions[place],
            rollout.returns(rewards, discount=discount, baseline=baseline),
        )
        updates, moments = optimizer.update(slope, state.optimizer)
        params = optax.apply_updates(state.params, updates)
        old = (state.params, state.optimizer)
        params, moments = jax.tree.map(
            lambda new, old: jnp.where(complete, new, old), (params, moments), old
        )
        return state.replace(
            episodes=episodes.replace(rewards=told), params=params, optimizer=moments
        )

    return walk.algorithm(init, ask, tell)


def latent_control(
    space: SearchSpace,
    *,
    table: EmbeddingTable | None = None,
    episode_length: int = 16,
    relative: bool = False,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """arch2vec-RL without a policy: actions are drawn from N(0, I), nothing is learnt.

    What this reaches is due to the geometry of the table: embeddings are shorter than
    actions, so the rows met lie at the rim. A claim about `latent_reinforce` is a
    claim about its difference to this.

    Args:
      space: what is searched.
      table: of the architectures and their embeddings; needed.
      episode_length: batch size Q.
      relative: as in `latent_reinforce`.
      variant: as in `latent_reinforce`.

    Raises:
      ConfigError: there is no table or no such variant, or a size is below 1.
    """
    walk = _Walk(space, table, episode_length, relative, 1, variant)

    def init(table: EmbeddingTable, key: Key) -> LatentState:
        return walk.start(table, key, None, None)

    def ask(
        table: EmbeddingTable, key: Key, state: LatentState
    ) -> tuple[Proposal, LatentState]:
        def act(key: Key, memory: None, place: Array) -> tuple[Array, None]:
            return jax.random.normal(key, place.shape), None

        return walk.episode(key, table, state, act, None)

    def tell(
        state: LatentState, proposal: Proposal, evaluation: Evaluation
    ) -> LatentState:
        del proposal, evaluation
        return state

    return walk.algorithm(init, ask, tell)


class _Walk:
    """The environment, the same with and without a policy."""

    def __init__(
        self,
        space: SearchSpace,
        table: EmbeddingTable | None,
        length: int,
        relative: bool,
        pending: int,
        variant: str,
    ) -> None:
        self._rules = rollout.rules(
            space, length=length, relative=relative, pending=pending, variant=variant
        )
        embedding_table.check(table, space, needed=2)
        assert table is not None  # by check
        self._table = rollout.identify(table, space, self._rules)
        self._pending = pending

    def algorithm(self, init: Any, ask: Any, tell: Any) -> SearchAlgorithm:
        """Of functions that take the table first, but `tell`."""
        return SearchAlgorithm(
            Partial(init, self._table), Partial(ask, self._table), tell
        )

    def start(
        self, table: EmbeddingTable, key: Key, params: Any, optimizer: Any
    ) -> LatentState:
        """At a random row, which counts as visited."""
        num_rows, num_features = table.archs.shape[0], table.vectors.shape[1]
        row = jax.random.randint(key, (), 0, num_rows)
        pending, length = self._pending, self._rules.length
        empty = jnp.zeros((pending, length, num_features))
        rewards = None if params is None else rollout.Rewards.empty(pending, length)
        return LatentState(
            state=table.of(row),
            visited=embedding_table.visit(table, jnp.zeros(num_rows, bool), row),
            episodes=Episodes(empty, empty, jnp.int32(0), rewards),
            params=params,
            optimizer=optimizer,
        )

    def episode(
        self,
        key: Key,
        table: EmbeddingTable,
        state: LatentState,
        act: rollout.Act,
        memory: Any,
    ) -> tuple[Proposal, LatentState]:
        """An episode of actions, as a proposal."""
        walked = rollout.episode(
            key, table, act, memory, state.state, state.visited, self._rules
        )
        length, episodes = self._rules.length, state.episodes
        number = episodes.asked * length + jnp.arange(length)
        slot, rewards = episodes.asked % self._pending, episodes.rewards
        if rewards is not None:
            rewards = rewards.ask(slot, walked.there)
        proposal = Proposal.batch(
            table.archs[walked.rows], trial=number, mask=walked.there
        )
        return proposal, state.replace(
            state=walked.last,
            visited=walked.visited,
            episodes=Episodes(
                episodes.states.at[slot].set(walked.states),
                episodes.actions.at[slot].set(walked.actions),
                episodes.asked + 1,
                rewards,
            ),
        )
