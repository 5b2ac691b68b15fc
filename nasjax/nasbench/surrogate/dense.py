"""Dense layers as plain arrays, and their training as one scan."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nasjax.core.types import Array, Key

Layers = list[dict[str, Array]]
"""Each with `kernel` `[D_in, D_out]` and `bias` `[D_out]`."""


def init(key: Key, sizes: tuple[int, ...]) -> Layers:
    """Layers between consecutive `sizes`, from U(-a, a) with a = 1 / sqrt(D_in)."""
    layers = []
    for key_layer, (before, after) in zip(
        jax.random.split(key, len(sizes) - 1),
        zip(sizes[:-1], sizes[1:], strict=True),
        strict=True,
    ):
        bound = before**-0.5
        flat = jax.random.uniform(
            key_layer, ((before + 1) * after,), float, -bound, bound
        )
        kernel = flat[: before * after].reshape(before, after)
        layers.append({"kernel": kernel, "bias": flat[before * after :]})
    return layers


def apply(layers: Layers, x: Array, activation: Callable[[Array], Array]) -> Array:
    """`[..., D_in]` to `[..., D_out]`; no activation after the last layer."""
    for layer in layers[:-1]:
        x = activation(_affine(layer, x))
    return _affine(layers[-1], x)


def minimize(
    key: Key,
    params: Any,
    loss: Callable[[Key, Any, Any], Array],
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> tuple[Any, Array]:
    """Adam on minibatches, the rate falling to 0 along a cosine.

    Args:
      key: orders the rows anew in every epoch and is split for `loss`.
      params: where to start.
      loss: `(key, params, rows) -> []`, of rows with a leading axis B.
      data: a tree of `[N, ...]`.
      epochs: passes over the rows.
      batch_size: B, at most N; an incomplete last batch of an epoch is left out.
      learning_rate: at the start.

    Returns:
      The parameters, and the mean loss of every epoch `[epochs]`.
    """
    size = jax.tree.leaves(data)[0].shape[0]
    batch_size = min(batch_size, size)
    num_steps = size // batch_size
    steps = max(epochs * num_steps, 1)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def step(state: Any, inputs: Any) -> Any:
        params, moments = state
        key, rows = inputs
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        value, grads = jax.value_and_grad(functools.partial(loss, key))(params, batch)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    def epoch(state: Any, key: Key) -> Any:
        key_order, key_loss = jax.random.split(key)
        order = jax.random.permutation(key_order, size)
        batches = order[: num_steps * batch_size].reshape(num_steps, batch_size)
        keys = jax.random.split(key_loss, num_steps)
        state, values = jax.lax.scan(step, state, (keys, batches))
        return state, jnp.mean(values)

    start = (params, optimizer.init(params))
    (params, _), losses = jax.lax.scan(epoch, start, jax.random.split(key, epochs))
    return params, losses


def _affine(layer: dict[str, Array], x: Array) -> Array:
    y = x @ layer["kernel"]
    return y + jnp.broadcast_to(layer["bias"], y.shape)
