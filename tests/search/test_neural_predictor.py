"""Searches by graph networks: the neural predictor and BO-GCN."""

import jax
import jax.numpy as jnp
import latent_table
import numpy as np
import pytest

from nasjax import predictors, search
from nasjax.core import errors
from nasjax.core.types import Evaluation
from nasjax.search.model_based import graph_predictors
from nasjax.spaces import darts

SPACE = latent_table.SPACE
KEYS = jax.random.split(jax.random.key(0), 4)
TINY = {"layers": 1, "width": 8, "head": 8, "epochs": 10, "rate": 0.02}
SIZES = {"num_train": 24, "num_best": 8, "batch_size": 8, "num_pool": 200}


@pytest.fixture(scope="module")
def algorithm():
    return search.make("neural_predictor", SPACE, predictor_options=TINY, **SIZES)


def test_the_best_of_the_pool_are_trained_and_then_those_of_a_new_one(algorithm):
    history = search.run_trials(KEYS, algorithm, latent_table.evaluate_genes(), 6)
    assert history.mask.all()
    codes = latent_table.rows(history.archs)
    # A buffer of 32: the third batch may not repeat what the fit still knows.
    assert all(len(set(row[:40])) == 40 for row in codes)
    random, *best = np.split(history.valid, [24, 32, 40], axis=1)
    for batch in best:
        assert batch.mean() > random.mean() + 0.1


def test_the_queue_holds_the_highest_predictions_first(algorithm):
    state = jax.jit(algorithm.init)(KEYS[0])
    ask, tell = jax.jit(algorithm.ask), jax.jit(algorithm.tell)
    for step in range(4):
        before, (proposal, state) = state, ask(KEYS[step], state)
        if step < 3:
            np.testing.assert_array_equal(
                proposal.archs, before.queue[8 * step : 8 * step + 8]
            )
        valid = jnp.mean(proposal.archs, axis=1) / 4
        told = Evaluation(valid, valid, valid, jnp.zeros((8, 0)))
        state = tell(state, proposal, told)
    np.testing.assert_array_equal(proposal.archs, state.queue[:8])
    assert state.length == 8 and not state.queue[8:].any()
    # The same fit, outside of the search.
    predictor = predictors.make("gcn", num_ops=7, **TINY)
    key_fit = jax.random.split(KEYS[3])[0]

    @jax.jit
    def believe(seen, archs):
        encoded = jax.vmap(SPACE.to_graph)(seen.items)
        model = predictor.fit(key_fit, encoded, seen.valid, seen.observed)
        return predictor.predict(model, jax.vmap(SPACE.to_graph)(archs)).mean

    means = np.asarray(believe(before.observations, proposal.archs))
    assert (np.diff(means) <= 1e-5).all()
    random = jax.vmap(SPACE.sample)(jax.random.split(KEYS[0], 8))
    assert means.min() > np.asarray(believe(before.observations, random)).mean()


def test_bo_gcn_improves_on_its_first_architectures():
    algorithm = search.make(
        "bo_gcn",
        SPACE,
        num_init=8,
        batch_size=4,
        capacity=28,
        num_candidates=40,
        predictor_options=TINY,
    )
    history = search.run_trials(KEYS, algorithm, latent_table.evaluate_genes(), 7)
    assert all(len(set(row)) == 28 for row in latent_table.rows(history.archs))
    assert (history.valid.max(axis=1) > history.valid[:, :8].max(axis=1)).all()


def test_graphs_of_several_cells_are_noticed():
    space = darts.make()
    predictor, to_graph = graph_predictors.predictor("bogcn", space, None, None, TINY)
    assert to_graph is space.to_graph

    def believe(key):
        archs = jax.vmap(space.sample)(jax.random.split(key, 6))
        encoded = jax.vmap(to_graph)(archs)
        ones = jnp.ones(6)
        return predictor.predict(predictor.fit(key, encoded, ones, ones > 0), encoded)

    assert jax.eval_shape(believe, KEYS[0]).mean.shape == (6,)


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(errors.ConfigError, match="num_train = 25 must be a multiple"):
        search.make("neural_predictor", SPACE, **{**SIZES, "num_train": 25})
    with pytest.raises(errors.ConfigError, match="num_best = 9 must be a multiple"):
        search.make("neural_predictor", SPACE, **{**SIZES, "num_best": 9})
    with pytest.raises(errors.ConfigError, match="num_pool = 4 must be at least"):
        search.make("neural_predictor", SPACE, **{**SIZES, "num_pool": 4})
    with pytest.raises(errors.ConfigError, match="num_ops=... is needed"):
        search.make("bo_gcn", SPACE, to_graph=lambda arch: SPACE.to_graph(arch))
    with pytest.raises(errors.ConfigError, match="batch_size = 0"):
        search.make("bo_gcn", SPACE, batch_size=0)
