"""The graphs that CATE encodes, one form a space (thesis, section 4.2 and figure 1.3).

NAS-Bench-201 as for arch2vec; a NAS-Bench-101 cell too, without the vertices that are
on no path from input to output, so that equal networks have equal encodings; a DARTS
cell on 15 nodes, where sums are nodes of their own.

An architecture of two DARTS cells is one graph of 30: the reduction cell follows the
normal one, whose output feeds both of its inputs. What is read at the last output then
depends on all of it, by one vector of the usual width, and the same operation in
another cell depends on other nodes.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Graph
from nasjax.encoders import graph_inputs
from nasjax.encoders.graph_inputs import GraphSpec
from nasjax.spaces import darts, nasbench101

_CELL = 15


def stacked_cells(arch: Array) -> Graph:
    """The 30-node graph of a normal and a reduction cell, int32 `[32]`."""
    cells = darts.to_graph(arch)
    adjacency = jnp.zeros((2 * _CELL, 2 * _CELL), cells.adjacency.dtype)
    adjacency = adjacency.at[:_CELL, :_CELL].set(cells.adjacency[0])
    adjacency = adjacency.at[_CELL:, _CELL:].set(cells.adjacency[1])
    adjacency = adjacency.at[_CELL - 1, _CELL : _CELL + 2].set(1)
    return Graph(adjacency, cells.ops.reshape(-1), jnp.int32(2 * _CELL))


def used_vertices(arch: Array) -> Graph:
    """The graph of a pruned NAS-Bench-101 cell, int32 `[27]`."""
    return nasbench101.to_graph(nasbench101.prune(arch))


FORMS: Mapping[str, GraphSpec] = {
    "nasbench101": graph_inputs.SPECS["nasbench101"]._replace(to_graph=used_vertices),
    "nasbench201": graph_inputs.SPECS["nasbench201"],
    "darts_shared": GraphSpec(
        "darts_shared", _CELL, darts.GRAPH_OP_NAMES, darts.to_graph
    ),
    "darts": GraphSpec("darts", 2 * _CELL, darts.GRAPH_OP_NAMES, stacked_cells),
}
"""Spaces that CATE encodes. Nodes are in topological order; DARTS is the variant
without `none`."""

NUM_INPUTS: Mapping[str, int] = {
    "nasbench101": 1,
    "nasbench201": 1,
    "darts_shared": 2,
    "darts": 2,
}
"""The first nodes of a graph, which depend on nothing."""


def find(space: str) -> GraphSpec:
    """The form of a space.

    Raises:
      ConfigError: CATE does not encode the space.
    """
    if space not in FORMS:
        raise errors.unknown_name("space of CATE", space, FORMS)
    return FORMS[space]
