"""The seconds of all processes of a run."""

import json

import pytest

from nasjax.core import stopwatch


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(stopwatch.time, "monotonic", lambda: Clock.now)
    return Clock


def test_seconds_of_earlier_processes_count(clock, tmp_path):
    for earlier in (0, 5, 10):
        with stopwatch.Stopwatch(tmp_path) as watch:
            clock.now += 5
            assert watch.seconds == earlier + 5
    assert json.loads((tmp_path / ".seconds").read_text()) == 15


def test_a_killed_process_has_noted_its_seconds(clock, tmp_path, monkeypatch):
    monkeypatch.setattr(stopwatch, "_INTERVAL", 0.001)
    watch = stopwatch.Stopwatch(tmp_path)
    watch.__enter__()  # and never left: as if killed
    clock.now += 7
    while stopwatch.Stopwatch(tmp_path).seconds < 7:
        pass
    watch._end.set()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"nan", b"-3", b"[1]", b"9" * 400]
)
def test_a_damaged_note_is_none(content, tmp_path):
    (tmp_path / ".seconds").write_bytes(content)
    with stopwatch.Stopwatch(tmp_path) as watch:
        assert 0 <= watch.seconds < 60


def test_a_folder_that_went_away_is_no_error(tmp_path):
    with stopwatch.Stopwatch(tmp_path / "gone") as watch:
        pass
    assert watch.seconds >= 0 and not (tmp_path / "gone").exists()
