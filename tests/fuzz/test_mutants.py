"""A few mutants of the files of every reader; `tests/fuzz/run.py` makes many more."""

import json
import pathlib
import subprocess
import sys

import pytest
from fuzz import hostile, mutations, run, targets

MUTANTS = 25
READERS = sorted(targets.TARGETS)


def test_mutants_are_the_same_on_every_machine():
    seeds = [bytes(range(256)), b'{"a": 17}' * 9]
    first = [mutations.mutate(seeds, "x", number) for number in range(300)]
    assert first == [mutations.mutate(seeds, "x", number) for number in range(300)]
    assert len(set(first)) > 250


@pytest.mark.parametrize("name", READERS)
def test_the_files_themselves_are_read(name, tmp_path):
    seeds, read = targets.TARGETS[name]()
    for seed in seeds:
        read(seed, tmp_path)


def test_no_mutant_is_more_than_refused():
    found = run.run(READERS, MUTANTS)
    wrong = {name: counts["first"] for name, counts in found.items() if counts["first"]}
    assert not wrong, json.dumps(wrong, indent=2)
    assert all(c["read"] + c["refused"] == MUTANTS for c in found.values())


def test_failures_are_seen(tmp_path, monkeypatch):
    """The judge itself: what is no clean refusal has a name."""
    from nasjax.core.errors import DataError

    def raising(error):
        def read(content, folder):
            raise error

        return read

    assert run.judge(lambda *_: None, b"", "") == "read"
    assert run.judge(raising(DataError("x: damaged")), b"", "") == "refused"
    for error, kind in [
        (KeyError("x"), "crash"),
        (AssertionError(), "crash"),
        (DataError("two\nlines"), "message"),
        (DataError("x" * 2000), "message"),
    ]:
        assert run.judge(raising(error), b"", "").startswith(kind)


def test_hostile_files_take_less_than_a_gigabyte():
    """One child for all; its limit is set anew for each file."""
    command = [sys.executable, str(pathlib.Path(run.__file__).with_name("hostile.py"))]
    done = subprocess.run(command, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in found] == list(hostile.FILES), done.stderr[-3000:]
    assert [line for line in found if line["verdict"] != "refused"] == []
