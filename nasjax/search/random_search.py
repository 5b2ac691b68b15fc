"""Random search: the control that every other algorithm must beat."""

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import errors
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm


class RandomState(struct.PyTreeNode):
    """Counts what was proposed.

    Attributes:
      asked: int32 `[]`, how many trainings have been proposed.
    """

    asked: Array


def random_search(space: SearchSpace, *, batch_size: int = 1) -> SearchAlgorithm:
    """Independent draws of `space.sample`, with replacement.

    Args:
      space: what is searched.
      batch_size: Q, architectures of one proposal.

    Raises:
      ConfigError: the batch has no architecture.
    """
    if batch_size < 1:
        raise errors.ConfigError(f"batch_size = {batch_size} must be at least 1")

    def init(key: Key) -> RandomState:
        del key
        return RandomState(asked=jnp.int32(0))

    def ask(key: Key, state: RandomState) -> tuple[Proposal, RandomState]:
        archs = jax.vmap(space.sample)(jax.random.split(key, batch_size))
        trial = state.asked + jnp.arange(batch_size)
        return Proposal.batch(archs, trial=trial), state.replace(
            asked=state.asked + batch_size
        )

    def tell(
        state: RandomState, proposal: Proposal, evaluation: Evaluation
    ) -> RandomState:
        del proposal, evaluation
        return state

    return SearchAlgorithm(init, ask, tell)
