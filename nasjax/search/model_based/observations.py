"""What a model-based search has asked for, and what came of it."""

import jax.numpy as jnp
from flax import struct
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array


class Observations(struct.PyTreeNode):
    """The last P trainings; training number t is at place t mod P.

    Entries are made when a training is asked for, so that what is still being trained
    is not asked for again, and count as observed when its score is told.

    Attributes:
      items: int32 `[P, ...]`, genes, or rows of a table; -1 where nothing was asked.
      valid: float32 `[P]`, -inf where there is no score (yet).
      asked: int32 `[]`, how many trainings have been asked for.
    """

    items: Array
    valid: Array
    asked: Array

    @classmethod
    def empty(cls, capacity: int, shape: tuple[int, ...]) -> "Observations":
        """No training; items have this shape."""
        return cls(
            items=jnp.full((capacity, *shape), -1, jnp.int32),
            valid=jnp.full(capacity, -jnp.inf),
            asked=jnp.int32(0),
        )

    @property
    def observed(self) -> Array:
        """bool `[P]`, which places have a score."""
        return self.valid > -jnp.inf

    @property
    def best(self) -> Array:
        """float32 `[]`, the highest score; 0 before there is one."""
        return jnp.where(jnp.any(self.observed), jnp.max(self.valid), 0)

    def upcoming(self, batch_size: int) -> Array:
        """int32 `[Q]`, numbers of the next trainings."""
        return self.asked + jnp.arange(batch_size)

    def ask(self, items: Array, used: Array | None = None) -> "Observations":
        """With the next Q trainings entered; items `[Q, ...]`.

        Of slots that are not `used` bool `[Q]`, which come last, nothing is entered.
        """
        batch_size, capacity = items.shape[0], self.valid.shape[0]
        places = self.upcoming(batch_size) % capacity
        count: Array | int = batch_size
        if used is not None:
            places, count = jnp.where(used, places, capacity), jnp.sum(used)
        return self.replace(
            items=self.items.at[places].set(items, mode="drop"),
            valid=self.valid.at[places].set(-jnp.inf, mode="drop"),
            asked=self.asked + count,
        )

    def tell(
        self, trial: Array, valid: Array, used: Array | bool = True
    ) -> "Observations":
        """With the scores `[Q]` of the trainings `trial` `[Q]`.

        The score of a training whose place was taken meanwhile is dropped, and so are
        those of slots that are not `used` `[Q]`.
        """
        capacity = self.valid.shape[0]
        there = (trial >= self.asked - capacity) & used
        places = jnp.where(there, trial % capacity, capacity)
        return self.replace(valid=self.valid.at[places].set(valid, mode="drop"))


def check_sizes(*, batch_size: int, capacity: int, **others: int) -> None:
    """Raises a `ConfigError` unless sizes are positive and a batch fits.

    `others` by the names that they have in the factory.
    """
    sizes = {**others, "batch_size": batch_size, "capacity": capacity}
    for name, value in sizes.items():
        if value < 1:
            raise errors.ConfigError(f"{name} = {value} must be at least 1")
    if capacity < batch_size:
        raise errors.ConfigError(
            f"capacity = {capacity} must be at least batch_size = {batch_size}"
        )


def merge(number: Array, first: Array, chosen: Array) -> Array:
    """The next batch: what is left of the first items, then what a model chose.

    Args:
      number: int32 `[Q]`, numbers of the trainings.
      first: `[F, ...]`, items of the trainings 0 to F - 1.
      chosen: `[Q, ...]`, the most wanted one first.

    Returns:
      Items `[Q, ...]`.
    """
    num_first, batch_size = first.shape[0], number.shape[0]
    place = number - jnp.clip(num_first, number[0], number[-1] + 1)
    early = number < num_first
    early = early.reshape(early.shape + (1,) * (first.ndim - 1))
    return jnp.where(
        early,
        first[jnp.minimum(number, num_first - 1)],
        chosen[jnp.clip(place, 0, batch_size - 1)],
    )


def highest(scores: Array, allowed: Array, count: int) -> tuple[Array, Array]:
    """Places int32 `[count]` of the highest scores that are allowed, best first.

    Args:
      scores: `[N]`; NaN counts as lowest of all.
      allowed: bool `[N]`.
      count: how many.

    Returns:
      The places, and bool `[count]`: False where too few are allowed.
    """
    lowest = jnp.finfo(scores.dtype).min
    ranked = jnp.where(jnp.isnan(scores), lowest, jnp.maximum(scores, lowest))
    top, places = lax.top_k(jnp.where(allowed, ranked, -jnp.inf), count)
    return places.astype(jnp.int32), top > -jnp.inf
