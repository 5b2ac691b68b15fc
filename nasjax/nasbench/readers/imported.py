"""An official surrogate as it was read: texts and arrays on the host, nothing fitted.

This is what the readers of checkpoints return and what a surrogate of ours is made of.
"""

import dataclasses
import hashlib
import re
from typing import Any

import numpy as np

from nasjax.core import read_guard
from nasjax.core.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder:
    """From the predictions of the k models to a curve of T epochs.

        curve = (predictions * scale + mean) @ diag(singular_values) @ basis

    Attributes:
      mean: float64 `[k]`, of the standardised labels.
      scale: float64 `[k]`, their standard deviations.
      singular_values: float64 `[k]`, the largest first.
      basis: float64 `[k, T]`, right singular vectors of the (uncentred) curves.
    """

    mean: np.ndarray
    scale: np.ndarray
    singular_values: np.ndarray
    basis: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """A Gaussian kernel density of residual curves, as scipy keeps it.

    A draw is a column of `dataset`, chosen with its weight, plus Gaussian noise of
    `covariance`.

    Attributes:
      dataset: float64 `[T, n]`, one residual (rank-k reconstruction minus data) a
        column.
      weights: float64 `[n]`, they add up to 1.
      covariance: float64 `[T, T]`, of the kernel: `factor^2` times that of the data.
      factor: bandwidth, `n^(-1 / (T + 4))` by Scott's rule.
    """

    dataset: np.ndarray
    weights: np.ndarray
    covariance: np.ndarray
    factor: float


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One member of an ensemble.

    Attributes:
      library: `"lightgbm"` or `"xgboost"`.
      models: text of each fitted model (`readers.boosters.Model.text`). Where there
        are several they form a chain: the features of model j are those of the
        architecture followed by the predictions of models 0 to j - 1.
      order: which component model j predicts; the identity in official files.
      decoder: how components become a curve; None where the one model predicts the
        quantity itself.
      kernel: the noise model, None where the file has none.
    """

    library: str
    models: tuple[str, ...]
    order: tuple[int, ...] = (0,)
    decoder: Decoder | None = None
    kernel: Kernel | None = None

    @property
    def num_features(self) -> int:
        """Features of an architecture, those of the chain not counted."""
        return num_features(self.library, self.models[0])

    @property
    def num_epochs(self) -> int:
        """T, or 1 without a decoder."""
        return 1 if self.decoder is None else self.decoder.basis.shape[1]

    def digest(self) -> str:
        """SHA256 of all that a prediction without noise depends on."""
        state = hashlib.sha256()
        for text in (self.library, *self.models, str(self.order)):
            data = text.encode()
            state.update(len(data).to_bytes(8, "little") + data)
        for array in vars(self.decoder).values() if self.decoder else ():
            state.update(str(array.shape).encode() + array.tobytes())
        return state.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedSurrogate:
    """An ensemble: its prediction is the mean over `members`, each taken as often as
    `copies` says; the official noise is that of the first member alone.

    Attributes:
      name: the folder that holds it.
      members: those that differ in what they predict (the residuals of the others
        differ by 1e-8 of added noise), in the order of their folders.
      copies: how many members of the file each stands for.
      model_config: `model_config.json` of the first member, {} where there is none;
        its "model" is the official name of the technique.
      data_config: `data_config.json` of the first member, {} where there is none.
    """

    name: str
    members: tuple[Member, ...]
    copies: tuple[int, ...]
    model_config: dict[str, Any]
    data_config: dict[str, Any]

    @property
    def num_features(self) -> int:
        """Features of an architecture."""
        return self.members[0].num_features

    @property
    def num_epochs(self) -> int:
        """T, or 1 where one quantity is predicted."""
        return self.members[0].num_epochs


class Distinct:
    """Members as they are read: those that predict the same share their arrays.

    Official ensembles repeat one member, whose residuals (31 MB) differ by noise, and
    only the residuals of the first are ever used.
    """

    def __init__(self, max_bytes: int, name: str):
        self._meter = read_guard.Meter(name, max_bytes=max_bytes)
        self._firsts: dict[str, Member] = {}

    def add(self, member: Member) -> Member:
        """The member itself, or the one that was there before and is the same.

        Raises:
          DataError: the members take too much memory.
        """
        first = self._firsts.setdefault(member.digest(), member)
        if first is member:
            arrays = [
                array
                for part in (member.decoder, member.kernel)
                for array in (vars(part).values() if part else ())
            ]
            sizes = [getattr(array, "nbytes", 8) for array in arrays]
            self._meter.spend(sum(sizes) + sum(map(len, member.models)))
        return first


def distinct(members: list[Member]) -> tuple[tuple[Member, ...], tuple[int, ...]]:
    """The members that differ, the first of each kind, and how often each occurs."""
    firsts: dict[str, Member] = {}
    counts: dict[str, int] = {}
    for member in members:
        digest = member.digest()
        firsts.setdefault(digest, member)
        counts[digest] = counts.get(digest, 0) + 1
    return tuple(firsts.values()), tuple(counts.values())


def num_features(library: str, text: str) -> int:
    """How many features a model takes.

    Raises:
      DataError: its text does not say.
    """
    what = f"a model of {library} without its number of features; it is damaged"
    with read_guard.guard("surrogate", what):
        if library == "xgboost":
            model = read_guard.parse_json(text, name="surrogate")
            return int(model["learner"]["learner_model_param"]["num_feature"])
        match = re.search(r"^max_feature_idx=(\d{1,9})$", text, re.MULTILINE)
        if match is None:
            raise DataError(what)
        return int(match[1]) + 1
