"""What a graph network reads of a batch of dense graphs."""

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core.types import Array, Graph


class PreparedGraphs(struct.PyTreeNode):
    """What the layers read of a batch of graphs.

    Attributes:
      forward: `[M, N, N]`, averages over a node and its predecessors.
      backward: `[M, N, N]`, averages over a node and its successors.
      nodes: `[M, N, C O]`, one-hot operations of C cells; padding is 0.
      pooling: `[M, N]`, 1 / number of nodes on nodes, 0 on padding.
    """

    forward: Array
    backward: Array
    nodes: Array
    pooling: Array


def prepare(graphs: Graph, num_ops: int) -> PreparedGraphs:
    """Normalised adjacencies and one-hot operations of a batch.

    Args:
      graphs: of `[M, N]` nodes, or `[M, C, N]` in C cells, which become parts of one
        graph that share no operation id.
      num_ops: O, operation ids of a cell.
    """
    size = graphs.ops.shape[-1]
    num_cells = graphs.ops.shape[1] if graphs.ops.ndim == 3 else 1
    places = jnp.arange(size).reshape((1,) * graphs.num_nodes.ndim + (size,))
    real = places < graphs.num_nodes[..., None]
    # -1 is padding; the same operation in another cell is another operation.
    ops = jnp.where(real, graphs.ops, -1).reshape(-1, num_cells, size)
    first = num_ops * jnp.arange(num_cells)[None, :, None]
    ops = jnp.where(ops < 0, -1, ops + first).reshape(-1, num_cells * size)
    adjacency = _join_cells(graphs.adjacency.reshape(-1, num_cells, size, size))
    present = (ops >= 0).astype(jnp.float32)
    loops = adjacency.astype(jnp.float32) + jnp.eye(num_cells * size)[None]
    loops = loops * present[:, :, None] * present[:, None]
    count = jnp.maximum(jnp.sum(present, axis=1, keepdims=True), 1)
    return PreparedGraphs(
        forward=_average_rows(loops.mT),
        backward=_average_rows(loops),
        nodes=jax.nn.one_hot(ops, num_cells * num_ops),
        pooling=present / count,
    )


def _join_cells(adjacency: Array) -> Array:
    """`[M, C, N, N]` as the diagonal blocks of `[M, C N, C N]`."""
    num_graphs, num_cells, size = adjacency.shape[:3]
    blocks = jnp.eye(num_cells, dtype=adjacency.dtype)
    joined = jnp.einsum("mcij,cd->mcidj", adjacency, blocks)
    return joined.reshape(num_graphs, num_cells * size, num_cells * size)


def _average_rows(matrix: Array) -> Array:
    """Rows divided by their sums; rows of padding stay 0."""
    return matrix / jnp.maximum(jnp.sum(matrix, axis=-1, keepdims=True), 1)
