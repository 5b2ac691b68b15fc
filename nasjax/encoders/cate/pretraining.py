"""Pre-training of CATE on architectures in memory (section 4.3).

    archs = corpus.architectures("nasbench101", key, count=20_000)
    trained = pretraining.pretrain(key, "nasbench101", archs, epochs=3)
    vectors = trained.embed(archs)

How well it predicts held-out operations is in `evaluation`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.core import batching, errors
from nasjax.core.types import Array, Key
from nasjax.encoders import corpus as corpora
from nasjax.encoders import stored_graphs
from nasjax.encoders.cate import distinct, forms, pairs, settings, training
from nasjax.encoders.cate import model as models
from nasjax.encoders.cate.model import PairModel, Weights
from nasjax.encoders.cate.training import Data, Progress, TrainSettings, TrainState
from nasjax.encoders.graph_inputs import GraphSpec
from nasjax.encoders.stored_graphs import Graphs

Step = Callable[[TrainState], tuple[TrainState, Progress]]
"""One part of an epoch."""
RunParts = Callable[[TrainState, Step, int], TrainState]
"""Runs so many parts from an initial state, or from where it was stopped."""
# Graphs of one compiled call of the encoder; on CPU their states stay in a cache.
CHUNK = 256


class Corpus(NamedTuple):
    """What a model is trained on and judged by.

    Attributes:
      archs: int32 `[M, G]`, first those that are trained on.
      train: graphs and pairs of the first ones.
      held_out: of the others, among themselves.
    """

    archs: np.ndarray
    train: Data
    held_out: Data


class Pretrained(NamedTuple):
    """A model after pre-training.

    Attributes:
      model: what was trained.
      recipe: how.
      state: after the last step.
      corpus: what it was trained on, and what was held out.
    """

    model: PairModel
    recipe: TrainSettings
    state: TrainState
    corpus: Corpus

    def embed(self, archs: np.ndarray) -> np.ndarray:
        """Encodings float32 `[M, D]` of architectures int32 `[M, G]`."""
        return embeddings(self.model, self.state.weights, archs)


def pretrain(
    key: Key,
    space: str,
    archs: np.ndarray,
    *,
    variant: str = "thesis",
    epochs: int = 10,
    held_out: float = 0.05,
    batch_size: int = 1024,
    learning_rate: float = 1e-3,
    changes: Mapping[str, Any] | None = None,
) -> Pretrained:
    """Trains CATE to predict masked operations of pairs of architectures.

    Args:
      key: of the initial weights, pairs, corruption and dropout.
      space: a key of `forms.FORMS`.
      archs: int32 `[M, G]`, in random order: the last ones are held out.
      variant: a key of `settings.VARIANTS`.
      epochs: passes over the pairs.
      held_out: part of the architectures that `evaluation.measure` judges by.
      batch_size: pairs a step.
      learning_rate: of AdamW.
      changes: see `configure`.

    Raises:
      ConfigError: an argument does not fit.
      DataError: architectures hold operations that CATE does not encode.
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
    data = divide(space, archs, recipe, held_out=held_out)
    state = train(key, model, recipe, data.train, epochs)
    return Pretrained(model, recipe, state, data)


def configure(
    space: str,
    variant: str,
    *,
    batch_size: int = 1024,
    learning_rate: float = 1e-3,
    changes: Mapping[str, Any] | None = None,
) -> tuple[PairModel, TrainSettings]:
    """The model of a variant and how it is trained.

    Args:
      space: a key of `forms.FORMS`.
      variant: a key of `settings.VARIANTS`.
      batch_size: pairs a step.
      learning_rate: of AdamW.
      changes: of fields of `settings.Settings` and `training.TrainSettings`; None
        changes nothing.

    Raises:
      ConfigError: there is no such space, variant or setting.
    """
    given = {k: value for k, value in (changes or {}).items() if value is not None}
    recipe = training.RECIPES.get(variant, TrainSettings())._replace(
        batch_size=batch_size, learning_rate=learning_rate
    )
    own = {field: given.pop(field) for field in recipe._fields if field in given}
    recipe = recipe._replace(**own)
    model = models.make(space, settings.variant(variant, **given))
    if "micro_batch" not in own:
        recipe = recipe._replace(micro_batch=min(recipe.micro_batch, recipe.batch_size))
    return model, training.complete(recipe, space)


def divide(
    space: str, archs: np.ndarray, recipe: TrainSettings, *, held_out: float = 0.05
) -> Corpus:
    """The graphs and pairs of architectures, the last ones held out.

    Raises:
      ConfigError: there is no such space, a part is empty or has no pairs, or there is
        no whole batch.
      DataError: architectures hold operations that CATE does not encode.
    """
    form = forms.find(space)
    train, test = (
        training.make_data(to_graphs(form, part), values, recipe)
        for part, values in zip(
            corpora.split(archs, held_out),
            corpora.split(pairs.attributes(space, archs), held_out),
            strict=True,
        )
    )
    if len(train.places) < recipe.batch_size:
        raise errors.ConfigError(
            f"{len(train.places)} pairs to train on are less than a batch of "
            f"{recipe.batch_size}"
        )
    if not len(test.places):
        raise errors.ConfigError(
            f"none of the {len(test.graphs.ops)} architectures held out has another in "
            "its window; hold out more or raise delta"
        )
    return Corpus(archs, train, test)


def to_graphs(form: GraphSpec, archs: Any) -> Graphs:
    """The graphs of architectures int32 `[M, G]`.

    Raises:
      DataError: one holds an operation that is not in the form, such as `none`.
    """
    graphs = stored_graphs.to_graphs(form, archs)
    foreign = np.asarray(graphs.ops.max(1)) >= form.num_ops
    if foreign.any():
        raise errors.DataError(
            f"architecture {int(np.argmax(foreign))} of {len(foreign)} has an "
            f"operation that CATE's {form.space} does not have (`none`?); leave it out"
        )
    return graphs


def run_in_memory(initial: TrainState, step: Step, parts: int) -> TrainState:
    """Runs all parts and keeps nothing on disk."""
    state = initial
    for _ in range(parts):
        state, _ = step(state)
    return state


def train(
    key: Key,
    model: PairModel,
    recipe: TrainSettings,
    data: Data,
    epochs: int,
    *,
    run_parts: RunParts = run_in_memory,
) -> TrainState:
    """The state of a model after some epochs.

    Args:
      key: of the initial weights, pairs, corruption and dropout.
      model: what is trained.
      recipe: how.
      data: the training architectures.
      epochs: passes over their pairs.
      run_parts: runs the parts of all epochs; another one may keep checkpoints.
    """
    key_weights, key_epochs = (jax.random.fold_in(key, use) for use in range(2))

    def step(state: TrainState) -> tuple[TrainState, Progress]:
        return training.run_part(key_epochs, model, recipe, state, data, epochs)

    parts = training.num_parts(recipe, data)
    return run_parts(training.start(key_weights, model), step, epochs * parts)


def embeddings(model: PairModel, weights: Weights, archs: Any) -> np.ndarray:
    """Encodings float32 `[M, D]` of architectures int32 `[M, G]`.

    One of those that the encoder cannot tell apart is encoded for all of them.

    Raises:
      DataError: one holds an operation that CATE does not encode.
    """
    archs = np.asarray(archs, np.int32)
    first, place = distinct.classes(model, archs)
    graphs = to_graphs(model.form, archs[first])

    encode = functools.partial(embed_graphs, weights, model=model)
    vectors: np.ndarray = batching.map_batched(encode, graphs, CHUNK)
    found: np.ndarray = vectors[place]
    return found


@functools.partial(jax.jit, static_argnames="model")
def embed_graphs(weights: Weights, graphs: Graphs, *, model: PairModel) -> Array:
    inputs = models.read(model, graphs.ops, graphs.adjacency)
    return models.embed(model, weights, inputs)
