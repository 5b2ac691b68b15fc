"""One writing for each class: rewritten cells, fingerprints, all orders by hand."""

import itertools

import jax
import numpy as np
import pytest
from reference import plain_nasbench101 as plain
from reference.plain_darts import random_archs, rewritten

from nasjax.spaces import canonical, darts, nasbench101
from nasjax.spaces import nasbench101_notation as notation

write_101 = jax.jit(jax.vmap(canonical.nasbench101_cell))
write_darts = jax.jit(jax.vmap(canonical.darts_cells))


def assert_one_writing_a_class(archs, others, write, space):
    """Equal fingerprints and equal writings are the same pairs of architectures."""
    both = np.concatenate([archs, others])
    written = np.asarray(write(both))
    prints = jax.jit(jax.vmap(space.fingerprint))
    np.testing.assert_array_equal(*np.split(written, 2))
    np.testing.assert_array_equal(prints(written), prints(both))
    np.testing.assert_array_equal(write(written), written)
    assert jax.jit(jax.vmap(space.is_valid))(written).all()
    classes = {row.tobytes() for row in np.asarray(prints(both))}
    assert len(classes) == len({row.tobytes() for row in written}) > 100
    np.testing.assert_array_equal(write(both.astype(np.int8)), written)


def test_rewritten_nasbench101_cells():
    rng = np.random.default_rng(0)
    cells = plain.valid_cells(rng, 1000)
    archs = np.stack([notation.encode(*cell) for cell in cells])
    written = [plain.rewritten(rng, *cell) for cell in cells]
    others = np.stack([notation.encode(*cell) for cell in written])
    assert (archs != others).any(axis=1).mean() > 0.8
    assert_one_writing_a_class(archs, others, write_101, nasbench101.make())


@pytest.mark.parametrize("num_cells", [1, 2])
def test_rewritten_darts_cells(num_cells):
    rng = np.random.default_rng(num_cells)
    archs = random_archs(num_cells, num_cells, size=1000)
    others = np.stack([rewritten(rng, arch) for arch in archs])
    assert (archs != others).any(axis=1).mean() > 0.8
    space = darts.make(shared=num_cells == 1, none=True)
    assert_one_writing_a_class(archs, others, write_darts, space)


def test_nasbench101_against_all_orders():
    """The smallest (operations, last edges first) of all orders, by brute force."""
    rng = np.random.default_rng(1)
    for matrix, ops in plain.valid_cells(rng, 40):
        matrix, ops = notation.pruned(matrix, ops)
        n = len(matrix)
        found = []
        for order in itertools.permutations(range(1, n - 1)):
            moved = matrix[np.ix_([0, *order, n - 1], [0, *order, n - 1])]
            if not np.tril(moved).any():
                genes = notation.encode(moved, [ops[v - 1] for v in order]).tolist()
                found.append((genes[21:26], genes[20::-1], genes))
        arch = notation.encode(*plain.permuted(rng, matrix, ops))
        np.testing.assert_array_equal(write_101(arch[None])[0], min(found)[2])


def test_darts_against_all_orders():
    """The smallest (input, operation) of the first step, then of the next ones."""
    for arch in random_archs(2, num_cells=1, size=40):
        cell = arch.reshape(4, 2, 2).tolist()
        found = []
        for order in itertools.permutations(range(4)):
            name = {0: 0, 1: 1, **{old + 2: k + 2 for k, old in enumerate(order)}}
            steps = [sorted([name[i], op] for op, i in cell[old]) for old in order]
            if all(i < k + 2 for k, step in enumerate(steps) for i, _ in step):
                found.append(steps)
        expected = [[op, i] for step in min(found) for i, op in step]
        np.testing.assert_array_equal(write_darts(arch[None])[0], np.ravel(expected))


def test_an_invalid_architecture_is_left_as_it_is():
    lost = notation.encode(np.zeros((4, 4), int), [2, 0])
    np.testing.assert_array_equal(canonical.nasbench101_cell(lost), lost)
    arch = random_archs(3, size=1)[0]
    for gene, value in ((0, 8), (0, -1), (1, 2), (3, int(arch[1]))):
        wrong = arch.copy()
        wrong[gene] = value
        np.testing.assert_array_equal(canonical.darts_cells(wrong), wrong)
