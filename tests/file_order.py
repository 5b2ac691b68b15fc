"""Test files run longest first, and a worker's memory is given back between files.

`pytest --record-durations` writes the processor seconds of each file that ran, with
those of its child processes, to `tests/durations.json`; files that did not run keep
their number.
"""

import collections
import gc
import json
import os
import pathlib
import resource
import sys

import pytest

DURATIONS = pathlib.Path(__file__).with_name("durations.json")
FIRST = "tests/test_packaging.py"
"""It waits for pip more than it computes."""
NEW_FILE_SECONDS = 20.0
"""Of a file that nobody has measured yet."""
CLEAR_ABOVE_BYTES = 2**30
"""Compiled programs are dropped at the end of a file where a worker has more."""

_recorded: dict[str, float] = collections.defaultdict(float)
_peaks: dict[str, float] = collections.defaultdict(float)
_clock: float | None = None


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-durations",
        action="store_true",
        help="write the processor seconds of each file to tests/durations.json",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every worker sees the same order, so `loadfile` hands out the longest first."""
    durations = read()

    def rank(item):
        file = _file(item.nodeid)
        return file != FIRST, -durations.get(file, NEW_FILE_SECONDS), file

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    done = yield
    if nextitem is not None and _file(nextitem.nodeid) != _file(item.nodeid):
        if "jax" in sys.modules and _resident_bytes() > CLEAR_ABOVE_BYTES:
            sys.modules["jax"].clear_caches()
            gc.collect()
    return done


def charge(seconds: float) -> None:
    """Counts what a process used that is no child of this one."""
    global _clock
    if _clock is not None:
        _clock -= seconds


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Workers attach what they used since their last report."""
    global _clock
    report = yield
    now = sum(os.times()[:4])
    report.cpu_seconds = now - (_clock if _clock is not None else now)
    report.peak_gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _clock = now
    return report


def pytest_runtest_logreport(report):
    file = _file(report.nodeid)
    _recorded[file] += getattr(report, "cpu_seconds", 0.0)
    _peaks[file] = max(_peaks[file], getattr(report, "peak_gigabytes", 0.0))


def pytest_terminal_summary(terminalreporter, config):
    if not config.option.record_durations:
        return
    DURATIONS.write_text(json.dumps(_merged(), indent=0, sort_keys=True) + "\n")
    total, peak = sum(_recorded.values()), max(_peaks.values(), default=0.0)
    terminalreporter.write_line(
        f"{total:.0f} processor seconds, at most {peak:.1f} GiB in a worker"
    )


def read() -> dict[str, float]:
    """Processor seconds by file."""
    return json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}


def _merged():
    merged = read() | {file: round(used, 1) for file, used in _recorded.items()}
    root = DURATIONS.parents[1]
    return {file: used for file, used in merged.items() if (root / file).exists()}


def _file(nodeid):
    return nodeid.partition("::")[0]


def _resident_bytes():
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0  # a system that does not tell
    return pages * os.sysconf("SC_PAGE_SIZE")
