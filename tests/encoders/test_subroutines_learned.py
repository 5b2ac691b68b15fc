"""Subroutines of learned vectors against plain sorting by distance."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_subroutines as plain

from nasjax import spaces
from nasjax.core import errors
from nasjax.encoders.subroutines import learned, making
from nasjax.spaces import nasbench201

SPACE = spaces.make("nasbench201")
KEY = jax.random.key(0)
K = learned.NUM_NEAREST


def distinct_cells(count):
    """Cells of different fingerprints."""
    archs = nasbench201.enumerate_cells()[: 2 * count]
    prints = np.asarray(jax.jit(jax.vmap(nasbench201.fingerprint))(archs))
    _, first = np.unique(prints, axis=0, return_index=True)
    return archs[np.sort(first)[:count]]


ARCHS = distinct_cells(900)


@pytest.fixture(scope="module")
def vectors():
    """Three architectures of each vector."""
    rng = np.random.default_rng(0)
    return np.repeat(rng.normal(size=(300, 5)), 3, axis=0).astype(np.float32)


@pytest.fixture(scope="module")
def made(vectors):
    return making.of_table("made up", SPACE, ARCHS, vectors)


def row_of(archs):
    place = {tuple(arch): row for row, arch in enumerate(ARCHS.tolist())}
    return np.array([place[tuple(arch)] for arch in np.asarray(archs).tolist()])


def nearest_rows(vectors, row):
    """Rows of the K nearest other vectors."""
    distances = np.sum((vectors - vectors[row]) ** 2, axis=1)
    limit = np.unique(distances)[K]
    return np.flatnonzero((distances > 0) & (distances <= limit))


def test_changed_architectures_are_uniform_among_the_nearest(made, vectors):
    change = jax.jit(jax.vmap(made.perturb, (0, None)))
    rows = row_of(change(jax.random.split(KEY, 4_000), ARCHS[30]))
    near = nearest_rows(vectors, 30)
    assert len(near) == 3 * K
    counts = collections.Counter(rows.tolist())
    assert abs(plain.statistic(counts, dict.fromkeys(near, 1 / 30), 4_000)) < 4


def test_neighbours_are_one_architecture_of_each_nearest_vector(made, vectors):
    archs, mask = jax.jit(jax.vmap(made.neighbors))(ARCHS[::90])
    assert mask.all() and archs.shape == (10, K, 6)
    for row, found in zip(range(0, 900, 90), archs, strict=True):
        rows = row_of(found)
        assert set(rows // 3) == set(nearest_rows(vectors, row) // 3)
    # Not always the first of the three.
    assert set(row_of(archs.reshape(-1, 6)) % 3) == {0, 1, 2}


def test_random_architectures_are_uniform_and_encode_reads_the_table(made, vectors):
    archs = jax.jit(jax.vmap(made.sample))(jax.random.split(KEY, 9_000))
    counts = collections.Counter(row_of(archs).tolist())
    everyone = dict.fromkeys(range(900), 1 / 900)
    assert abs(plain.statistic(counts, everyone, 9_000)) < 4
    encode = jax.jit(jax.vmap(made.encode))
    np.testing.assert_array_equal(encode(ARCHS), vectors)


def test_an_architecture_outside_the_table_has_no_vector(made):
    known = {tuple(arch) for arch in ARCHS.tolist()}
    prints = jax.jit(jax.vmap(nasbench201.fingerprint))
    inside = {tuple(p) for p in np.asarray(prints(ARCHS)).tolist()}
    cells = nasbench201.enumerate_cells()[-200:]
    new = [tuple(p) not in inside for p in np.asarray(prints(cells)).tolist()]
    arch = cells[np.flatnonzero(new)[0]]
    assert np.isnan(made.encode(arch)).all()
    assert not made.neighbors(arch)[1].any()
    assert tuple(np.asarray(made.perturb(KEY, arch)).tolist()) in known


def test_ties_of_distance_are_uniform():
    """24 vectors at the same distance and four nearer ones: 6 of the 24 are near."""
    points = np.concatenate([np.eye(24) * 2, np.eye(24)[:4], np.zeros((1, 24))])
    table = learned.build(SPACE, ARCHS[: len(points)], points.astype(np.float32))
    vectors = np.asarray(table.vectors)
    entry = int(np.flatnonzero((vectors == 0).all(axis=1))[0])
    seeds = jax.random.bits(KEY, (2_000,), jnp.uint32)
    near = jax.jit(jax.vmap(learned.nearest, (None, None, 0)))
    rows = np.asarray(near(table, jnp.int32(entry), seeds))
    assert all(len(set(row)) == K for row in rows.tolist())
    nearer = np.flatnonzero(vectors.sum(axis=1) == 1)
    assert (np.sort(rows[:, :4], axis=1) == nearer).all()
    counts = collections.Counter(rows[:, 4:].ravel().tolist())
    others = np.flatnonzero(vectors.sum(axis=1) == 2)
    assert set(counts) == set(others.tolist())
    # Six of 24 without replacement vary less than six draws do.
    share = np.array([counts[k] for k in others]) / 2_000
    assert np.all(np.abs(share - 0.25) < 4.5 * (0.25 * 0.75 / 2_000) ** 0.5)


@pytest.mark.parametrize("size", [5, 300, 1_000])
def test_the_highest_values_are_found_in_blocks(size):
    values = np.random.default_rng(size).permutation(size).astype(np.float32)
    found, places = jax.jit(learned._highest, static_argnums=1)(values, 4)
    np.testing.assert_array_equal(found, np.arange(size)[::-1][:4])
    np.testing.assert_array_equal(values[np.asarray(places)], found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, v: (a[:5], v), r"archs \[N, G\].*not \[5, 6\] and \[900, 5\]"),
        (lambda a, v: (a[:, :4], v), "archs have 4 genes; those of nasbench201 have 6"),
        (
            lambda a, v: (a, np.where(np.arange(900)[:, None] == 7, np.nan, v)),
            "vector 7",
        ),
        (lambda a, v: (a, np.zeros_like(v)), "all 900 vectors .* are equal"),
    ],
)
def test_tables_that_do_not_fit_are_named(vectors, change, message):
    with pytest.raises(errors.DataError, match=message):
        functools.partial(learned.build, SPACE)(*change(ARCHS, vectors))
