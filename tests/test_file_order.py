"""The order of files, and what is recorded of them."""

import os
import types

import file_order
import pytest
import script_server


def test_packaging_comes_first_then_the_longest_and_files_stay_whole(monkeypatch):
    known = {"tests/short.py": 1.0, "tests/long.py": 90.0, file_order.FIRST: 5.0}
    monkeypatch.setattr(file_order, "read", lambda: known)
    names = ["tests/short.py::a", "tests/new.py::a", "tests/long.py::a"]
    names += [f"{file_order.FIRST}::a", "tests/long.py::b", "tests/short.py::b"]
    items = [types.SimpleNamespace(nodeid=name) for name in names]
    file_order.pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == [
        f"{file_order.FIRST}::a",
        "tests/long.py::a",
        "tests/long.py::b",
        "tests/new.py::a",
        "tests/short.py::a",
        "tests/short.py::b",
    ]


def test_a_partial_run_keeps_the_numbers_of_other_files(monkeypatch):
    here, other, gone = "tests/test_file_order.py", "tests/shared.py", "tests/gone.py"
    monkeypatch.setattr(file_order, "read", lambda: {here: 1.0, other: 2.0, gone: 3.0})
    monkeypatch.setattr(file_order, "_recorded", {here: 4.04})
    assert file_order._merged() == {here: 4.0, other: 2.0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_script_in_a_fork_is_as_in_a_process_of_its_own(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, json\n"
        "print(sys.argv[1:], __name__, json.__name__)\n"
        "json.mark = getattr(json, 'mark', 0) + 1\n"
        "print(json.mark, file=sys.stderr)\n"
        "if sys.argv[1] == 'bug':\n    raise RuntimeError('a bug')\n"
        "sys.exit(int(sys.argv[1]))\n"
    )
    with script_server.Server(["json"]) as server:
        done = [server.run([program, text], tmp_path) for text in ("0", "3", "bug")]
    assert [each.returncode for each in done] == [0, 3, 1]
    assert done[1].stdout == "['3'] __main__ json\n"
    # No call sees what another one changed.
    assert done[0].stderr == done[1].stderr == "1\n"
    assert done[2].stderr.endswith("RuntimeError: a bug\n")
