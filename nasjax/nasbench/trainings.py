"""Trainings of the embedded benchmarks, as builders record and files hold them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

NUM_EPOCHS = 30
CURVES = tuple(
    f"{split}_{kind}"
    for split in ("train", "valid", "test")
    for kind in ("loss", "correct")
)
"""What is recorded at the end of each epoch: mean losses, and counts of images."""


class Trainings(NamedTuple):
    """N architectures in groups, and R trainings of them.

    Attributes:
      groups: name of each group.
      group: int8 `[N]`, an index of `groups`, ascending.
      place: int32 `[N]`, of the architecture in its group.
      archs: int `[N, G]`.
      row: int32 `[R]`, the architecture of each training.
      seed: int16 `[R]`, of each training.
      curves: by the names of `CURVES`, compact, `[R, E]`.
      seconds: float32 `[R]`, CPU seconds of each training.
    """

    groups: tuple[str, ...]
    group: np.ndarray
    place: np.ndarray
    archs: np.ndarray
    row: np.ndarray
    seed: np.ndarray
    curves: Mapping[str, np.ndarray]
    seconds: np.ndarray

    def names(self) -> set[tuple[str, int, int]]:
        """(group, place in the group, seed) of every training."""
        groups, places = self.group[self.row], self.place[self.row]
        return {
            (self.groups[g], int(place), int(seed))
            for g, place, seed in zip(groups, places, self.seed, strict=True)
        }


def compact(name: str, values: np.ndarray) -> np.ndarray:
    """A curve as it is stored: counts in uint16, losses in float16."""
    if name.endswith("_correct"):
        return values.astype(np.uint16)
    # A diverged training must not become a wrong finite number.
    return np.where(np.abs(values) < 6e4, values, np.nan).astype(np.float16)
