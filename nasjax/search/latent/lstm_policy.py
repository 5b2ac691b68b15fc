"""A Gaussian policy with memory: the controller of arch2vec's reinforcement learning.

One LSTM cell and a linear layer say the mean of an action; its covariance is the
identity.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import sampling
from nasjax.core.types import Array, Key

Params = dict[str, Array]


class Memory(NamedTuple):
    """What the cell carries from step to step: hidden and cell state `[H]`."""

    hidden: Array
    cell: Array


def init(key: Key, num_features: int, num_hidden: int) -> Params:
    """Initial weights, uniform within 1 / sqrt(H).

    Returns:
      `input` `[D, 4H]`, `hidden` `[H, 4H]`, `input_bias` and `hidden_bias` `[4H]` of
      the gates (input, forget, cell, output); `out` `[H, D]` and `out_bias` `[D]`. The
      two biases of the gates add up, as in the usual implementations; learnt by Adam
      they move twice as fast as one would.
    """
    gates, reach = 4 * num_hidden, num_hidden**-0.5
    shapes = {
        "input": (num_features, gates),
        "hidden": (num_hidden, gates),
        "input_bias": (gates,),
        "hidden_bias": (gates,),
        "out": (num_hidden, num_features),
        "out_bias": (num_features,),
    }
    sizes = [math.prod(shape) for shape in shapes.values()]
    # One draw for all of them compiles six times faster than six.
    drawn = reach * (2 * sampling.uniform(key, sum(sizes)) - 1)
    parts = jnp.split(drawn, np.cumsum(sizes[:-1]))
    named = zip(shapes.items(), parts, strict=True)
    return {name: part.reshape(shape) for (name, shape), part in named}


def forget(params: Params) -> Memory:
    """The memory at the start of an episode."""
    zeros = jnp.zeros(params["hidden"].shape[0])
    return Memory(zeros, zeros)


def step(params: Params, memory: Memory, state: Array) -> tuple[Memory, Array]:
    """Mean of the action `[D]` in a state `[D]`, and the memory after it."""
    memory = _remember(memory, read(params, state) + memory.hidden @ params["hidden"])
    return memory, memory.hidden @ params["out"] + params["out_bias"]


def read(params: Params, states: Array) -> Array:
    """What states `[..., D]` add to the gates, `[..., 4H]`."""
    bias = params["input_bias"] + params["hidden_bias"]
    product = states @ params["input"]
    return product + bias.reshape((1,) * (product.ndim - 1) + bias.shape)


def gradient(params: Params, states: Array, actions: Array, weights: Array) -> Params:
    """Gradient of the policy's loss by its parameters; see `gradients`."""
    return gradients(params, states, actions, weights)[0]


def gradients(
    params: Params, states: Array, actions: Array, weights: Array
) -> tuple[Params, Array]:
    """Gradients of the policy's loss over one episode (Williams, 1992).

        -1/T sum_t weight_t log N(action_t; mean_t, I)

    It is backpropagation through time by nudges added to the gates: their gradients
    `[T, 4H]` give those of the kernels as two matrix products, where differentiating
    by the kernels themselves would add up T outer products step by step.

    Args:
      params: of the policy.
      states: `[T, D]`.
      actions: `[T, D]`.
      weights: `[T]`, advantages.

    Returns:
      The gradients by the parameters, and by the states `[T, D]`.
    """
    inputs = read(params, states)

    def loss(nudges: Array, out: Array, out_bias: Array) -> tuple[Array, Array]:
        def advance(memory: Memory, gates: Array) -> tuple[Memory, Array]:
            memory = _remember(memory, gates + memory.hidden @ params["hidden"])
            return memory, memory.hidden

        hidden = lax.scan(advance, forget(params), inputs + nudges)[1]
        means = hidden @ out + out_bias[None]
        distances = jnp.sum(jnp.square(actions - means), axis=1)
        return jnp.mean(weights * distances) / 2, hidden

    slopes, hidden = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(
        jnp.zeros_like(inputs), params["out"], params["out_bias"]
    )
    gates, out, out_bias = slopes
    before = jnp.concatenate([jnp.zeros_like(hidden[:1]), hidden[:-1]])
    bias = jnp.sum(gates, axis=0)
    slope = {
        "input": states.T @ gates,
        "hidden": before.T @ gates,
        "input_bias": bias,
        "hidden_bias": bias,
        "out": out,
        "out_bias": out_bias,
    }
    return slope, gates @ params["input"].T


def _remember(memory: Memory, gates: Array) -> Memory:
    """One LSTM step (Hochreiter and Schmidhuber, 1997) from summed gates `[4H]`."""
    enter, keep, new, leave = jnp.split(gates, 4)
    cell = jax.nn.sigmoid(keep) * memory.cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
    return Memory(jax.nn.sigmoid(leave) * jnp.tanh(cell), cell)
