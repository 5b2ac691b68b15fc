"""Adjacency encodings' random and changed cells against enumerated proposals."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_nasbench101
from reference import plain_subroutines as plain

from nasjax import encoders
from nasjax.encoders.subroutines import adjacency_moves
from nasjax.spaces import nasbench101
from nasjax.spaces import nasbench101_notation as notation

KEY = jax.random.key(0)
BITS = notation.NUM_BITS
COUNT = 6_000
FORMS = ("categorical", "continuous")
QUICK = {"xla_backend_optimization_level": 0}


def is_valid(bits):
    """Of 21 edges on seven vertices."""
    matrix = np.zeros((7, 7), int)
    matrix[tuple(zip(*notation.EDGES, strict=True))] = bits
    return plain_nasbench101.is_valid(matrix, [0] * 5)


def compiled(name, **mapped):
    function = jax.vmap(getattr(adjacency_moves, name), **mapped)
    return jax.jit(function, compiler_options=QUICK)


def is_valid_101(archs):
    return np.asarray(jax.jit(jax.vmap(nasbench101.is_valid))(archs))


def drawn(form, count):
    """Edges of published proposals, before they are looked at."""
    rng = np.random.default_rng(3)
    if form == "categorical":
        bits = np.zeros((count, BITS), int)
        np.put_along_axis(bits, rng.integers(0, BITS, (count, 9)), 1, axis=1)
        return bits
    rank = rng.random((count, BITS)).argsort(axis=1).argsort(axis=1)
    return (rank < rng.integers(1, 9, (count, 1))).astype(int)


@pytest.mark.parametrize("form", FORMS)
def test_random_cells_are_accepted_proposals(form):
    archs = np.asarray(compiled(f"sample_{form}")(jax.random.split(KEY, COUNT)))
    assert is_valid_101(archs).all() and (archs[:, -1] == 7).all()
    bits = drawn(form, 3_000)
    expected = bits[[is_valid(row) for row in bits]]
    # Each edge, and the number of edges, as often; ops uniform.
    for found, wanted in (
        (archs[:, :BITS], expected),
        (archs[:, :BITS].sum(axis=1), expected.sum(axis=1)),
        (archs[:, BITS:-1] == 1, np.full(9_000, 1 / 3)),
    ):
        found = np.asarray(found, float)
        noise = found.std(axis=0) * (1 / len(found) + 1 / len(wanted)) ** 0.5
        assert np.all(np.abs(found.mean(axis=0) - wanted.mean(axis=0)) < 4.5 * noise)
    assert archs[:, :BITS].sum(axis=1).max() == (9 if form == "categorical" else 8)


def parent():
    """Seven vertices, eight edges of which two lead nowhere."""
    edges = {(0, 1), (1, 2), (2, 6), (0, 3), (3, 6), (0, 2), (0, 5), (4, 6)}
    bits = [int(edge in edges) for edge in notation.EDGES]
    return np.array([*bits, 0, 1, 2, 1, 0, 7], np.int32)


@pytest.mark.parametrize("form", FORMS)
def test_changed_cells_are_accepted_proposals(form):
    keys = jax.random.split(KEY, COUNT)
    change = compiled(f"perturb_{form}", in_axes=(0, None))
    arch = parent()
    archs = np.asarray(change(keys, arch))
    listed = {"categorical": plain.edges_redrawn, "continuous": plain.edges_moved}
    expected = listed[form](arch[:BITS].tolist(), is_valid)
    counts = collections.Counter(map(tuple, archs[:, :BITS].tolist()))
    assert abs(plain.statistic(counts, expected, COUNT)) < 4
    moved = np.any(archs[:, :BITS] != arch[:BITS], axis=1)
    share = (archs[moved, BITS:-1] != arch[BITS:-1]).mean(axis=0)
    assert np.all(np.abs(share - 0.2) < 4.5 * (0.16 / moved.sum()) ** 0.5)


@pytest.mark.parametrize("form", FORMS)
def test_the_encoding_changes_and_cells_stay_valid(form):
    """Also of cells of fewer vertices, which may grow."""
    rng = np.random.default_rng(2)
    cells = [plain_nasbench101.random_cell(rng) for _ in range(300)]
    archs = np.stack([notation.encode(*cell) for cell in cells])
    assert len(set(archs[:, -1])) > 3
    archs = archs[is_valid_101(archs)]
    children = compiled(f"perturb_{form}")(jax.random.split(KEY, len(archs)), archs)
    assert is_valid_101(children).all()
    encode = jax.jit(jax.vmap(encoders.make(f"adjacency_{form}", "nasbench101")))
    assert np.any(encode(children) != encode(archs), axis=1).all()


def test_neighbours_have_an_edge_less_more_or_elsewhere():
    arch = parent()
    archs, mask = jax.jit(adjacency_moves.neighbors, compiler_options=QUICK)(arch)
    archs, mask = np.asarray(archs), np.asarray(mask)
    identify = jax.jit(jax.vmap(nasbench101.fingerprint))
    own = np.asarray(identify(arch[None]))[0]
    bits = arch[:BITS]
    expected = set()
    for i in range(BITS):
        for j in range(i, BITS):
            child = bits.copy()
            child[[i, j]] ^= 1
            if (i == j or bits[i] != bits[j]) and is_valid(child):
                expected.add((*child.tolist(), *arch[BITS:].tolist()))
    for spot, op in np.ndindex(5, 3):
        child = arch.copy()
        child[BITS + spot] = op
        expected.add(tuple(child.tolist()))
    listed = np.array(sorted(expected), np.int32)
    other = np.any(np.asarray(identify(jnp.asarray(listed))) != own, axis=1)
    assert set(map(tuple, archs[mask].tolist())) == set(
        map(tuple, listed[other].tolist())
    )
    assert mask.sum() == other.sum() and 0 < mask.sum() < len(mask)
