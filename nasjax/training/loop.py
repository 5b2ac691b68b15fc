"""The resumable loop of one training stage: steps, epochs, rows, checkpoints.

A stage is a function from state and step to state. Everything it needs to continue
(counters of the running epoch included) is in the state, and its batches are functions
of the step, so a run that was killed and restarted computes the same bits.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import checkpoint, errors, metric_log, progress, signals
from nasjax.core.types import Array

State = TypeVar("State")


class Totals(struct.PyTreeNode):
    """Sums over the images of the running epoch.

    Attributes:
      loss: `[]`, summed batch means, in nats.
      correct: int32 `[]`.
      images: int32 `[]`.
      steps: int32 `[]`.
    """

    loss: Array
    correct: Array
    images: Array
    steps: Array

    @classmethod
    def zero(cls) -> "Totals":
        return cls(jnp.float32(0), jnp.int32(0), jnp.int32(0), jnp.int32(0))

    def add(self, loss: Array, correct: Array, images: int) -> "Totals":
        """Counts one batch."""
        return self.replace(
            loss=self.loss + loss,
            correct=self.correct + correct.astype(jnp.int32),
            images=self.images + images,
            steps=self.steps + 1,
        )

    def row(self) -> dict[str, float]:
        """Mean loss and accuracy of the epoch."""
        return {
            "train_loss": float(self.loss) / int(self.steps),
            "train_accuracy": int(self.correct) / int(self.images),
        }


class Stopped(SystemExit):
    """The run was asked to stop and has saved its state; not an error."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One phase of training.

    Attributes:
      name: of its rows and checkpoints.
      epochs: how long it lasts.
      steps_per_epoch: calls of `step` an epoch.
      step: `(state, index) -> state`, index counted from 0 over the whole stage.
      end_epoch: `(state, epoch) -> (state, row)`; the row's numbers are logged, and
        its `train_loss` must be finite.
      remedy: what to change when the loss is not finite.
    """

    name: str
    epochs: int
    steps_per_epoch: int
    step: Callable[[Any, int], Any]
    end_epoch: Callable[[Any, int], tuple[Any, dict[str, float]]]
    remedy: str = "lower the learning rate"

    @property
    def num_steps(self) -> int:
        return self.epochs * self.steps_per_epoch


def run_stage(
    state: State,
    stage: Stage,
    *,
    start: int = 0,
    offset: int = 0,
    checkpoints: checkpoint.Checkpoints | None = None,
    log: metric_log.MetricLog | None = None,
    stop: signals.StopSignal | None = None,
) -> State:
    """Runs a stage from step `start` to its end.

    Args:
      state: the state after `start` steps.
      stage: what to run.
      start: steps of this stage that are already done.
      offset: steps of all earlier stages, added to the step of logged rows.
      checkpoints: where the state is saved at the end of every epoch; None: nowhere.
      log: where rows go; None: nowhere.
      stop: checked before every step; None: the stage runs to its end.

    Returns:
      The state after the last step.

    Raises:
      Stopped: `stop` was requested; the state is saved.
      DivergedError: the training loss of an epoch is not finite.
    """
    bar = progress.progress(stage.num_steps, description=stage.name, done=start)
    bar.set(epoch=_epoch(start, stage))
    for index in range(start, stage.num_steps):
        if stop is not None and stop.requested:
            if checkpoints is not None:
                checkpoints.save(index, state)
            bar.close()
            progress.echo(
                f"stopped in {stage.name} at step {index}"
                + ("; the same command continues" if checkpoints is not None else "")
            )
            raise Stopped(128 + int(stop.received or 0))
        state = stage.step(state, index)
        if (index + 1) % stage.steps_per_epoch:
            bar.update(1)
            continue
        epoch = (index + 1) // stage.steps_per_epoch
        state, row = stage.end_epoch(state, epoch)
        if not math.isfinite(row["train_loss"]):
            bar.close()
            raise errors.DivergedError(
                f"{stage.name}: the training loss is {row['train_loss']} in epoch "
                f"{epoch}; this epoch is not saved: {stage.remedy}"
                + (", and use a new workdir" if checkpoints is not None else "")
            )
        if log is not None:
            log.write(offset + index + 1, {"epoch": epoch, **row}, stage=stage.name)
        bar.set(epoch=_epoch(index + 1, stage), **row)
        bar.update(1)
        if checkpoints is not None:
            checkpoints.save(index + 1, state)
    bar.close()
    return state


class RunStage(Protocol):
    """Runs a named stage from an initial state, or from where it was stopped.

    `runner.StageRunner(folder).run` keeps checkpoints and rows in a folder;
    `run_in_memory` keeps nothing.
    """

    def __call__(
        self, name: str, initial: State, make_stage: Callable[[int, State], Stage], /
    ) -> State:
        """The final state; `make_stage(start, state)` is what has `start` steps done.

        `initial` stays usable: a step may donate the state that it is given.
        """


def run_in_memory(
    name: str, initial: State, make_stage: Callable[[int, State], Stage], /
) -> State:
    """Runs a stage from its first step to its last and keeps nothing on disk.

    Raises:
      DivergedError: the training loss of an epoch is not finite.
    """
    del name  # of checkpoints
    state: State = jax.tree.map(jnp.copy, initial)
    return run_stage(state, make_stage(0, state))


def _epoch(done: int, stage: Stage) -> str:
    """The epoch that is running after `done` steps, or the last one."""
    running = min(done // stage.steps_per_epoch + 1, stage.epochs)
    return f"{running}/{stage.epochs}"
