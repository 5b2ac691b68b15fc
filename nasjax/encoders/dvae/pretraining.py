"""Pre-training of D-VAE on architectures in memory.

For example:

    archs = corpus.architectures("nasbench101", key, count=10_000)
    trained = pretraining.pretrain(key, "nasbench101", archs, epochs=20)
    vectors = trained.embed(archs)
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nasjax.core import errors
from nasjax.core.types import Key
from nasjax.encoders import stored_graphs
from nasjax.encoders.autoencoder import pretraining, training
from nasjax.encoders.autoencoder.interface import Weights
from nasjax.encoders.autoencoder.pretraining import Corpus
from nasjax.encoders.autoencoder.training import TrainSettings, TrainState
from nasjax.encoders.dvae import model as models
from nasjax.encoders.dvae.model import DVAESpec

RECIPES: Mapping[str, TrainSettings] = {
    "paper": TrainSettings(learning_rate=1e-4),
    "cpu": TrainSettings(learning_rate=3e-3, anneal=True, clip_norm=1.0),
}
"""Of the variants of `model.VARIANTS`. paper: batches of 32 and the rate of Adam as
published, for 300 epochs; there the rate also falls to a tenth where the loss stops
falling. cpu: for few epochs. 20 of them on 10,000 cells of NAS-Bench-101 give back 42 %
of 1,000 others exactly; a rate of 1e-3 and any norm of the gradient, 9 %."""


class Pretrained(NamedTuple):
    """A model after pre-training.

    Attributes:
      model: what was trained.
      recipe: how.
      state: after the last epoch.
      corpus: what it was trained on, and what was held out.
    """

    model: DVAESpec
    recipe: TrainSettings
    state: TrainState
    corpus: Corpus

    def embed(self, archs: np.ndarray) -> np.ndarray:
        """Embeddings float32 `[M, D]` of architectures int32 `[M, G]`."""
        return embeddings(self.model, self.state.weights, archs)


def pretrain(
    key: Key,
    space: str,
    archs: np.ndarray,
    *,
    variant: str = "cpu",
    epochs: int = 8,
    held_out: float = 0.1,
    changes: Mapping[str, Any] | None = None,
) -> Pretrained:
    """Trains D-VAE on architectures.

    Args:
      key: of the initial weights, the order and the noise.
      space: a key of `graph_inputs.SPECS`.
      archs: int32 `[M, G]`, in random order: the last ones are held out.
      variant: a key of `model.VARIANTS`.
      epochs: passes over the architectures.
      held_out: part of them that `reconstruction.evaluate` may judge by.
      changes: see `configure`.

    Raises:
      ConfigError: an argument does not fit.
    """
    model, recipe = configure(space, variant, changes=changes)
    if epochs < 1:
        raise errors.ConfigError(f"epochs is {epochs}; it must be at least 1")
    graphs = pretraining.divide(
        space, archs, held_out=held_out, batch_size=recipe.batch_size
    )
    state = pretraining.train(key, model, recipe, graphs.train, epochs)
    return Pretrained(model, recipe, state, graphs)


def configure(
    space: str, variant: str, *, changes: Mapping[str, Any] | None = None
) -> tuple[DVAESpec, TrainSettings]:
    """The model of a variant and how it is trained.

    Args:
      space: a key of `graph_inputs.SPECS`.
      variant: a key of `model.VARIANTS`.
      changes: of fields of `model.Settings` and `training.TrainSettings`; None changes
        nothing.

    Raises:
      ConfigError: there is no such space, variant or setting.
    """
    given = {k: value for k, value in (changes or {}).items() if value is not None}
    recipe = RECIPES.get(variant, TrainSettings())
    own = {field: given.pop(field) for field in recipe._fields if field in given}
    model = models.make(space, models.variant(variant, **given))
    return model, recipe._replace(**own)


def embeddings(model: DVAESpec, weights: Weights, archs: np.ndarray) -> np.ndarray:
    """Embeddings float32 `[M, D]` of architectures int32 `[M, G]`: posterior means."""
    graphs = stored_graphs.to_graphs(model.form, archs)
    return training.posterior_means(model, weights, graphs)
