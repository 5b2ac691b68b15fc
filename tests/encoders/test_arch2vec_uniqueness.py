"""Distinct graphs and cells, and the whole evaluation, against plain versions."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoded_graphs import damaged, random_cells
from reference import plain_arch2vec_metrics as plain
from reference import plain_nasbench101

from nasjax.core import errors
from nasjax.core.types import Graph
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import generation, uniqueness
from nasjax.spaces import nasbench101, nasbench201
from nasjax.spaces import nasbench101_notation as notation

SPACES = tuple(graph_inputs.SPECS)
count_distinct = jax.jit(uniqueness.count_distinct)


@functools.cache
def decoded(space):
    """512 graphs: many valid ones, several of them more than once, and garbage."""
    rng = np.random.default_rng(7)
    graphs = damaged(space, rng)
    rows = rng.integers(0, 512, 512)
    rows[:300] = rng.integers(64, 150, 300)
    return Graph(*(leaf[rows] for leaf in graphs))


def read(space, graphs):
    return [plain.read(space, *pair) for pair in zip(*graphs[:2], strict=True)]


@pytest.mark.parametrize("space", SPACES)
def test_the_evaluation_is_that_of_plain_loops(space):
    graphs = decoded(space)
    found = generation.evaluate(graphs, space)
    expected = plain.evaluate(space, read(space, graphs))
    assert 50 < expected[1] < 500 and 0.2 < expected[5] < 0.9
    if space == "darts_shared":  # classes of isomorphic cells are tested below
        found, expected = found[:-1], expected[:-1]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_labelled_keys_are_equal_exactly_for_equal_graphs(space):
    graphs = decoded(space)
    keys = jax.jit(jax.vmap(uniqueness.labelled_key))(graphs)
    texts = [repr(graph) for graph in read(space, graphs)]
    pairs = {(*key, text) for key, text in zip(keys.tolist(), texts, strict=True)}
    assert len(pairs) == len(set(texts)) == len(np.unique(keys, axis=0)) < 512


def test_every_labelled_cell_of_nasbench201_has_its_own_key():
    graphs = jax.jit(jax.vmap(nasbench201.to_graph))(nasbench201.enumerate_cells())
    found = generation.evaluate(graphs, "nasbench201")
    assert found.num_strict == found.num_released == nasbench201.SIZE
    assert found.uniqueness_strict == 1
    assert round(float(found.uniqueness_classes) * nasbench201.SIZE) == 6466


def test_isomorphic_cells_share_a_class():
    rng = np.random.default_rng(3)
    archs = random_cells("nasbench101", rng, 256)
    written = [plain_nasbench101.permuted(rng, *notation.decode(a)) for a in archs]
    others = np.stack([notation.encode(*cell) for cell in written])
    both = jax.jit(jax.vmap(nasbench101.to_graph))(np.concatenate([archs, others]))
    found = generation.evaluate(both, "nasbench101")
    assert found.validity_strict == 1
    assert found.uniqueness_strict > 0.55 and found.uniqueness_classes <= 0.5


def test_classes_of_darts_forget_the_order_of_inputs():
    cell = np.array([3, 0, 3, 1, 3, 0, 2, 2, 3, 1, 2, 3, 7, 0, 5, 4], np.int32)
    swapped = cell.reshape(4, 2, 2)[:, ::-1].reshape(-1)
    other = np.where(np.arange(16) == 0, 4, cell)
    archs = np.tile(np.stack([cell, swapped, other, cell]), (128, 1))
    graphs = jax.jit(jax.vmap(graph_inputs.spec("darts_shared").to_graph))(archs)
    found = generation.evaluate(graphs, "darts_shared")
    assert found.num_strict == found.num_released == 512
    assert found.uniqueness_strict == 3 / 512
    assert found.uniqueness_classes == 2 / 512


def test_distinct_keys_are_counted_where_the_mask_is_set():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        keys = rng.integers(0, 12, (200, 2)).astype(np.uint32)
        keys[rng.random(200) < 0.1] = 2**32 - 1
        mask = rng.random(200) < share
        expected = len({tuple(key) for key in keys[mask].tolist()})
        assert int(count_distinct(keys, mask)) == expected
    assert uniqueness.count_distinct(jnp.zeros((0, 2), jnp.uint32), mask[:0]) == 0


def test_the_ceiling_is_the_expected_share():
    rng = np.random.default_rng(0)
    draws = [len(np.unique(rng.integers(0, 50, 80))) / 80 for _ in range(2000)]
    assert abs(np.mean(draws) - uniqueness.ceiling(50, 80)) < 0.003
    # The shares named for NAS-Bench-201; and no cancellation in a vast space.
    assert uniqueness.ceiling(15_625, 9_500) == pytest.approx(0.7493, abs=1e-4)
    exact = 1 - 9_999 / (2 * 3e9)
    assert uniqueness.ceiling(3e9, 10_000) == pytest.approx(exact, abs=1e-10)
    assert uniqueness.ceiling(1, 4) == 0.25 and uniqueness.ceiling(9, 1) == 1
    assert math.isnan(uniqueness.ceiling(9, 0))


def test_without_valid_graphs_uniqueness_is_not_defined():
    graphs = decoded("nasbench201")
    found = generation.evaluate(graphs._replace(ops=0 * graphs.ops), "nasbench201")
    assert found.num_strict == found.num_released == 0
    assert np.all(np.isnan(found[4:]))


def test_graphs_of_another_space_are_refused():
    with pytest.raises(errors.ConfigError, match=r"\[M, 7, 7\], not \[512, 8, 8\]"):
        generation.evaluate(decoded("nasbench201"), "nasbench101")
    with pytest.raises(errors.ConfigError, match="did you mean 'darts_shared'"):
        generation.evaluate(decoded("nasbench201"), "darts_shard")
