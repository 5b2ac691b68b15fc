"""The graph isomorphism network of `gin` on one flat `jraph.GraphsTuple`.

Same parameters, same numbers: messages are sums over the edges that exist, where `gin`
multiplies by padded adjacency matrices. Every graph owns N consecutive rows; a row
without a node is an isolated node of zeros. It counts in batch normalisation as in
`gin`, so the rows that pad a smaller graph agree as well. One row more, the end of the
edges that do not exist, belongs to no graph and counts nowhere.
"""

from typing import Any

import jax.numpy as jnp
import jraph

from nasjax.core.types import Array
from nasjax.encoders.arch2vec import gin

Params = Any
Statistics = Any


def batch(
    nodes: Array, adjacency: Array, *, max_edges: int | None = None
) -> jraph.GraphsTuple:
    """B dense graphs side by side, as padded by `jraph.pad_with_graphs`.

    Args:
      nodes: float `[B, N, K]`.
      adjacency: float `[B, N, N]`, directed.
      max_edges: E, of a graph on the average; edges beyond B E are dropped without
        notice. None: N (N - 1) / 2, enough for any acyclic graph.

    Returns:
      nodes `[B N + 1, K]`, senders and receivers int32 `[B E]`, n_node and n_edge
      int32 `[B + 1]`. The last graph is padding: one node and all edges that do not
      exist, from it to itself.
    """
    count, size = nodes.shape[:2]
    each = size * (size - 1) // 2 if max_edges is None else max_edges
    last = count * size
    graph, sender, receiver = jnp.nonzero(
        adjacency, size=count * each, fill_value=(count, 0, 0)
    )
    n_edge = jnp.sum(adjacency != 0, axis=(1, 2), dtype=jnp.int32)
    rows = nodes.reshape(last, -1)
    return jraph.GraphsTuple(
        nodes=jnp.concatenate([rows, jnp.zeros_like(rows[:1])]),
        edges=None,
        senders=(graph * size + sender).astype(jnp.int32),
        receivers=(graph * size + receiver).astype(jnp.int32),
        n_node=jnp.full(count + 1, size, jnp.int32).at[count].set(1),
        n_edge=jnp.append(n_edge, count * each - jnp.sum(n_edge, dtype=jnp.int32)),
        globals=None,
    )


def apply(
    params: Params,
    statistics: Statistics,
    nodes: Array,
    adjacency: Array,
    *,
    train: bool,
    max_edges: int | None = None,
) -> tuple[list[Array], Statistics]:
    """As `gin.apply`, by messages along edges.

    Args:
      params: of `gin.init`.
      statistics: running moments.
      nodes: float `[B, N, K]`.
      adjacency: float `[B, N, N]`, directed.
      train: normalise by the moments of the batch and update the running ones.
      max_edges: as in `batch`.

    Returns:
      L arrays `[B, N, W]` and the new moments, the old ones unless in training.
    """
    graphs = batch(nodes, adjacency, max_edges=max_edges)
    x, hidden, updated = graphs.nodes[:-1], [], []
    for layer, old in zip(params, statistics, strict=True):
        x = gin.combine(layer, x, messages(layer, x, graphs))
        x, new = gin.update(layer, old, x, train=train)
        hidden.append(x.reshape(*nodes.shape[:2], -1))
        updated.append(new)
    return hidden, updated


def messages(layer: Params, x: Array, graphs: jraph.GraphsTuple) -> list[Array]:
    """What the nodes receive, as `gin.messages`; x is rows `[B N, V]`."""
    padded = jnp.concatenate([x, jnp.zeros_like(x[:1])])
    into = _sum_along(padded, graphs.senders, graphs.receivers)
    back = _sum_along(padded, graphs.receivers, graphs.senders)
    return [into, back] if "in" in layer else [into + back]


def _sum_along(x: Array, starts: Array, ends: Array) -> Array:
    """Sums of the rows at `starts` that arrive at each of `ends`, without the last."""
    sums: Array = jraph.segment_sum(x[starts], ends, num_segments=len(x))[:-1]
    return sums
