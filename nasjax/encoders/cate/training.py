"""Pre-training steps: one compiled loop over the batches of a part of an epoch."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.encoders.cate import adamw, objective, pairs
from nasjax.encoders.cate import model as models
from nasjax.encoders.cate.model import PairModel, Weights
from nasjax.encoders.cate.objective import Terms
from nasjax.encoders.cate.pairs import Windows
from nasjax.encoders.stored_graphs import Graphs


class TrainSettings(NamedTuple):
    """How a model is trained.

    Attributes:
      batch_size: pairs a step; the incomplete last batch of an epoch is left out.
      micro_batch: pairs whose states are in memory at once; divides the batch.
      learning_rate: of AdamW after the warm-up.
      weight_decay: of kernels and embeddings.
      decay_norms: decay the scales of layer norms too.
      warmup: steps during which the rate rises; then it falls to 0, both linearly.
      partners: K of every architecture; 0: what `pairs.ATTRIBUTES` says of the space.
      delta: half a window; 0: likewise.
      rule: of windows, one of `pairs.RULES`.
      fresh: draw other pairs in every epoch, in another order; else draw and shuffle
        once, and then shuffle batches.
      parts: compiled calls an epoch, after each of which a training can be stopped.
    """

    batch_size: int = 1024
    micro_batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    decay_norms: bool = False
    warmup: int = 100
    partners: int = 0
    delta: int = 0
    rule: str = "two_sided"
    fresh: bool = True
    parts: int = 1


RECIPES: Mapping[str, TrainSettings] = {
    "thesis": TrainSettings(),
    "released": TrainSettings(rule="earlier", fresh=False, decay_norms=True),
}
"""Of the variants of `settings.VARIANTS`. released: but for the last, incomplete batch,
and for AdamW as in PyTorch itself, where epsilon is added after the correction of the
second moment; the published optimizer adds it before."""


class Data(NamedTuple):
    """M architectures and the P pairs of an epoch.

    Attributes:
      graphs: of the architectures.
      windows: where partners are drawn from.
      places: int32 `[P]`, of the first of each pair in the order of the windows.
      numbers: int32 `[P]`, which of the K partners is the second.
    """

    graphs: Graphs
    windows: Windows
    places: Array
    numbers: Array


class TrainState(struct.PyTreeNode):
    """Everything that a training continues from.

    Attributes:
      weights: of the model.
      moments: of AdamW, two vectors.
      step: int32 `[]`, completed steps.
    """

    weights: Weights
    moments: tuple[Array, Array]
    step: Array


class Progress(NamedTuple):
    """Means over the predicted operations of some steps.

    Attributes:
      loss: in nats, with dropout.
      accuracy: of the most likely operations, with dropout.
    """

    loss: Array
    accuracy: Array


def complete(recipe: TrainSettings, space: str) -> TrainSettings:
    """A recipe with the pairs of a space where it names none.

    Raises:
      ConfigError: a setting does not fit.
    """
    attribute = pairs.ATTRIBUTES[space]
    recipe = recipe._replace(
        partners=recipe.partners or attribute.partners,
        delta=recipe.delta or attribute.delta,
    )
    sizes = ("batch_size", "micro_batch", "parts", "partners", "warmup")
    for field in sizes:
        if getattr(recipe, field) < 1:
            raise errors.ConfigError(
                f"{field} = {getattr(recipe, field)} of CATE must be at least 1"
            )
    if recipe.batch_size % recipe.micro_batch:
        raise errors.ConfigError(
            f"batch_size = {recipe.batch_size} of CATE must be a multiple of "
            f"micro_batch = {recipe.micro_batch}"
        )
    return recipe


def num_steps(recipe: TrainSettings, data: Data) -> int:
    """Of an epoch."""
    return len(data.places) // recipe.batch_size


def num_parts(recipe: TrainSettings, data: Data) -> int:
    """Compiled calls of an epoch: `recipe.parts`, fewer where there are few steps."""
    steps = num_steps(recipe, data)
    return -(-steps // _length(recipe, steps))


def _length(recipe: TrainSettings, steps: int) -> int:
    """Steps of a part; the last part of an epoch may have fewer."""
    return -(-steps // recipe.parts)


def start(key: Key, model: PairModel) -> TrainState:
    """Before the first step."""
    weights = model.init(key)
    vector, _ = adamw.ravel(weights)
    moments = (jnp.zeros_like(vector), jnp.zeros_like(vector))
    return TrainState(weights, moments, jnp.int32(0))


def run_part(
    key: Key,
    model: PairModel,
    recipe: TrainSettings,
    state: TrainState,
    data: Data,
    epochs: int,
) -> tuple[TrainState, Progress]:
    """The next part of an epoch.

    Args:
      key: of the whole training; the numbers of epoch and step are folded in.
      model: what is trained.
      recipe: how.
      state: where it stands.
      data: what it is trained on.
      epochs: of the training, for the falling rate.

    Returns:
      The state behind it, and how its steps went.
    """
    steps = num_steps(recipe, data)
    epoch, place = divmod(int(state.step), steps)
    length = _length(recipe, steps)
    last = min((place // length + 1) * length, steps)
    bounds = jnp.array([epoch, place, last], jnp.int32)
    moved: tuple[TrainState, Progress] = _run(
        key, state, data, bounds, model, recipe, epochs * steps
    )
    return moved


@functools.partial(jax.jit, static_argnums=(4, 5, 6), donate_argnums=1)
def _run(
    key: Key,
    state: TrainState,
    data: Data,
    bounds: Array,
    model: PairModel,
    recipe: TrainSettings,
    total: int,
) -> tuple[TrainState, Progress]:
    epoch, first, last = bounds
    keys = jax.random.split(key, 2)
    batches = _batches(keys[0], recipe, data, epoch)
    vector, unravel = adamw.ravel(state.weights)
    decayed = adamw.decayed(state.weights, norms=recipe.decay_norms)

    def step(place: Array, carry: Any) -> Any:
        vector, moments, number, sums = carry
        weights = unravel(vector)
        key_step = jax.random.fold_in(keys[1], number)
        slopes, found = _slopes(key_step, model, recipe, weights, data, batches[place])
        slope = adamw.ravel(slopes)[0] / jnp.maximum(found.labels, 1)
        vector, moments = adamw.step(
            number + 1,
            vector,
            slope,
            moments,
            rate=adamw.rate(number, recipe.learning_rate, recipe.warmup, total),
            decay=recipe.weight_decay * decayed,
        )
        return vector, moments, number + 1, jax.tree.map(jnp.add, sums, found)

    sums = Terms(jnp.float32(0), jnp.int32(0), jnp.int32(0))
    carry = (vector, state.moments, state.step, sums)
    vector, moments, number, sums = lax.fori_loop(first, last, step, carry)
    labels = jnp.maximum(sums.labels, 1)
    state = TrainState(unravel(vector), moments, number)
    return state, Progress(sums.loss / labels, sums.correct / labels)


def _batches(key: Key, recipe: TrainSettings, data: Data, epoch: Array) -> Array:
    """Rows of the pairs of an epoch, int32 `[steps, micro-batches, 2 B]`."""
    number = epoch if recipe.fresh else 0
    keys = jax.random.split(jax.random.fold_in(key, number), 2)
    size, steps = recipe.batch_size, num_steps(recipe, data)
    order = jax.random.permutation(keys[1], len(data.places))[: steps * size]
    if not recipe.fresh:
        key_epoch = jax.random.fold_in(keys[1], epoch)
        order = order.reshape(steps, size)
        order = order[jax.random.permutation(key_epoch, steps)].reshape(-1)
    both = draw_pairs(keys[0], recipe, data)[:, order]
    both = both.reshape(2, steps, -1, recipe.micro_batch)
    return jnp.moveaxis(both, 0, 2).reshape(steps, -1, 2 * recipe.micro_batch)


def draw_pairs(key: Key, recipe: TrainSettings, data: Data) -> Array:
    """Rows of architectures int32 `[2, P]`: the pairs of an epoch, unshuffled."""
    rows, others = pairs.draw(key, data.windows, recipe.partners)
    return jnp.stack([rows[data.places], others[data.places, data.numbers]])


def _slopes(
    key: Key,
    model: PairModel,
    recipe: TrainSettings,
    weights: Weights,
    data: Data,
    batch: Array,
) -> tuple[Weights, Terms]:
    """Of the summed loss of a batch, and its terms."""

    def loss(weights: Weights, key: Key, rows: Array) -> tuple[Array, Terms]:
        graphs = jax.tree.map(lambda leaf: leaf[rows], data.graphs)
        key_corrupt, key_dropout = jax.random.split(key)
        terms = predict(model, weights, graphs, key_corrupt, key_dropout)
        return terms.loss, terms

    def add(carry: Any, xs: Any) -> tuple[Any, None]:
        number, rows = xs
        found = jax.grad(loss, has_aux=True)(
            weights, jax.random.fold_in(key, number), rows
        )
        return jax.tree.map(jnp.add, carry, found), None

    zeros = jax.tree.map(jnp.zeros_like, weights)
    sums = Terms(jnp.float32(0), jnp.int32(0), jnp.int32(0))
    numbers = jnp.arange(batch.shape[0])
    summed: tuple[Weights, Terms] = lax.scan(add, (zeros, sums), (numbers, batch))[0]
    return summed


def predict(
    model: PairModel,
    weights: Weights,
    graphs: Graphs,
    key_corrupt: Key,
    key_dropout: Key | None,
) -> Terms:
    """Terms of the pairs of 2 B graphs, without a key without dropout."""
    inputs = models.read(model, graphs.ops, graphs.adjacency)
    inputs, labels = objective.corrupt(key_corrupt, model, inputs)
    return objective.terms(model, model.logits(weights, inputs, key_dropout), labels)


def make_data(graphs: Graphs, values: np.ndarray, recipe: TrainSettings) -> Data:
    """Graphs of M architectures, and the pairs that their attributes `[M]` make."""
    windows = pairs.windows(values, recipe.delta, rule=recipe.rule)
    places, numbers = pairs.slots(windows, recipe.partners)
    return Data(graphs, windows, jnp.asarray(places), jnp.asarray(numbers))
