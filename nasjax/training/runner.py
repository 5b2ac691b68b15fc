"""Runs the stages of a job one after another, each from its newest checkpoint."""

import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from nasjax.core import checkpoint, metric_log, signals
from nasjax.training import loop

CHECKPOINTS = "checkpoints"
State = TypeVar("State")


class StageRunner:
    """Checkpoints, rows and the stop signal of a run, around its stages.

    `folder/checkpoints/STAGE` holds the states; rows go to `folder`. A run that was
    killed goes through the same calls again: finished stages are read back, the
    unfinished one continues, and rows after its checkpoint are written anew.

    Use as a context manager: SIGTERM and SIGINT then stop the run at the next step,
    after saving it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = pathlib.Path(folder)
        self._log: metric_log.MetricLog | None = None
        self._offset = 0
        self._stop = signals.StopSignal()
        self._visited: set[str] = set()

    def __enter__(self) -> "StageRunner":
        self._stop.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stop.__exit__(*exception)
        if self._log is not None:
            self._log.close()

    def run(
        self, name: str, initial: State, make_stage: Callable[[int, State], loop.Stage]
    ) -> State:
        """Returns the final state of a stage.

        Args:
          name: of the stage.
          initial: its state before the first step, also the template of checkpoints.
          make_stage: `(start, state) -> Stage`, where `state` has done `start` steps.

        Raises:
          loop.Stopped: the process was asked to stop; the state is saved.
          DivergedError: the training loss is not finite.
        """
        checkpoints = checkpoint.Checkpoints(self._folder / CHECKPOINTS / name)
        # A copy, because a step may donate its state and the caller keeps `initial`.
        restored: tuple[int, State] = checkpoints.restore(initial) or (
            0,
            jax.tree.map(jnp.copy, initial),
        )
        start, state = restored
        stage = make_stage(start, state)
        self._visited.add(name)
        if start < stage.num_steps:
            self._drop_later_stages()
            done = self._offset + start
            if self._log is None:
                resume_step = done if done > 0 else None
                self._log = metric_log.MetricLog(self._folder, resume_step=resume_step)
            state = loop.run_stage(
                state,
                stage,
                start=start,
                offset=self._offset,
                checkpoints=checkpoints,
                log=self._log,
                stop=self._stop,
            )
        checkpoints.close()
        self._offset += stage.num_steps
        return state

    def _drop_later_stages(self) -> None:
        """Removes states that follow from one that was lost, as their rows are."""
        for folder in (self._folder / CHECKPOINTS).glob("*"):
            if folder.name not in self._visited:
                shutil.rmtree(folder)
