"""Rows are found for every way to write a cell, and only for cells of the table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.nasbench import index as lookup
from nasjax.spaces import fingerprints, nasbench201


@pytest.fixture(scope="module")
def half():
    """Every second NAS-Bench-201 cell, in a shuffled order."""
    cells = nasbench201.enumerate_cells()[::2]
    return np.random.default_rng(0).permutation(cells)


def test_genes_find_their_row(half):
    index = lookup.build("nasbench201", half.astype(np.int8))
    find = jax.jit(jax.vmap(index.find))
    np.testing.assert_array_equal(find(half), np.arange(len(half)))
    known = set(map(tuple, half.tolist()))
    others = [
        c for c in nasbench201.enumerate_cells() if tuple(c.tolist()) not in known
    ]
    assert (np.asarray(find(jnp.array(others))) == -1).all()


@pytest.mark.parametrize("gene", [-1, 5, 100, -(2**31), 2**31 - 1])
@pytest.mark.parametrize("place", range(6))
def test_genes_out_of_range_are_unknown(gene, place):
    index = lookup.build("nasbench201", nasbench201.enumerate_cells().astype(np.int8))
    arch = np.zeros(6, np.int32)
    arch[place] = gene
    assert int(index.find(jnp.asarray(arch))) == -1


lanes = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**31, 2**32 - 1])
prints = st.lists(st.tuples(lanes, lanes), min_size=1, max_size=60, unique=True)


@settings(max_examples=25, deadline=None)
@given(table=prints, queries=prints)
def test_fingerprints_are_found_as_a_dict_finds_them(table, queries):
    index = lookup.FingerprintIndex.build(np.array(table, np.uint32), "nasbench101")
    known = {pair: row for row, pair in enumerate(table)}
    for pair in [*queries[:10], *table[:10]]:
        found = index.find_fingerprint(np.array(pair, np.uint32))
        assert int(found) == known.get(pair, -1)


def test_crowded_buckets_and_a_binary_search_agree():
    rng = np.random.default_rng(1)
    table = rng.integers(0, 2**32, (500, 2), np.uint64)
    table[:100, 0] = 7 << 20  # as many in one bucket
    table = np.unique(table.astype(np.uint32), axis=0)
    index = lookup.FingerprintIndex.build(table, "nasbench101")
    queries = np.concatenate([table, table + 1]).astype(np.uint32)
    ours = jax.vmap(index.find_fingerprint)(queries)
    theirs = jax.vmap(lambda q: fingerprints.find(jnp.asarray(table), q))(queries)
    np.testing.assert_array_equal(ours, theirs)
    assert (np.asarray(ours) >= 0).sum() >= len(table)
