"""What is one cell in a search is one row of the benchmark."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import spaces
from nasjax.experiments import search_problem
from nasjax.search import embedding_table, novelty
from nasjax.spaces import nasbench201_functions

CONFIG = {"benchmark": {"name": "digits201"}, "epoch": 0}
CELLS = np.array(list(itertools.product(range(5), repeat=6)), np.int32)


def test_cells_of_digits201_that_share_trainings_are_one():
    made = search_problem.load(CONFIG)
    groups = np.asarray(novelty.groups(made.space, CELLS))
    expected = nasbench201_functions.functions().of_code
    pairs = np.unique(np.stack([groups, expected]), axis=1)
    assert pairs.shape[1] == len(set(groups)) == 5260
    # The published strings, which tables with a row for each cell keep, are others.
    strings = np.asarray(novelty.groups(spaces.make("nasbench201"), CELLS))
    assert len(set(strings)) == 6466
    assert np.unique(np.stack([strings, expected]), axis=1).shape[1] > 6466


def test_a_table_over_digits201_holds_each_network_once():
    made = search_problem.load(CONFIG)
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
