"""Edit distances against networkx and a plain search, and the laws of a metric."""

import functools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from reference import plain_arch2vec_metrics as plain

from nasjax.core import errors
from nasjax.core.types import Graph
from nasjax.spaces import darts, edit_distance

fixed = functools.partial(edit_distance.with_fixed_ends, num_inputs=2)
exact_pairs = jax.jit(edit_distance.of_pairs)
fixed_pairs = jax.jit(lambda one, other: edit_distance.of_pairs(one, other, fixed))


def random_graphs(rng, count, size, *, smallest, num_labels=3, acyclic=True):
    """Padded graphs of `smallest` to `size` nodes."""
    num_nodes = rng.integers(smallest, size + 1, count)
    real = np.arange(size) < num_nodes[:, None]
    bits = rng.random((count, size, size)) < rng.uniform(0.2, 0.7, (count, 1, 1))
    bits &= real[:, :, None] & real[:, None] & ~np.eye(size, dtype=bool)
    bits = np.triu(bits) if acyclic else bits
    ops = np.where(real, rng.integers(0, num_labels, (count, size)), -1)
    return Graph(bits.astype(np.int32), ops.astype(np.int32), num_nodes)


def digraphs(graphs):
    return [
        plain.digraph(adjacency[:n, :n].tolist(), ops[:n].tolist())
        for adjacency, ops, n in zip(*map(np.asarray, graphs), strict=True)
    ]


def test_distances_are_those_of_networkx():
    rng = np.random.default_rng(0)
    one = random_graphs(rng, 24, 5, smallest=1, acyclic=False)
    other = random_graphs(rng, 24, 5, smallest=2)

    def same(a, b):
        return a["op"] == b["op"]

    expected = [
        nx.graph_edit_distance(a, b, node_match=same)
        for a, b in zip(digraphs(one), digraphs(other), strict=True)
    ]
    found = exact_pairs(one, other)
    np.testing.assert_array_equal(found, expected)
    assert len(set(expected)) > 4
    np.testing.assert_array_equal(exact_pairs(other, one), expected)
    # Pairs one by one, as an ordinary vmap runs them.
    np.testing.assert_array_equal(jax.vmap(edit_distance.exact)(one, other), found)


def test_distances_of_seven_nodes_are_those_of_a_search():
    rng = np.random.default_rng(1)
    one = random_graphs(rng, 12, 7, smallest=6)
    other = Graph(*(leaf.copy() for leaf in one))
    for row in range(12):
        i, j = np.sort(rng.choice(6, 2, replace=False))
        other.adjacency[row, i, j] ^= 1
        other.ops[row, j] = rng.integers(0, 3)
        order = rng.permutation(6)
        other.adjacency[row, :6, :6] = other.adjacency[row][np.ix_(order, order)]
        other.ops[row, :6] = other.ops[row, order]
    other.adjacency[:4, :6, 6] = other.adjacency[:4, 6, :6] = 0
    other.ops[:4, 6], other.num_nodes[:4] = -1, 6
    expected = [
        plain.edit_distance(a, b)
        for a, b in zip(digraphs(one), digraphs(other), strict=True)
    ]
    np.testing.assert_array_equal(exact_pairs(one, other), expected)
    assert max(expected) > 2


def test_the_distance_is_a_metric():
    rng = np.random.default_rng(2)
    graphs = random_graphs(rng, 36, 5, smallest=2)
    one, two, three = (
        jax.tree.map(lambda leaf, i=i: leaf[i::3], graphs) for i in range(3)
    )
    pairs = jax.jit(edit_distance.of_pairs)
    first, second, both = pairs(one, two), pairs(two, three), pairs(one, three)
    assert np.all(both <= first + second) and np.all(first + second > 0)
    order = rng.permutation(5)
    moved = one._replace(
        adjacency=one.adjacency[:, order][:, :, order], ops=one.ops[:, order]
    )
    assert not np.any(pairs(one, moved))
    np.testing.assert_array_equal(pairs(moved, two), first)


def test_fixed_ends_stay_in_place():
    rng = np.random.default_rng(3)
    one = random_graphs(rng, 24, 6, smallest=6)
    other = random_graphs(rng, 24, 6, smallest=6)
    expected = [
        plain.edit_distance(a, b, fixed=(0, 1, 5))
        for a, b in zip(digraphs(one), digraphs(other), strict=True)
    ]
    found = np.asarray(fixed_pairs(one, other))
    np.testing.assert_array_equal(found, expected)
    free = np.asarray(exact_pairs(one, other))
    assert np.all(free <= found) and np.any(free < found)


def test_changes_of_a_darts_cell():
    cell = np.array([3, 0, 3, 1, 3, 0, 2, 1, 3, 1, 2, 3, 6, 0, 5, 2], np.int32)
    changed = np.tile(cell, (4, 1))
    changed[1, 12] = 4  # another operation
    changed[2, 13] = 1  # another input
    changed[3] = cell.reshape(4, 2, 2)[[1, 0, 2, 3]].reshape(-1)
    changed[3, [11, 15]] = [2, 3]  # steps 0 and 1 are exchanged
    graphs = jax.jit(jax.vmap(darts.to_compact_graph))(changed)
    same = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 4), graphs)
    assert fixed_pairs(same, graphs).tolist() == [0, 1, 2, 0]


def test_graphs_that_cannot_be_compared_are_refused():
    def empty(size):
        return Graph(np.zeros((size, size), int), np.zeros(size, int), size)

    with pytest.raises(errors.ConfigError, match="same number of nodes"):
        edit_distance.exact(empty(3), empty(4))
    with pytest.raises(errors.ConfigError, match="9 nodes have too many"):
        edit_distance.exact(empty(9), empty(9))
    with pytest.raises(errors.ConfigError, match="0 to 8 nodes may lie between"):
        fixed(empty(12), empty(12))
    with pytest.raises(errors.ConfigError, match="same number of nodes"):
        fixed(empty(3), empty(4))
