"""The host loop: the same history as the scan, whatever happens on the way."""

import os
import random
import signal
import time
from concurrent import futures

import jax
import jax.numpy as jnp
import latent_table
import numpy as np
import pytest
import search_table

from nasjax import search
from nasjax.core import checkpoint, errors
from nasjax.core.types import Evaluation, Proposal
from nasjax.search.loops import drive_state, executors
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
KEY = jax.random.key(4)
NUM_STEPS, CURVE = 12, len(search_table.EPOCHS)


@pytest.fixture(scope="module")
def evolution():
    return search.make("regularized_evolution", SPACE, population_size=4, sample_size=2)


def pairs():
    """Two genes of trials to their first epoch, then one of them to the end.

    Every other step continues the better trial of the step before; Q = 2.
    """

    def init(key):
        archs = jax.random.randint(key, (2, 6), 0, 5)
        return archs, jnp.zeros(2), jnp.int32(0)

    def ask(key, state):
        archs, valid, step = state
        fresh = jax.random.randint(key, (2, 6), 0, 5)
        again = step % 2 == 1
        best = jnp.argmax(valid)
        trial = 2 * (step // 2) + jnp.where(again, best, jnp.arange(2))
        archs = jnp.where(again, archs[best][None], fresh)
        proposal = Proposal.batch(
            archs,
            trial=trial,
            mask=~again | (jnp.arange(2) == 0),
            epoch=jnp.where(again, 12, 4),
            trained=jnp.where(again, 4, 0),
        )
        return proposal, (archs, valid, step + 1)

    def tell(state, proposal, evaluation):
        archs, _, step = state
        # The last of the curve that is known is what was measured.
        known = jnp.nan_to_num(evaluation.curve, nan=-jnp.inf).max(axis=1)
        return archs, jnp.where(proposal.mask, known, -jnp.inf), step

    return search.SearchAlgorithm(init, ask, tell)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def drive(algorithm, train=search_table.train, num_steps=NUM_STEPS, **settings):
    return search.drive(KEY, algorithm, train, num_steps, **settings)


@pytest.fixture(scope="module")
def undisturbed(evolution):
    """Three asks ahead, in this process."""
    return drive(evolution, ask_ahead=3)


@pytest.mark.parametrize("name", ["evolution", "pairs"])
def test_one_ask_ahead_is_the_scan(evolution, name):
    algorithm = evolution if name == "evolution" else pairs()
    expected = jax.jit(search.run, static_argnums=(1, 3))(
        KEY, algorithm, search_table.evaluate(), NUM_STEPS
    )
    assert np.asarray(expected.mask).any()
    same(drive(algorithm, curve_length=CURVE), expected)


def slow(key, arch, epoch, trained):
    """Returns out of order."""
    time.sleep(0.02 * random.random())
    return search_table.train(key, arch, epoch, trained)


def test_the_history_does_not_depend_on_who_is_first(evolution, undisturbed):
    with futures.ThreadPoolExecutor(4) as executor:
        same(drive(evolution, slow, executor=executor, ask_ahead=3), undisturbed)
    alone = drive(evolution)
    # More asks ahead know less: the histories part after the first population.
    assert (undisturbed.archs[:4] == alone.archs[:4]).all()
    assert (undisturbed.archs != alone.archs).any()


def test_in_order_of_completion_no_worker_waits(evolution):
    def first_is_slow(key, arch, epoch, trained):
        if (key == jax.random.fold_in(jax.random.split(KEY, 3)[2], 0)).all():
            while len(seen) < 4:
                time.sleep(0.01)
        seen.append(0)
        return search_table.train(key, arch, epoch, trained)

    seen = []
    with futures.ThreadPoolExecutor(2) as executor:
        history = drive(
            evolution, first_is_slow, executor=executor, ask_ahead=2, order="completed"
        )
    assert sorted(history.trial) == list(range(NUM_STEPS))
    assert list(history.trial).index(0) >= 3 and history.mask.all()


class Broken(Exception):
    pass


@pytest.mark.parametrize("name", ["evolution", "pairs"])
def test_a_run_that_was_killed_continues_where_it_was(evolution, name, tmp_path):
    algorithm = evolution if name == "evolution" else pairs()
    settings = {"ask_ahead": 3, "curve_length": CURVE}
    expected = drive(algorithm, **settings)
    calls = []

    def fragile(key, arch, epoch, trained):
        calls.append(0)
        # Once in a first round, later within one, and twice in a row.
        if len(calls) in (2, 6, 7, 11):
            raise Broken
        return search_table.train(key, arch, epoch, trained)

    for _ in range(4):
        with pytest.raises(Broken):
            drive(algorithm, fragile, folder=tmp_path, **settings)
    same(drive(algorithm, fragile, folder=tmp_path, **settings), expected)
    # Nothing that was finished was done again.
    assert len(calls) == expected.mask.sum() + 4
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == NUM_STEPS
    # A finished search is read back.
    same(drive(algorithm, None, folder=tmp_path, **settings), expected)


def test_a_signal_stops_it_and_the_same_call_continues(
    evolution, undisturbed, tmp_path
):
    calls = []

    def signalled(key, arch, epoch, trained):
        calls.append(0)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return search_table.train(key, arch, epoch, trained)

    settings = {"ask_ahead": 3, "folder": tmp_path}
    with pytest.raises(search.Stopped) as stopped:
        drive(evolution, signalled, **settings)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert len(calls) == 5
    same(drive(evolution, signalled, **settings), undisturbed)
    assert len(calls) == NUM_STEPS


class Losing(executors.InProcess):
    """Loses the worker of every third call."""

    def __init__(self, error):
        self.error, self.calls, self.threes = error, 0, 3

    def submit(self, fn, /, *args, **kwargs):
        self.calls += 1
        if self.calls % self.threes == 0:
            future = futures.Future()
            future.set_exception(self.error)
            return future
        return super().submit(fn, *args, **kwargs)


LOSSES = [futures.process.BrokenProcessPool("died"), futures.CancelledError()]


@pytest.mark.parametrize("error", LOSSES, ids=lambda error: type(error).__name__)
def test_lost_evaluations_are_sent_again(evolution, undisturbed, error):
    executor = Losing(error)
    same(drive(evolution, executor=executor, ask_ahead=3), undisturbed)
    assert executor.calls > NUM_STEPS


def test_an_evaluation_that_is_always_lost_is_named(evolution):
    executor = Losing(LOSSES[0])
    executor.threes = 1
    with pytest.raises(search.LostEvaluation, match=r"\[\d.* 3 times .*Broken.*died"):
        drive(evolution, executor=executor, retries=2)
    assert executor.calls == 3


def test_what_was_finished_is_saved_before_an_error_is_raised(evolution, tmp_path):
    """Two results arrive together: a good one, then an error."""

    class Together(futures.Executor):
        def submit(self, fn, /, *args, **kwargs):
            return executors.InProcess().submit(fn, *args, **kwargs)

    calls = []

    def second_fails(key, arch, epoch, trained):
        calls.append(0)
        if len(calls) == 2:
            raise Broken
        return search_table.train(key, arch, epoch, trained)

    with pytest.raises(Broken):
        drive(
            evolution, second_fails, executor=Together(), ask_ahead=2, folder=tmp_path
        )
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 1


def test_budgets_end_the_search(evolution):
    whole = drive(evolution)
    limits = [{"budget_queries": 5}, {"budget_seconds": float(whole.seconds[4])}]
    for limit in [*limits, {"budget_epochs": 5 * 12, "last_epoch": 12}]:
        calls = []

        def counted(*arguments, calls=calls):
            calls.append(0)
            return search_table.train(*arguments)

        history = drive(evolution, counted, **limit)
        np.testing.assert_array_equal(history.mask, np.arange(NUM_STEPS) < 5)
        np.testing.assert_array_equal(history.valid[:5], whole.valid[:5])
        assert np.isneginf(history.valid[5:]).all()
        assert len(calls) <= 6


def test_a_diverged_training_is_one_without_a_score(evolution):
    def half(key, arch, epoch, trained):
        if arch[0] % 2:
            raise errors.DivergedError("the loss is nan")
        return search_table.train(key, arch, epoch, trained)

    history = drive(evolution, half)
    odd = history.archs[:, 0] % 2 == 1
    assert 0 < odd.sum() < NUM_STEPS and history.mask.all()
    np.testing.assert_array_equal(np.isneginf(history.valid), odd)
    np.testing.assert_array_equal(np.isnan(history.test), odd)


def test_every_tell_is_logged_and_trainings_have_a_folder(evolution, tmp_path):
    rows, folders = [], []

    def train(key, arch, epoch, trained, folder):
        folders.append((folder, epoch, trained))
        return search_table.train(key, arch, epoch, trained)

    def log(step, row):
        rows.append((step, row))

    settings = {"curve_length": CURVE, "trainings_folder": tmp_path, "log": log}
    history = drive(pairs(), train, 4, **settings)
    assert [step for step, _ in rows] == [1, 2, 3, 4]
    assert rows[-1][1]["queries"] == history.mask.sum() == 6
    assert rows[-1][1]["best_valid"] == history.valid.max()
    assert rows[-1][1]["seconds"] == history.seconds[-1]
    named = [(str(tmp_path / str(trial)), 4, 0) for trial in (0, 1)]
    assert folders[:2] == named
    # The better of the two is continued in its own folder.
    assert folders[2] in [(folder, 12, 4) for folder, *_ in named]


def test_bad_arguments_and_foreign_folders_are_named(evolution, tmp_path):
    with pytest.raises(errors.ConfigError, match="did you mean 'completed'"):
        drive(evolution, order="complete")
    with pytest.raises(errors.ConfigError, match="ask_ahead = 0"):
        drive(evolution, ask_ahead=0)
    with pytest.raises(errors.DataError, match="curve of 2 epochs.*curve_length = 7"):
        drive(evolution, curve_length=7)
    with pytest.raises(TypeError, match="must return an Evaluation, not 0.5"):
        drive(evolution, lambda *_: 0.5)
    drive(evolution, num_steps=2, folder=tmp_path)
    with pytest.raises(errors.WorkdirError, match="with another key"):
        search.drive(
            jax.random.key(5), evolution, search_table.train, 2, folder=tmp_path
        )
    with pytest.raises(errors.WorkdirError, match="holds another state"):
        drive(pairs(), num_steps=3, folder=tmp_path)
    with pytest.raises(errors.WorkdirError, match="2 steps, more than num_steps = 1"):
        drive(evolution, num_steps=1, folder=tmp_path)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(
    evolution, tmp_path
):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file"):
            drive(evolution, lambda *_: pytest.fail("trained"), folder=place)


@pytest.mark.parametrize("name", ["evolution", "pairs"])
def test_more_steps_continue_a_search_that_has_ended(evolution, name, tmp_path):
    algorithm = evolution if name == "evolution" else pairs()
    whole = drive(algorithm, curve_length=CURVE)
    trained = []

    def train(*arguments):
        trained.append(arguments)
        return search_table.train(*arguments)

    settings = {"curve_length": CURVE, "folder": tmp_path}
    drive(algorithm, train, 3, **settings)
    drive(algorithm, train, 7, budget_queries=5, **settings)
    same(drive(algorithm, train, NUM_STEPS, **settings), whole)
    assert len(trained) == whole.mask.sum()


def test_a_search_that_an_older_version_saved_goes_on(tmp_path, monkeypatch):
    """It has no `trained`, and no rewards that are told in parts."""
    algorithm = search.make(
        "latent_reinforce",
        latent_table.SPACE,
        table=latent_table.make(side=6),
        episode_length=3,
        num_hidden=4,
    )
    whole = drive(algorithm, num_steps=4)
    save = checkpoint.Checkpoints.save

    def save_older(self, step, book):
        save(self, step, drive_state.as_saved(book, ()))

    def fragile(*arguments):
        calls.append(0)
        if len(calls) == 5:  # within the second episode
            raise Broken
        return search_table.train(*arguments)

    calls = []
    with monkeypatch.context() as patched, pytest.raises(Broken):
        patched.setattr(checkpoint.Checkpoints, "save", save_older)
        drive(algorithm, fragile, 4, folder=tmp_path)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        names = []
        with pytest.raises(errors.WorkdirError, match="holds another state"):
            checkpoints.restore(lambda shapes: names.extend(shapes))
    assert "history/trial" in names and "state/episodes/asked" in names
    assert "history/trained" not in names
    assert not [name for name in names if "rewards" in name]
    same(drive(algorithm, fragile, 4, folder=tmp_path), whole)


def test_a_budget_that_cut_a_batch_is_not_extended(tmp_path):
    drive(pairs(), folder=tmp_path, budget_queries=4, curve_length=CURVE)
    with pytest.raises(errors.WorkdirError, match="left 1 finished evaluations out"):
        drive(pairs(), folder=tmp_path, budget_queries=9, curve_length=CURVE)


def test_plain_numbers_are_an_evaluation(evolution):
    def train(key, arch, epoch, trained):
        assert isinstance(arch, np.ndarray) and arch.dtype == np.int32
        assert (epoch, trained) == (-1, 0) and type(epoch) is int
        return Evaluation(valid=int(arch[0]) / 4, test=float("nan"), cost=2.5, curve=())

    history = drive(evolution, train, 3)
    np.testing.assert_array_equal(history.valid, history.archs[:, 0] / 4)
    np.testing.assert_array_equal(history.seconds, [2.5, 5.0, 7.5])
