"""What is one cell in a search is one row of the benchmark."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import nasbench, spaces
from nasjax.core import errors
from nasjax.experiments import search_problem
from nasjax.search import embedding_table, novelty
from nasjax.spaces import nasbench201_functions

CELLS = np.array(list(itertools.product(range(5), repeat=6)), np.int32)


def test_cells_of_digits201_that_share_trainings_are_one():
    made = search_problem.make(nasbench.load("digits201"))
    groups = np.asarray(novelty.groups(made.space, CELLS))
    expected = nasbench201_functions.functions().of_code
    pairs = np.unique(np.stack([groups, expected]), axis=1)
    assert pairs.shape[1] == len(set(groups)) == 5260
    # The published strings, which tables with a row for each cell keep, are others.
    strings = np.asarray(novelty.groups(spaces.make("nasbench201"), CELLS))
    assert len(set(strings)) == 6466
    assert np.unique(np.stack([strings, expected]), axis=1).shape[1] > 6466


def test_a_table_over_digits201_holds_each_network_once():
    made = search_problem.make(nasbench.load("digits201"))
    archs = jnp.asarray(CELLS[::40])
    table = embedding_table.identify(
        embedding_table.EmbeddingTable(archs, archs), made.space
    )
    rows = jax.vmap(made.reward.index.find)(archs)
    visited = embedding_table.visit(table, jnp.zeros(len(archs), bool), jnp.int32(7))
    np.testing.assert_array_equal(visited, rows == rows[7])


def test_other_benchmarks_keep_the_fingerprint_of_their_space():
    space = spaces.make("nasbench101")
    assert search_problem._by_rows(space, object()) is space


def test_a_problem_of_a_benchmark_takes_plain_arguments():
    benchmark = nasbench.load("digits201")
    made = search_problem.make(benchmark, epoch=3, average=True)
    assert made.report is benchmark and made.warnings == ()
    found = made.evaluate(jax.random.key(0), jnp.asarray(CELLS[7]), jnp.int32(-1), 0)
    expected = benchmark.mean(jnp.asarray(CELLS[7]), 3)
    assert float(found.valid) == float(expected.valid)
    with pytest.raises(errors.ConfigError, match="epoch = 31: recorded are the epochs"):
        search_problem.make(benchmark, epoch=31)
    other = benchmark.replace(space="nasbench101")
    with pytest.raises(errors.ConfigError, match="of nasbench101 cannot judge"):
        search_problem.make(benchmark, other)
    listed = search_problem.make(benchmark, listed=True, name="mine").space
    with pytest.raises(errors.ConfigError, match="mine lists 5,260"):
        listed.mutate(jax.random.key(0), jnp.asarray(CELLS[7]))
