"""Every model-based algorithm of the registry is traced in every way to run it."""

import functools

import jax
import jax.numpy as jnp
import latent_table
import pytest

from nasjax import encoders, search
from nasjax.search.algorithm import ModelState, as_argument
from nasjax.search.loops import budget as budgets
from nasjax.search.loops import trials

SPACE = latent_table.SPACE
KEYS = jax.random.split(jax.random.key(0), 3)
NUM_STEPS = 4
TABLE = {"table": latent_table.make(side=6)}
SETTINGS = {
    "bananas": {"features": encoders.make("path_one_hot", "nasbench201")},
    "bo_bohamiann": {"num_init": 4},
    "bo_dngo": TABLE,
    "bo_gcn": {"capacity": 20},
    "bo_gp": {"acquisition_function": "upper_confidence_bound"},
    "cate_dngo": TABLE,
    "cate_dngo_ls": {**TABLE, "variant": "released"},
    "latent_control": TABLE,
    "latent_dngo": {**TABLE, "variant": "released"},
    "latent_reinforce": {**TABLE, "variant": "released"},
    "neural_predictor": {"num_pool": 300},
}


def test_every_model_based_algorithm_is_here():
    others = {"random_search", "regularized_evolution", "local_search", "reinforce"}
    assert set(SETTINGS) <= set(search.ALGORITHMS)
    assert not set(SETTINGS) & others


@pytest.mark.parametrize("name", SETTINGS)
def test_states_keep_their_shape_in_every_way_to_run(name):
    algorithm = search.make(name, SPACE, **SETTINGS[name])
    evaluate = latent_table.evaluate_genes()
    single = jax.eval_shape(
        lambda key: search.run(key, algorithm, evaluate, NUM_STEPS), KEYS[0]
    )
    assert single.archs.shape[1:] == (6,) and single.archs.dtype == jnp.int32
    argument = as_argument(algorithm)
    runs = jax.eval_shape(trials._start, KEYS, argument)
    for vectorized in (True, False):
        advance = functools.partial(trials._advance, vectorized=vectorized)
        after, rows = jax.eval_shape(
            advance, runs, argument, evaluate, budgets.limit(), jnp.int32(NUM_STEPS)
        )
        assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, runs)
        slots = single.mask.shape[0] // NUM_STEPS * trials.SEGMENT
        assert rows.archs.shape == (3, slots, 6) and rows.seconds.shape == (3, slots)


@pytest.mark.parametrize("name", SETTINGS)
def test_large_arrays_are_arguments_and_not_constants(name):
    if "table" not in SETTINGS[name]:
        pytest.skip("has no table")
    argument = as_argument(search.make(name, SPACE, **SETTINGS[name]))
    leaves = [leaf.shape for leaf in jax.tree.leaves(argument)]
    assert leaves.count((36, 2)) == 2  # of init and ask


@pytest.mark.parametrize("name", SETTINGS)
def test_searches_that_fit_a_model_say_so(name):
    algorithm = search.make(name, SPACE, **SETTINGS[name])
    state = jax.eval_shape(algorithm.init, KEYS[0])
    assert isinstance(state, ModelState) == hasattr(state, "observations")
