"""Dense graphs as jraph graphs and back."""

import functools

import jax
import jax.numpy as jnp
import jraph
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.core import graphs
from nasjax.core.types import Graph

SIZE = 6


def random_graph(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, SIZE + 1))
    adjacency = np.triu(rng.random((SIZE, SIZE)) < 0.5, 1).astype(np.int32)
    adjacency[n:], adjacency[:, n:] = 0, 0
    ops = np.where(np.arange(SIZE) < n, rng.integers(0, 5, SIZE), -1).astype(np.int32)
    return Graph(adjacency, ops, np.int32(n))


there = jax.jit(graphs.to_jraph)
back = jax.jit(graphs.from_jraph)


@jax.jit
def summarize(converted):
    """jraph's padding masks, and how many messages each node receives."""
    messages = jnp.ones(len(converted.receivers))
    return (
        jraph.get_edge_padding_mask(converted),
        jraph.get_node_padding_mask(converted),
        jraph.segment_sum(messages, converted.receivers, num_segments=SIZE + 1),
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_round_trip(seed):
    graph = random_graph(seed)
    for found, expected in zip(back(there(graph)), graph, strict=True):
        np.testing.assert_array_equal(found, expected)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_edges_and_padding_follow_jraph(seed):
    graph = random_graph(seed)
    converted = there(graph)
    num_edges = int(np.sum(graph.adjacency))
    edges = np.stack([converted.senders, converted.receivers], axis=1)
    np.testing.assert_array_equal(edges[:num_edges], np.argwhere(graph.adjacency))
    edge_mask, node_mask, received = summarize(converted)
    np.testing.assert_array_equal(edge_mask, np.arange(len(edges)) < num_edges)
    np.testing.assert_array_equal(node_mask, np.arange(SIZE + 1) < graph.num_nodes)
    # Messages along padding edges reach padding nodes only.
    np.testing.assert_array_equal(received[:SIZE], np.sum(graph.adjacency, axis=0))


def test_fewer_edges_and_a_batch():
    batch = [random_graph(seed) for seed in range(4)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batch)
    convert = functools.partial(graphs.to_jraph, max_edges=3)
    converted = jax.jit(jax.vmap(convert))(stacked)
    assert converted.senders.shape == (4, 3)
    for i, graph in enumerate(batch):
        expected = min(3, int(np.sum(graph.adjacency)))
        assert converted.n_edge[i].tolist() == [expected, 3 - expected]
