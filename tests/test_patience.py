"""A hang is told from a busy machine."""

import sys

import patience
import pytest


def test_a_child_that_ends_is_as_from_subprocess():
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = patience.run([sys.executable, "-c", program])
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


@pytest.mark.parametrize(
    ("program", "limits", "reason"),
    [
        ("import time; print('here', flush=True); time.sleep(60)", (0.4, 60), "waited"),
        ("print('here', flush=True)\nwhile True: pass", (60, 0.4), "processor time"),
    ],
)
def test_a_child_that_waits_or_runs_in_circles_is_given_up(program, limits, reason):
    idle, cpu = limits
    with pytest.raises(patience.Hang, match=f"{reason}.*here"):
        patience.run(
            [sys.executable, "-c", program], idle_seconds=idle, cpu_seconds=cpu
        )
