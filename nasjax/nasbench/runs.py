"""One recorded quantity of all trainings of a table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core.types import Array


def to_device(values: np.ndarray) -> Array:
    """The values on the device; when it returns, the file can be unmapped."""
    stored: Array = jax.device_put(values).block_until_ready()
    return stored


class TrainingRuns(struct.PyTreeNode):
    """One quantity of every training of every architecture.

    Attributes:
      values: float32 `[N, S, T]` for S seeds and the T epochs of the table, or
        `[N, S, 1]` where only the last epoch is recorded; NaN where nothing is.
      present: uint8 `[N]`, bit s is set where the training of seed s is recorded.
    """

    values: Array
    present: Array

    @classmethod
    def build(cls, values: np.ndarray) -> "TrainingRuns":
        """Runs of `values` `[N, S, T]` with at most 8 seeds."""
        recorded = ~np.isnan(values[:, :, -1])
        # A training that diverged is there, too: it has values before.
        doubtful = np.flatnonzero(~recorded.all(axis=1))
        recorded[doubtful] = ~np.isnan(values[doubtful]).all(axis=2)
        present = np.zeros(len(values), np.uint8)
        for s in range(values.shape[1]):
            present |= recorded[:, s].astype(np.uint8) << s
        return cls(to_device(values), to_device(present))

    @property
    def num_seeds(self) -> int:
        """S, the recorded trainings of an architecture at most."""
        return self.values.shape[1]

    def is_present(self, row: Array) -> list[Array]:
        """Whether each of the S trainings of a row is recorded."""
        bits = self.present[row].astype(jnp.int32)
        return [(bits >> s) & 1 == 1 for s in range(self.num_seeds)]

    def draw(self, row: Array, uniform: Array) -> Array:
        """The slot of one recorded training, each as likely; `uniform` in [0, 1)."""
        present = [bit.astype(jnp.int32) for bit in self.is_present(row)]
        count = functools.reduce(jnp.add, present)
        wanted = jnp.minimum((uniform * count).astype(jnp.int32), count - 1)
        slot: Array = jnp.int32(0)
        before: Array = jnp.int32(0)
        for s, bit in enumerate(present):
            slot = jnp.where((bit == 1) & (before == wanted), s, slot)
            before += bit
        return slot

    def at(self, row: Array, slot: Array, place: Array, num_epochs: int) -> Array:
        """float32 `[]`, one value; NaN where `place` is not recorded (or is -1)."""
        _, num_seeds, recorded = self.values.shape
        column = jnp.maximum(place, 0) if recorded == num_epochs else 0
        known = place >= 0 if recorded == num_epochs else place == num_epochs - 1
        flat = self.values.reshape(-1)
        value = flat[(row * num_seeds + slot) * recorded + column]
        return jnp.where(known, value, jnp.nan)

    def series(self, row: Array, slot: Array, num_epochs: int) -> Array:
        """float32 `[T]`, the values of one training over the epochs of the table."""
        values = self.values[row, slot]
        if values.shape[0] == num_epochs:
            return values
        return jnp.full(num_epochs, jnp.nan).at[-1].set(values[0])

    def average(self, row: Array, values: list[Array]) -> Array:
        """Mean of one value a seed over the trainings that are recorded."""
        present = self.is_present(row)
        count = functools.reduce(jnp.add, [bit.astype(jnp.float32) for bit in present])
        kept = [jnp.where(b, v, 0) for b, v in zip(present, values, strict=True)]
        total = functools.reduce(jnp.add, kept)
        return jnp.where(count > 0, total / jnp.maximum(count, 1), jnp.nan)
