"""A whole pre-training of an autoencoder of graphs, and what it is judged by."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Key
from nasjax.encoders import corpus as corpora
from nasjax.encoders import graph_inputs, stored_graphs
from nasjax.encoders.autoencoder import training
from nasjax.encoders.autoencoder.interface import Autoencoder, Terms, Weights
from nasjax.encoders.autoencoder.training import TrainSettings, TrainState
from nasjax.encoders.stored_graphs import Graphs

Step = Callable[[TrainState], tuple[TrainState, Terms]]
"""One epoch."""
RunEpochs = Callable[[TrainState, Step, int], TrainState]
"""Runs so many epochs from an initial state, or from where it was stopped."""


class Corpus(NamedTuple):
    """What all variants are trained on and judged by.

    Attributes:
      archs: int32 `[M, G]`, first those that are trained on.
      train: graphs of the first ones.
      held_out: graphs of the others.
    """

    archs: np.ndarray
    train: Graphs
    held_out: Graphs


def divide(
    space: str, archs: np.ndarray, *, held_out: float = 0.1, batch_size: int = 32
) -> Corpus:
    """The graphs of architectures, the last ones held out.

    Raises:
      ConfigError: there is no such space, a part is empty, or there is no whole batch.
    """
    form = graph_inputs.spec(space)
    parts = corpora.split(archs, held_out)
    if len(parts[0]) < batch_size:
        raise errors.ConfigError(
            f"{len(parts[0])} architectures to train on are less than a batch of "
            f"{batch_size}"
        )
    return Corpus(archs, *(stored_graphs.to_graphs(form, part) for part in parts))


def run_in_memory(initial: TrainState, step: Step, epochs: int) -> TrainState:
    """Runs all epochs and keeps nothing on disk."""
    state = initial
    for _ in range(epochs):
        state, _ = step(state)
    return state


def train(
    key: Key,
    model: Autoencoder,
    recipe: TrainSettings,
    graphs: Graphs,
    epochs: int,
    *,
    run_epochs: RunEpochs = run_in_memory,
) -> TrainState:
    """The state of a model after some epochs.

    Args:
      key: of the initial weights, the order and the noise.
      model: what is trained.
      recipe: how.
      graphs: of the training architectures.
      epochs: passes over them.
      run_epochs: runs the epochs; another one may keep checkpoints.
    """
    key_weights, key_epochs = (jax.random.fold_in(key, use) for use in range(2))

    def step(state: TrainState) -> tuple[TrainState, Terms]:
        return training.run_epoch(key_epochs, model, recipe, state, graphs, epochs)

    return run_epochs(training.start(key_weights, model, recipe), step, epochs)


def as_tree(weights: Weights) -> dict[str, Any]:
    """Nested dicts, as files hold them; layers are named by their number."""

    def convert(tree: Any) -> Any:
        if isinstance(tree, list | tuple):
            return {str(index): convert(item) for index, item in enumerate(tree)}
        if isinstance(tree, dict):
            return {key: convert(item) for key, item in tree.items()}
        return tree

    fields = ("encoder", "heads", "decoder", "statistics")
    parts = {field: convert(getattr(weights, field)) for field in fields}
    return {field: part for field, part in parts.items() if part != {}}
