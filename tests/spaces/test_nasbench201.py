"""NAS-Bench-201 cells against the published table and plain strings."""

import csv
import gzip
import itertools
import json

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from shared import shared_file

from nasjax.core import errors
from nasjax.spaces import nasbench201 as space

OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
ALL = np.array(list(itertools.product(range(5), repeat=6)), np.int32)


@pytest.fixture(scope="module")
def table():
    path = shared_file("data", "nasbench201", "nasbench201_15625.csv.gz")
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def plain_unique_string(cell):
    """What the last node computes, as the published code writes it (from the rules)."""
    edges = dict(zip(space.EDGES, cell, strict=True))

    def term(i, j):
        source, op = node(i), OPS[edges[i, j]]
        if op == "none" or source == "#":
            return "#"
        return source if op == "skip_connect" else f"({source})@{op}"

    def node(j):
        return "0" if j == 0 else "+".join(sorted(term(i, j) for i in range(j)))

    return node(3)


def test_table_lists_the_cells_in_our_order(table):
    archs = np.array([space.parse_arch(row["arch_str"]) for row in table])
    np.testing.assert_array_equal(archs, space.enumerate_cells())
    assert [space.format_arch(arch) for arch in archs] == [r["arch_str"] for r in table]
    assert [r["op_code"] for r in table[:99]] == [
        "".join(map(str, arch)) for arch in archs[:99]
    ]


def test_index_and_cell_are_inverse():
    index = jax.jit(jax.vmap(space.index))(ALL)
    assert np.array_equal(np.sort(index), np.arange(15625))
    np.testing.assert_array_equal(jax.jit(jax.vmap(space.from_index))(index), ALL)
    np.testing.assert_array_equal(space.enumerate_cells()[np.asarray(index)], ALL)


def test_fingerprints_are_the_published_classes():
    found = np.asarray(jax.jit(jax.vmap(space.fingerprint))(ALL))
    strings = [plain_unique_string(cell) for cell in ALL]
    pairs = {(*key, text) for key, text in zip(found.tolist(), strings, strict=True)}
    assert len(pairs) == len(set(strings)) == len(np.unique(found, axis=0))
    assert len(pairs) == space.NUM_UNIQUE == 6466


@pytest.mark.parametrize(
    ("column", "options"),
    [
        ("params_M_cifar10", {}),
        ("params_M_cifar100", {"num_classes": 100}),
        ("params_M_imagenet16_120", {"num_classes": 120, "image_size": 16}),
    ],
)
def test_parameters_of_every_cell(table, column, options):
    archs = space.enumerate_cells()
    counts = jax.jit(jax.vmap(lambda arch: space.costs(arch, **options)))(archs)
    expected = [round(float(row[column]) * 1e6) for row in table]
    np.testing.assert_array_equal(counts.parameters, expected)


def test_flops_of_the_cells_with_recorded_flops():
    path = shared_file("data", "nasbench201", "nats_tss_3cells_full_curves.json.gz")
    with gzip.open(path, "rt") as file:
        cells = json.load(file).values()
    sizes = {
        "cifar10": (10, 32),
        "cifar10-valid": (10, 32),
        "cifar100": (100, 32),
        "ImageNet16-120": (120, 16),
    }
    seen = set()
    for cell in cells:
        arch = jnp.asarray(space.parse_arch(cell["arch_str"]))
        for run in cell["runs"]:
            case = cell["arch_str"], run["dataset"]
            if case in seen:
                continue
            seen.add(case)
            num_classes, size = sizes[run["dataset"]]
            counts = space.costs(arch, num_classes=num_classes, image_size=size)
            assert int(counts.flops) == round(run["flops_M"] * 1e6)
            assert int(counts.parameters) == round(run["params_M"] * 1e6)
    assert len(seen) == 12


def test_costs_by_hand_of_a_tiny_network():
    # One cell a stage, 2 channels, 8 x 8 images: stem, two residual blocks, classifier.
    stem = 27 * 2 + 4
    blocks = (9 * 8 + 9 * 16 + 8 + 16) + (9 * 32 + 9 * 64 + 32 + 32)
    head = 16 + 8 * 3 + 3
    convolutions = sum(9 * c * c + 2 * c for c in (2, 4, 8))
    arch = jnp.array([3, 0, 1, 4, 0, 0])
    counts = space.costs(arch, num_classes=3, image_size=8, channels=2, num_cells=1)
    assert int(counts.parameters) == stem + blocks + head + convolutions
    flops = 54 * 64 + (72 + 144 + 8) * 16 + (288 + 576 + 32) * 4 + 27
    flops += 36 * 64 + 144 * 16 + 576 * 4
    assert int(counts.flops) == flops


def test_disconnected_cells(table):
    connected = np.asarray(jax.jit(jax.vmap(space.is_connected))(ALL))
    for cell, there in list(zip(ALL, connected, strict=True))[::50]:
        graph = nx.DiGraph([e for e, op in zip(space.EDGES, cell, strict=True) if op])
        graph.add_nodes_from((0, 3))
        assert there == nx.has_path(graph, 0, 3)
    assert np.sum(~connected) == 341
    # Their accuracy is chance.
    index = np.asarray(jax.jit(jax.vmap(space.index))(ALL))
    chance = [float(row["cifar10_test_acc_200ep_mean"]) == 10 for row in table]
    np.testing.assert_array_equal(np.asarray(chance)[index], ~connected)


def test_graph_is_that_of_the_golden_file():
    with np.load(shared_file("golden", "arch2vec_nb201.npz")) as file:
        ops, adjacency = file["inputs/op_ids"], file["inputs/adjacency"]
    to_gene = {5: 0, 4: 1, 1: 2, 2: 3, 3: 4}
    archs = np.array([[to_gene[op] for op in row[1:-1]] for row in ops.tolist()])
    graph = jax.vmap(space.to_graph)(archs)
    np.testing.assert_array_equal(graph.ops, ops)
    np.testing.assert_array_equal(graph.adjacency, adjacency)
    names = [space.GRAPH_OP_NAMES[op] for op in ops[0][1:-1]]
    assert names == [space.OP_NAMES[gene] for gene in archs[0]]


def test_graph_is_read_back():
    graph = jax.jit(jax.vmap(space.to_graph))(ALL)
    read = jax.jit(jax.vmap(space.from_graph))
    np.testing.assert_array_equal(read(graph), ALL)
    # Input, output and padding in between are no operations.
    ops = np.tile(graph.ops[:1], (len(ALL), 1))
    ops[0, 1], ops[1, 2], ops[2, 6] = 0, 6, -1
    genes = np.asarray(read(graph._replace(ops=ops)))
    assert (genes[0, 0], genes[1, 1], genes[2, 5]) == (-1, -1, -1)
    assert jax.vmap(space.is_valid)(genes[:4]).tolist() == [False] * 3 + [True]


def test_neighbors_are_all_cells_one_edge_away():
    archs, mask = jax.jit(jax.vmap(space.neighbors))(ALL[::1000])
    assert archs.shape[1:] == (24, 6) and np.all(mask)
    for cell, found in zip(ALL[::1000], np.asarray(archs), strict=True):
        expected = ALL[np.sum(ALL != cell, axis=1) == 1]
        assert {*map(tuple, found.tolist())} == {*map(tuple, expected.tolist())}


def test_mutation_reaches_every_neighbor_evenly():
    keys = jax.random.split(jax.random.key(0), 4800)
    parent = np.array([0, 1, 2, 3, 4, 0], np.int32)
    children = jax.jit(jax.vmap(space.mutate, in_axes=(0, None)))(keys, parent)
    assert np.all(np.sum(np.asarray(children) != parent, axis=1) == 1)
    _, counts = np.unique(children, axis=0, return_counts=True)
    assert len(counts) == 24
    # Chi-squared with 23 degrees of freedom: mean 23, deviation 6.8.
    assert np.sum((counts - 200) ** 2 / 200) < 60


def test_validity():
    archs = np.array([[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 5, 0], [-1, 1, 2, 3, 4, 0]])
    assert jax.vmap(space.is_valid)(archs).tolist() == [True, False, False]


def test_a_cell_is_read_as_programs_print_it():
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|none~2|"
    expected = space.parse_arch(text)
    assert expected.tolist() == [3, 0, 1, 4, 0, 0]
    for written in (
        f" {text}\n",
        f"'{text}'",
        f"Structure(4 nodes with {text})",
        f"np.str_('{text}')",
        f"\ufeff{text},",
        text.replace("none~0|skip_connect~1", "skip_connect~1|none~0"),
        text.replace("+", " + ").replace("|none~1", " | none~1"),
    ):
        np.testing.assert_array_equal(space.parse_arch(written), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write it as"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~1|", "is there twice"),
        ("|none~0|+|none~0|none~1|", "has 2 nodes"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|", "node 3 of the cell .* needs one"),
        ("|none~0|+|none~0|none~2|+|none~0|none~1|none~2|", "node 2 of the cell"),
        ("|none~0|+|none~0|none|+|none~0|none~1|none~2|", "operation~node"),
        ("arch |none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "write it as"),
        ("|" * 30_000, "write it as"),
        ("|none~\u0660|+|none~0|none~1|+|none~0|none~1|none~2|", "operation~node"),
        ("|conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|", "nor_conv_3x3"),
    ],
)
def test_bad_text_is_refused(text, message):
    with pytest.raises(errors.UnknownArchitecture, match=message):
        space.parse_arch(text)
