"""Evaluations on an executor: sent out, collected, and sent again when lost."""

import collections
import math
from collections.abc import Callable
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from nasjax.core import errors
from nasjax.core.types import Evaluation, Key
from nasjax.search.loops import executors

Train = Callable[..., Evaluation]
"""`(key, arch [G], epoch, trained) -> Evaluation`, and a folder as fifth argument where
`drive` was given one."""


class LostEvaluation(errors.NasjaxError):
    """Workers were lost again and again with the same evaluation."""


class TrainingTask(NamedTuple):
    """What a worker is sent; all on the host, so that it pickles.

    Attributes:
      key_data: uint32, data of the training's key.
      key_impl: name of the key's implementation.
      arch: int32 `[G]`.
      epoch: epochs to be completed, or `LAST`.
      trained: epochs that are already paid.
      folder: where this training may keep checkpoints, or None.
    """

    key_data: np.ndarray
    key_impl: str
    arch: np.ndarray
    epoch: int
    trained: int
    folder: str | None


def make_task(
    key: Key, arch: Any, epoch: Any, trained: Any, folder: str | None
) -> TrainingTask:
    """Brings one slot of a proposal to the host."""
    return TrainingTask(
        key_data=np.asarray(jax.random.key_data(key)),
        key_impl=str(jax.random.key_impl(key)),
        arch=np.asarray(arch, np.int32),
        epoch=int(epoch),
        trained=int(trained),
        folder=folder,
    )


def evaluate(train: Train, training: TrainingTask) -> Evaluation:
    """Runs one training, in a worker; numpy arrays come back.

    A training that diverged is one without scores.
    """
    data = jnp.asarray(training.key_data)
    key = jax.random.wrap_key_data(data, impl=training.key_impl)
    folder = () if training.folder is None else (training.folder,)
    try:
        result = train(key, training.arch, training.epoch, training.trained, *folder)
    except errors.DivergedError as error:
        logging.warning("%s counts as -inf: %s", training.arch.tolist(), error)
        result = _evaluation(math.nan, math.nan, math.nan, ())
    if not isinstance(result, Evaluation):
        raise TypeError(
            f"the training function must return an Evaluation, not {result!r:.80}"
        )
    return _evaluation(*result)


def _evaluation(*fields: Any) -> Evaluation:
    arrays: list[Any] = [np.asarray(value, np.float32) for value in fields]
    return Evaluation(*arrays)


class EvaluationPool:
    """Keeps evaluations on an executor; use as a context manager.

    Names are any hashables. At the end, what has not started is cancelled.
    """

    def __init__(self, executor: futures.Executor, train: Train, retries: int) -> None:
        """`retries`: how often an evaluation is sent again after losing its worker."""
        self._executor = executor
        self._train = train
        self._retries = retries
        self._waiting: collections.deque[Any] = collections.deque()
        self._trainings: dict[Any, TrainingTask] = {}
        self._running: dict[futures.Future[Any], Any] = {}
        self._losses: collections.Counter[Any] = collections.Counter()

    def __enter__(self) -> "EvaluationPool":
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._running:
            future.cancel()
        self._running.clear()

    def add(self, name: Any, training: TrainingTask) -> None:
        """Takes an evaluation on; it is sent out by `collect`."""
        self._trainings[name] = training
        self._waiting.append(name)

    def __contains__(self, name: Any) -> bool:
        """Whether the result of `name` is still to come."""
        return name in self._trainings

    def collect(self, timeout: float) -> list[tuple[Any, Evaluation]]:
        """Names and results of what has finished, possibly none.

        In-process, one evaluation is run; else all are sent out, and the call waits for
        the first of them, up to `timeout` seconds.

        Raises:
          LostEvaluation: an evaluation was lost more often than `retries` allows.
          Exception: what the training function raised.
        """
        alone = isinstance(self._executor, executors.InProcess)
        while self._waiting and not (alone and self._running):
            self._send(self._waiting.popleft())
        done, _ = futures.wait(self._running, timeout, futures.FIRST_COMPLETED)
        finished: list[tuple[Any, Evaluation]] = []
        # In the order in which they were sent.
        for future in [future for future in self._running if future in done]:
            name = self._running[future]
            try:
                result = future.result()
            except BaseException as error:
                if not executors.is_lost(error):
                    if finished:
                        break  # the caller saves these first; the next call raises
                    raise
                del self._running[future]
                self._note_loss(name, error)
                continue
            del self._running[future], self._trainings[name]
            finished.append((name, result))
        return finished

    def _send(self, name: Any) -> None:
        training = self._trainings[name]
        try:
            future = self._executor.submit(evaluate, self._train, training)
        except futures.BrokenExecutor as error:
            self._note_loss(name, error)
        else:
            self._running[future] = name

    def _note_loss(self, name: Any, error: BaseException) -> None:
        self._losses[name] += 1
        training, kind = self._trainings[name], type(error).__name__
        if self._losses[name] > self._retries:
            raise LostEvaluation(
                f"architecture {training.arch.tolist()} lost its worker "
                f"{self._losses[name]} times ({kind}: {error}); it may need more "
                "memory than a worker has; a standard ProcessPoolExecutor cannot go "
                "on after a loss, executors.Processes can"
            ) from error
        logging.warning(
            "worker lost (%s); sending %s again", kind, training.arch.tolist()
        )
        self._waiting.append(name)
