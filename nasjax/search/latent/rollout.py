"""A walk from architecture to architecture through a space of embeddings.

An action is a point of that space (or a step from where one is); the architecture met
is the nearest one that was not met before, under whatever genes. The published searches
tell rows of the table apart instead.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array, Key, Proposal, SearchSpace
from nasjax.search import embedding_table
from nasjax.search.embedding_table import EmbeddingTable

_LOT = 0x6C6F74
"""Number of the key that decides between equals, far from those of an action."""
VARIANTS = ("thesis", "released")
_RELEASED_SKIPS = ("nasbench201",)
"""Spaces whose published script never takes the nearest neighbour."""

Act = Callable[[Key, Any, Array], tuple[Array, Any]]
"""`(key, memory, place [D]) -> (action [D], memory)`."""


class Rules(NamedTuple):
    """How one walks.

    Attributes:
      length: T, steps of an episode.
      relative: an action is a step from the place, not a point.
      skip: the nearest row of all, visited or not, is never met.
      by_row: rows that are one cell are met apart.
    """

    length: int
    relative: bool
    skip: bool
    by_row: bool


class Rewards(struct.PyTreeNode):
    """Scores of the last W episodes, told slot by slot; episode e is at e mod W.

    Attributes:
      values: float32 `[W, T]`, -inf where nothing was told or there is no score.
      left: int32 `[W]`, how many are still to be told.
    """

    values: Array
    left: Array

    @classmethod
    def empty(cls, pending: int, length: int) -> "Rewards":
        """No episode; W is `pending`, T `length`."""
        values = jnp.full((pending, length), -jnp.inf)
        return cls(values, jnp.zeros(pending, jnp.int32))

    def ask(self, place: Array, there: Array) -> "Rewards":
        """With an episode at a place, whose steps `there` bool `[T]` are trained."""
        return self.replace(
            values=self.values.at[place].set(-jnp.inf),
            left=self.left.at[place].set(jnp.sum(there, dtype=jnp.int32)),
        )

    def tell(
        self, proposal: Proposal, valid: Array, asked: Array
    ) -> tuple["Rewards", Array, Array]:
        """With the scores `[Q]` of some slots of an episode's proposal.

        Args:
          proposal: of one episode; what its mask leaves out is still to come.
          valid: scores.
          asked: int32 `[]`, how many episodes have been asked for.

        Returns:
          The scores; those of this episode `[T]`; bool `[]`, whether they are complete
          by this call. Those of an episode whose place was taken are dropped.
        """
        pending, length = self.values.shape
        episode = proposal.trial[0] // length
        known = episode >= asked - pending
        place = jnp.where(known, episode % pending, pending)
        columns = jnp.where(proposal.mask, proposal.trial % length, length)
        count = jnp.sum(proposal.mask, dtype=jnp.int32)
        values = self.values.at[place, columns].set(valid, mode="drop")
        left = self.left.at[place].add(-count, mode="drop")
        there = episode % pending
        # Searches that were driven before scores were kept have none left.
        complete = known & (count > 0) & (left[there] <= 0)
        return self.replace(values=values, left=left), values[there], complete


class Walked(NamedTuple):
    """One episode.

    Attributes:
      states: float32 `[T, D]`, embedding before each step.
      actions: float32 `[T, D]`.
      rows: int32 `[T]`, what was met.
      there: bool `[T]`, False where nothing was left to be met.
      last: float32 `[D]`, embedding after the last step.
      visited: bool `[N]`.
    """

    states: Array
    actions: Array
    rows: Array
    there: Array
    last: Array
    visited: Array


def rules(
    space: SearchSpace, *, length: int, relative: bool, pending: int, variant: str
) -> Rules:
    """The rules of a search, of which `pending` episodes may be in flight.

    Raises:
      ConfigError: there is no such variant, or a size is below 1.
    """
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of arch2vec-RL", variant, VARIANTS)
    if length < 1:
        raise errors.ConfigError(f"episode_length = {length} must be at least 1")
    if pending < 1:
        raise errors.ConfigError(f"pending = {pending} must be at least 1")
    released = variant == "released"
    return Rules(length, relative, released and space.name in _RELEASED_SKIPS, released)


def identify(table: EmbeddingTable, space: SearchSpace, rules: Rules) -> EmbeddingTable:
    """The table with the groups of rows that are met once."""
    if rules.by_row:
        return table.replace(groups=None)
    return embedding_table.identify(table, space)


def episode(
    key: Key,
    table: EmbeddingTable,
    act: Act,
    memory: Any,
    place: Array,
    visited: Array,
    rules: Rules,
) -> Walked:
    """T steps from a place.

    Args:
      key: of the actions, and between rows of one distance.
      table: of N rows.
      act: says the actions.
      memory: what it carries from step to step, at the start.
      place: embedding `[D]` where the walk starts.
      visited: bool `[N]`, rows that are not met again.
      rules: of the walk.
    """

    def step(carry: Any, key: Key) -> tuple[Any, Any]:
        memory, place, visited = carry
        action, memory = act(key, memory, place)
        target = place + action if rules.relative else action
        row, there = embedding_table.nearest(
            jax.random.fold_in(key, _LOT),
            table,
            target,
            visited,
            skip_first=rules.skip,
        )
        visited = embedding_table.visit(table, visited, row)
        return (memory, table.of(row), visited), (place, action, row, there)

    keys = jax.random.split(key, rules.length)
    (_, last, visited), met = lax.scan(step, (memory, place, visited), keys)
    states, actions, rows, there = met
    return Walked(states, actions, rows, there, last, visited)


def returns(rewards: Array, *, discount: float, baseline: float) -> Array:
    """G_t = sum_k discount^k (r_(t+k) - baseline), `[T]` from rewards `[T]`.

    A training without a score is worth the baseline.
    """
    gains = jnp.where(jnp.isfinite(rewards), rewards - baseline, 0)
    if discount == 0:
        return gains
    later, terms = jnp.float32(0), []
    for gain in gains[::-1]:
        later = gain + discount * later
        terms.append(later)
    return jnp.stack(terms[::-1])


def check_learning(*, discount: float, num_hidden: int, learning_rate: float) -> None:
    """Raises a `ConfigError` unless the settings of a policy are in range."""
    if not 0 <= discount <= 1:
        raise errors.ConfigError(f"discount = {discount} must be in [0, 1]")
    if min(num_hidden, learning_rate) <= 0:
        raise errors.ConfigError(
            f"num_hidden = {num_hidden} and learning_rate = {learning_rate} must be "
            "above 0"
        )
