"""The scan loop: what counts, what algorithms are told, and budgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import LAST, Proposal
from nasjax.search.loops import budget
from nasjax.search.loops import scan as loop

NUM_STEPS, Q = 4, 3
# By trial; NaN: without a score, without a recorded cost.
VALID = np.array([0.5, np.nan, 0.1, 0.9, 0.2, 0.3, 0.8, np.nan, 0.4, 0.6, 0.1, 0.7])
COST = np.array([10, 20, 30, 40, 50, 60, 70, np.nan, 90, 100, 110, 120.0])
USED = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 0]], bool)
EPOCHS = np.array([[2, LAST, 5], [3, 4, 5], [1, 2, 3], [LAST, LAST, LAST]])


class Script(struct.PyTreeNode):
    step: jax.Array
    valid: jax.Array
    cost: jax.Array


def script():
    """An algorithm that asks by a list and remembers what it is told."""

    def init(key):
        del key
        zeros = jnp.zeros((NUM_STEPS, Q))
        return Script(jnp.int32(0), zeros, zeros)

    def ask(key, state):
        del key
        trial = state.step * Q + jnp.arange(Q)
        proposal = Proposal.batch(
            trial[:, None],
            trial=trial,
            mask=jnp.asarray(USED)[state.step],
            epoch=jnp.asarray(EPOCHS)[state.step],
            trained=jnp.where(trial == 4, 2, 0),
        )
        return proposal, state

    def tell(state, proposal, evaluation):
        del proposal
        return state.replace(
            step=state.step + 1,
            valid=state.valid.at[state.step].set(evaluation.valid),
            cost=state.cost.at[state.step].set(evaluation.cost),
        )

    return search.SearchAlgorithm(init, ask, tell)


def evaluate(key, arch, epoch, trained):
    del key, epoch, trained
    valid = jnp.asarray(VALID, jnp.float32)[arch[0]]
    cost = jnp.asarray(COST, jnp.float32)[arch[0]]
    return search.Evaluation(valid, valid - 0.01, cost, jnp.zeros(2))


@pytest.fixture(scope="module")
def run_with():
    scan = jax.jit(
        lambda limits: loop.scan(
            jax.random.key(0), script(), evaluate, NUM_STEPS, limits
        )
    )
    return lambda **limits: scan(budget.limit(**limits))


def test_unused_slots_cost_nothing_and_count_for_nothing(run_with):
    history = run_with()
    used = USED.reshape(-1)
    np.testing.assert_array_equal(history.mask, used)
    np.testing.assert_array_equal(history.trial, np.arange(12))
    np.testing.assert_array_equal(history.epochs, EPOCHS.reshape(-1))
    scored = used & ~np.isnan(VALID)
    np.testing.assert_array_equal(
        history.valid, np.where(scored, VALID, -np.inf).astype(np.float32)
    )
    np.testing.assert_allclose(history.test, np.where(scored, VALID - 0.01, np.nan))
    # Trial 7 has neither score nor cost: nobody knows it, and it was free.
    paid = np.where(used & ~np.isnan(COST), COST, 0)
    np.testing.assert_array_equal(history.seconds, np.cumsum(paid))


def test_the_algorithm_never_sees_nan_nor_what_stands_in_unused_slots():
    state = script().init(jax.random.key(0))
    spent, limits = budget.Spent.zero(), budget.limit()
    for _ in range(NUM_STEPS):
        proposal, state = script().ask(jax.random.key(0), state)
        raw = jax.vmap(evaluate)(
            jax.random.split(jax.random.key(0), Q),
            proposal.archs,
            proposal.epochs,
            proposal.trained,
        )
        state, spent, _ = loop.settle(script(), state, proposal, raw, spent, limits)
    known = USED & ~np.isnan(VALID.reshape(NUM_STEPS, Q))
    expected = np.where(known, VALID.reshape(NUM_STEPS, Q), -np.inf)
    np.testing.assert_array_equal(state.valid, expected.astype(np.float32))
    paid = USED & ~np.isnan(COST.reshape(NUM_STEPS, Q))
    np.testing.assert_array_equal(
        state.cost, np.where(paid, COST.reshape(NUM_STEPS, Q), 0)
    )
    assert int(spent.queries) == USED.sum()


def test_a_budget_masks_what_is_complete_too_late(run_with):
    free = run_with()
    order = np.cumsum(USED.reshape(-1))
    for queries in (1, 3, 100):
        limited = run_with(queries=queries)
        np.testing.assert_array_equal(limited.mask, free.mask & (order <= queries))
    seconds = np.asarray(free.seconds)
    for limit in (9.0, 30.0, 170.5, 1e9):
        limited = run_with(seconds=limit)
        np.testing.assert_array_equal(limited.mask, free.mask & (seconds <= limit))
        np.testing.assert_array_equal(limited.seconds, seconds)
        assert np.isneginf(limited.valid[~limited.mask]).all()
        assert np.isnan(limited.test[~limited.mask]).all()
    # Epochs of the used slots, LAST = 8, the two of trial 4 already paid.
    trained = np.where(EPOCHS == LAST, 8, EPOCHS).reshape(-1) * USED.reshape(-1)
    trained[4] -= 2
    for limit in (2, 15, 20):
        limited = run_with(epochs=limit, last_epoch=8)
        np.testing.assert_array_equal(
            limited.mask, free.mask & (np.cumsum(trained) <= limit)
        )


@pytest.mark.parametrize("cuts", [(1, 3), (3, 1), (1, 1, 1, 1)])
def test_a_search_that_is_cut_goes_on_with_the_same_bits(cuts):
    def evaluate_drawn(key, arch, epoch, trained):
        drawn = jax.random.uniform(key)
        return evaluate(key, arch, epoch, trained)._replace(valid=drawn)

    algorithm, limits = script(), search.limit(queries=6)
    whole = jax.jit(
        lambda key: search.run(
            key, algorithm, evaluate_drawn, NUM_STEPS, budget_queries=6
        )
    )(jax.random.key(5))
    go_on = jax.jit(
        lambda run, num_steps: search.advance(
            run, algorithm, evaluate_drawn, limits, num_steps=num_steps
        ),
        static_argnums=1,
    )
    run, parts = search.start(jax.random.key(5), algorithm), []
    for num_steps in cuts:
        run, part = go_on(run, num_steps)
        parts.append(part)
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)
    assert joined.mask.sum() == 6 and int(run.steps) == NUM_STEPS
    with pytest.raises(errors.ConfigError, match="num_steps = 0"):
        search.advance(run, algorithm, evaluate_drawn, limits, num_steps=0)


def test_a_cost_that_is_not_recorded_makes_the_clock_unknown():
    spent, limits = budget.Spent.zero(), budget.limit(seconds=100.0)
    proposal = Proposal.batch(jnp.zeros((3, 1), jnp.int32), trial=jnp.arange(3))
    raw = search.Evaluation(
        jnp.array([0.1, 0.2, 0.3]),
        jnp.zeros(3),
        jnp.array([5.0, jnp.nan, 5.0]),
        jnp.zeros((3, 0)),
    )
    spent, counted, seconds = budget.charge(spent, limits, proposal, raw)
    np.testing.assert_array_equal(counted, [True, False, False])
    np.testing.assert_array_equal(seconds, [5, np.nan, np.nan])
    _, counted, _ = budget.charge(
        budget.Spent.zero(), budget.limit(queries=2), proposal, raw
    )
    np.testing.assert_array_equal(counted, [True, True, False])


def test_bad_budgets_are_named():
    for limits in ({"queries": 0}, {"seconds": -1.0}, {"epochs": 0, "last_epoch": 3}):
        with pytest.raises(errors.ConfigError, match="must be positive"):
            budget.limit(**limits)
    with pytest.raises(errors.ConfigError, match="needs last_epoch"):
        search.run(jax.random.key(0), script(), evaluate, NUM_STEPS, budget_epochs=10)


def test_proposals_have_the_types_of_the_contract():
    single = Proposal.single(jnp.arange(5), trial=7, epoch=3)
    assert single.archs.shape == (1, 5) and single.archs.dtype == jnp.int32
    assert [int(x[0]) for x in single[1:]] == [3, 1, 7, 0]
    batch = Proposal.batch(jnp.zeros((2, 5), jnp.int8), trial=jnp.arange(2), trained=4)
    kinds = [(x.shape, x.dtype.name) for x in batch]
    assert kinds == [
        ((2, 5), "int32"),
        ((2,), "int32"),
        ((2,), "bool"),
        ((2,), "int32"),
        ((2,), "int32"),
    ]
    np.testing.assert_array_equal(batch.trained, [4, 4])
    np.testing.assert_array_equal(batch.epochs, [LAST, LAST])
