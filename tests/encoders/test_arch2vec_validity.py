"""Validity of decoded graphs against plain checks, on cells and on garbage."""

import functools

import jax
import numpy as np
import pytest
from decoded_graphs import damaged, random_cells
from reference import plain_arch2vec_metrics as plain

from nasjax.core import errors
from nasjax.core.types import Graph
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import validity
from nasjax.spaces import (
    nasbench101,
    nasbench101_cells,
    nasbench101_notation,
    nasbench201,
)

SPACES = tuple(graph_inputs.SPECS)


@functools.cache
def check(kind, space):
    return jax.jit(jax.vmap(getattr(validity, kind)(space)))


@pytest.mark.parametrize("space", SPACES)
def test_damaged_graphs_are_judged_as_by_plain_loops(space):
    graphs = damaged(space, np.random.default_rng(0))
    read = [plain.read(space, *pair) for pair in zip(*graphs[:2], strict=True)]
    for kind in ("released", "strict"):
        expected = [getattr(plain, kind)(space, *graph) for graph in read]
        found = np.asarray(check(kind, space)(graphs))
        np.testing.assert_array_equal(found, expected)
        assert 20 < sum(expected) < len(expected) - 20


@pytest.mark.parametrize("space", SPACES)
def test_every_cell_is_valid(space):
    rng = np.random.default_rng(1)
    archs = random_cells(space, rng, 512)
    if space == "nasbench201":
        archs = nasbench201.enumerate_cells()
    graphs = jax.jit(jax.vmap(graph_inputs.spec(space).to_graph))(archs)
    assert np.all(check("strict", space)(graphs))
    passes = np.asarray(check("released", space)(graphs))
    if space == "nasbench101":
        # The published check wants the output at the last of seven nodes.
        np.testing.assert_array_equal(passes, archs[:, -1] == 7)
    else:
        assert np.all(passes)


def test_cells_of_the_enumerated_space_come_back():
    archs = nasbench101_cells.enumerate_cells(max_vertices=5).archs
    archs = archs[np.random.default_rng(2).choice(len(archs), 512, replace=False)]
    graphs = jax.jit(jax.vmap(nasbench101.to_graph))(archs)
    # Labels on padding without an edge, as a decoder leaves them, change nothing.
    labelled = graphs._replace(ops=np.where(graphs.ops < 0, 2, graphs.ops))
    trimmed = jax.jit(jax.vmap(validity.trim))(labelled)
    for one, other in zip(trimmed, graphs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.all(check("strict", "nasbench101")(labelled))
    back = jax.jit(jax.vmap(nasbench101.from_graph))(trimmed)
    np.testing.assert_array_equal(back, archs)


def damaged_one(space, arch, edges=(), **labels):
    """The graph of a cell with flipped edges and new labels (`node5=2`)."""
    graph = graph_inputs.spec(space).to_graph(np.asarray(arch, np.int32))
    adjacency, ops = np.array(graph.adjacency), np.array(graph.ops)
    for i, j in edges:
        adjacency[i, j] ^= 1
    for node, label in labels.items():
        ops[int(node.removeprefix("node"))] = label
    return Graph(adjacency, ops, graph.num_nodes)


def judge(space, *graphs):
    """(released, strict) of each graph; padded to one size for one compilation."""
    batch = [graphs[i % len(graphs)] for i in range(512)]
    stacked = Graph(*(np.stack(leaves) for leaves in zip(*batch, strict=True)))
    kinds = [check(kind, space)(stacked)[: len(graphs)] for kind in KINDS]
    return [tuple(map(bool, pair)) for pair in zip(*kinds, strict=True)]


KINDS = ("released", "strict")


def test_the_published_check_of_nasbench201_is_blind():
    cell = [0, 1, 2, 3, 4, 0]
    graphs = [
        damaged_one("nasbench201", cell),
        damaged_one("nasbench201", cell, edges=[(0, 1), (5, 7)]),
        damaged_one("nasbench201", cell, node1=6),
        damaged_one("nasbench201", cell, node2=6),
        damaged_one("nasbench201", cell, node0=1),
    ]
    assert judge("nasbench201", *graphs) == [
        (True, True),
        (True, False),
        (True, False),
        (False, False),
        (False, False),
    ]


def test_the_published_check_of_darts_misses_edges():
    cell = [3, 0, 3, 1, 3, 0, 2, 2, 3, 1, 2, 3, 7, 0, 5, 4]
    graphs = [
        damaged_one("darts_shared", cell),
        damaged_one("darts_shared", cell, edges=[(9, 10)]),  # no successor
        damaged_one("darts_shared", cell, edges=[(2, 5)]),  # half of step 0
        damaged_one("darts_shared", cell, edges=[(0, 4), (1, 4)]),  # fine again
        damaged_one("darts_shared", cell, edges=[(0, 3), (1, 3)]),  # one state twice
        damaged_one("darts_shared", cell, edges=[(0, 2), (2, 3)]),  # own step
    ]
    assert judge("darts_shared", *graphs) == [
        (True, True),
        (True, False),
        (True, False),
        (True, True),
        (True, False),
        (False, False),
    ]


def test_strict_cells_of_darts_meet_the_criteria_of_the_thesis():
    graphs = damaged("darts_shared", np.random.default_rng(3))
    read = [plain.read("darts_shared", *pair) for pair in zip(*graphs[:2], strict=True)]
    met = np.array([plain.meets_criteria(*graph) for graph in read])
    found = np.asarray(check("strict", "darts_shared")(graphs))
    assert np.all(met[found]) and np.sum(met) > np.sum(found) > 0


def test_rules_of_nasbench101_one_by_one():
    matrix = np.zeros((4, 4), int)
    matrix[[0, 1, 2], [1, 2, 3]] = 1
    arch = nasbench101_notation.encode(matrix, [1, 2])
    wide = np.zeros((7, 7), int)
    wide[[0, 1], [1, 6]] = 1
    seven = nasbench101_notation.encode(wide, [1, 2, 0, 0, 1])
    space = "nasbench101"
    graphs = [
        damaged_one(space, arch),  # the output is not the seventh node
        damaged_one(space, seven),
        damaged_one(space, seven, node3=0),  # an input that pruning removes
        damaged_one(space, seven, node3=-1),
        damaged_one(space, seven, node1=4),
        damaged_one(space, seven, edges=[(1, 6)]),
        damaged_one(space, arch, edges=[(3, 5)], node5=1),  # it is no trailing padding
        damaged_one(space, arch, edges=[(3, 5)]),  # an edge into an absent node
    ]
    assert judge(space, *graphs) == [
        (False, True),
        (True, True),
        (True, False),
        (True, False),
        (False, False),
        (False, False),
        (False, False),
        (False, True),
    ]


def test_unknown_spaces_are_named():
    for make in (validity.released, validity.strict):
        with pytest.raises(errors.ConfigError, match="did you mean 'nasbench201'"):
            make("nasbench20")
