"""Worker processes, of the standard library and of Dask, one of them killed."""

import multiprocessing
import os
import pathlib
import sys
from concurrent import futures

import jax
import numpy as np
import pytest

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import Evaluation
from nasjax.search import executors
from nasjax.spaces import nasbench201

KEY = jax.random.key(2)
NUM_STEPS, AHEAD, DOOMED = 8, 2, 3


def train(key, arch, epoch, trained, folder):
    """A score by arithmetic; trial number `DOOMED` takes its first worker with it."""
    place = pathlib.Path(folder)
    if int(place.name) == DOOMED and multiprocessing.parent_process() is not None:
        try:
            (place.parent / "died").touch(exist_ok=False)
            os._exit(1)
        except FileExistsError:
            pass
    seed = int(np.asarray(jax.random.key_data(key))[-1]) % 1000
    score = float(arch @ 5 ** np.arange(6)) + seed / 1000
    return Evaluation(score, -score, cost=1.0, curve=())


def drive(folder, executor=None):
    algorithm = search.make("random_search", nasbench201.make())
    return search.drive(
        KEY,
        algorithm,
        train,
        NUM_STEPS,
        executor=executor,
        ask_ahead=AHEAD,
        trainings_folder=folder,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("here"))


def check(history, undisturbed, folder):
    assert (folder / "died").exists()
    jax.tree.map(np.testing.assert_array_equal, history, undisturbed)


def test_a_killed_process_changes_nothing(undisturbed, tmp_path):
    with executors.Processes(2) as executor:
        check(drive(tmp_path, executor), undisturbed, tmp_path)


def test_a_killed_dask_worker_changes_nothing(undisturbed, tmp_path):
    pytest.importorskip("distributed")
    with executors.cluster(num_workers=2) as executor:
        assert isinstance(executor, futures.Executor)
        check(drive(tmp_path, executor), undisturbed, tmp_path)


def test_in_process_calls_are_done_when_they_return():
    executor = executors.InProcess()
    future = executor.submit(max, [1, 3], key=lambda x: -x)
    assert future.done() and future.result() == 1
    failed = executor.submit(max, [])
    assert isinstance(failed.exception(), ValueError)
    assert list(executor.map(abs, [-1, -2])) == [1, 2]


def test_only_lost_workers_are_tried_again():
    killed = type("KilledWorker", (Exception,), {"__module__": "distributed.scheduler"})
    assert executors.is_lost(killed())
    assert executors.is_lost(futures.CancelledError())
    assert executors.is_lost(futures.process.BrokenProcessPool())
    other = type("KilledWorker", (Exception,), {"__module__": "mine"})
    for error in (other(), ValueError(), KeyboardInterrupt(), MemoryError()):
        assert not executors.is_lost(error)


def test_a_cluster_that_cannot_be_used_is_named(monkeypatch):
    with pytest.raises(errors.ConfigError, match="num_workers = 0"):
        executors.Processes(0)
    pytest.importorskip("distributed")
    with pytest.raises(errors.ConfigError, match="no Dask scheduler answers at 'tcp"):
        with executors.cluster("tcp://127.0.0.1:1", timeout=0.2):
            pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(errors.ConfigError, match=r"pip install 'nasjax\[cluster\]'"):
        with executors.cluster():
            pass
