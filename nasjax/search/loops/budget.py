"""What a search may spend, and what it has spent."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core import errors
from nasjax.core.types import LAST, Array, Evaluation, Proposal

MOST = np.iinfo(np.int32).max
"""A limit of queries or epochs that is none."""


class Budget(NamedTuple):
    """Limits; `limit` makes them.

    Attributes:
      seconds: float32 `[]`, (simulated) training seconds.
      queries: int32 `[]`, evaluations.
      epochs: int32 `[]`, trained epochs.
      last_epoch: int32 `[]`, how many epochs `LAST` stands for.
    """

    seconds: Array
    queries: Array
    epochs: Array
    last_epoch: Array


class Spent(struct.PyTreeNode):
    """Totals of a run: seconds float32 `[]`, queries and epochs int32 `[]`."""

    seconds: Array
    queries: Array
    epochs: Array

    @classmethod
    def zero(cls) -> "Spent":
        return cls(jnp.float32(0), jnp.int32(0), jnp.int32(0))

    def is_over(self, budget: Budget) -> Array:
        """Whether no further evaluation can be within the budget, bool `[]`."""
        over = (self.queries >= budget.queries) | (self.epochs >= budget.epochs)
        return over | (self.seconds > budget.seconds)


def limit(
    seconds: float = float("inf"),
    queries: int | None = None,
    epochs: int | None = None,
    last_epoch: int | None = None,
) -> Budget:
    """A budget; what is None is not limited.

    Args:
      seconds: (simulated) training seconds.
      queries: evaluations.
      epochs: trained epochs, for which `last_epoch` is needed.
      last_epoch: how many epochs a training to the end has.

    Raises:
      ConfigError: a limit is not positive, or `last_epoch` is missing.
    """
    limits = {"seconds": seconds, "queries": queries, "epochs": epochs}
    for name, value in limits.items():
        if value is not None and not value > 0:
            raise errors.ConfigError(f"budget_{name} = {value} must be positive")
    if epochs is not None and last_epoch is None:
        raise errors.ConfigError(
            "budget_epochs needs last_epoch, the epochs of a training to the end"
        )
    return Budget(
        jnp.float32(seconds),
        jnp.int32(MOST if queries is None else queries),
        jnp.int32(MOST if epochs is None else epochs),
        jnp.int32(0 if last_epoch is None else last_epoch),
    )


def charge(
    spent: Spent, budget: Budget, proposal: Proposal, evaluation: Evaluation
) -> tuple[Spent, Array, Array]:
    """Pays for one proposal, slot after slot.

    An evaluation is within the budget if it is complete when the budget ends. What an
    evaluation without a score costs is not always known; it is then free. A cost that
    is missing beside a score makes the clock NaN from there on.

    Returns:
      The new totals, bool `[Q]` (the slot is used and within the budget) and float32
      `[Q]`, the clock when each evaluation is complete.
    """
    unknown = jnp.isnan(evaluation.valid) & jnp.isnan(evaluation.cost)
    cost = jnp.where(proposal.mask & ~unknown, evaluation.cost, 0)
    target = jnp.where(proposal.epochs == LAST, budget.last_epoch, proposal.epochs)
    trained = jnp.where(proposal.mask, target - proposal.trained, 0)
    seconds = spent.seconds + jnp.cumsum(cost.astype(jnp.float32))
    queries = spent.queries + jnp.cumsum(proposal.mask.astype(jnp.int32))
    epochs = spent.epochs + jnp.cumsum(trained)
    inside = (queries <= budget.queries) & (epochs <= budget.epochs)
    inside &= (seconds <= budget.seconds) | jnp.isposinf(budget.seconds)
    totals = Spent(seconds[-1], queries[-1], epochs[-1])
    return totals, proposal.mask & inside, seconds
