"""Regularized evolution against a plain deque, fed with the same draws."""

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
NUM_STEPS, POPULATION, SAMPLE = 60, 8, 3


def draws_of(keys, with_replacement):
    """What the algorithm draws in each step: places in its ring buffer."""

    def draw(step):
        key, _ = jax.random.split(jax.random.fold_in(keys.asks, step))
        if with_replacement:
            return sampling.randint(key, SAMPLE, POPULATION)
        return jnp.argsort(-sampling.uniform(key, POPULATION))[:SAMPLE]

    return np.asarray(jax.jit(jax.vmap(draw))(jnp.arange(NUM_STEPS)))


@pytest.mark.parametrize("with_replacement", [True, False])
def test_the_history_is_that_of_a_plain_deque(with_replacement):
    key = jax.random.key(3)
    keys = scan.split_keys(key)
    algorithm = search.make(
        "regularized_evolution",
        SPACE,
        population_size=POPULATION,
        sample_size=SAMPLE,
        with_replacement=with_replacement,
    )
    history = jax.jit(search.run, static_argnums=(1, 3))(
        key, algorithm, search_table.evaluate(), NUM_STEPS
    )
    archs = np.asarray(history.archs)
    mutate = jax.jit(SPACE.mutate)

    def child(step, parent):
        _, key = jax.random.split(jax.random.fold_in(keys.asks, step))
        return np.asarray(mutate(key, jnp.asarray(parent)))

    def evaluate(step, arch):
        key = jax.random.fold_in(keys.trials, step)
        return float(search_table.train(key, arch, 12, 0).valid)

    # A ring buffer in which member number m has place m % P; the deque's front is the
    # oldest, number step - P.
    places = draws_of(keys, with_replacement)
    ages = (places - np.arange(NUM_STEPS)[:, None]) % POPULATION
    first = archs[:POPULATION]
    expected = plain_search.evolution(first, ages, child, evaluate, NUM_STEPS)
    np.testing.assert_array_equal(archs, expected)
    assert not with_replacement or (np.diff(np.sort(places)) == 0).any()
    assert with_replacement or (np.diff(np.sort(places)) > 0).all()


def test_results_may_come_late():
    algorithm = search.make(
        "regularized_evolution", SPACE, population_size=4, sample_size=4
    )
    state = algorithm.init(jax.random.key(0))
    proposals = []
    for step in range(6):  # two asks more than there are members, nothing told
        proposal, state = algorithm.ask(jax.random.key(step), state)
        proposals.append(proposal)
    np.testing.assert_array_equal([p.trial[0] for p in proposals], range(6))
    assert all(SPACE.is_valid(p.archs[0]) for p in proposals)
    assert np.isneginf(state.fitness).all()
    evaluation = search.Evaluation(*(jnp.ones(1),) * 3, jnp.ones((1, 2)))
    state = algorithm.tell(state, proposals[5], evaluation)
    np.testing.assert_array_equal(state.archs[0], proposals[5].archs[0])
    np.testing.assert_array_equal(state.fitness, [1, -np.inf, -np.inf, -np.inf])
