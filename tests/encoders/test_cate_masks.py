"""Dependency masks against algorithm 2 and their definition."""

import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_cate as plain

from nasjax.encoders.cate import masks, settings


def random_graphs(count, nodes):
    """Sparse graphs without cycles, nodes in any order, `[B, N, N]`."""
    rng = np.random.default_rng(nodes)
    found = np.triu(rng.random((count, nodes, nodes)) < 2 / nodes, 1).astype(np.int32)
    found[0] = np.eye(nodes, k=1, dtype=np.int32)  # the longest path there is
    order = rng.permutation(nodes)
    return found[:, order][:, :, order]


@pytest.mark.parametrize("nodes", [2, 3, 7, 8, 15, 30])
def test_closures_are_those_of_floyd(nodes):
    graphs = random_graphs(4, nodes)
    (found,) = masks.relations(settings.variant("released"), jnp.asarray(graphs))
    assert found.shape == (1, nodes, nodes, 4)
    for b, graph in enumerate(graphs):
        expected = plain.closure(graph)
        assert not expected.diagonal().any()
        np.testing.assert_array_equal(found[0, :, :, b], expected)


@pytest.mark.parametrize("mask", ["direct", "indirect", "both"])
def test_an_operation_attends_itself_and_what_it_depends_on(mask):
    graphs = random_graphs(3, 7)
    given = settings.variant("thesis", mask=mask, direction="bi", num_heads=4)
    ways = masks.relations(given, jnp.asarray(graphs))
    assert len(ways) == 2
    for b, graph in enumerate(graphs):
        plainly = plain.masks(graph, mask, "bi", 4)
        for way, expected in zip(ways, plainly, strict=True):
            found = np.broadcast_to(masks.heads(way, 4)[..., b], (4, 7, 7))
            np.testing.assert_array_equal(found, expected)


def test_read_literally_no_row_of_an_output_has_a_key():
    graphs = random_graphs(3, 7)
    (found,) = masks.relations(settings.variant("released"), jnp.asarray(graphs))
    without = ~np.asarray(found).any(2)[0]
    ends = graphs.sum(2) == 0
    np.testing.assert_array_equal(without.T, ends)
    assert ends.any(1).all()
