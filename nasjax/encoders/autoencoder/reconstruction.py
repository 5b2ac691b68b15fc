"""How much of a graph its posterior mean gives back."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from nasjax.core import batching
from nasjax.core.types import Array, Graph
from nasjax.encoders import stored_graphs
from nasjax.encoders.stored_graphs import Graphs


class Reconstruction(NamedTuple):
    """Parts of what was decoded right, in [0, 1].

    Attributes:
      exact: graphs that are right as a whole: the thesis' reconstruction accuracy.
      elementwise: operations of real nodes and entries above the diagonal together.
      ops: operations of real nodes.
      edges: entries above the diagonal; the released code prints the last two.
    """

    exact: float
    elementwise: float
    ops: float
    edges: float


def evaluate(
    decode: Callable[[Graphs], Graph], graphs: Graphs, *, padding: bool
) -> Reconstruction:
    """Compares all graphs with what is decoded of them.

    Args:
      decode: what is decoded of some graphs, ops -1 for no node; compiled for one
        number of them.
      graphs: the truth.
      padding: whether no node where there is none has to be decoded, too.
    """
    upper = np.triu_indices(graphs.ops.shape[1], 1)
    exact = ops = edges = nodes = 0
    for chunk, count in batching.iterate(graphs, stored_graphs.CHUNK):
        cut = functools.partial(_first, count)
        truth, decoded = jax.tree.map(cut, (chunk, decode(chunk)))
        real = truth.ops >= 0
        right_ops = decoded.ops == truth.ops
        right_edges = (decoded.adjacency == truth.adjacency)[:, *upper]
        right = right_ops if padding else right_ops | ~real
        exact += np.sum(right.all(1) & right_edges.all(1))
        ops += np.sum(right_ops & real)
        edges += np.sum(right_edges)
        nodes += np.sum(real)
    size = len(graphs.ops)
    num_edges = size * len(upper[0])
    return Reconstruction(
        exact=float(exact / size),
        elementwise=float((ops + edges) / (nodes + num_edges)),
        ops=float(ops / nodes),
        edges=float(edges / num_edges),
    )


def _first(count: int, leaf: Array) -> np.ndarray:
    return np.asarray(leaf)[:count]
