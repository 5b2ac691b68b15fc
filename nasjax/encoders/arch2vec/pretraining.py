"""Pre-training of arch2vec on architectures in memory (section 3.3).

    archs = corpus.architectures("nasbench201", key, count=1_000)
    trained = pretraining.pretrain(key, "nasbench201", archs, epochs=8)
    vectors = trained.embed(archs)

What the embeddings are like, table 3.1, is in `evaluation`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nasjax.core import errors
from nasjax.core.types import Key
from nasjax.encoders.arch2vec import model as models
from nasjax.encoders.arch2vec import training
from nasjax.encoders.arch2vec.model import AutoencoderSpec
from nasjax.encoders.autoencoder.interface import Weights
from nasjax.encoders.autoencoder.pretraining import (
    Corpus,
    RunEpochs,
    Step,
    as_tree,
    divide,
    run_in_memory,
    train,
)
from nasjax.encoders.autoencoder.training import TrainSettings, TrainState

__all__ = [
    "Corpus",
    "Pretrained",
    "RunEpochs",
    "Step",
    "as_tree",
    "configure",
    "divide",
    "embeddings",
    "pretrain",
    "run_in_memory",
    "train",
]


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


def embeddings(
    model: AutoencoderSpec, weights: Weights, archs: np.ndarray
) -> np.ndarray:
    """Search embeddings float32 `[M, D]` of architectures int32 `[M, G]`."""
    graphs = training.to_graphs(model.form, archs)
    vectors: np.ndarray = training.posterior_means(model, weights, graphs).mean(1)
    return vectors
