"""The graphs that encoders read: one labelled graph for each architecture."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Graph
from nasjax.spaces import darts, nasbench101, nasbench201
from nasjax.spaces import nasbench101_notation as notation


class GraphSpec(NamedTuple):
    """How architectures of a space become graphs of one size.

    Attributes:
      space: key of `spaces.SPACES`.
      num_nodes: N, padding included.
      op_names: of the K ids in `Graph.ops`.
      to_graph: `arch int32 [G] -> Graph`, pure.
      padded: whether architectures may have fewer than N nodes.
    """

    space: str
    num_nodes: int
    op_names: tuple[str, ...]
    to_graph: Callable[[Array], Graph]
    padded: bool = False

    @property
    def num_ops(self) -> int:
        """K."""
        return len(self.op_names)


SPECS: Mapping[str, GraphSpec] = {
    "nasbench101": GraphSpec(
        "nasbench101",
        notation.MAX_VERTICES,
        ("input", *notation.OP_NAMES, "output"),
        nasbench101.to_graph,
        padded=True,
    ),
    "nasbench201": GraphSpec(
        "nasbench201", 8, nasbench201.GRAPH_OP_NAMES, nasbench201.to_graph
    ),
    "darts_shared": GraphSpec(
        "darts_shared", 11, darts.COMPACT_OP_NAMES, darts.to_compact_graph
    ),
}
"""Spaces that arch2vec encodes (thesis, section 3.3). In `darts_shared` one cell serves
as both, on the 11 nodes of the published encoding."""


class GraphInputs(NamedTuple):
    """What the networks read of B graphs.

    Attributes:
      nodes: float32 `[B, N, K]`, one-hot operations; 0 on padding.
      adjacency: float32 `[B, N, N]`, row = from, strictly upper triangular.
      real: float32 `[B, N]`, 0 on padding.
    """

    nodes: Array
    adjacency: Array
    real: Array


def spec(space: str) -> GraphSpec:
    """The form of a space.

    Raises:
      ConfigError: arch2vec does not encode the space.
    """
    if space not in SPECS:
        raise errors.unknown_name("space of arch2vec", space, SPECS)
    return SPECS[space]


def read(form: GraphSpec, archs: Array) -> GraphInputs:
    """Inputs of architectures int32 `[B, G]`."""
    graph = jax.vmap(form.to_graph)(archs)
    return inputs(form, graph.ops, graph.adjacency)


def inputs(form: GraphSpec, ops: Array, adjacency: Array) -> GraphInputs:
    """Inputs of graphs: ids `[B, N]`, -1 on padding, and adjacency `[B, N, N]`."""
    return GraphInputs(
        jax.nn.one_hot(ops, form.num_ops, dtype=jnp.float32),
        adjacency.astype(jnp.float32),
        (ops >= 0).astype(jnp.float32),
    )
