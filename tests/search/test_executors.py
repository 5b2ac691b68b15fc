"""Worker processes, of the standard library and of Dask, one of them killed."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from concurrent import futures

import jax
import numpy as np
import patience
import pytest
import shared

from nasjax import search
from nasjax.core import errors, signals, workdir
from nasjax.core.types import Evaluation
from nasjax.search.loops import executors
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


def linger(key, arch, epoch, trained, folder):
    """`train` for a worker that is in the middle of it while `hold` is there.

    Left alone it ends after minutes, so that a test fails and does not hang.
    """
    workdir.claim(folder, {}, wait=True)
    place = pathlib.Path(folder)
    (place / "started").touch()
    for _ in range(3600):
        if not (place.parent / "hold").exists():
            break
        time.sleep(0.05)
    (place.parent / f"finished in {os.getpid()}").touch()
    workdir.release(folder)
    return train(key, arch, epoch, trained, folder)


def drive_lingering(folder, executor=None):
    folder = pathlib.Path(folder)
    return drive(folder / "trainings", executor, linger, folder=folder / "search")


def hold(folder):
    """Makes trainings linger."""
    (folder / "trainings").mkdir()
    (folder / "trainings" / "hold").touch()


def two_have_started(folder):
    return len(list((folder / "trainings").glob("*/started"))) == 2


def drive(trainings, executor=None, train=train, **settings):
    algorithm = search.make("random_search", nasbench201.make())
    return search.drive(
        KEY,
        algorithm,
        train,
        NUM_STEPS,
        executor=executor,
        ask_ahead=AHEAD,
        trainings_folder=trainings,
        **settings,
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


DRIVER = """
import sys
import test_executors
from nasjax.search.loops import executors
if sys.argv[2] == "processes":
    with executors.Processes(2) as executor:
        test_executors.drive_lingering(sys.argv[1], executor)
else:
    with executors.cluster(num_workers=2) as executor:
        test_executors.drive_lingering(sys.argv[1], executor)
"""


DASK = pytest.param("dask", marks=pytest.mark.slow)


@pytest.mark.parametrize("kind", ["processes", DASK])
def test_workers_end_with_a_killed_driver_and_the_search_goes_on(
    kind, undisturbed, tmp_path
):
    if kind == "dask":
        pytest.importorskip("distributed")
    hold(tmp_path)
    tests = shared.ROOT / "tests"
    path = os.pathsep.join(map(str, (tests / "search", tests, shared.ROOT)))
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), kind],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
    )
    patience.until(lambda: two_have_started(tmp_path), driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    # Its locks are free soon after: this blocks for ever while a worker has one.
    for place in (tmp_path / "trainings").glob("*/started"):
        workdir.claim(place.parent, {}, wait=True)
        workdir.release(place.parent)
    (tmp_path / "trainings" / "hold").unlink()
    history = drive_lingering(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, history, undisturbed)
    names = {path.name for path in (tmp_path / "trainings").glob("finished *")}
    assert names == {f"finished in {os.getpid()}"}


def save_when_asked(folder):
    with signals.StopSignal() as stop:
        (pathlib.Path(folder) / "begun").touch()
        while not stop.requested:
            time.sleep(0.05)
    (pathlib.Path(folder) / "saved").touch()
    raise search.Stopped(143)


def test_workers_that_are_asked_to_stop_save_first(tmp_path):
    executor = executors.Processes(1)
    future = executor.submit(save_when_asked, tmp_path)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    executor.stop()
    assert executors.is_lost(future.exception())
    executor.shutdown()
    assert (tmp_path / "saved").exists()


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


def test_a_scheduler_that_is_gone_is_named():
    client = types.SimpleNamespace(status="running")
    executor = executors._Cluster(client, executors.InProcess(), "tcp://host:1")
    assert executor.submit(max, 1, 3).result() == 3
    client.status = "closed"
    with pytest.raises(errors.NasjaxError, match="'tcp://host:1' is gone; start one"):
        executor.submit(max, 1, 3)
    assert not executors.is_lost(executors.LostScheduler())


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
