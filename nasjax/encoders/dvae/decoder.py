"""D-VAE's decoder: a graph from a latent vector, vertex by vertex (section 3.2).

    h_0 = GRU(x_0, tanh(W z + b)),   vertex 0 is the input
    p(x_v) = softmax(MLP(h_{v-1})),  the state of the graph is that of its last vertex
    p(u -> v) = sigmoid(MLP([h_u, h_v]))  for u = v - 1, ..., 0

where h_v = GRU(x_v, sum of the messages of the predecessors chosen so far) changes with
each edge. `likelihood` reads a known graph: these states are then partial sums of known
messages, so that all vertices are visited once and all edges are judged at once.
`generate` has to take one edge after the other.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core.types import Array, Graph, Key
from nasjax.encoders import linear
from nasjax.encoders.dvae import asynchronous
from nasjax.encoders.dvae.asynchronous import Passed

Params = Any


def init(key: Key, num_ops: int, latent: int, width: int) -> Params:
    """Parameters; the MLPs have one hidden layer of 2H (vertices) and 4H (edges)."""
    keys = jax.random.split(key, 6)
    return {
        "start": linear.init(keys[0], latent, width),
        "unit": asynchronous.init(keys[1], num_ops, width),
        "ops": {
            "hidden": linear.init(keys[2], width, 2 * width),
            "out": linear.init(keys[3], 2 * width, num_ops),
        },
        # The kernel of the hidden layer: first the rows of h_u, then those of h_v.
        "edges": {
            "hidden": linear.init(keys[4], 2 * width, 4 * width),
            "out": linear.init(keys[5], 4 * width, 1),
        },
    }


def likelihood(
    params: Params, z: Array, nodes: Array, adjacency: Array, real: Array
) -> tuple[Array, Array]:
    """-log p(operations | z) and -log p(edges | z) of known graphs, each `[B]` in nats.

    Args:
      params: of `init`.
      z: `[B, D]`.
      nodes: one-hot operations `[N, B, K]`; vertex 0 is not predicted.
      adjacency: `[N, N, B]`, from u to v.
      real: `[N, B]`, 0 on padding, which costs nothing.
    """
    unit = params["unit"]
    given = asynchronous.read_ops(unit, nodes)
    edges = jnp.swapaxes(adjacency, 0, 1)
    # Nobody asks for the state of the last vertex.
    passed = asynchronous.propagate(
        unit, given[:-1], edges[:-1, :-1], _start(params, z)
    )
    logits = op_logits(params, passed.states)
    ops = -jnp.sum(nodes[1:] * jax.nn.log_softmax(logits), axis=(0, 2))
    sources, targets = pairs(len(nodes))
    logits = edge_logits(params, nodes, given, edges, passed)
    each = jax.nn.softplus(logits) - edges[targets, sources] * logits
    return ops, jnp.sum(real[targets] * each, axis=0)


def pairs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(from, to) of all E possible edges: u < v - 1 by v and u, then u = v - 1."""
    targets, sources = np.tril_indices(size, -1)
    order = np.argsort(targets - sources == 1, kind="stable")
    return sources[order], targets[order]


def op_logits(params: Params, states: Array) -> Array:
    """Logits `[..., K]` of the next vertex after states `[..., H]`."""
    rows = jax.nn.relu(linear.apply(params["ops"]["hidden"], _rows(states)))
    rows = linear.apply(params["ops"]["out"], rows)
    return rows.reshape(*states.shape[:-1], -1)


def edge_logits(
    params: Params, nodes: Array, given: Array, edges: Array, passed: Passed
) -> Array:
    """Logits `[E, B]` of the edges of known graphs, in the order of `pairs`.

    Args:
      params: of `init`.
      nodes: `[N, B, K]`.
      given: of `asynchronous.read_ops`, `[N, B, 3H]`.
      edges: `[N, N, B]`, `edges[v, u]` for u -> v.
      passed: of all vertices but the last.
    """
    size, batch = nodes.shape[:2]
    source_kernel, target_kernel = _edge_kernels(params)
    hidden, out = params["edges"]["hidden"], params["edges"]["out"]
    rows = _rows(passed.states)
    sources = linear.product(rows, source_kernel) + hidden["bias"][None]
    sources = sources.reshape(size - 1, batch, -1)
    states = _rows(_partial_states(params["unit"], given, edges, passed))
    later = linear.product(states, target_kernel).reshape(-1, *sources.shape[1:])
    # The edge from v - 1 is judged first, when v has no predecessor: one state an
    # operation.
    table = asynchronous.fresh(params["unit"], _given_ops(params)) @ target_kernel
    first = (_rows(nodes[1:]) @ table).reshape(sources.shape)
    places = pairs(size)[0][: len(later)]
    logits = [
        jnp.squeeze(jax.nn.relu(sum_) @ out["kernel"], -1) + out["bias"][None]
        for sum_ in (_pick(sources, places) + later, sources + first)
    ]
    return jnp.concatenate(logits)


def _partial_states(unit: Params, given: Array, edges: Array, passed: Passed) -> Array:
    """States of v when the edge from u < v - 1 is judged, `[R, B, H]`."""
    size, batch, triple = given.shape
    sources, targets = (place[: 1 - size] for place in pairs(size))
    vertex = np.arange(size - 1)[None]
    between = (sources[:, None] < vertex) & (vertex < targets[:, None])
    chosen = edges[targets, : size - 1] * between[..., None].astype(edges.dtype)
    received = jnp.einsum("rwb,wbh->rbh", chosen, passed.messages)
    picked = _rows(_pick(given, targets))
    states = asynchronous.update(unit, picked, _rows(received))
    return states.reshape(-1, batch, triple // 3)


def _pick(x: Array, places: np.ndarray) -> Array:
    """`x[places]` as a product: the slope of a gather is slow on CPU."""
    chosen = jax.nn.one_hot(places, len(x), dtype=x.dtype)
    return (chosen @ x.reshape(len(x), -1)).reshape(-1, *x.shape[1:])


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def generate(params: Params, z: Array, *, size: int, num_ops: int) -> Graph:
    """The most likely choices, one after the other.

    The last vertex is the output, and all vertices without a successor are its
    predecessors; a graph that has no output before vertex N - 1 has it there. Nothing
    else is repaired: the result may be no cell of the space.

    Args:
      params: of `init`.
      z: `[B, D]`.
      size: N.
      num_ops: K; operation 0 is the input, K - 1 the output.

    Returns:
      adjacency int32 `[B, N, N]`, ops `[B, N]` with -1 on padding, num_nodes `[B]`.
    """
    unit, batch = params["unit"], z.shape[0]
    table = _given_ops(params)

    def visit(carry: Any, v: Array) -> tuple[Any, tuple[Array, Array]]:
        sent, state, ended, successors = carry
        op = jnp.argmax(op_logits(params, state), axis=-1).astype(jnp.int32)
        op = jnp.where(v == size - 1, num_ops - 1, op)
        is_output = op == num_ops - 1
        forced = is_output[None] & ~successors
        state, row = _choose_edges(params, table[op], sent, v, forced)
        row = row & ~ended[None]
        carry = (
            _send(params, sent, v, state),
            state,
            ended | is_output,
            successors | row,
        )
        return carry, (jnp.where(ended, -1, op), row)

    given = jnp.broadcast_to(table[0], (batch, table.shape[1]))
    state = asynchronous.update(unit, given, _start(params, z))
    width = state.shape[1]
    sent = tuple(jnp.zeros((size, batch, n), state.dtype) for n in (width, 4 * width))
    nobody = jnp.zeros((size, batch), bool)
    carry = _send(params, sent, 0, state), state, nobody[0], nobody
    _, (ops, rows) = lax.scan(visit, carry, jnp.arange(1, size))
    ops = jnp.concatenate([jnp.zeros((1, batch), jnp.int32), ops]).T
    # rows [to, from, B].
    adjacency = jnp.concatenate([nobody[None], rows]).transpose(2, 1, 0)
    return Graph(
        adjacency.astype(jnp.int32), ops, jnp.sum(ops >= 0, axis=1, dtype=jnp.int32)
    )


def _send(params: Params, sent: Any, v: Array | int, state: Array) -> Any:
    """Keeps what later vertices ask of v: its message and what it gives to the MLP."""
    messages, sources = sent
    source = state @ _edge_kernels(params)[0] + params["edges"]["hidden"]["bias"][None]
    message = asynchronous.message(params["unit"], state)
    return messages.at[v].set(message), sources.at[v].set(source)


def _choose_edges(
    params: Params, given: Array, sent: Any, v: Array, forced: Array
) -> tuple[Array, Array]:
    """The state of v after its edges, and which they are, bool `[N, B]`.

    Args:
      params: of `init`.
      given: what the operation of v gives to the gates, `[B, 3H]`.
      sent: of the vertices before.
      v: the number of the vertex.
      forced: edges that are there whatever the model says, bool `[N, B]`.
    """
    (messages, sources), out = sent, params["edges"]["out"]
    kernel = _edge_kernels(params)[1]

    def choose(index: Array, carry: Any) -> Any:
        state, received, row = carry
        u = v - 1 - index
        logits = jax.nn.relu(sources[u] + state @ kernel) @ out["kernel"]
        edge = (logits[:, 0] + out["bias"] > 0) | forced[u]
        received = received + jnp.where(edge[:, None], messages[u], 0)
        state = asynchronous.update(params["unit"], given, received)
        return state, received, row.at[u].set(edge)

    state = asynchronous.fresh(params["unit"], given)
    carry = state, jnp.zeros_like(state), jnp.zeros_like(forced)
    state, _, row = lax.fori_loop(0, v, choose, carry)
    return state, row


def _given_ops(params: Params) -> Array:
    """What each operation gives to the gates, `[K, 3H]`."""
    given = params["unit"]["input"]
    table: Array = given["kernel"] + given["bias"][None]
    return table


def _start(params: Params, z: Array) -> Array:
    """What vertex 0 receives, `[B, H]`."""
    return jnp.tanh(linear.apply(params["start"], z))


def _edge_kernels(params: Params) -> tuple[Array, Array]:
    """Of h_u and of h_v."""
    kernel = params["edges"]["hidden"]["kernel"]
    width = kernel.shape[0] // 2
    return kernel[:width], kernel[width:]
