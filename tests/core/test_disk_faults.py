"""A full disk, and what kills leave: nothing is lost, and errors name the file."""

import contextlib
import os
import resource
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.core import arrays, atomic_file, checkpoint, metric_log, result

ROOM = 4_000


@contextlib.contextmanager
def full_disk():
    """No file can grow beyond `ROOM` bytes: as on a full disk, writes fail midway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


NOISE = np.random.default_rng(0).random(ROOM)
WRITERS = {
    "x.safetensors": lambda path, x: arrays.save(path, {"x": x}),
    "x.json": lambda path, x: result.write(path, {"x": x}),
    "x.txt": lambda path, x: atomic_file.write_text(path, str(x.tolist())),
    "7": lambda path, x: checkpoint.Checkpoints(path.parent).save(7, {"x": x}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_names_the_file_and_leaves_what_was_there(name, tmp_path, capfd):
    path = tmp_path / name
    WRITERS[name](path, NOISE[:2])
    before = contents(tmp_path)
    with full_disk(), pytest.raises(OSError) as error:
        WRITERS[name](path, NOISE)
    assert error.value.filename == str(path) and error.value.strerror
    assert contents(tmp_path) == before
    assert capfd.readouterr().err == ""
    WRITERS[name](path, NOISE)  # when there is room again


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_a_log_on_a_full_disk_fails_and_does_not_wait_for_ever(tmp_path):
    log = metric_log.MetricLog(tmp_path)
    with full_disk():
        with pytest.raises(OSError) as error:
            for step in range(10_000):
                log.write(step, {"loss": 1.0}, stage="s")
        assert str(tmp_path) in error.value.filename
    log.close()
    rows = metric_log.read(tmp_path)
    assert [row["step"] for row in rows] == list(range(len(rows))) and len(rows) > 9


def test_tensorboard_on_a_full_disk_fails_too(tmp_path):
    events = metric_log._Events(tmp_path, 0)
    with full_disk(), pytest.raises(OSError) as error:
        for step in range(10_000):
            events.write(step, {"loss": 1.0})
    assert error.value.filename == str(tmp_path)
    events.close()


def test_every_truncation_of_a_log_leaves_its_whole_rows(tmp_path):
    with metric_log.MetricLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": 1 / step}, stage="s")
    file = tmp_path / "metrics.jsonl"
    whole = file.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        rows = metric_log.read(tmp_path)
        assert [row["step"] for row in rows] == [
            step for step, end in enumerate(ends, 1) if end <= length
        ]
    file.unlink()
    assert metric_log.read(tmp_path) == []


def test_rows_are_kept_by_what_they_say(tmp_path):
    with metric_log.MetricLog(tmp_path) as log:
        for step in range(1, 5):
            log.write(step, {"trial": step % 2}, stage="s")
    with metric_log.MetricLog(tmp_path, keep=lambda row: row["trial"] == 1) as log:
        assert log.last_step == 3
        log.write(log.last_step + 1, {"trial": 5}, stage="s")
    assert [row["step"] for row in metric_log.read(tmp_path)] == [1, 3, 4]


def test_what_killed_writers_left_goes_with_the_next_write(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".x.json.{dead.pid}.tmp"
    living = tmp_path / f".x.json.{os.getppid()}.tmp"
    other = tmp_path / f".y.json.{dead.pid}.tmp"
    for path in (left, living, other):
        path.write_text("half")
    result.write(tmp_path / "x.json", {})
    assert not left.exists() and living.exists() and other.exists()
    # A number that no process can have.
    (tmp_path / f".y.json.{10**30}.tmp").touch()
    result.write(tmp_path / "y.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {
        "x.json",
        "y.json",
        living.name,
    }


def test_other_errors_of_a_writer_stay_what_they_are(tmp_path):
    for error in (ValueError("os is not mentioned"), KeyError("x"), OSError("no code")):
        with pytest.raises(type(error)) as raised:
            with atomic_file.replacing(tmp_path / "x"):
                raise error
        assert raised.value is error
    assert list(tmp_path.iterdir()) == []


def test_the_newest_whole_checkpoint_is_the_one_that_is_restored(tmp_path):
    tree = {"x": jnp.arange(3)}
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.newest_whole() is None
        for step in (1, 2):
            checkpoints.save(step, tree)
        assert checkpoints.newest_whole() == 2
    for file in (tmp_path / "2").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-1])
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.newest_whole() == 1
        shapes = []
        step, restored = checkpoints.restore(lambda s: shapes.append(s) or tree)
    assert step == 1 and shapes == [{"x": (3,)}]
    np.testing.assert_array_equal(restored["x"], tree["x"])
