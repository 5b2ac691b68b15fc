"""Local search against plain loops, fed with the same draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import search_table
from reference import plain_search

from nasjax import search
from nasjax.core import sampling
from nasjax.search.loops import scan
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
NUM_STEPS, NUM_INIT, NUM_RESTART = 300, 4, 2
VARIANTS = {
    "best": {},
    "first": {"first_improvement": True},
    "released": {"variant": "released"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_history_is_that_of_plain_descents(name):
    key = jax.random.key(7)
    keys = scan.split_keys(key)
    settings = {"num_init": NUM_INIT, "num_restart": NUM_RESTART, **VARIANTS[name]}
    algorithm = search.make("local_search", SPACE, **settings)
    history = jax.jit(search.run, static_argnums=(1, 3))(
        key, algorithm, search_table.evaluate(), NUM_STEPS
    )

    def draw(step):
        key_random, key_pick = jax.random.split(jax.random.fold_in(keys.asks, step))
        if name == "released":
            drawn = SPACE.sample(key_random)[None]
        else:
            drawn = jax.vmap(SPACE.sample)(jax.random.split(key_random, 8))
        return drawn, sampling.uniform(key_pick, 24)

    randoms, orders = jax.device_get(jax.jit(jax.vmap(draw))(jnp.arange(NUM_STEPS + 1)))
    neighbors, identify = jax.jit(SPACE.neighbors), jax.jit(SPACE.fingerprint)

    def around(arch):
        archs, mask = neighbors(jnp.asarray(arch))
        return np.asarray(archs), set(np.flatnonzero(mask).tolist())

    def evaluate(step, arch):
        key = jax.random.fold_in(keys.trials, step)
        return float(search_table.train(key, arch, 12, 0).valid)

    expected = plain_search.local_search(
        randoms,
        orders,
        around,
        evaluate,
        NUM_STEPS,
        NUM_INIT,
        NUM_RESTART,
        name,
        lambda arch: tuple(np.asarray(identify(arch)).tolist()),
    )
    np.testing.assert_array_equal(history.archs, expected)
    prints = jax.vmap(SPACE.fingerprint)(history.archs)
    repeated = NUM_STEPS - len(np.unique(prints, axis=0))
    assert repeated == 0 if name != "released" else repeated > 0
    jumps = (np.diff(np.asarray(history.archs), axis=0) != 0).sum(axis=1)
    assert (jumps[NUM_INIT:] > 2).any(), "the search never started over"


def test_a_center_without_neighbors_is_left_for_a_random_architecture():
    alone = SPACE._replace(
        neighbors=lambda arch: (arch[None].repeat(3, 0), jnp.zeros(3, bool))
    )
    algorithm = search.make("local_search", alone, num_init=1)
    history = search.run(
        jax.random.key(0), algorithm, search_table.evaluate(), num_steps=6
    )
    assert len(np.unique(history.archs, axis=0)) == 6


def test_trainings_without_a_score_never_become_the_center():
    algorithm = search.make("local_search", SPACE, num_init=2)
    state = algorithm.init(jax.random.key(0))
    failed = search.Evaluation(
        -jnp.ones(1) * jnp.inf, jnp.ones(1), jnp.zeros(1), jnp.ones((1, 2))
    )
    for step in range(5):
        proposal, state = algorithm.ask(jax.random.key(step), state)
        state = algorithm.tell(state, proposal, failed)
        assert np.isneginf(state.best_valid) and not state.remaining.any()
