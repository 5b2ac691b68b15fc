"""Pre-training of autoencoders of graphs: a compiled scan over the batches.

For any `interface.Autoencoder`:

    state = start(key_weights, model, recipe)
    state, terms = run_epoch(key, model, recipe, state, graphs, epochs)
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree

from nasjax.core import batching
from nasjax.core.types import Array, Key
from nasjax.encoders import stored_graphs
from nasjax.encoders.autoencoder.interface import Autoencoder, Terms, Weights
from nasjax.encoders.stored_graphs import Graphs

# Graphs whose states stay in a cache.
_CACHED = 32
# XLA's CPU loops over vectors of other lengths are 8 times slower.
_BLOCK = 1024


class TrainSettings(NamedTuple):
    """How a model is trained.

    Attributes:
      batch_size: B; the incomplete last batch of an epoch is left out.
      learning_rate: of Adam.
      anneal: let the rate fall to 0 along a cosine.
      warmup: part of the training during which the divergence gains its weight,
        linearly; without it posteriors collapse where the weight is high.
      clip_norm: largest norm of a gradient, 0: any.
      reshuffle: a fresh order in every epoch; else one order for all.
      freeze: "released" only: from the second epoch on there is no latent noise and no
        dropout, and running moments normalise.
    """

    batch_size: int = 32
    learning_rate: float = 1e-3
    anneal: bool = False
    warmup: float = 0.0
    clip_norm: float = 0.0
    reshuffle: bool = True
    freeze: bool = False


class TrainState(struct.PyTreeNode):
    """Everything that a training continues from.

    Attributes:
      weights: of the model.
      optimizer: moments of Adam.
      epoch: int32 `[]`, completed epochs.
      moments: float32 `[2, ...]` over the latent shape, mean and standard deviation of
        the posterior means seen during the last epoch.
    """

    weights: Weights
    optimizer: Any
    epoch: Array
    moments: Array


def start(key: Key, model: Autoencoder, recipe: TrainSettings) -> TrainState:
    """Before the first epoch."""
    weights = model.init(key)
    optimizer = _optimizer(recipe, 1).init(_trained(weights))
    return TrainState(
        weights, optimizer, jnp.int32(0), jnp.zeros((2, *model.latent_shape))
    )


def run_epoch(
    key: Key,
    model: Autoencoder,
    recipe: TrainSettings,
    state: TrainState,
    graphs: Graphs,
    epochs: int,
) -> tuple[TrainState, Terms]:
    """One pass over the graphs.

    Args:
      key: of the whole training; the number of the epoch is folded in.
      model: what is trained.
      recipe: how.
      state: before the epoch.
      graphs: of M architectures.
      epochs: of the training, for the annealed rate.

    Returns:
      The state after it and the mean of the loss terms over its batches.
    """
    epoch = int(state.epoch)
    train = not (recipe.freeze and epoch)
    key_order = jax.random.fold_in(key, epoch if recipe.reshuffle else 0)
    trained: tuple[TrainState, Terms] = _epoch(
        jax.random.split(key_order, 2),
        state,
        graphs,
        model=model,
        recipe=recipe,
        train=train,
        epochs=epochs,
    )
    return trained


@functools.partial(
    jax.jit,
    static_argnames=("model", "recipe", "train", "epochs"),
    donate_argnames="state",
)
def _epoch(
    keys: Key,
    state: TrainState,
    graphs: Graphs,
    *,
    model: Autoencoder,
    recipe: TrainSettings,
    train: bool,
    epochs: int,
) -> tuple[TrainState, Terms]:
    count, size = graphs.ops.shape[0], recipe.batch_size
    steps = count // size
    order = jax.random.permutation(keys[0], count)[: steps * size].reshape(steps, size)
    optimizer = _optimizer(recipe, epochs * steps)
    key_noise = jax.random.fold_in(keys[1], state.epoch)
    _, unravel = _ravel(state.weights)

    def loss(
        vector: Array, key: Key, rows: Array, statistics: Any, warmth: Array | float
    ) -> Any:
        weights = _weights(unravel(vector), statistics)
        batch = stored_graphs.inputs(
            model.form, jax.tree.map(lambda leaf: leaf[rows], graphs)
        )
        terms, (posterior, statistics) = model.loss(key, weights, batch, train, warmth)
        return terms.total, (terms, posterior.mean, statistics)

    def step(carry: Any, xs: Any) -> tuple[Any, Terms]:
        vector, moments, statistics, sums = carry
        index, rows = xs
        key = jax.random.fold_in(key_noise, index)
        warmth = _warmth(recipe, state.epoch * steps + index, epochs * steps)
        slope, (terms, mean, statistics) = jax.grad(loss, has_aux=True)(
            vector, key, rows, statistics, warmth
        )
        updates, moments = optimizer.update(slope, moments, vector)
        sums = sums + jnp.stack([mean.sum(0), (mean * mean).sum(0)])
        return (vector + updates, moments, statistics, sums), terms

    carry = (
        _trained(state.weights),
        state.optimizer,
        state.weights.statistics,
        jnp.zeros_like(state.moments),
    )
    carry, terms = lax.scan(step, carry, (jnp.arange(steps), order))
    vector, moments, statistics, sums = carry
    mean = sums[0] / (steps * size)
    std = jnp.sqrt(jnp.maximum(sums[1] / (steps * size) - mean * mean, 0))
    state = TrainState(
        _weights(unravel(vector), statistics),
        moments,
        state.epoch + 1,
        jnp.stack([mean, std]),
    )
    return state, jax.tree.map(jnp.mean, terms)


def posterior_means(model: Autoencoder, weights: Weights, graphs: Graphs) -> np.ndarray:
    """Posterior means float32 `[M, ...]` of all graphs, with running moments."""
    encode = functools.partial(_posterior_means, weights, model=model)
    means: np.ndarray = batching.map_batched(encode, graphs, stored_graphs.CHUNK)
    return means


@functools.partial(jax.jit, static_argnames="model")
def _posterior_means(weights: Weights, graphs: Graphs, *, model: Autoencoder) -> Array:
    def encode(part: Graphs) -> Array:
        inputs = stored_graphs.inputs(model.form, part)
        return model.encode(weights, inputs, False)[0].mean

    parts = jax.tree.map(
        lambda leaf: leaf.reshape(-1, _CACHED, *leaf.shape[1:]), graphs
    )
    found: Array = lax.map(encode, parts)
    return found.reshape(-1, *found.shape[2:])


def _optimizer(recipe: TrainSettings, num_steps: int) -> optax.GradientTransformation:
    rate: Any = recipe.learning_rate
    if recipe.anneal:
        rate = optax.cosine_decay_schedule(rate, num_steps)
    adam = optax.adam(rate)
    if not recipe.clip_norm:
        return optax.chain(optax.identity(), adam)
    return optax.chain(optax.clip_by_global_norm(recipe.clip_norm), adam)


def _warmth(recipe: TrainSettings, step: Array, num_steps: int) -> Array | float:
    if not recipe.warmup:
        return 1.0
    return jnp.minimum(step / (recipe.warmup * num_steps), 1.0)


def _params(weights: Weights) -> tuple[Any, Any, Any]:
    return weights.encoder, weights.heads, weights.decoder


def _weights(params: tuple[Any, Any, Any], statistics: Any) -> Weights:
    encoder, heads, decoder = params
    return Weights(encoder=encoder, heads=heads, decoder=decoder, statistics=statistics)


def _trained(weights: Weights) -> Array:
    """All parameters as one vector: an optimizer of many small arrays is slow."""
    return _ravel(weights)[0]


def _ravel(weights: Weights) -> tuple[Array, Callable[[Array], Any]]:
    """The vector, filled up with zeros to whole blocks, and the way back."""
    params = _params(weights)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    vector, unravel = ravel_pytree((params, jnp.zeros(-count % _BLOCK)))
    return vector, lambda trained: unravel(trained)[0]
