"""Path encodings' random and changed cells against the published rejection sampling."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_encodings
from reference import plain_subroutines as plain

from nasjax.core import errors
from nasjax.encoders import paths
from nasjax.encoders.subroutines import equal_codes, path_index, path_moves
from nasjax.spaces import nasbench101, nasbench101_cells, nasbench201
from nasjax.spaces import nasbench101_notation as notation

SIZE, SHORT, SLOTS = 364, 40, 20
ONE_HOT = paths.one_hot("nasbench101")
KEY = jax.random.key(0)


def sets_of(archs):
    """Path numbers of NAS-Bench-101 cells, by plain enumeration."""
    known = plain_encodings.sequences(plain_encodings.OPS_101, range(6))
    place = {sequence: k for k, sequence in enumerate(known)}
    found = []
    for arch in np.asarray(archs):
        n = arch[-1]
        matrix = np.zeros((7, 7), int)
        matrix[tuple(zip(*notation.EDGES, strict=True))] = arch[: notation.NUM_BITS]
        ops = arch[notation.NUM_BITS : notation.NUM_BITS + n - 2].tolist()
        paths_found = plain_encodings.paths_101(matrix[:n, :n], ops)
        found.append(frozenset(place[sequence] for sequence in paths_found))
    return found


@pytest.fixture(scope="module")
def cells():
    """All cells of up to four vertices and some of five."""
    archs = nasbench101_cells.enumerate_cells(5).archs
    small = archs[:, -1] < 5
    some = np.random.default_rng(0).choice(np.flatnonzero(~small), 500, replace=False)
    return archs[np.sort(np.concatenate([np.flatnonzero(small), some]))]


@pytest.fixture(scope="module")
def known(cells):
    """Cells of each set of paths."""
    members = collections.defaultdict(list)
    for row, found in enumerate(sets_of(cells)):
        members[found].append(row)
    return members


@pytest.fixture(scope="module")
def index(cells):
    return path_index.build("nasbench101", archs=cells)


@pytest.fixture(scope="module")
def listed(index):
    """The sets of the index in its order."""
    return sets_of(np.asarray(index.cells.archs)[np.asarray(index.cells.starts)[:-1]])


def test_the_index_has_every_set_once_and_its_cells(cells, known, index, listed):
    assert set(listed) == set(known) and len(listed) == len(known) > 300
    starts = np.asarray(index.cells.starts)
    for number in (0, 7, len(listed) - 1):
        rows = np.asarray(index.cells.archs)[starts[number] : starts[number + 1]]
        expected = cells[known[listed[number]]]
        assert sorted(map(tuple, rows)) == sorted(map(tuple, expected))
    np.testing.assert_array_equal(index.sizes, [len(found) for found in listed])
    assert (np.diff(np.asarray(index.sizes)) >= 0).all()
    short = [max(found, default=-1) < SHORT for found in listed]
    np.testing.assert_array_equal(index.is_short, short)


@pytest.mark.parametrize("size", [SIZE, SHORT])
@pytest.mark.parametrize("form", ["independent", "highest"])
def test_a_random_set_has_the_probability_of_being_accepted(known, index, form, size):
    by_size = path_moves.sizes(
        index, getattr(path_moves, form)(size), truncated=size == SHORT
    )
    expected = collections.Counter()
    for found, p in getattr(plain, form)(known, size).items():
        expected[len(found)] += p
    probabilities = np.diff(np.asarray(by_size.ends, float), prepend=0)
    for number, p in enumerate(probabilities):
        assert p == pytest.approx(expected[number], abs=1e-6)
    draw = jax.jit(jax.vmap(functools.partial(path_moves.sample, by_size, index)))
    archs = np.asarray(draw(jax.random.split(KEY, 4_000)))
    counts = collections.Counter(map(len, sets_of(archs)))
    odds = {number: p for number, p in expected.items() if 4_000 * p > 1}
    assert abs(plain.statistic(counts, odds, 4_000)) < 4
    assert all(found in known for found in sets_of(archs[:200]))
    if size == SHORT:
        assert all(max(found) < SHORT for found in sets_of(archs))


WEIGHS = {
    "flipped": path_moves.flipped,
    "moved": path_moves.moved,
    "slot_redrawn": functools.partial(path_moves.slot_redrawn, slots=SLOTS),
}


@pytest.mark.parametrize("size", [SIZE, SHORT])
@pytest.mark.parametrize("form", sorted(WEIGHS))
def test_a_changed_set_has_the_probability_of_being_accepted(
    known, index, listed, form, size
):
    @jax.jit
    def weigh(row):
        changes = path_moves.compare(index, index.words[:, row], size)
        return WEIGHS[form](changes, size)

    options = {"slots": SLOTS} if form == "slot_redrawn" else {}
    for row in (0, 5, 40, 200, len(listed) - 1):
        expected = getattr(plain, form)(known, listed[row], size, **options)
        weights = np.asarray(weigh(row), float)
        if not expected:
            assert (weights == 0).all()
            continue
        found = dict(zip(listed, weights / weights.sum(), strict=True))
        for other in listed:
            assert found[other] == pytest.approx(expected.get(other, 0), rel=2e-5)


def test_weights_are_drawn_in_proportion():
    rng = np.random.default_rng(1)
    weights = np.where(rng.random(1_300) < 0.02, rng.random(1_300), 0)
    draw = jax.jit(jax.vmap(path_moves._draw_weighted, (0, None)))
    uniform = jax.random.uniform(KEY, (20_000, 2))
    rows, found = draw(uniform, jnp.float32(weights))
    assert bool(found.all())
    expected = {k: weights[k] / weights.sum() for k in np.flatnonzero(weights)}
    counts = collections.Counter(np.asarray(rows).tolist())
    assert abs(plain.statistic(counts, expected, 20_000)) < 4
    edges = jnp.float32([[0, 0], [1 - 2**-23, 1 - 2**-23]])
    ends, _ = draw(edges, jnp.float32(weights))
    assert ends.tolist() == [min(expected), max(expected)]
    assert not draw(edges, jnp.zeros(1_300))[1].any()


@pytest.mark.parametrize("share", [0.0, 0.004, 0.9])
def test_the_first_rows_are_found_in_blocks(share):
    chosen = np.random.default_rng(4).random(1_000) < share
    rows, there = jax.jit(path_moves._places, static_argnums=1)(chosen, 20)
    expected = np.flatnonzero(chosen)[:20]
    assert there.sum() == len(expected) and (np.diff(np.int32(there)) <= 0).all()
    np.testing.assert_array_equal(rows[: len(expected)], expected)
    assert (rows[len(expected) :] == 0).all()


@pytest.fixture(scope="module")
def change(index):
    perturb = functools.partial(path_moves.perturb, ONE_HOT, path_moves.flipped, SIZE)
    return jax.jit(jax.vmap(functools.partial(perturb, index)))


def test_a_changed_cell_has_another_set_of_paths(cells, known, change):
    parents = cells[::4]
    children = np.asarray(change(jax.random.split(KEY, len(parents)), parents))
    for parent, child in zip(sets_of(parents), sets_of(children), strict=True):
        assert child != parent and child in known


def test_cells_of_equal_paths_are_equally_likely(cells, known, index):
    """Never the first of them: tables are sorted by size."""
    members = max(known.values(), key=len)
    assert len(members) > 3
    classes = sets_of(
        np.asarray(index.cells.archs)[np.asarray(index.cells.starts)[:-1]]
    )
    chosen = classes.index(sets_of(cells[members[:1]])[0])
    seeds = jax.random.bits(KEY, (3_000,), jnp.uint32)
    draw = jax.jit(jax.vmap(equal_codes.draw, (None, None, 0)))
    archs = np.asarray(draw(index.cells, jnp.int32(chosen), seeds))
    counts = collections.Counter(map(tuple, archs))
    expected = {tuple(cells[row]): 1 / len(members) for row in members}
    assert abs(plain.statistic(counts, expected, 3_000)) < 4


@pytest.mark.parametrize("size", [SIZE, SHORT])
def test_neighbours_have_one_path_less_or_more(cells, known, index, size):
    near = functools.partial(
        path_moves.neighbors, ONE_HOT, nasbench101.fingerprint, size, index
    )
    parents = cells[::90]
    archs, mask = jax.jit(jax.vmap(near))(parents)
    assert archs.shape == (len(parents), size, notation.NUM_GENES)
    for k, parent in enumerate(sets_of(parents)):
        expected = {parent ^ {path} for path in range(size)} & set(known)
        found = sets_of(np.asarray(archs[k])[np.asarray(mask[k])])
        assert set(found) == expected and len(found) == len(expected)


def test_a_cell_that_no_change_leads_from_stays(cells):
    """The only other set differs in a long path, which a truncated encoding keeps."""
    chain = np.array(notation.encode(np.eye(7, k=1, dtype=int), [1] * 5))
    index = path_index.build("nasbench101", archs=np.stack([cells[0], chain]))
    perturb = functools.partial(path_moves.perturb, ONE_HOT, path_moves.flipped)
    change = jax.jit(perturb, static_argnums=0)
    for size, expected in ((SHORT, chain), (SIZE, cells[0])):
        np.testing.assert_array_equal(change(size, index, KEY, chain), expected)


def test_sets_of_nasbench201_are_indexed_too():
    archs = nasbench201.enumerate_cells()[:600]
    index = path_index.build("nasbench201", archs=archs)
    known = {frozenset(plain_encodings.paths_201(arch)) for arch in archs}
    assert len(index.sizes) == len(known) and frozenset() in known
    by_size = path_moves.sizes(index, path_moves.independent(84), truncated=False)
    assert by_size.counts[0] == 1 and by_size.ends[0] > 0.2


def test_what_has_no_index_is_named(cells):
    with pytest.raises(
        errors.ConfigError, match="index of its paths 'darts'.*known: n"
    ):
        path_index.build("darts")
    with pytest.raises(errors.DataError, match="3 cells of nasbench101 have 1 set"):
        path_index.build("nasbench101", archs=cells[[4, 4, 4]])


def test_all_cells_of_nasbench101_have_170820_sets(tmp_path):
    """They were counted before there was an index: bytes of encodings, sorted."""
    index = path_index.build("nasbench101", cache_dir=tmp_path)
    assert index.words.shape == (12, 170_820)
    counts = [0, 364, 5_073, 28_288, 88_711, 34_620, 12_030, 1_332, 402]
    np.testing.assert_array_equal(np.bincount(np.asarray(index.sizes)), counts)
    assert index.cells.archs.shape == (nasbench101.SIZE, notation.NUM_GENES)
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(index)) < 21e6
