"""What was observed after each number of epochs, and its best and worst part.

Sizes: L levels (numbers of epochs), C results kept of each, D variables.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core.types import Array


class Observations(struct.PyTreeNode):
    """The last C results of each level.

    Attributes:
      points: int32 `[L, C, D]`.
      valid: float32 `[L, C]`, -inf where there is no score (yet).
      count: int32 `[L]`, results so far, forgotten ones too.
    """

    points: Array
    valid: Array
    count: Array

    @classmethod
    def empty(cls, num_levels: int, capacity: int, size: int) -> "Observations":
        """No results of points `[size]`."""
        return cls(
            points=jnp.zeros((num_levels, capacity, size), jnp.int32),
            valid=jnp.full((num_levels, capacity), -jnp.inf),
            count=jnp.zeros(num_levels, jnp.int32),
        )

    @property
    def kept(self) -> Array:
        """int32 `[L]`, results that are not forgotten."""
        return jnp.minimum(self.count, self.valid.shape[1])

    def add(
        self, level: Array, point: Array, valid: Array, used: Array
    ) -> "Observations":
        """With one more result, if it is used; the oldest goes where there is no room.

        Args:
          level: int32 `[]`.
          point: int32 `[D]`.
          valid: float32 `[]`.
          used: bool `[]`.
        """
        num_levels, capacity = self.valid.shape
        level = jnp.where(used, level, num_levels)
        place = self.count[level] % capacity
        return self.replace(
            points=self.points.at[level, place].set(point, mode="drop"),
            valid=self.valid.at[level, place].set(valid, mode="drop"),
            count=self.count.at[level].add(1, mode="drop"),
        )


class Split(NamedTuple):
    """How many of n results are good and how many bad, for n = 0 to C; int32 arrays.

    N_good = max(N_min, q n) and N_bad = max(N_min, n - N_good) (Falkner et al., 2018,
    equation 3): the best and the worst, which share some while there are few.
    """

    good: np.ndarray
    bad: np.ndarray


def split(capacity: int, *, top_percent: int, min_points: int) -> Split:
    """The counts for all n up to `capacity`; q is `top_percent` / 100."""
    counts = np.arange(capacity + 1)
    good = np.maximum(min_points, counts * top_percent // 100)
    bad = np.maximum(min_points, counts - good)
    return Split(good.astype(np.int32), bad.astype(np.int32))


def good_and_bad(valid: Array, count: Array, parts: Split) -> tuple[Array, Array]:
    """bool `[C]` twice: the best and the worst of the first `count` of `valid` `[C]`.

    Of equal scores the one that came first is better.
    """
    places = jnp.arange(valid.shape[0])
    known = places < count
    order = jnp.argsort(jnp.where(known, -valid, jnp.inf), stable=True)
    # Results without a score sort like the unknown places, which all come after them.
    rank = jnp.zeros_like(order).at[order].set(places)
    good = known & (rank < jnp.asarray(parts.good)[count])
    return good, known & (rank >= count - jnp.asarray(parts.bad)[count])
