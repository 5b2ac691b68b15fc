"""Pre-training of arch2vec on architectures in memory (section 3.3).

    archs = corpus.architectures("nasbench201", key, count=1_000)
    trained = pretraining.pretrain(key, "nasbench201", archs, epochs=8)
    vectors = trained.embed(archs)

What the embeddings are like, table 3.1, is in `evaluation`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Key
from nasjax.encoders import corpus as corpora
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import model as models
from nasjax.encoders.arch2vec import training
from nasjax.encoders.arch2vec.model import AutoencoderSpec, Weights
from nasjax.encoders.arch2vec.objective import Terms
from nasjax.encoders.arch2vec.training import Graphs, TrainSettings, TrainState

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


class Pretrained(NamedTuple):
    """A variant after pre-training.

    Attributes:
      model: what was trained.
      recipe: how.
      state: after the last epoch.
      corpus: what it was trained on, and what was held out.
    """

    model: AutoencoderSpec
    recipe: TrainSettings
    state: TrainState
    corpus: Corpus

    def embed(self, archs: np.ndarray) -> np.ndarray:
        """Search embeddings float32 `[M, D]` of architectures int32 `[M, G]`."""
        return embeddings(self.model, self.state.weights, archs)


def pretrain(
    key: Key,
    space: str,
    archs: np.ndarray,
    *,
    variant: str = "thesis",
    epochs: int = 8,
    held_out: float = 0.1,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    changes: Mapping[str, Any] | None = None,
) -> Pretrained:
    """Trains a variant of arch2vec, or a baseline, on architectures.

    Args:
      key: of the initial weights, the order and the noise.
      space: a key of `graph_inputs.SPECS`.
      archs: int32 `[M, G]`, in random order: the last ones are held out.
      variant: a key of `model.VARIANTS`.
      epochs: passes over the architectures.
      held_out: part of them that `evaluation.measure` judges by.
      batch_size: graphs a step.
      learning_rate: of Adam.
      changes: see `configure`.

    Raises:
      ConfigError: an argument does not fit.
    """
    model, recipe = configure(
        space,
        variant,
        batch_size=batch_size,
        learning_rate=learning_rate,
        changes=changes,
    )
    if epochs < 1:
        raise errors.ConfigError(f"epochs is {epochs}; it must be at least 1")
    graphs = divide(space, archs, held_out=held_out, batch_size=batch_size)
    state = train(key, model, recipe, graphs.train, epochs)
    return Pretrained(model, recipe, state, graphs)


def configure(
    space: str,
    variant: str,
    *,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    changes: Mapping[str, Any] | None = None,
) -> tuple[AutoencoderSpec, TrainSettings]:
    """The model of a variant and how it is trained.

    Args:
      space: a key of `graph_inputs.SPECS`.
      variant: a key of `model.VARIANTS`.
      batch_size: graphs a step.
      learning_rate: of Adam.
      changes: of fields of `model.Settings` and `training.TrainSettings`; None changes
        nothing.

    Raises:
      ConfigError: there is no such space, variant or setting.
    """
    given = {k: value for k, value in (changes or {}).items() if value is not None}
    recipe = training.RECIPES.get(variant, TrainSettings())._replace(
        batch_size=batch_size, learning_rate=learning_rate
    )
    own = {field: given.pop(field) for field in recipe._fields if field in given}
    model = models.make(space, models.variant(variant, **given))
    return model, recipe._replace(**own)


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
    return Corpus(archs, *(training.to_graphs(form, part) for part in parts))


def run_in_memory(initial: TrainState, step: Step, epochs: int) -> TrainState:
    """Runs all epochs and keeps nothing on disk."""
    state = initial
    for _ in range(epochs):
        state, _ = step(state)
    return state


def train(
    key: Key,
    model: AutoencoderSpec,
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


def embeddings(
    model: AutoencoderSpec, weights: Weights, archs: np.ndarray
) -> np.ndarray:
    """Search embeddings float32 `[M, D]` of architectures int32 `[M, G]`."""
    graphs = training.to_graphs(model.form, archs)
    vectors: np.ndarray = training.posterior_means(model, weights, graphs).mean(1)
    return vectors


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
