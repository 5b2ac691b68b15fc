"""Features of canonical writings against walks by hand, equal for rewritten cells."""

import itertools

import jax
import networkx as nx
import numpy as np
from reference import plain_darts, plain_nasbench101

from nasjax.encoders import adjacency
from nasjax.nasbench.surrogate import features
from nasjax.spaces import canonical
from nasjax.spaces import nasbench101_notation as notation

OPS = range(3)


def encode(name, archs):
    return np.asarray(jax.jit(jax.vmap(features.make(name).encode))(archs))


def plain_101(arch):
    """By networkx, of a pruned cell."""
    matrix, ops = notation.decode(arch)
    n = len(matrix)
    cell = plain_nasbench101.graph(matrix, ops)
    assert len(cell) == n
    wide = np.zeros((7, 7), int)
    place = [*range(n - 1), 6]
    wide[np.ix_(place, place)] = matrix
    kinds = [[0] * 4 for _ in range(4)]
    for i, j in cell.edges:
        row = 0 if i == 0 else 1 + ops[i - 1]
        kinds[row][3 if j == n - 1 else ops[j - 1]] += 1
    paths = [
        [ops[v - 1] for v in path[1:-1]] for path in nx.all_simple_paths(cell, 0, n - 1)
    ]
    counts = np.array([[path.count(op) for op in OPS] for path in paths])
    sets = [sum(1 << op for op in set(path)) for path in paths]
    lengths = [len(path) for path in paths]
    spots = [*ops, *([-1] * (7 - n))]
    parts = [
        wide[np.triu_indices(7, 1)],
        [spot == op for op in OPS for spot in spots],
        wide.sum(axis=0)[1:],
        wide.sum(axis=1)[:-1],
        np.ravel(kinds),
        [ops.count(op) for op in OPS],
        [n, matrix.sum()],
        [lengths.count(length) for length in range(6)],
        [sets.count(number) for number in range(8)],
        *(counts.min(0), counts.max(0), counts.sum(0), counts.mean(0)),
        [min(lengths), max(lengths), len(paths)],
    ]
    return np.concatenate(parts)


def test_nasbench111_paths():
    rng = np.random.default_rng(0)
    cells = plain_nasbench101.valid_cells(rng, 300)
    archs = np.stack([notation.encode(*cell) for cell in cells])
    found = encode("nasbench111_paths", archs)
    written = np.asarray(jax.jit(jax.vmap(canonical.nasbench101_cell))(archs))
    expected = [plain_101(arch) for arch in written]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def walks(cell, state):
    """The operations on every walk from an input to a state."""
    if state < 2:
        return [[]]
    return [[*walk, op] for op, read in cell[state - 2] for walk in walks(cell, read)]


def plain_darts_cell(cell):
    edges = list(itertools.chain(*cell))
    reads = [state for _, state in edges]
    by_source = [(min(state, 2), op) for op, state in edges]
    found = [walks(cell, state) for state in range(2, 6)]
    every = list(itertools.chain(*found))
    lengths = [len(walk) for walk in every]
    return [
        *(by_source.count((source, op)) for source in range(3) for op in range(7)),
        *([op for op, _ in edges].count(op) for op in range(7)),
        *(reads.count(state) for state in range(6)),
        *(max(map(len, of_step)) for of_step in found),
        *(lengths.count(length) for length in range(1, 5)),
        *(sum(walk.count(op) for walk in every) for op in range(7)),
        sum(state not in reads for state in range(2, 6)),
        len(every),
    ]


def test_nasbench311_paths():
    archs = plain_darts.random_archs(0, size=200)
    found = encode("nasbench311_paths", archs)
    written = np.asarray(jax.jit(jax.vmap(canonical.darts_cells))(archs))
    one_hot = jax.jit(jax.vmap(adjacency.one_hot("darts")))(written)
    np.testing.assert_array_equal(found[:, :196], one_hot)
    cells = written.reshape(-1, 2, 4, 2, 2).tolist()
    expected = [[*map(plain_darts_cell, pair)] for pair in cells]
    np.testing.assert_array_equal(found[:, 196:298], np.reshape(expected, (200, -1)))
    ops = archs.reshape(200, -1, 2)[..., 0]
    counts = [np.bincount(row, minlength=7) for row in ops]
    np.testing.assert_array_equal(found[:, 298:], counts)


def test_a_shared_cell_stands_for_both():
    single = plain_darts.random_archs(1, num_cells=1, size=20)
    both = encode("nasbench311_paths", np.concatenate([single, single], axis=1))
    np.testing.assert_array_equal(encode("nasbench311_paths", single), both)


def test_features_of_rewritten_cells_are_equal():
    rng = np.random.default_rng(1)
    cells = plain_nasbench101.valid_cells(rng, 1000)
    others = [plain_nasbench101.rewritten(rng, *cell) for cell in cells]
    archs, rewritten = (
        np.stack([notation.encode(*cell) for cell in group])
        for group in (cells, others)
    )
    np.testing.assert_array_equal(
        encode("nasbench111_paths", archs), encode("nasbench111_paths", rewritten)
    )
    assert not np.array_equal(
        encode("nasbench111_cell", archs), encode("nasbench111_cell", rewritten)
    )
    archs = plain_darts.random_archs(2, size=1000)
    rewritten = np.stack([plain_darts.rewritten(rng, arch) for arch in archs])
    np.testing.assert_array_equal(
        encode("nasbench311_paths", archs), encode("nasbench311_paths", rewritten)
    )
