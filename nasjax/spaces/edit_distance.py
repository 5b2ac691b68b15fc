"""Edit distance of small labelled directed graphs, by trying all assignments.

Every edit costs 1: insert or delete a node, give it another label, insert or delete an
edge. A sequence of edits assigns some nodes of the first graph to nodes of the second;
nodes without a partner are deleted or inserted, and every edge whose ends are not
partners of the ends of an edge is deleted or inserted.

Some cheapest sequence never both deletes a node u and inserts a node v. If one does,
let it turn u into v instead: at most one new label replaces a deletion and an
insertion, and the edges at u and at v, all of which were deleted and inserted before,
cost at most as much. So it is enough to pad both graphs with nodes that have no label
and no edge until they have the same number, and to try all permutations: a node that
meets padding is deleted or inserted, for the cost of another label.
"""

import functools
import itertools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array, Graph

MAX_NODES = 8
"""The largest graphs whose permutations are all tried, 40,320 of them."""
_CHUNK = 5_040
"""Permutations that are judged at a time: their edges stay in the cache."""


def exact(first: Graph, second: Graph) -> Array:
    """int32 `[]`: the least number of edits between two graphs.

    Args:
      first: adjacency `[N, N]`, ops `[N]`, -1 on padding, which has no edges; N <= 8.
      second: of the same N; the numbers of nodes may differ.

    Raises:
      ConfigError: the graphs differ in N, or have more than 8 nodes.
    """
    size = _same_size(first, second)
    if size > MAX_NODES:
        raise errors.ConfigError(
            f"edit distance: {size} nodes have too many permutations; at most "
            f"{MAX_NODES} are tried, `with_fixed_ends` tries those of the nodes between"
        )
    return _least(first, second, _permutations(size, 0, size))


def with_fixed_ends(first: Graph, second: Graph, *, num_inputs: int = 2) -> Array:
    """int32 `[]`: the least number of edits that leave inputs and output in place.

    The first `num_inputs` nodes and the last node of one graph are assigned to those
    of the other; the at most 8 nodes between them to each other in every way. This is
    what an edit of a cell can mean where its ends are given, and an upper bound of
    the distance that also lets an input turn into something else: two DARTS cells
    that only exchange the roles of c_{k-2} and c_{k-1} are two new labels apart there.

    Args:
      first: adjacency `[N, N]`, ops `[N]`.
      second: of the same N.
      num_inputs: how many leading nodes stay in place.

    Raises:
      ConfigError: the graphs differ in N, or more than 8 nodes lie between the ends.
    """
    size = _same_size(first, second)
    if not 0 <= size - 1 - num_inputs <= MAX_NODES:
        raise errors.ConfigError(
            f"edit distance: {size} nodes with {num_inputs} inputs and one output; 0 "
            f"to {MAX_NODES} nodes may lie between them"
        )
    return _least(first, second, _permutations(size, num_inputs, size - 1))


def of_pairs(
    first: Graph, second: Graph, distance: Callable[[Graph, Graph], Array] = exact
) -> Array:
    """int32 `[B]`: distances of B pairs, one after the other in one program.

    Args:
      first: fields with a leading axis B.
      second: likewise.
      distance: `exact` or `with_fixed_ends`.
    """
    distances: Array = lax.map(lambda pair: distance(*pair), (first, second))
    return distances


def _same_size(first: Graph, second: Graph) -> int:
    shapes = first.adjacency.shape, second.adjacency.shape
    if shapes[0] != shapes[1]:
        raise errors.ConfigError(
            f"edit distance: graphs are {shapes[0]} and {shapes[1]}; pad both to the "
            "same number of nodes"
        )
    return shapes[0][0]


@functools.cache
def _permutations(size: int, start: int, end: int) -> np.ndarray:
    """int8 `[K, P, N]`, K chunks: all orders of the nodes `start` to `end - 1`."""
    inner = np.array(list(itertools.permutations(range(start, end))), np.int8)
    whole = np.tile(np.arange(size, dtype=np.int8), (len(inner), 1))
    whole[:, start:end] = inner.reshape(len(inner), end - start)
    return whole.reshape(-1, min(_CHUNK, len(whole)), size)


def _least(first: Graph, second: Graph, permutations: np.ndarray) -> Array:
    size = permutations.shape[2]
    low, high = np.triu_indices(size, 1)
    # Both directions of a pair of nodes as two bits; loops do not occur.
    one, other = (
        (graph.adjacency != 0).astype(jnp.uint8)
        + 2 * (graph.adjacency.T != 0).astype(jnp.uint8)
        for graph in (first, second)
    )
    edges, other = one[low, high], other.reshape(-1)
    relabelled = (first.ops[:, None] != second.ops[None]).astype(jnp.uint8).reshape(-1)
    rows = np.arange(size) * size

    def judge(best: Array, chunk: Array) -> tuple[Array, None]:
        # Columns are permutations, so that every line below is one long vector.
        partner = chunk.T.astype(jnp.int32)
        pairs = partner[low] * size + partner[high]
        differ = lax.population_count(other[pairs] ^ edges[:, None])
        nodes = relabelled[partner + rows[:, None]]
        cost = jnp.sum(differ, axis=0, dtype=jnp.int32)
        cost += jnp.sum(nodes, axis=0, dtype=jnp.int32)
        return jnp.minimum(best, jnp.min(cost)), None

    most = jnp.int32(2 * size * size)
    least: Array = lax.scan(judge, most, jnp.asarray(permutations))[0]
    return least
