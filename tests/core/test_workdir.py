import json
import os
import signal
import subprocess
import sys

import pytest

from nasjax.core import errors, result, workdir

CONFIG = {
    "seed": 0,
    "data": {"name": "digits", "dir": "a", "sizes": (8, 8)},
    "supernet": {"num_cells": 3, "rate": 0.1, "extra": {}},
}


def changed(**values):
    config = json.loads(json.dumps(CONFIG))
    for key, value in values.items():
        group, name = key.split("__")
        config[group][name] = value
    return config


@pytest.fixture
def folder(tmp_path):
    yield tmp_path / "runs" / "digits"
    workdir.release(tmp_path / "runs" / "digits")


def test_the_same_configuration_resumes(folder):
    assert workdir.claim(folder, CONFIG) is False
    assert result.read(folder / "config.json") == changed()
    assert workdir.claim(folder, CONFIG) is True
    assert workdir.claim(str(folder), changed(supernet__num_cells=3.0)) is True


@pytest.mark.parametrize(
    "config, problem",
    [
        (changed(supernet__num_cells=4), "config.supernet.num_cells = 3, not 4;"),
        (changed(data__name="cifar10"), 'config.data.name = "digits", not "cifar10";'),
        (changed(data__sizes=[8, 9]), r"config.data.sizes = \[8, 8\], not \[8, 9\];"),
        (changed(supernet__new=1), r"config.supernet.new = \(absent\), not 1;"),
        ({"seed": 0}, r'config.data.dir = "a", not \(absent\);'),
        (changed(supernet__extra={"a": None}), r"extra.a = \(absent\), not null;"),
        ({**CONFIG, "seed": False}, "config.seed = 0, not false;"),
    ],
)
def test_another_configuration_is_refused_and_the_folder_intact(
    config, problem, folder
):
    workdir.claim(folder, CONFIG)
    (folder / "metrics.jsonl").write_text("rows")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(errors.WorkdirError, match=problem) as error:
        workdir.claim(folder, config)
    assert str(folder) in str(error.value) and "--workdir" in str(error.value)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert workdir.claim(folder, CONFIG) is True


def test_ignored_keys_and_groups_may_differ(folder):
    workdir.claim(folder, CONFIG)
    assert workdir.claim(folder, changed(data__dir="b"), ignore=["data.dir"])
    assert workdir.claim(folder, {**CONFIG, "data": {"x": 1}}, ignore=["data"])
    with pytest.raises(errors.WorkdirError, match="data.dir"):
        workdir.claim(folder, changed(data__dir="b"), ignore=["data.di", "dir"])


@pytest.mark.parametrize("content", ["", "{", "[]", "\0\0"])
def test_a_damaged_config_file_is_named(content, folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(content)
    with pytest.raises(errors.WorkdirError, match="config.json.*--workdir"):
        workdir.claim(folder, CONFIG)
    assert (folder / "config.json").read_text() == content


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(errors.WorkdirError, match=f"{path}.*--workdir"):
            workdir.claim(path, CONFIG)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("place", ["mkdir", "write"])
def test_a_folder_that_cannot_be_written_is_named(place, folder, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    owner = workdir.pathlib.Path if place == "mkdir" else workdir.result
    monkeypatch.setattr(owner, place, refuse)
    with pytest.raises(errors.WorkdirError, match="digits.*Permission denied"):
        workdir.claim(folder, CONFIG)


HOLDER = """
import sys, time
from nasjax.core import workdir
print(workdir.claim(sys.argv[1], {"seed": 1}), flush=True)
time.sleep(60)
"""


def test_two_live_processes_do_not_share_a_folder(folder):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "False\n"
        with pytest.raises(errors.WorkdirError, match=f"process {holder.pid} is"):
            workdir.claim(folder, {"seed": 1})
        assert (folder / ".lock").read_text() == str(holder.pid)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert workdir.claim(folder, {"seed": 1}) is True
    assert (folder / ".lock").read_text() == str(os.getpid())


def test_a_refused_claim_unlocks_only_what_it_locked(folder):
    before = set(workdir._locks)  # of other tests of this process
    workdir.claim(folder, CONFIG)
    with pytest.raises(errors.WorkdirError):
        workdir.claim(folder, {"seed": 1})
    assert set(workdir._locks) - before == {folder.resolve()}
    workdir.release(folder)
    with pytest.raises(errors.WorkdirError):
        workdir.claim(folder, {"seed": 1})
    assert set(workdir._locks) == before


def test_a_folder_that_is_no_path_is_refused():
    with pytest.raises(errors.WorkdirError, match="is no path"):
        workdir.claim("a\0b", {"a": 1})
