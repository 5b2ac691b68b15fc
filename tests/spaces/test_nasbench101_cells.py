"""The enumerated space: complete, sorted, cached."""

import itertools

import jax
import numpy as np
import pytest
from reference import plain_nasbench101 as plain

from nasjax.core import arrays
from nasjax.spaces import fingerprints, nasbench101, nasbench101_cells
from nasjax.spaces import nasbench101_notation as notation

# Unique cells by vertices (a count of the published table).
PUBLISHED = {2: 1, 3: 6, 4: 84, 5: 2441, 6: 62010, 7: 359082}


@pytest.fixture(scope="module")
def cells():
    return nasbench101_cells.enumerate_cells()


def test_every_cell_of_the_benchmark_is_there_once(cells):
    sizes, counts = np.unique(cells.archs[:, -1], return_counts=True)
    assert dict(zip(sizes.tolist(), counts.tolist(), strict=True)) == PUBLISHED
    assert len(cells.archs) == nasbench101.SIZE == 423_624
    keys = cells.fingerprints.astype(np.uint64)
    assert np.all(np.diff(keys[:, 0] << np.uint64(32) | keys[:, 1]) > 0)


def test_representatives_are_valid_and_need_no_pruning(cells):
    some = cells.archs[:: len(cells.archs) // 1000][:1000]
    assert np.all(jax.jit(jax.vmap(nasbench101.is_valid))(some))
    np.testing.assert_array_equal(jax.jit(jax.vmap(nasbench101.prune))(some), some)


def test_small_cells_are_those_of_the_official_hash():
    # Brute force over all labelled matrices of at most four vertices.
    hashes = {}
    for n in (2, 3, 4):
        for bits in itertools.product((0, 1), repeat=n * (n - 1) // 2):
            matrix = np.zeros((n, n), int)
            matrix[np.triu_indices(n, 1)] = bits
            for ops in itertools.product(range(3), repeat=n - 2):
                if plain.is_valid(matrix, ops):
                    arch = notation.encode(matrix, list(ops))
                    hashes[notation.module_hash(arch)] = arch
    found = nasbench101_cells.enumerate_cells(max_vertices=4)
    assert {notation.module_hash(arch) for arch in found.archs} == set(hashes)
    assert len(found.archs) == len(hashes) == 91


def test_any_way_to_write_a_cell_is_found(cells):
    rng = np.random.default_rng(0)
    rows = rng.choice(len(cells.archs), 200, replace=False)
    written = [plain.permuted(rng, *notation.decode(cells.archs[row])) for row in rows]
    archs = np.stack([notation.encode(*cell) for cell in written])
    lost = np.stack([notation.encode(np.zeros((3, 3), int), [1])])

    def find(table, arch):
        return fingerprints.find(table, nasbench101.fingerprint(arch))

    lookup = jax.jit(jax.vmap(find, in_axes=(None, 0)))
    found = lookup(cells.fingerprints, np.concatenate([archs, lost]))
    np.testing.assert_array_equal(found, [*rows, -1])


def test_cache_is_written_read_and_replaced(cells, tmp_path, monkeypatch):
    calls = []
    small = nasbench101_cells.Cells(cells.archs[:50], cells.fingerprints[:50])
    monkeypatch.setattr(
        nasbench101_cells, "enumerate_cells", lambda: calls.append(1) or small
    )
    folder = tmp_path / "cache"
    path = folder / nasbench101_cells.FILE_NAME

    def load():
        loaded = nasbench101_cells.cells(folder)
        np.testing.assert_array_equal(loaded.archs, small.archs)
        np.testing.assert_array_equal(loaded.fingerprints, small.fingerprints)
        assert loaded.archs.dtype == np.int32
        assert loaded.fingerprints.dtype == np.uint32

    load()
    load()
    assert len(calls) == 1
    path.write_bytes(path.read_bytes()[:100])
    load()
    load()
    assert len(calls) == 2
    arrays.save(path, small._asdict(), metadata={"lanes": []})
    load()
    assert len(calls) == 3


def test_a_folder_that_cannot_be_written_is_let_alone(cells, tmp_path, monkeypatch):
    small = nasbench101_cells.Cells(cells.archs[:5], cells.fingerprints[:5])
    monkeypatch.setattr(nasbench101_cells, "enumerate_cells", lambda: small)
    (tmp_path / "file").write_text("not a folder")
    found = nasbench101_cells.cells(tmp_path / "file")
    np.testing.assert_array_equal(found.archs, small.archs)


def test_the_default_cache_is_in_the_home_folder(cells, tmp_path, monkeypatch):
    small = nasbench101_cells.Cells(cells.archs[:5], cells.fingerprints[:5])
    monkeypatch.setattr(nasbench101_cells, "enumerate_cells", lambda: small)
    monkeypatch.setenv("HOME", str(tmp_path))
    nasbench101_cells.cells()
    assert (tmp_path / ".cache/nasjax" / nasbench101_cells.FILE_NAME).exists()
