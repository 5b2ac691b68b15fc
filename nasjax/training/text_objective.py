"""What the training of a language model makes smaller."""

import jax.numpy as jnp
import optax

from nasjax.core.types import Array, Key
from nasjax.networks import language_model as networks


def objective(
    model: networks.LanguageModel,
    params: networks.Params,
    hidden: networks.Hidden,
    tokens: Array,
    length: Array | int,
    key: Key,
    *,
    activation: float,
    slowness: float,
) -> tuple[Array, networks.Hidden]:
    """What a step makes smaller, over the first `length` tokens of a window.

        mean cross-entropy + alpha mean(d_t^2) + beta mean((h_{t+1} - h_t)^2)

    of the last layer's outputs h, after dropout d (Merity et al., 2018, section 4.6;
    squares as in its released code).

    Args:
      model: the network.
      params: its parameters.
      hidden: states before the window.
      tokens: int `[L + 1, B]`.
      length: how many tokens are read.
      key: of the dropouts.
      activation: alpha.
      slowness: beta.

    Returns:
      The objective and the states after the window.
    """
    outputs = model.apply(params, hidden, tokens[:-1], length=length, key=key)
    losses = cross_entropy(outputs.logits, tokens[1:])
    value = _mean(losses[..., None], length)
    value += activation * _mean(outputs.dropped**2, length)
    change = outputs.last[1:] - outputs.last[:-1]
    value += slowness * _mean(change**2, length - 1)
    return value, outputs.hidden


def cross_entropy(logits: Array, targets: Array) -> Array:
    """Nats `[T, B]` of the targets `[T, B]` under logits `[T, B, V]`."""
    losses: Array = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return losses


def _mean(values: Array, length: Array | int) -> Array:
    """Mean of the first `length` of `[T, B, D]` along T, 0 where there are none."""
    there = jnp.arange(values.shape[0]) < length
    total = jnp.sum(jnp.where(there[:, None, None], values, 0))
    return total / (jnp.maximum(length, 1) * values[0].size)
