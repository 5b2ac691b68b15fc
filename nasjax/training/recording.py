"""The recorded training of one architecture: curves, resumed, cut short or diverged.

What a training records is in its state, so that a killed one goes on where it was, and
one that is promoted to more epochs continues from the epochs it has.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import struct

from nasjax.core import checkpoint, errors
from nasjax.core.types import Array
from nasjax.training import loop, runner

OK = "ok"
DIVERGED = "diverged"


class Record(struct.PyTreeNode):
    """What is known of a training so far; NaN at epochs that are not reached.

    Attributes:
      metrics: float32 `[T]` by name, such as `valid_accuracy`.
      seconds: float32 `[T]`, of the training steps of each epoch.
    """

    metrics: dict[str, Array]
    seconds: Array

    @classmethod
    def empty(cls, names: tuple[str, ...], epochs: int) -> "Record":
        """A record of nothing."""
        never = jnp.full(epochs, jnp.nan, jnp.float32)
        return cls({name: never for name in names}, never)

    def add(
        self, epoch: int, row: Mapping[str, float], seconds: float | Array
    ) -> "Record":
        """With what epoch `epoch`, counted from 1, measured."""
        metrics = {
            name: values.at[epoch - 1].set(row[name])
            for name, values in self.metrics.items()
        }
        return Record(metrics, self.seconds.at[epoch - 1].set(seconds))


class Curves(NamedTuple):
    """What a training recorded at the end of every epoch.

    Attributes:
      metrics: float32 `[T]` by name: `train_loss`, `train_accuracy`, `valid_loss`, ...;
        accuracies in [0, 1], losses in nats. NaN at epochs that were not trained, and
        from a divergence on.
      seconds: float32 `[T]`, of the training steps of each epoch, likewise; without
        evaluation, and without compilation where that could be told apart.
      parameters: trained numbers of the network, auxiliary heads left out.
      status: `OK` or `DIVERGED`.
    """

    metrics: dict[str, np.ndarray]
    seconds: np.ndarray
    parameters: int
    status: str


def record(
    folder: str | os.PathLike[str],
    state: Any,
    stage: loop.Stage,
    *,
    epochs: int,
    parameters: int,
    read: Callable[[Any], Record] = lambda state: state.record,
) -> Curves:
    """Runs a stage up to an epoch and returns what it recorded.

    Args:
      folder: of checkpoints and rows; the same call with a folder that was used before
        continues there.
      state: before the first step.
      stage: the whole training.
      epochs: how many epochs to complete. Where the folder has more of them already,
        the later ones are not part of the curves.
      parameters: see `Curves`.
      read: what a state has recorded.

    Raises:
      ConfigError: the training has fewer epochs.
      WorkdirError: the folder holds another training.
      loop.Stopped: the process was asked to stop; the state is saved.
    """
    if not 0 < epochs <= stage.epochs:
        raise errors.ConfigError(
            f"{epochs} epochs were asked for; this training has 1 to {stage.epochs}"
        )
    part = dataclasses.replace(stage, epochs=epochs)
    status, template = OK, state
    try:
        with runner.StageRunner(folder) as stages:
            state = stages.run(stage.name, template, lambda *_: part)
    except errors.DivergedError as error:
        logging.warning("%s: %s", folder, error)
        status = DIVERGED
        saved = pathlib.Path(folder) / runner.CHECKPOINTS / stage.name
        with checkpoint.Checkpoints(saved) as checkpoints:
            _, state = checkpoints.restore(template) or (0, template)
    done = np.arange(stage.epochs) < epochs

    def cut(values: Array) -> np.ndarray:
        return np.where(done, np.asarray(values), np.float32(np.nan))

    found = read(state)
    return Curves(
        metrics={name: cut(values) for name, values in found.metrics.items()},
        seconds=cut(found.seconds),
        parameters=parameters,
        status=status,
    )
