"""Asynchronous message passing along a directed acyclic graph (D-VAE, section 3.1).

    h_v = GRU(x_v, h_in),   h_in = sum over u -> v of g(h_u) * m(h_u)

A vertex waits for all its predecessors. The gate g is a linear map and a sigmoid, m a
linear map without bias, x_v the one-hot operation. The GRU is

    r = sigma(W_r x + U_r h_in),   z = sigma(W_z x + U_z h_in)
    n = tanh(W_n x + r * U_n h_in),   h_v = (1 - z) * n + z * h_in

with a bias in every map. The sum does not depend on the order of the predecessors, so
isomorphic graphs have the same states. Vertices come first in every array: `[N, B, H]`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Key
from nasjax.encoders import linear

Params = Any


class Passed(NamedTuple):
    """After all vertices were visited.

    Attributes:
      states: h_v, `[N, B, H]`.
      messages: g(h_v) * m(h_v), `[N, B, H]`.
    """

    states: Array
    messages: Array


def init(key: Key, num_ops: int, width: int) -> Params:
    """Parameters uniform in +-1/sqrt(H): all gates of the GRU, and g and m, as one.

    `input` maps x_v and `hidden` h_in to (r, z, n); `message` maps h_v to (g, m) and
    has a bias `[H]` for g only.
    """
    limit = width**-0.5
    shapes = {
        "input": {"kernel": (num_ops, 3 * width), "bias": (3 * width,)},
        "hidden": {"kernel": (width, 3 * width), "bias": (3 * width,)},
        "message": {"kernel": (width, 2 * width), "bias": (width,)},
    }
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
    drawn = [
        jax.random.uniform(key_leaf, shape, minval=-limit, maxval=limit)
        for key_leaf, shape in zip(
            jax.random.split(key, len(leaves)), leaves, strict=True
        )
    ]
    params: Params = jax.tree.unflatten(tree, drawn)
    return params


def read_ops(params: Params, nodes: Array) -> Array:
    """The part of the gates that x_v gives, `[N, B, 3H]` of nodes `[N, B, K]`."""
    rows: Array = nodes.reshape(-1, nodes.shape[-1]) @ params["input"]["kernel"]
    rows = rows + params["input"]["bias"][None]
    return rows.reshape(*nodes.shape[:-1], -1)


def unit(given: Array, mapped: Array, received: Array) -> Array:
    """The GRU's new state `[..., H]`.

    Args:
      given: W x and its bias, `[..., 3H]`.
      mapped: U h_in and its bias, `[..., 3H]`.
      received: h_in, `[..., H]`.
    """
    given_r, given_z, given_n = jnp.split(given, 3, axis=-1)
    mapped_r, mapped_z, mapped_n = jnp.split(mapped, 3, axis=-1)
    update = jax.nn.sigmoid(given_z + mapped_z)
    new = jnp.tanh(given_n + jax.nn.sigmoid(given_r + mapped_r) * mapped_n)
    return new + update * (received - new)


def fresh(params: Params, given: Array) -> Array:
    """States `[..., H]` of vertices without predecessors: no product is needed."""
    mapped = jnp.broadcast_to(params["hidden"]["bias"], given.shape)
    return unit(given, mapped, jnp.zeros_like(given[..., : given.shape[-1] // 3]))


def update(params: Params, given: Array, received: Array) -> Array:
    """States `[R, H]` of rows with given `[R, 3H]` and h_in `[R, H]`."""
    mapped = linear.product(received, params["hidden"]["kernel"])
    return unit(given, mapped + params["hidden"]["bias"][None], received)


def message(params: Params, states: Array) -> Array:
    """g(h) * m(h) of rows `[R, H]`."""
    return _message(params, states @ params["message"]["kernel"])


@jax.custom_vjp
def propagate(params: Params, given: Array, edges: Array, initial: Array) -> Passed:
    """Visits the vertices in their order.

    The slope of a kernel is one product over all vertices at the end, where plain
    differentiation adds a matrix up at each vertex.

    Args:
      params: of `init`.
      given: of `read_ops`, `[N, B, 3H]`.
      edges: float `[N, N, B]`, `edges[v, u]` for u -> v; only u < v count. It has no
        slope.
      initial: what vertex 0 receives, `[B, H]`.
    """
    return _scan(params, given, edges, initial, _no_shifts(given))[0]


def _no_shifts(given: Array) -> tuple[Array, Array]:
    size, batch, triple = given.shape
    zeros = jnp.zeros_like(given)
    return zeros, zeros[..., : 2 * triple // 3].reshape(size, batch, -1)


def _scan(
    params: Params,
    given: Array,
    edges: Array,
    initial: Array,
    shifts: tuple[Array, Array],
) -> tuple[Passed, Array]:
    """States, messages, and what the vertices received.

    `shifts` are added to the results of the two products: their slopes are those of
    the products.
    """

    def visit(messages: Array, xs: Any) -> tuple[Array, tuple[Array, Array]]:
        index, given_v, sources, (shift_hidden, shift_message) = xs
        total = jnp.sum(sources[..., None] * messages, axis=0)
        received = jnp.where(index == 0, initial, total)
        mapped = received @ params["hidden"]["kernel"] + params["hidden"]["bias"][None]
        state = unit(given_v, mapped + shift_hidden, received)
        sent = _message(params, state @ params["message"]["kernel"] + shift_message)
        return messages.at[index].set(sent), (state, received)

    size, batch, triple = given.shape
    messages = jnp.zeros((size, batch, triple // 3), given.dtype)
    xs = (jnp.arange(size), given, edges, shifts)
    messages, (states, received) = lax.scan(visit, messages, xs)
    return Passed(states, messages), received


def _message(params: Params, mapped: Array) -> Array:
    gate, value = jnp.split(mapped, 2, axis=-1)
    return jax.nn.sigmoid(gate + params["message"]["bias"][None]) * value


def _forward(
    params: Params, given: Array, edges: Array, initial: Array
) -> tuple[Passed, Any]:
    def run(given: Array, initial: Array, shifts: Any) -> tuple[Passed, Array]:
        return _scan(params, given, edges, initial, shifts)

    passed, pull, received = jax.vjp(
        run, given, initial, _no_shifts(given), has_aux=True
    )
    return passed, (pull, passed.states, received)


def _slopes(saved: Any, slope: Passed) -> tuple[Any, ...]:
    pull, states, received = saved
    given, initial, (hidden, message) = pull(slope)
    kernel, bias = _linear_slopes(received, hidden)
    kernel_m, bias_m = _linear_slopes(states, message)
    params = {
        # Read by `read_ops`, before.
        "input": None,
        "hidden": {"kernel": kernel, "bias": bias},
        "message": {"kernel": kernel_m, "bias": bias_m[: states.shape[-1]]},
    }
    return params, given, None, initial


def _linear_slopes(x: Array, slope: Array) -> tuple[Array, Array]:
    """Of a kernel and a bias, from all vertices of all graphs."""
    x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
    return lax.optimization_barrier(x.T) @ slope, slope.sum(0)


propagate.defvjp(_forward, _slopes)
