"""Training of one image classifier, every epoch recorded.

A step is one batch. Everything that a training needs to continue is in its state, and
its batches and draws are functions of the step, so a training that was killed ends with
the same bits as one that was not.
"""

import functools
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from nasjax import data
from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.networks.classifier import Params, Statistics
from nasjax.training import classifier_functions as compiled
from nasjax.training.classifier_functions import Network
from nasjax.training.classifier_settings import ClassifierSettings
from nasjax.training.loop import Stage, Totals
from nasjax.training.recording import Record

STAGE = "training"
"""Name of the stage, its rows and its checkpoints."""


class Splits(NamedTuple):
    """Attributes:
    train: what the loss is minimised on.
    valid: what a search would look at, or None.
    test: what only reports.
    """

    train: data.Split
    valid: data.Split | None
    test: data.Split


class ClassifierState(struct.PyTreeNode):
    """Everything a training needs to continue after any step.

    Attributes:
      params: of the network.
      statistics: running moments of its batch normalisations.
      optimizer: state of the optimizer.
      totals: sums of the running epoch.
      record: curves so far.
      elapsed: float32 `[]`, seconds of the running epoch.
    """

    params: Params
    statistics: Statistics
    optimizer: optax.OptState
    totals: Totals
    record: Record
    elapsed: Array


def split(dataset: data.Dataset, fraction: float, seed: int) -> Splits:
    """Cuts the training images of a data set into training and validation.

    Args:
      dataset: where they come from.
      fraction: of the training images that are trained on; 1: all, and validation is
        on the images that the data set has for it, if any.
      seed: of the cut.

    Raises:
      ConfigError: the fraction leaves one of the two without images, or is below 1
        though the data set has images to validate on.
    """
    if fraction == 1:
        return Splits(dataset.train, dataset.valid, dataset.test)
    return Splits(*dataset.split_train(fraction, seed), dataset.test)


def check(splits: Splits, settings: ClassifierSettings) -> None:
    """Raises `ConfigError` where a batch or `train_sample` has too few images."""
    splits.train.check_batch_size(settings.batch_size)
    if settings.train_sample > len(splits.train):
        raise errors.ConfigError(
            f"training.train_sample={settings.train_sample}: there are only "
            f"{len(splits.train)} training images"
        )


def init(
    key: Key,
    network: Network,
    arch: Any,
    splits: Splits,
    settings: ClassifierSettings,
) -> ClassifierState:
    """The state before the first step.

    Raises:
      ConfigError: a batch or `train_sample` is larger than the training split.
    """
    check(splits, settings)
    key_init, _, _ = jax.random.split(key, 3)
    params, statistics = jax.tree.map(jnp.asarray, network(arch).init(key_init))
    optimizer = settings.transformation(1)  # its state knows nothing of the schedule
    names = [f"{part}_{kind}" for part in _parts(splits) for kind in KINDS]
    return ClassifierState(
        params=params,
        statistics=statistics,
        optimizer=optimizer.init(params),
        totals=Totals.zero(),
        record=Record.empty(tuple(names), settings.epochs),
        elapsed=jnp.float32(0),
    )


KINDS = ("loss", "accuracy")


def _parts(splits: Splits) -> list[str]:
    return [part for part in Splits._fields if getattr(splits, part) is not None]


def make_stage(
    key: Key,
    network: Network,
    arch: Any,
    splits: Splits,
    settings: ClassifierSettings,
) -> Stage:
    """The stage that trains one architecture; its states are `State`s.

    Every row has loss in nats and accuracy in [0, 1] of training, validation (if there
    is one) and test images. The loss is the cross-entropy of the last layer, without
    smoothing, auxiliary head and weight decay.

    Args:
      key: the training is a function of it, seconds apart.
      network: hashable; the same one compiles once.
      arch: what it is called with, a tree of arrays.
      splits: images.
      settings: how.

    Raises:
      ConfigError: a batch is larger than the training split.
    """
    steps = splits.train.steps_per_epoch(settings.batch_size)
    functions = compiled.functions(network, settings, steps)
    _, key_data, key_paths = jax.random.split(key, 3)
    batches = functools.lru_cache(maxsize=1)(
        lambda: _Batches(key_data, splits.train, settings)
    )
    clock = _Clock()
    sample = splits.train.take(range(settings.train_sample))

    def step(state: ClassifierState, index: int) -> ClassifierState:
        batch = batches().at(index)
        drop_path: Any = 0.0  # a number, for then no paths are dropped at all
        if settings.drop_path:
            drop_path = jnp.float32(
                settings.drop_path * (index // steps) / settings.epochs
            )
        variables = state.params, state.statistics, state.optimizer, state.totals
        params, statistics, optimizer, totals = functions.update(
            variables, arch, batch, jax.random.fold_in(key_paths, index), drop_path
        )
        return state.replace(
            params=params,
            statistics=statistics,
            optimizer=optimizer,
            totals=totals,
            elapsed=state.elapsed + clock.lap(),
        )

    def end_epoch(
        state: ClassifierState, epoch: int
    ) -> tuple[ClassifierState, dict[str, float]]:
        jax.block_until_ready(state.params)
        seconds = state.elapsed + clock.lap()
        row = state.totals.row()
        measured = {part: getattr(splits, part) for part in _parts(splits)[1:]}
        if settings.train_sample:
            measured["train"] = sample
        for part, images in measured.items():
            row[f"{part}_loss"], row[f"{part}_accuracy"] = compiled.measure(
                functions,
                state.params,
                state.statistics,
                arch,
                images,
                settings.batch_size,
            )
        state = state.replace(
            totals=Totals.zero(),
            record=state.record.add(epoch, row, seconds),
            elapsed=jnp.float32(0),
        )
        clock.lap()  # evaluation is not training
        return state, {**row, "seconds": float(seconds)}

    remedy = "lower training.learning_rate"
    return Stage(STAGE, settings.epochs, steps, step, end_epoch, remedy)


class _Batches:
    """The stream of training batches, by the step of the training."""

    def __init__(
        self, key: Key, split: data.Split, settings: ClassifierSettings
    ) -> None:
        self._split = split
        self._settings = settings
        self._seed = int(jax.random.bits(key)) >> 1
        self._next = -1
        self._stream: Iterator[data.Batch] = iter(())

    def at(self, index: int) -> data.Batch:
        """The batch of a step; steps are usually asked for one after another."""
        if index != self._next:
            self._stream = self._split.train_batches(
                batch_size=self._settings.batch_size,
                seed=self._seed,
                start_step=index,
                augment=self._settings.augment,
                cutout=self._settings.cutout,
            )
        self._next = index + 1
        return next(self._stream)


class _Clock:
    """Seconds between two calls; the first call starts it, after compilation."""

    def __init__(self) -> None:
        self._last: float | None = None

    def lap(self) -> float:
        """Seconds since the last call, 0 at the first."""
        now = time.perf_counter()
        seconds = 0.0 if self._last is None else now - self._last
        self._last = now
        return seconds
