"""Whether a decoded graph is a cell of its space, leniently or strictly.

`released` asks what the published scripts ask, which reproduces the published
numbers; `strict` asks whether the graph is the graph of a cell and nothing else. Both
read one graph as it was decoded: ids of the space's own graph form, -1 for no node.
"""

import functools
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array, Graph
from nasjax.encoders import graph_inputs
from nasjax.spaces import darts, nasbench101, nasbench201
from nasjax.spaces import nasbench101_notation as notation

Check = Callable[[Graph], Array]
"""`(graph) -> bool []`, pure; callers vmap."""

_OUTPUT_201 = len(nasbench201.GRAPH_OP_NAMES) - 1
_OUTPUT_DARTS = len(darts.COMPACT_OP_NAMES) - 1
# In the 11-node graph: the nodes that lie before the step of each operation.
_BEFORE_STEP = np.arange(11)[:, None] < np.repeat([2, 4, 6, 8], 2)[None]


def released(space: str) -> Check:
    """The check of the published scripts.

    - nasbench101: the official pruning of all seven nodes; what is left starts with
      the input, ends with the output, has known operations between them and at most
      nine edges.
    - nasbench201: the labels of all nodes but node 1, which is never looked at; no
      edge is looked at either.
    - darts_shared: the labels of all nodes, and at least one predecessor of each
      operation before its own step. Successors, the output's edges and the second
      edge of a step are not looked at.

    The scripts drop everything on and below the diagonal before they check, and so do
    these functions.

    Args:
      space: a key of `graph_inputs.SPECS`.

    Raises:
      ConfigError: arch2vec does not encode the space.
    """
    return _RELEASED[graph_inputs.spec(space).space]


def strict(space: str) -> Check:
    """Whether the graph is the graph of a cell.

    - nasbench101: after `trim`, input first, output last, known operations between
      them, input and output connected, at most nine edges once pruned.
    - nasbench201: node 0 the input, node 7 the output, six operations between them
      and exactly the ten edges that every cell has.
    - darts_shared: the graph is `darts.to_compact_graph` of its own genotype. That
      includes the six criteria of the thesis (inputs first, output last, every node
      with a predecessor and a successor, two edges into each step, an upper
      triangular binary matrix) and asks for more: an operation that reads a step has
      edges from both operations of it, and the output from all eight.

    Args:
      space: a key of `graph_inputs.SPECS`.

    Raises:
      ConfigError: arch2vec does not encode the space.
    """
    return _STRICT[graph_inputs.spec(space).space]


def trim(graph: Graph) -> Graph:
    """A NAS-Bench-101 graph without its trailing nodes that are no vertices.

    From the last node on, nodes that are absent or have no edge from the nodes before
    them become padding, together with the edges of absent ones. A decoder without a
    label for "no node" has to give these nodes some label.
    """
    size = graph.ops.shape[0]
    node = jnp.arange(size)
    from_before = (graph.adjacency != 0) & (node[:, None] < node[None])
    stays = (graph.ops >= 0) & jnp.any(from_before, axis=0)
    num_nodes = jnp.max(jnp.where(stays, node + 1, 0)).astype(jnp.int32)
    kept = node < num_nodes
    adjacency = jnp.where(kept[:, None] & kept[None], graph.adjacency, 0)
    return Graph(adjacency, jnp.where(kept, graph.ops, -1), num_nodes)


def _is_upper_triangular(graph: Graph) -> Array:
    """Whether the adjacency is 0 and 1 above the diagonal and 0 elsewhere."""
    above = np.triu(np.ones(graph.adjacency.shape, np.int32), 1)
    bits = (graph.adjacency >= 0) & (graph.adjacency <= above)
    return jnp.all(bits)


def _are_equal(one: Graph, other: Graph) -> Array:
    edges = jnp.all(one.adjacency == other.adjacency)
    return edges & jnp.all(one.ops == other.ops)


def _on_paths(adjacency: Array) -> list[Array]:
    """bool `[]` of each node: whether it lies on a path from the first to the last."""
    size = adjacency.shape[0]
    there = [[adjacency[i, j] != 0 for j in range(size)] for i in range(size)]
    after, before = [jnp.bool_(True)], [jnp.bool_(True)]
    for v in range(1, size):
        after.append(_any([after[u] & there[u][v] for u in range(v)]))
        # `before` is filled from the last node on.
        u = size - 1 - v
        before.append(_any([before[i] & there[u][size - 1 - i] for i in range(v)]))
    return [one & other for one, other in zip(after, before[::-1], strict=True)]


def _any(flags: list[Array]) -> Array:
    return functools.reduce(jnp.logical_or, flags)


def _released_101(graph: Graph) -> Array:
    keep = jnp.stack(_on_paths(graph.adjacency))
    inside = keep[:, None] & keep[None] & (graph.adjacency != 0)
    ends = (graph.ops[0] == nasbench101.INPUT) & (graph.ops[-1] == nasbench101.OUTPUT)
    interior = graph.ops[1:-1]
    known = (interior > nasbench101.INPUT) & (interior < nasbench101.OUTPUT)
    few_edges = jnp.sum(inside) <= notation.MAX_EDGES
    return keep[0] & ends & jnp.all(known | ~keep[1:-1]) & few_edges


def _strict_101(graph: Graph) -> Array:
    trimmed = trim(graph)
    last = trimmed.ops[jnp.maximum(trimmed.num_nodes - 1, 0)]
    ends = (graph.ops[0] == nasbench101.INPUT) & (last == nasbench101.OUTPUT)
    is_cell = nasbench101.is_valid(nasbench101.from_graph(trimmed))
    return ends & is_cell & _is_upper_triangular(graph)


def _released_201(graph: Graph) -> Array:
    ends = (graph.ops[0] == 0) & (graph.ops[-1] == _OUTPUT_201)
    return ends & jnp.all(nasbench201.from_graph(graph)[1:] >= 0)


def _strict_201(graph: Graph) -> Array:
    arch = nasbench201.from_graph(graph)
    same = _are_equal(graph, nasbench201.to_graph(arch))
    return same & nasbench201.is_valid(arch)


def _released_darts(graph: Graph) -> Array:
    ops = graph.ops
    ends = (ops[0] == 0) & (ops[1] == 1) & (ops[-1] == _OUTPUT_DARTS)
    labels = jnp.all((ops[2:-1] >= 2) & (ops[2:-1] < _OUTPUT_DARTS))
    reads = jnp.any((graph.adjacency[:, 2:-1] != 0) & _BEFORE_STEP, axis=0)
    return ends & labels & jnp.all(reads)


def _strict_darts(graph: Graph) -> Array:
    arch = darts.from_compact_graph(graph)
    same = _are_equal(graph, darts.to_compact_graph(arch))
    return same & darts.is_valid(arch, num_ops=darts.NONE + 1)


_RELEASED: Mapping[str, Check] = {
    "nasbench101": _released_101,
    "nasbench201": _released_201,
    "darts_shared": _released_darts,
}
_STRICT: Mapping[str, Check] = {
    "nasbench101": _strict_101,
    "nasbench201": _strict_201,
    "darts_shared": _strict_darts,
}
