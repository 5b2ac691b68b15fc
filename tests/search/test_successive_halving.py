"""An algorithm that has to wait: successive halving 9 > 3 > 1 in both loops."""

import time
from concurrent import futures

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import LAST, Evaluation, Proposal
from nasjax.search import history as histories
from nasjax.search import incumbents

KEY = jax.random.key(3)
STARTS, RUNGS = (0, 9, 12, 13), (1, 3, LAST)
LAST_EPOCH = 9
# Exact numbers, for programs round differently; all distinct, and curves cross.
CURVES = np.random.default_rng(0).permutation(90_000).reshape(100, 100, 9) / 2**17


class HalvingState(struct.PyTreeNode):
    archs: jax.Array
    valid: jax.Array
    told: jax.Array
    trial: jax.Array
    asked: jax.Array


def halving():
    """Rung by rung; evaluation n has a place of its own; Q = 1."""
    starts, rungs = jnp.array(STARTS), jnp.array((*RUNGS, LAST))

    def init(key):
        return HalvingState(
            archs=jax.random.randint(key, (9, 2), 0, 100),
            valid=jnp.full(13, -jnp.inf),
            told=jnp.zeros(13, bool),
            trial=jnp.full(13, -1, jnp.int32),
            asked=jnp.int32(0),
        )

    def ask(key, state):
        del key
        number = state.asked
        rung = jnp.sum(number >= starts) - 1
        below = starts[jnp.maximum(rung - 1, 0)]
        place = jnp.arange(13)
        before = (place >= below) & (place < starts[rung])
        # The best of the rung below, where all of it is told.
        order = jnp.argsort(jnp.where(before, -state.valid, jnp.inf), stable=True)
        best = state.trial[order[jnp.clip(number - starts[rung], 0, 12)]]
        trial = jnp.where(rung == 0, number, best)
        ready = (rung == 0) | ((rung < 3) & jnp.all(state.told | ~before))
        proposal = Proposal.batch(
            state.archs[trial][None],
            trial=trial[None],
            mask=ready[None],
            epoch=rungs[rung],
            trained=jnp.where(rung == 0, 0, rungs[jnp.maximum(rung - 1, 0)]),
        )
        places = jnp.where(ready, number, 13)
        return proposal, state.replace(
            trial=state.trial.at[places].set(trial, mode="drop"),
            asked=number + ready,
        )

    def tell(state, proposal, evaluation):
        rung = jnp.argmax(rungs[:3] == proposal.epochs[0])
        place = jnp.arange(13)
        mine = (place >= starts[rung]) & (place < starts[rung + 1])
        mine &= (state.trial == proposal.trial[0]) & proposal.mask[0]
        return state.replace(
            valid=jnp.where(mine, evaluation.valid[0], state.valid),
            told=state.told | mine,
        )

    return search.SearchAlgorithm(init, ask, tell)


def evaluate(key, arch, epoch, trained):
    """An epoch takes a second."""
    del key
    epoch = jnp.where(epoch == LAST, LAST_EPOCH, epoch)
    score = jnp.asarray(CURVES, jnp.float32)[arch[0], arch[1], epoch - 1]
    cost = jnp.float32(epoch - trained)
    return Evaluation(score, score - 1, cost, jnp.zeros(0))


_evaluate = jax.jit(evaluate)


def train(key, arch, epoch, trained):
    """Finishes in another order than it started in."""
    time.sleep(0.01 * (int(arch[0]) % 4))
    return _evaluate(key, jnp.asarray(arch), epoch, trained)


def check(history):
    """All rungs, each of the best of the one below."""
    assert history.mask.all() and len(history.mask) == 13
    by_rung = [np.flatnonzero(np.asarray(history.epochs) == rung) for rung in RUNGS]
    assert [len(rows) for rows in by_rung] == [9, 3, 1]
    for below, rows, kept in ((by_rung[0], by_rung[1], 3), (by_rung[1], by_rung[2], 1)):
        ranked = below[np.argsort(-np.asarray(history.valid)[below])][:kept]
        assert set(history.trial[rows]) == set(history.trial[ranked])
        np.testing.assert_array_equal(
            np.asarray(history.trained)[rows], history.epochs[below[0]]
        )
    # Epochs and time can be told from the history alone.
    spent = histories.epochs_spent(history, LAST_EPOCH)
    assert spent[-1] == 9 * 1 + 3 * 2 + 6
    np.testing.assert_array_equal(history.seconds, spent)
    last = incumbents.incumbents(history, min_epochs=LAST)
    np.testing.assert_array_equal(last, [-1] * by_rung[2][0] + [by_rung[2][0]])


@pytest.fixture(scope="module")
def waiting():
    """Four workers, told in the order of the asks; in this process."""
    return search.drive(KEY, halving(), train, 13, ask_ahead=4, last_epoch=LAST_EPOCH)


@pytest.mark.parametrize("order", ["asked", "completed"])
def test_all_rungs_are_run_by_four_workers(waiting, order):
    check(waiting)
    with futures.ThreadPoolExecutor(4) as executor:
        history = search.drive(
            KEY, halving(), train, 13, executor=executor, ask_ahead=4, order=order
        )
    check(history)
    if order == "asked":
        jax.tree.map(np.testing.assert_array_equal, history, waiting)


def test_a_search_that_waits_goes_on_where_it_was_killed(waiting, tmp_path):
    class Broken(Exception):
        pass

    def fragile(*arguments):
        calls.append(0)
        if len(calls) in (8, 11):
            raise Broken
        return train(*arguments)

    calls = []
    settings = {"ask_ahead": 4, "folder": tmp_path}
    for _ in range(2):
        with pytest.raises(Broken):
            search.drive(KEY, halving(), fragile, 13, **settings)
    history = search.drive(KEY, halving(), fragile, 13, **settings)
    jax.tree.map(np.testing.assert_array_equal, history, waiting)
    assert len(calls) == 15


def test_nothing_to_ask_and_nothing_in_flight_is_an_error_with_a_name():
    rows = []
    with pytest.raises(errors.ConfigError) as error:
        search.drive(
            KEY,
            halving(),
            train,
            14,
            ask_ahead=3,
            min_epochs=LAST,
            log=lambda step, row: rows.append(row["best_valid"]),
        )
    message = str(error.value)
    assert "halving has nothing more to ask after 13 steps" in message
    assert "num_steps = 13" in message and "\n" not in message
    assert np.isneginf(rows[:12]).all() and np.isfinite(rows[12]) and len(rows) == 13


def test_in_the_scan_it_adds_no_row_that_counts():
    algorithm = halving()
    run = jax.jit(search.run, static_argnums=(1, 2, 3))
    longer = run(KEY, algorithm, evaluate, 16)
    np.testing.assert_array_equal(longer.mask, np.arange(16) < 13)
    first = jax.tree.map(lambda x: np.asarray(x)[:13], longer)
    check(first)
    one_ahead = search.drive(KEY, algorithm, train, 13)
    jax.tree.map(np.testing.assert_array_equal, first, one_ahead)
    keys = jax.random.split(KEY, 2)
    history = search.run_trials(keys, algorithm, evaluate, budget_queries=13)
    assert (history.mask.sum(axis=1) == 13).all()
    with pytest.raises(errors.DataError, match="asked for nothing more before"):
        search.run_trials(keys, algorithm, evaluate, budget_queries=14)
    # Nine of one epoch and one of two more, which is the tenth that counts.
    limits = {"budget_epochs": 12, "last_epoch": LAST_EPOCH}
    history = search.run_trials(keys, algorithm, evaluate, **limits)
    np.testing.assert_array_equal(history.mask.sum(axis=1), [10, 10])
    silent = algorithm._replace(
        ask=lambda key, state: (
            algorithm.ask(key, state)[0]._replace(mask=jnp.zeros(1, bool)),
            state,
        )
    )
    with pytest.raises(errors.DataError, match="no evaluation counts"):
        search.run_trials(keys, silent, evaluate, 5)
    with pytest.raises(errors.ConfigError, match="nothing more to ask after 0 steps"):
        search.drive(KEY, silent, train, 5)
