"""The windows of a text in which an epoch of truncated backpropagation reads it.

Their lengths are drawn anew each epoch (AWD: Merity et al., 2018, section 5). A window
is cut as `[L + 1, B]` with the largest length L, of which a number of leading rows
counts, so that all of them go through one compiled function.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import numpy as np

from nasjax.core.types import Key

_HALF_PROBABILITY = 0.05
_SHORTEST = 5
_NOISE = 14
"""Nominal length over standard deviation: 5 for the usual 70."""


class Window(NamedTuple):
    """Rows `start` to `start + length` of a text cut into pieces; the last is a target.

    Attributes:
      start: the first row.
      length: tokens that are read.
      rate: factor of the learning rate: drawn length over nominal length.
    """

    start: int
    length: int
    rate: float


@dataclasses.dataclass(frozen=True)
class Windows:
    """How long windows are.

    Attributes:
      nominal: tokens.
      random: whether lengths are drawn: `nominal`, with probability .05 half of it,
        plus normal noise of deviation `nominal / 14`, at least 5 and at most three
        deviations above `nominal` (released code: unbounded above).
    """

    nominal: int
    random: bool = True

    @property
    def longest(self) -> int:
        """L."""
        return self.nominal + (3 * self.nominal // _NOISE if self.random else 0)

    def most(self, num_rows: int) -> int:
        """Largest number of windows in an epoch over `num_rows` rows.

        Drawn ones are longer than 9/10 of the nominal length in the mean; four more
        make up for short texts.
        """
        if not self.random:
            return math.ceil((num_rows - 1) / self.nominal)
        return math.ceil((num_rows - 1) / (0.9 * self.nominal)) + 4

    def draw(self, key: Key, num_rows: int) -> list[Window]:
        """The windows of one epoch, one after another.

        Every row but the first is a target once. Where `most(num_rows)` windows happen
        to be too short for that (less likely than 1e-4), the end is left out.
        """
        drawn = np.full(self.most(num_rows), self.nominal)
        if self.random:
            key_half, key_noise = jax.random.split(key)
            half = np.asarray(jax.random.uniform(key_half, drawn.shape))
            noise = np.asarray(jax.random.normal(key_noise, drawn.shape))
            means = np.where(half < _HALF_PROBABILITY, self.nominal / 2, self.nominal)
            lengths = (means + noise * self.nominal / _NOISE).astype(int)
            drawn = np.clip(lengths, min(_SHORTEST, self.nominal), self.longest)
        starts = np.cumsum(drawn) - drawn
        lengths = np.minimum(drawn, num_rows - 1 - starts)
        return [
            Window(start, length, size / self.nominal)
            for start, length, size in zip(
                starts.tolist(), lengths.tolist(), drawn.tolist(), strict=True
            )
            if length > 0
        ]


def cut(rows: np.ndarray, window: Window, longest: int) -> np.ndarray:
    """int32 `[longest + 1, B]` of a text `[R, B]`: the window's rows, then zeros."""
    piece = rows[window.start : window.start + window.length + 1]
    filled = np.zeros((longest + 1, rows.shape[1]), np.int32)
    filled[: len(piece)] = piece
    return filled
