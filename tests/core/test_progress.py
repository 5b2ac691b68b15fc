import io
import logging
import os
import re

import jax.numpy as jnp
import pytest
from absl import logging as absl_logging

from nasjax.core import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def lines(stream):
    return stream.getvalue().splitlines()


def test_plain_lines_are_first_every_interval_and_last(clock):
    stream = io.StringIO()
    bar = progress.progress(
        100, description="supernet", unit="epoch", interval=10, stream=stream
    )
    for epoch in bar:
        clock.now += 1
        bar.set(loss=epoch / 8)
    counts = [int(re.search(r"epoch (\d+)/100", line)[1]) for line in lines(stream)]
    assert counts == [1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 100]
    assert lines(stream)[0] == "supernet: epoch 1/100, loss 0, 1.0 s, 1.6 min left"
    assert lines(stream)[9] == "supernet: epoch 91/100, loss 11.25, 91.0 s, 9 s left"
    assert lines(stream)[-1] == "supernet: epoch 100/100, loss 12.38, 100.0 s"


def test_the_last_line_comes_once_and_after_an_error_too(clock):
    stream = io.StringIO()
    with progress.progress(1, description="d", stream=stream) as bar:
        bar.update()
    bar.close()
    assert lines(stream) == ["d: step 1/1, 0.0 s"]
    stream = io.StringIO()
    with pytest.raises(KeyError):
        with progress.progress(9, description="d", stream=stream) as bar:
            bar.update(2)
            bar.update(3)
            raise KeyError
    assert lines(stream) == [
        "d: step 2/9, 0.0 s, 0 s left",
        "d: step 5/9, 0.0 s, 0 s left",
    ]


def test_a_resumed_loop_goes_on_counting():
    stream = io.StringIO()
    bar = progress.progress(5, description="d", done=3, stream=stream)
    assert list(bar) == [3, 4]
    assert lines(stream)[0] == "d: resumed at step 3/5"
    assert lines(stream)[-1].startswith("d: step 5/5")
    stream = io.StringIO()
    assert list(progress.progress("ab", description="d", done=3, stream=stream)) == [
        "a",
        "b",
    ]
    assert lines(stream)[-1].startswith("d: step 5/5")


def test_iterables_without_a_length_have_no_total():
    stream = io.StringIO()
    assert list(progress.progress(iter("ab"), description="d", stream=stream)) == [
        "a",
        "b",
    ]
    assert lines(stream)[-1].startswith("d: step 2,")


def test_values_are_read_only_when_shown(clock):
    class Costly:
        reads = 0

        def __float__(self):
            Costly.reads += 1
            return 0.5

    stream = io.StringIO()
    with progress.progress(50, description="d", stream=stream) as bar:
        for _ in range(50):
            bar.set(loss=Costly(), accuracy=jnp.float32(0.25), stage="masked", n=3)
            bar.update()
    assert Costly.reads <= 4
    assert lines(stream)[-1] == (
        "d: step 50/50, loss 0.5, accuracy 0.25, stage masked, n 3, 0.0 s"
    )


def test_a_terminal_gets_one_bar_with_the_values(clock):
    stream = Terminal()
    bar = progress.progress(20, description="masking", unit="epoch", stream=stream)
    for epoch in bar:
        clock.now += 1
        bar.set(loss=epoch)
        if epoch == 10:
            progress.echo("a line of its own", stream)
    shown = stream.getvalue()
    assert "masking" in shown and "20/20" in shown and "loss 19" in shown
    assert "\ra line of its own\n" in shown
    assert shown.count("\n") == 2  # the echoed line's and that of the finished bar


def test_what_is_left_is_told_by_the_steps_of_this_process(clock):
    stream = io.StringIO()
    bar = progress.progress(1000, description="d", done=900, stream=stream)
    for each, left in ((100, "2.8 h"), (1000, "15.0 h"), (10_000, "4.2 d")):
        clock.now += each
        bar.update()
        assert lines(stream)[-1].endswith(f", {left} left")


VALUES = {
    "epoch": "17/600",
    "train_loss": 1.2345,
    "train_accuracy": 0.91234,
    "valid_loss": 1.111,
    "valid_accuracy": 0.98765,
    "test_loss": 0.5,
    "test_accuracy": 0.12345,
}


@pytest.mark.parametrize("columns", [70, 80, 120, 200])
def test_a_bar_has_a_size_and_only_whole_values(columns, clock, monkeypatch):
    size = os.terminal_size((columns, 24))
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: size)
    stream = Terminal()
    bar = progress.progress(40_000, description="train_architecture", stream=stream)
    monkeypatch.setattr(bar._bar, "dynamic_ncols", lambda _: (columns, 24))
    bar.set(**VALUES)
    clock.now += 100
    bar.update(12_345)
    shown = stream.getvalue().split("\r")[-1].rstrip()
    bar.close()
    assert len(shown) <= columns and "|" in shown
    assert re.search(r"31%\|.{10}\| 12345/40000 \[.*<", shown) and shown[-1] == "]"
    words = [f"{key} {progress._short(value)}" for key, value in VALUES.items()]
    there = [word for word in words if word in shown]
    assert there == words[: len(there)]
    assert len(there) >= {70: 0, 80: 1, 120: 3, 200: 7}[columns]
    if there:
        assert shown.endswith(f"{there[-1]}]")


def test_warnings_are_lines_that_break_no_bar(capsys):
    before = logging.getLogger().handlers[:]
    try:
        progress.plain_warnings()
        absl_logging.warning("%s is\nodd", "x")
        absl_logging.error("bad")
    finally:
        logging.getLogger().handlers[:] = before
    assert capsys.readouterr().err == "warning: x is odd\nerror: bad\n"


def test_echo_goes_to_standard_output(capsys):
    progress.echo("hello")
    assert capsys.readouterr().out == "hello\n"


def test_progress_goes_to_standard_error(capsys):
    for _ in progress.progress(1, description="d"):
        pass
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("d: step 1/1")
