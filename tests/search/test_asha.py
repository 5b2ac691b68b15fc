"""ASHA against the paper's algorithm on dictionaries, and its laws."""

import time
from concurrent import futures

import curve_table
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import multi_fidelity as plain

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.search.loops import scan
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
KEY = jax.random.key(7)
NUM_STEPS, CAPACITY = 180, 180
EPOCHS = (1, 3, 9, 27)
SETTINGS = {"max_epochs": 27, "eta": 3, "capacity": CAPACITY}
ALGORITHM = search.make("asha", SPACE, **SETTINGS)
run = jax.jit(search.run, static_argnums=(1, 3))


@pytest.fixture(scope="module")
def sampled():
    """What `space.sample` gives in each ask."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        scan.split_keys(KEY).asks, jnp.arange(NUM_STEPS)
    )
    return [tuple(arch) for arch in np.asarray(jax.vmap(SPACE.sample)(keys)).tolist()]


def expected(sampled, ahead, kind=(), *, eta=3, epochs=EPOCHS, resume=True):
    """Rows of the plain algorithm with so many jobs in flight, told in ask order."""
    search = plain.Asha(epochs, eta, lambda step: sampled[step])
    flying, rows = [], []
    for step in range(NUM_STEPS):
        flying.append(search.job(step))
        if len(flying) == ahead:
            arch, rung, trial = flying.pop(0)
            score = curve_table.plain_score(arch, epochs[rung], *kind)
            search.report(rung, trial, score)
            paid = epochs[rung - 1] if rung and resume else 0
            rows.append((arch, epochs[rung], trial, paid, score))
    return search, rows


def drive(algorithm, *, train=curve_table.train, num_steps=NUM_STEPS, **settings):
    return search.drive(KEY, algorithm, train, num_steps, **settings)


KINDS = {
    "distinct": (curve_table.DISTINCT, curve_table.BROKEN),
    "ties": (curve_table.TIES, curve_table.BROKEN),
    "few have a score": (curve_table.TIES, 2),
    "none has a score": (curve_table.DISTINCT, 1),
}
"""Arguments of the benchmark."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resume", [True, False])
def test_every_evaluation_is_that_of_the_papers_algorithm(sampled, resume, kind):
    algorithm = search.make("asha", SPACE, resume=resume, **SETTINGS)
    history = run(KEY, algorithm, curve_table.evaluate(*KINDS[kind]), NUM_STEPS)
    asha, rows = expected(sampled, 1, KINDS[kind], resume=resume)
    assert curve_table.rows(history) == rows
    reached = EPOCHS[:1] if kind == "none has a score" else EPOCHS
    assert {row[1] for row in rows} == set(reached)
    curve_table.check_laws(history, resume=resume)
    # Nothing promotable is left but what the last result has opened.
    assert sum(len(asha.open(rung)) for rung in range(3)) <= 1


def test_other_rungs_of_the_papers_own_settings(sampled):
    algorithm = search.make("asha", SPACE, max_epochs=27, min_epochs=2)
    history = run(KEY, algorithm, curve_table.evaluate(), NUM_STEPS)
    settings = {"eta": 4, "epochs": (6, 27)}
    assert set(np.unique(history.epochs)) == {6, LAST}
    _, rows = expected(sampled, 1, **settings)
    assert curve_table.rows(history) == rows
    late = search.make("asha", SPACE, early_stopping=2, **SETTINGS)
    epochs = run(KEY, late, curve_table.evaluate(), 20).epochs
    assert set(np.unique(epochs)) == {9, LAST}
    full = search.make("asha", SPACE, early_stopping=3, **SETTINGS)
    assert (run(KEY, full, curve_table.evaluate(), 5).epochs == LAST).all()


@pytest.mark.parametrize("ahead", [2, 5])
def test_workers_never_wait(sampled, ahead):
    history = drive(ALGORITHM, ask_ahead=ahead)
    _, rows = expected(sampled, ahead)
    told = curve_table.rows(history)
    assert told[: len(rows)] == rows and len(told) == NUM_STEPS
    curve_table.check_laws(history, resume=True)


def test_any_order_of_results_keeps_the_laws():
    """Two workers; every promoted one was in the top 1 / eta of what was told."""

    def train(key, arch, epoch, trained):
        time.sleep(0.001 * (int(arch[0]) % 4))
        return curve_table.train(key, arch, epoch, trained)

    with futures.ThreadPoolExecutor(2) as executor:
        history = drive(
            ALGORITHM, train=train, executor=executor, ask_ahead=2, order="completed"
        )
    rows = curve_table.rows(history)
    assert len({(row[1], row[2]) for row in rows}) == NUM_STEPS  # each told once
    curve_table.check_laws(history, resume=True)
    promoted = [end for end, row in enumerate(rows) if row[1] > EPOCHS[0]]
    assert all(was_on_top(rows, end) for end in promoted) and len(promoted) > 40


def was_on_top(rows, end):
    """Whether the training of row `end` was in the top third of its rung before."""
    _, epochs, trial, _, _ = rows[end]
    below = EPOCHS[EPOCHS.index(epochs) - 1]
    for count in range(end + 1):
        scores = {row[2]: row[-1] for row in rows[:count] if row[1] == below}
        if scores.get(trial, -np.inf) > -np.inf:
            better = sum(score > scores[trial] for score in scores.values())
            if better < len(scores) // 3:
                return True
    return False


def test_pieces_and_trials_are_the_whole():
    evaluate = curve_table.evaluate()
    whole = run(KEY, ALGORITHM, evaluate, NUM_STEPS)
    go_on = jax.jit(scan.advance, static_argnames=("algorithm", "num_steps"))
    begun, parts = jax.jit(scan.start, static_argnums=1)(KEY, ALGORITHM), []
    for _ in range(3):
        begun, part = go_on(begun, ALGORITHM, evaluate, search.limit(), num_steps=60)
        parts.append(part)
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)
    keys = jnp.stack([jax.random.key(9), KEY])
    trials = search.run_trials(keys, ALGORITHM, evaluate, NUM_STEPS)
    jax.tree.map(lambda xs, x: np.testing.assert_array_equal(xs[1], x), trials, whole)


def test_a_killed_search_goes_on_where_it_was(tmp_path):
    class Broken(Exception):
        pass

    def fragile(*arguments):
        calls.append(0)
        if len(calls) in (9, 17):
            raise Broken
        return curve_table.train(*arguments)

    calls, settings = [], {"ask_ahead": 2, "num_steps": 24}
    kept = {**settings, "folder": tmp_path}
    for _ in range(2):
        with pytest.raises(Broken):
            drive(ALGORITHM, train=fragile, **kept)
    history = drive(ALGORITHM, train=fragile, **kept)
    whole = drive(ALGORITHM, **settings)
    jax.tree.map(np.testing.assert_array_equal, history, whole)
    assert len(calls) == 26


def test_the_oldest_trainings_are_forgotten():
    small = search.make("asha", SPACE, **{**SETTINGS, "capacity": 4})
    history = run(KEY, small, curve_table.evaluate(), 60)
    curve_table.check_laws(history, resume=True)
    trials = np.asarray(history.trial)
    assert trials.max() >= 40
    begun = np.maximum.accumulate(trials)
    assert (begun - trials < 4).all() and (np.asarray(history.epochs) != 1).any()
    # What comes back when its place is taken is dropped.
    ask, tell = jax.jit(small.ask), jax.jit(small.tell)
    state, asks = jax.jit(small.init)(KEY), []
    for step in range(5):
        proposal, state = ask(jax.random.key(step), state)
        asks.append(proposal)
    result = search.Evaluation(*(jnp.ones(1),) * 3, jnp.zeros((1, 0)))
    after = tell(state, asks[0], result)
    jax.tree.map(np.testing.assert_array_equal, after, state)
    assert tell(state, asks[4], result).told.sum() == 1


def test_settings_out_of_range_are_named():
    with pytest.raises(errors.ConfigError, match="early_stopping = 4 must be 0 to 3"):
        search.make("asha", SPACE, early_stopping=4, **SETTINGS)
    with pytest.raises(errors.ConfigError, match="capacity = 0"):
        search.make("asha", SPACE, **{**SETTINGS, "capacity": 0})
    with pytest.raises(errors.ConfigError, match="needs max_epochs="):
        search.make("asha", SPACE)
