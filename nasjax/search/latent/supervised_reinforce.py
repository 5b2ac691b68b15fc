"""The supervised counterpart of arch2vec-RL: the encoder learns with the policy."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.tree_util import Partial

from nasjax.core import sampling
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search import embedding_table
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.embedding_table import EmbeddingTable
from nasjax.search.latent import joint_embedding, lstm_policy, rollout
from nasjax.search.latent.joint_embedding import EncoderNetwork

REFERENCE = 256
"""Candidates whose moments normalise all others."""


class Episodes(struct.PyTreeNode):
    """The last W episodes; episode e is at place e mod W.

    Attributes:
      rows: int32 `[W, T]`, candidate that was the state before each step.
      actions: float32 `[W, T, D]`.
      asked: int32 `[]`, how many episodes have been asked for.
      rewards: their scores, as far as they are told.
    """

    rows: Array
    actions: Array
    asked: Array
    rewards: rollout.Rewards


class SupervisedState(struct.PyTreeNode):
    """A walk, and the encoder and the policy that lead it.

    Attributes:
      row: int32 `[]`, candidate that is the next state.
      visited: bool `[N]`, candidates that are not met again: all those of a cell.
      reference: int32 `[R]`, candidates whose moments normalise all others.
      episodes: what is needed to learn from scores that are still to be told.
      params: of `network` and `policy`.
      optimizer: its state.
    """

    row: Array
    visited: Array
    reference: Array
    episodes: Episodes
    params: Any
    optimizer: Any


def supervised_reinforce(
    space: SearchSpace,
    *,
    network: EncoderNetwork | None = None,
    candidates: Any = None,
    episode_length: int = 16,
    num_hidden: int = 128,
    learning_rate: float = 1e-2,
    discount: float = 0.8,
    baseline: float = 0.95,
    relative: bool = False,
    pending: int = 4,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """RL of table 3.2 (thesis, section 3.4.2): encoder and policy learn jointly.

    As `latent_reinforce`, but the embeddings are those of an untrained encoder, which
    ascends

        1/T sum_t G_t log N(action_t; mean_t, I)

    together with the policy, through the states that the policy reads. All candidates
    are embedded anew before every episode, normalised by the moments of a few hundred
    of them at the present weights. The gradient passes through those moments, so it is
    that of the probabilities with which the actions were drawn. Which candidate is
    nearest to an action is not differentiated.

    Args:
      space: what is searched.
      network: the encoder; needed.
      candidates: int `[N, G]`, the architectures to choose from; needed.
      episode_length: T, also the batch size Q.
      num_hidden: units of the LSTM.
      learning_rate: of Adam, for both.
      discount: of later rewards, in [0, 1].
      baseline: subtracted from every reward.
      relative: as in `latent_reinforce`.
      pending: W, episodes that may be in flight at once; others teach nothing.
      variant: "released": the first architecture is the state of every step, rewards
        are not discounted, rows of one cell are met apart, and on NAS-Bench-201 the
        nearest candidate of all is never met.

    Raises:
      ConfigError: network or candidates are missing, there is no such variant, or a
        setting is out of range.
    """
    rollout.check_learning(
        discount=discount, num_hidden=num_hidden, learning_rate=learning_rate
    )
    rules = rollout.rules(
        space,
        length=episode_length,
        relative=relative,
        pending=pending,
        variant=variant,
    )
    encoder, table = joint_embedding.check(network, candidates, space, needed=2)
    table = rollout.identify(table, space, rules)
    released = variant == "released"
    if released:
        discount = 0.0
    optimizer = optax.adam(learning_rate)

    def moments(params: Any, archs: Array, reference: Array) -> Any:
        weights = jnp.ones(reference.shape[0])
        return encoder.embed_batch(params, archs[reference], weights)[1]

    def init(table: EmbeddingTable, key: Key) -> SupervisedState:
        key_network, key_policy, key_start, key_reference = jax.random.split(key, 4)
        params = {
            "network": encoder.init(key_network),
            "policy": lstm_policy.init(key_policy, encoder.num_features, num_hidden),
        }
        num_rows = table.archs.shape[0]
        row = jax.random.randint(key_start, (), 0, num_rows)
        drawn = sampling.uniform(key_reference, num_rows)
        _, reference = jax.lax.top_k(drawn, min(REFERENCE, num_rows))
        episodes = Episodes(
            rows=jnp.zeros((pending, episode_length), jnp.int32),
            actions=jnp.zeros((pending, episode_length, encoder.num_features)),
            asked=jnp.int32(0),
            rewards=rollout.Rewards.empty(pending, episode_length),
        )
        return SupervisedState(
            row=row,
            visited=embedding_table.visit(table, jnp.zeros(num_rows, bool), row),
            reference=reference.astype(jnp.int32),
            episodes=episodes,
            params=params,
            optimizer=optimizer.init(params),
        )

    def ask(
        table: EmbeddingTable, key: Key, state: SupervisedState
    ) -> tuple[Proposal, SupervisedState]:
        archs = table.archs
        weights, policy = state.params["network"], state.params["policy"]
        known = moments(weights, archs, state.reference)
        vectors = joint_embedding.by_blocks(
            lambda block, _: encoder.embed(weights, known, block), archs
        )
        start = vectors[state.row]

        def act(
            key: Key, memory: lstm_policy.Memory, place: Array
        ) -> tuple[Array, lstm_policy.Memory]:
            place = start if released else place
            memory, mean = lstm_policy.step(policy, memory, place)
            return mean + jax.random.normal(key, mean.shape), memory

        walked = rollout.episode(
            key,
            table.replace(vectors=vectors),
            act,
            lstm_policy.forget(policy),
            start,
            state.visited,
            rules,
        )
        before = jnp.concatenate([state.row[None], walked.rows[:-1]])
        if released:
            before = jnp.full_like(before, state.row)
        episodes = state.episodes
        slot = episodes.asked % pending
        number = episodes.asked * episode_length + jnp.arange(episode_length)
        proposal = Proposal.batch(archs[walked.rows], trial=number, mask=walked.there)
        return proposal, state.replace(
            row=state.row if released else walked.rows[-1],
            visited=walked.visited,
            episodes=Episodes(
                episodes.rows.at[slot].set(before),
                episodes.actions.at[slot].set(walked.actions),
                episodes.asked + 1,
                episodes.rewards.ask(slot, walked.there),
            ),
        )

    def tell(
        archs: Array, state: SupervisedState, proposal: Proposal, evaluation: Evaluation
    ) -> SupervisedState:
        episodes = state.episodes
        slot = proposal.trial[0] // episode_length % pending
        told, rewards, complete = episodes.rewards.tell(
            proposal, evaluation.valid, episodes.asked
        )

        def embed(weights: Any) -> Array:
            known = moments(weights, archs, state.reference)
            return encoder.embed(weights, known, archs[episodes.rows[slot]])

        states, pull = jax.vjp(embed, state.params["network"])
        policy, slopes = lstm_policy.gradients(
            state.params["policy"],
            states,
            episodes.actions[slot],
            rollout.returns(rewards, discount=discount, baseline=baseline),
        )
        slope = {"network": pull(slopes)[0], "policy": policy}
        updates, optimized = optimizer.update(slope, state.optimizer)
        new = (optax.apply_updates(state.params, updates), optimized)
        params, optimized = jax.tree.map(
            lambda new, old: jnp.where(complete, new, old),
            new,
            (state.params, state.optimizer),
        )
        return state.replace(
            episodes=episodes.replace(rewards=told),
            params=params,
            optimizer=optimized,
        )

    return SearchAlgorithm(
        Partial(init, table), Partial(ask, table), Partial(tell, table.archs)
    )
