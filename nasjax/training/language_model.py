"""Training of one recurrent cell on a text, as in NAS-Bench-NLP.

Klyuchnikov et al., 2022. Truncated backpropagation through time: an epoch reads the
text in windows of about 70 tokens, the states after one are the states before the next,
and the learning rate grows with the length of the window. All losses of a row are those
of the network at the end of the epoch without dropout, the training loss among them.
"""

import functools
import os
import pathlib
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from nasjax.core import checkpoint, errors
from nasjax.core.types import Array, Key
from nasjax.data import text
from nasjax.networks import language_model as networks
from nasjax.training import language_model_functions as compiled
from nasjax.training import loop, runner, text_windows
from nasjax.training.language_model_settings import LanguageModelSettings

STAGE = "language_model"
"""Name of the stage, its rows and its checkpoints."""

OK = "OK"
DIVERGED = "loss is nan!"
"""The two ends of a training, as the benchmark's logs call them."""

SPLITS = ("train", "valid", "test")


class LanguageModelState(struct.PyTreeNode):
    """Everything a training needs to continue after any step.

    Attributes:
      params: of the network.
      optimizer: Adam's moments.
      hidden: the states after the last window.
      losses: float32 `[T]` by split, nats a token, NaN where not reached yet.
      seconds: float32 `[T]`, of the training steps of each epoch, likewise.
      elapsed: float32 `[]`, seconds of the running epoch.
    """

    params: networks.Params
    optimizer: optax.OptState
    hidden: networks.Hidden
    losses: dict[str, Array]
    seconds: Array
    elapsed: Array


class LanguageModelCurves(NamedTuple):
    """What a training recorded at the end of every epoch.

    Attributes:
      train_loss: float32 `[T]`, nats a token; NaN from a divergence on.
      valid_loss: float32 `[T]`, likewise.
      test_loss: float32 `[T]`, likewise.
      seconds: float32 `[T]`, of the training steps of each epoch.
      num_params: parameters of the whole network.
      status: `OK` or `DIVERGED`.
    """

    train_loss: np.ndarray
    valid_loss: np.ndarray
    test_loss: np.ndarray
    seconds: np.ndarray
    num_params: int
    status: str


def train(
    key: Key,
    arch: Any,
    corpus: text.Corpus,
    settings: LanguageModelSettings,
    folder: str | os.PathLike[str],
) -> LanguageModelCurves:
    """Trains one architecture, or continues its training.

    Args:
      key: the training is a function of it, seconds apart.
      arch: int `[63]`, concrete genes.
      corpus: the text.
      settings: how.
      folder: of checkpoints and rows (`runner.StageRunner`); the same call with a
        folder that was used before continues there.

    Returns:
      The curves. A divergence is one of two results and not an error: the benchmark
      records such trainings, too.

    Raises:
      UnknownArchitecture: the genes are no recipe of the space.
      ConfigError: a part of the text is too short for its batch size.
      WorkdirError: the folder holds a training of other sizes.
      loop.Stopped: the process was asked to stop; the state is saved.
    """
    state = init(key, arch, corpus, settings)
    stage = make_stage(key, arch, corpus, settings)
    status = OK
    try:
        with runner.StageRunner(folder) as stages:
            state = stages.run(STAGE, state, lambda *_: stage)
    except errors.DivergedError:
        status = DIVERGED
        saved = pathlib.Path(folder) / runner.CHECKPOINTS / STAGE
        with checkpoint.Checkpoints(saved) as checkpoints:
            _, state = checkpoints.restore(state) or (0, state)
    losses = {split: np.asarray(state.losses[split]) for split in SPLITS}
    return LanguageModelCurves(
        train_loss=losses["train"],
        valid_loss=losses["valid"],
        test_loss=losses["test"],
        seconds=np.asarray(state.seconds),
        num_params=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        status=status,
    )


def init(
    key: Key, arch: Any, corpus: text.Corpus, settings: LanguageModelSettings
) -> LanguageModelState:
    """The state before the first step.

    Raises:
      UnknownArchitecture: the genes are no recipe of the space.
    """
    functions = compiled.functions(arch, corpus.num_tokens, settings)
    key_init, _, _ = jax.random.split(key, 3)
    params = functions.model.init(key_init)
    never = jnp.full(settings.epochs, jnp.nan, jnp.float32)
    return LanguageModelState(
        params=params,
        optimizer=functions.optimizer.init(params),
        hidden=functions.model.initial_hidden(settings.batch_size),
        losses={split: never for split in SPLITS},
        seconds=never,
        elapsed=jnp.float32(0),
    )


def make_stage(
    key: Key, arch: Any, corpus: text.Corpus, settings: LanguageModelSettings
) -> loop.Stage:
    """The stage that trains one architecture; its states are `State`s.

    A step is one window. Their number differs from epoch to epoch, so the last steps of
    one have nothing to do.

    Args:
      key: of lengths and dropout.
      arch: int `[63]`, concrete genes.
      corpus: the text.
      settings: how.

    Raises:
      UnknownArchitecture: the genes are no recipe of the space.
      ConfigError: a part of the text is too short for its batch size.
    """
    functions = compiled.functions(arch, corpus.num_tokens, settings)
    _, key_windows, key_dropout = jax.random.split(key, 3)
    rows = text.batchify(corpus.train, settings.batch_size)
    parts = {
        split: text.batchify(getattr(corpus, split), settings.eval_batch_size)
        for split in SPLITS
    }
    steps = settings.windows.most(len(rows))

    @functools.lru_cache(maxsize=1)
    def windows(epoch: int) -> list[text_windows.Window]:
        key_epoch = jax.random.fold_in(key_windows, epoch)
        return settings.windows.draw(key_epoch, len(rows))

    def step(state: LanguageModelState, index: int) -> LanguageModelState:
        started = time.perf_counter()
        epoch, position = divmod(index, steps)
        if position == 0:
            fresh = functions.model.initial_hidden(settings.batch_size)
            state = state.replace(hidden=fresh)
        if position >= len(windows(epoch)):
            return state
        window = windows(epoch)[position]
        params, optimizer, hidden = functions.update(
            state.params,
            state.optimizer,
            state.hidden,
            text_windows.cut(rows, window, settings.windows.longest),
            window.length,
            window.rate,
            jax.random.fold_in(key_dropout, index),
        )
        spent = time.perf_counter() - started
        return state.replace(
            params=params,
            optimizer=optimizer,
            hidden=hidden,
            elapsed=state.elapsed + spent,
        )

    def end_epoch(
        state: LanguageModelState, epoch: int
    ) -> tuple[LanguageModelState, dict[str, float]]:
        started = time.perf_counter()
        jax.block_until_ready(state.params)
        seconds = float(state.elapsed) + time.perf_counter() - started
        losses = {
            split: compiled.mean_loss(functions, state.params, part, settings)
            for split, part in parts.items()
        }
        recorded = {
            split: state.losses[split].at[epoch - 1].set(losses[split])
            for split in SPLITS
        }
        row = {f"{split}_loss": losses[split] for split in SPLITS}
        state = state.replace(
            losses=recorded,
            seconds=state.seconds.at[epoch - 1].set(seconds),
            elapsed=jnp.float32(0),
        )
        return state, {**row, "seconds": seconds}

    return loop.Stage(STAGE, settings.epochs, steps, step, end_epoch)
