"""Graphs of many architectures in few bytes."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import batching
from nasjax.core.types import Array
from nasjax.encoders import graph_inputs
from nasjax.encoders.graph_inputs import GraphInputs, GraphSpec

# Graphs of one compiled call outside training: five hold NAS-Bench-201 and few more.
CHUNK = 98 * 32


class Graphs(NamedTuple):
    """M graphs: what training gathers its batches from.

    Attributes:
      ops: int8 `[M, N]`, -1 on padding.
      adjacency: int8 `[M, N, N]`.
    """

    ops: Array
    adjacency: Array


def to_graphs(form: GraphSpec, archs: Any) -> Graphs:
    """The graphs of architectures int32 `[M, G]`."""
    convert = functools.partial(_to_graphs, form=form)
    stored = batching.map_batched(convert, np.asarray(archs, np.int32), CHUNK)
    graphs: Graphs = jax.tree.map(jnp.asarray, stored)
    return graphs


def inputs(form: GraphSpec, graphs: Graphs) -> GraphInputs:
    """What the networks read of stored graphs."""
    return graph_inputs.inputs(form, graphs.ops, graphs.adjacency)


@functools.partial(jax.jit, static_argnames="form")
def _to_graphs(archs: Array, *, form: GraphSpec) -> Graphs:
    graph = jax.vmap(form.to_graph)(archs)
    return Graphs(graph.ops.astype(jnp.int8), graph.adjacency.astype(jnp.int8))
