"""Dense padded graphs to and from `jraph.GraphsTuple`, under jit and vmap."""

import jax.numpy as jnp
import jraph

from nasjax.core.types import Graph


def to_jraph(graph: Graph, *, max_edges: int | None = None) -> jraph.GraphsTuple:
    """One dense graph as a padded pair: the graph itself and a padding graph.

    Args:
      graph: adjacency `[N, N]`, ops `[N]`, num_nodes `[]`.
      max_edges: E; edges beyond are dropped without notice. None: N (N - 1) / 2,
        enough for any acyclic graph.

    Returns:
      nodes int32 `[N + 1]` (operation ids, -1 on padding), senders and receivers
      int32 `[E]`, n_node and n_edge `[2]`. Padding edges run from the last node, which
      is always padding, to itself, so jraph's padding masks hold.
    """
    size = graph.adjacency.shape[0]
    edges = size * (size - 1) // 2 if max_edges is None else max_edges
    senders, receivers = jnp.nonzero(graph.adjacency, size=edges, fill_value=size)
    num_edges = jnp.sum(senders < size).astype(jnp.int32)
    num_nodes = graph.num_nodes.astype(jnp.int32)
    return jraph.GraphsTuple(
        nodes=jnp.concatenate([graph.ops, jnp.full(1, -1, graph.ops.dtype)]),
        edges=None,
        senders=senders.astype(jnp.int32),
        receivers=receivers.astype(jnp.int32),
        n_node=jnp.stack([num_nodes, size + 1 - num_nodes]),
        n_edge=jnp.stack([num_edges, edges - num_edges]),
        globals=None,
    )


def from_jraph(graphs: jraph.GraphsTuple) -> Graph:
    """The inverse of `to_jraph`: int32 adjacency `[N, N]`."""
    size = graphs.nodes.shape[0] - 1
    adjacency = jnp.zeros((size, size), jnp.int32)
    adjacency = adjacency.at[graphs.senders, graphs.receivers].set(1, mode="drop")
    return Graph(adjacency, graphs.nodes[:-1], graphs.n_node[0])
