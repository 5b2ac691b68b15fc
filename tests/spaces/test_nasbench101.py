"""NAS-Bench-101 cells against the published tables and plain graphs."""

import csv
import gzip
import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import plain_nasbench101 as plain
from shared import shared_file

from nasjax.core import errors
from nasjax.spaces import nasbench101 as space
from nasjax.spaces import nasbench101_notation as notation

fingerprints = jax.jit(jax.vmap(space.fingerprint))
valid = jax.jit(jax.vmap(space.is_valid))
prune = jax.jit(jax.vmap(space.prune))
parameters = jax.jit(jax.vmap(space.trainable_parameters))
mutate = jax.jit(jax.vmap(space.mutate))
BATCH = 256
SEEDS = st.integers(0, 2**32 - 1)


def random_cells(seed, **options):
    rng = np.random.default_rng(seed)
    cells = [plain.random_cell(rng, **options) for _ in range(BATCH)]
    return cells, np.stack([notation.encode(*cell) for cell in cells])


@pytest.fixture(scope="module")
def golden():
    with np.load(shared_file("golden", "nb101_cells.npz")) as file:
        stored = dict(file)
    sizes = stored["num_vertices"]
    archs = [
        notation.encode(matrix[:n, :n], ops[1 : n - 1] - 1)
        for matrix, ops, n in zip(
            stored["adjacency"], stored["ops"], sizes, strict=True
        )
    ]
    return np.stack(archs), stored


@pytest.fixture(scope="module")
def table():
    path = shared_file("data", "nasbench101", "nasbench101_20k.csv.gz")
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    op_of = {"0": 1, "1": 0, "2": 2}
    archs = []
    for row in rows:
        n = int(row["num_vertices"])
        matrix = np.zeros((n, n), int)
        matrix[np.triu_indices(n, 1)] = [int(bit) for bit in row["adjacency_bits"]]
        archs.append(notation.encode(matrix, [op_of[op] for op in row["ops"]]))
    return np.stack(archs), rows


def test_golden_cells_have_their_official_hashes(golden):
    archs, stored = golden
    expected = [bytes(row.astype("uint8")).hex() for row in stored["module_hash_bytes"]]
    assert [space.notation.module_hash(arch) for arch in archs] == expected
    assert len(np.unique(fingerprints(archs), axis=0)) == len(set(expected))


def test_golden_cells_have_their_graphs_and_parameters(golden):
    archs, stored = golden
    assert np.all(valid(archs))
    graph = jax.jit(jax.vmap(space.to_graph))(archs)
    np.testing.assert_array_equal(graph.adjacency, stored["adjacency"])
    np.testing.assert_array_equal(graph.ops, stored["ops"])
    np.testing.assert_array_equal(graph.num_nodes, stored["num_vertices"])
    np.testing.assert_array_equal(jax.jit(jax.vmap(space.from_graph))(graph), archs)
    np.testing.assert_array_equal(parameters(archs), stored["trainable_parameters"])


def test_parameters_of_every_cell_of_the_table(table):
    archs, rows = table
    expected = [int(row["trainable_parameters"]) for row in rows]
    np.testing.assert_array_equal(parameters(archs), expected)


def test_hashes_of_the_table(table):
    archs, rows = table
    for arch, row in list(zip(archs, rows, strict=True))[::10]:
        assert notation.module_hash(arch) == row["key"]
    assert len(np.unique(fingerprints(archs), axis=0)) == len(rows)


def test_parameters_by_hand():
    # Input and output alone: the stem, nine 1 x 1 projections and the classifier.
    arch = notation.encode([[0, 1], [0, 0]], [])
    stem, classifier = 27 * 128 + 256, 512 * 10 + 10
    same = [3 * (128**2 + 256), 2 * (256**2 + 512), 2 * (512**2 + 1024)]
    wider = [128 * 256 + 512, 256 * 512 + 1024]
    expected = stem + sum(same) + sum(wider) + classifier
    assert parameters(np.tile(arch, (BATCH, 1)))[0] == expected


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_validity_and_pruning_match_plain_graphs(seed):
    cells, archs = random_cells(seed)
    graphs = [plain.graph(*cell) for cell in cells]
    expected = [plain.is_valid(*cell) for cell in cells]
    np.testing.assert_array_equal(valid(archs), expected)
    for graph, arch in zip(graphs, np.asarray(prune(archs)), strict=True):
        matrix, ops = notation.decode(arch)
        if not graph:
            assert len(matrix) == 2 and not matrix.any()
            continue
        order = sorted(graph)
        labels = [graph.nodes[v]["op"] for v in order]
        adjacency = np.zeros((len(order), len(order)), int)
        for i, j in graph.edges:
            adjacency[order.index(i), order.index(j)] = 1
        np.testing.assert_array_equal(matrix, adjacency)
        assert ["input", *ops, "output"] == labels
    twice = prune(np.asarray(prune(archs)))
    np.testing.assert_array_equal(twice, prune(archs))


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_parameters_match_the_layers_of_unpruned_cells(seed):
    cells, archs = random_cells(seed)
    connected = [bool(plain.graph(*cell)) for cell in cells]
    counts = np.asarray(parameters(archs))
    for cell, count, there in zip(cells, counts, connected, strict=True):
        if there:
            assert count == plain.parameters(*cell)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_fingerprint_is_equal_exactly_for_isomorphic_cells(seed):
    cells, archs = random_cells(seed, max_vertices=5)
    keys = [tuple(row) for row in np.asarray(fingerprints(archs)).tolist()]
    graphs = [plain.graph(*cell) for cell in cells]
    assert [key == (0, 0) for key in keys] == [not graph for graph in graphs]
    for i in range(60):
        for j in range(i):
            same = plain.isomorphic(graphs[i], graphs[j])
            assert (keys[i] == keys[j]) == same


@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_fingerprint_forgets_the_order_of_vertices_and_what_is_pruned(seed):
    rng = np.random.default_rng(seed)
    cells, archs = random_cells(seed, density=0.35)
    shuffled = np.stack([notation.encode(*plain.permuted(rng, *c)) for c in cells])
    expected = np.asarray(fingerprints(archs))
    np.testing.assert_array_equal(fingerprints(shuffled), expected)
    connected = np.any(expected != 0, axis=1)
    pruned = np.asarray(fingerprints(prune(archs)))
    np.testing.assert_array_equal(pruned[connected], expected[connected])


def test_classes_are_those_of_the_official_hash():
    rng = np.random.default_rng(3)
    cells = [plain.random_cell(rng, density=0.4) for _ in range(3000)]
    cells = [cell for cell in cells if plain.is_valid(*cell)]
    cells += [plain.permuted(rng, *cell) for cell in cells[:500]]
    archs = np.stack([notation.encode(*cell) for cell in cells])
    keys = map(tuple, np.asarray(fingerprints(archs)).tolist())
    hashes = [notation.module_hash(arch) for arch in archs]
    pairs = set(zip(keys, hashes, strict=True))
    assert len(pairs) == len(set(hashes)) == len({key for key, _ in pairs})
    assert len(pairs) < len(cells) - 500


MALFORMED = {
    "an operation where none belongs": (25, 0),
    "no operation where one belongs": (21, -1),
    "an unknown operation": (21, 3),
    "a bit that is neither 0 nor 1": (0, 2),
    "an edge to a vertex that is not there": (4, 1),
    "one vertex": (26, 1),
    "eight vertices": (26, 8),
    "no path": (0, 0),
}


@pytest.mark.parametrize(("gene", "value"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_genes_are_not_valid(gene, value):
    arch = np.stack([notation.SMALL_CELL] * 2)
    arch[1, gene] = value
    assert np.asarray(valid(arch)).tolist() == [True, False]


def test_mutation_lets_small_cells_grow():
    keys = jax.random.split(jax.random.key(0), BATCH)
    children = mutate(keys, np.tile(notation.SMALL_CELL, (BATCH, 1)))
    assert np.all(valid(children))
    assert np.all(np.asarray(children)[:, -1] == 7)
    sizes = np.asarray(prune(children))[:, -1]
    assert set(sizes.tolist()) >= {2, 3, 4}


def test_mutation_rates_are_the_published_ones():
    # Given that something changed: E[flips] = 1 / P(change), the same for operations.
    parent = notation.encode(np.eye(7, k=1, dtype=int), [0, 1, 2, 0, 1])
    keys = jax.random.split(jax.random.key(1), BATCH)
    drawn = mutate(keys, np.tile(parent, (len(keys), 1)))
    changed = np.asarray(drawn) != parent
    assert np.all(np.any(changed, axis=1))
    ops = changed[:, 21:26].sum(1).mean()
    expected = 1 / (1 - (20 / 21) ** 21 * 0.8**5)
    assert abs(ops - expected) < 0.3


def test_neighbors_are_the_useful_single_changes():
    cells, archs = random_cells(5)
    keep = np.flatnonzero(np.asarray(valid(archs)))[:4]
    neighbors = jax.jit(jax.vmap(space.neighbors))
    found, mask = map(np.asarray, neighbors(archs[keep]))
    assert found.shape == (4, 31, 27)
    for row, (candidates, ok) in enumerate(zip(found, mask, strict=True)):
        own = plain.graph(*cells[keep[row]])
        for k, candidate in enumerate(candidates):
            assert np.sum(candidate != archs[keep[row]]) <= 1
            if np.array_equal(candidate, archs[keep[row]]):
                assert not ok[k]
                continue
            in_block = k >= 21 or space.EDGES[k][1] < candidate[-1]
            cell = notation.decode(candidate)
            useful = in_block and plain.is_valid(*cell)
            useful = useful and not plain.isomorphic(own, plain.graph(*cell))
            assert ok[k] == useful


def chain(n):
    """Rows of the matrix of n vertices, each leading to the next."""
    return np.eye(n, k=1, dtype=int)


def test_cells_are_read_as_programs_print_them():
    text = "input,conv3x3-bn-relu,maxpool3x3,output|0110/0001/0001/0000"
    expected = notation.parse_arch(text)
    rows = [[int(bit) for bit in row] for row in text.split("|")[1].split("/")]
    array = f"array({rows})".replace("],", "],\n      ")
    ops = text.split("|")[0].split(",")
    constants = "[INPUT, CONV3X3, MAXPOOL3X3, OUTPUT]"
    for written in (
        f"'{text}'",
        f"ModelSpec(matrix={rows}, ops={ops})",
        f"api.ModelSpec(ops={constants}, matrix=np.{array}, data_format='NHWC')",
        f"spec = ModelSpec({rows}, {constants})",
        f"({array}, {ops})",
        f"{{'module_adjacency': {array}, 'module_operations': {ops}, "
        "'trainable_parameters': 3}",
        json.dumps({"adjacency": rows, "operations": ops}),
    ):
        np.testing.assert_array_equal(notation.parse_arch(written), expected)


def test_a_larger_cell_counts_without_the_vertices_on_no_path():
    small = chain(7)
    small[0, 3] = 1
    ops = [0, 1, 2, 1, 0]
    expected = notation.encode(small, ops)
    # A vertex that nothing reads, one that reads nothing, and one with neither.
    larger = np.insert(np.insert(small, [2, 4, 6], 0, axis=0), [2, 4, 6], 0, axis=1)
    larger[0, 2] = larger[5, 9] = 1
    more = np.insert(ops, [1, 3, 5], 2)
    np.testing.assert_array_equal(notation.encode(larger, more.tolist()), expected)
    names = ["input", *(notation.OP_NAMES[op] for op in more), "output"]
    bits = "/".join("".join(map(str, row)) for row in larger.tolist())
    parsed = notation.parse_arch(f"{','.join(names)}|{bits}")
    np.testing.assert_array_equal(parsed, expected)


def test_text_by_hand():
    text = "input,conv3x3-bn-relu,maxpool3x3,output|0110/0001/0001/0000"
    arch = notation.parse_arch(text)
    assert arch[:3].tolist() == [1, 1, 0] and arch[21:].tolist() == [
        1,
        2,
        -1,
        -1,
        -1,
        4,
    ]
    assert notation.format_arch(arch) == text
    np.testing.assert_array_equal(notation.parse_arch(text.replace("/", "")), arch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write it as"),
        ("input,output|010", "write it as"),
        ("input,output|01/02", "write it as"),
        ("input,conv3x3,output|010/001/000", "conv3x3-bn-relu"),
        ("conv3x3-bn-relu,output|01/00", "begin with 'input'"),
        ("input,output|00/00", "no path"),
        ("input,output|01/10", "above its diagonal"),
        (
            "input," + "maxpool3x3," * 3 + "output|01111/00111/00011/00001/00000",
            "10 edges",
        ),
        ("input," + "maxpool3x3," * 6 + "output|" + "0" * 64, "no path"),
        (
            f"input,{'maxpool3x3,' * 6}output|"
            + "".join(map(str, np.eye(8, k=1, dtype=int).ravel())),
            "8 vertices of the cell",
        ),
        (f"input,{'maxpool3x3,' * 38}output|{'0' * 1600}", "at most 32"),
        ("ModelSpec([[0, 1], [0, 0]], [INPUT])", "not 1 x 1"),
        ("ModelSpec([[0, 2], [0, 0]], [INPUT, OUTPUT])", "other than 0 and 1"),
        ("ModelSpec([[0, 1], [0, 0]], [INPUT, 'output', 3])", "are names"),
        ("ModelSpec([[0, 1], [0, 0]], [INPUT, OUTPUT], data=3)", "the field data"),
        ("ModelSpec([[0, 1], [0, 0]])", "this one has 0"),
        ("ModelSpec([[0, 1], 3], [INPUT, OUTPUT])", "write it as"),
        ("([[0, 1], [0, 0]], exec('x'))", "write it as"),
        ("(" * 500, "write it as"),
    ],
)
def test_bad_text_is_refused(text, message):
    with pytest.raises(errors.UnknownArchitecture, match=message):
        notation.parse_arch(text)


def test_a_cell_without_a_path_has_no_hash():
    with pytest.raises(errors.UnknownArchitecture, match="no path"):
        notation.module_hash(notation.encode(np.zeros((3, 3), int), [1]))
    with pytest.raises(errors.UnknownArchitecture, match="need 1 operations"):
        notation.encode(np.eye(3, k=1, dtype=int), [])
