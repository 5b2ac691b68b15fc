"""Child processes that are given up only when they hang, however busy the machine is.

A wall clock cannot tell a hang from a slow machine. A process that hangs either waits,
and then it and its children use no processor time while nothing comes from them, or
runs in circles, and then it uses far more of it than its work takes.
"""

import os
import pathlib
import signal
import subprocess
import tempfile
import time

IDLE_SECONDS = 300.0
"""Of the wall clock, without a hundredth of a second of processor time among them."""
CPU_SECONDS = 1800.0
"""Of a child with its children; what tests start takes a tenth of it at most."""
_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Hang(AssertionError):
    """A child process does not get on."""


class Watch:
    """Notices when a process, or those of a session, no longer get on."""

    def __init__(self, session, idle_seconds=IDLE_SECONDS, cpu_seconds=CPU_SECONDS):
        self._session, self._idle, self._most = session, idle_seconds, cpu_seconds
        self._used, self._since = -1.0, time.monotonic()

    def check(self):
        """Raises `Hang`; call it every now and then."""
        used, now = cpu_seconds(self._session), time.monotonic()
        if used is None:
            return  # a system that does not tell
        if used > self._most:
            raise Hang(f"it has used {used:.0f} s of processor time")
        if used != self._used:
            self._used, self._since = used, now
        elif now - self._since > self._idle:
            raise Hang(f"it has waited for {now - self._since:.0f} s")


def cpu_seconds(session):
    """Processor time of a process, or of all in a session, while they live; or None."""
    if not pathlib.Path("/proc/self/stat").exists():
        return None
    used = 0.0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if session in (int(stat.parent.name), int(fields[3])):
            # Its own time, and that of children that have ended.
            used += sum(map(int, fields[11:15])) * _TICK
    return used


def until(ready, process):
    """Waits for `ready()`, which a process that goes on will make true."""
    watch = Watch(process.pid)
    while not ready():
        assert process.poll() is None, "it has ended early"
        watch.check()
        time.sleep(0.02)


def run(arguments, *, idle_seconds=IDLE_SECONDS, cpu_seconds=CPU_SECONDS, **settings):
    """`subprocess.run` with captured text; a hang is an error with what was printed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            arguments, stdout=out, stderr=err, start_new_session=True, **settings
        )
        watch = Watch(process.pid, idle_seconds, cpu_seconds)
        try:
            while process.poll() is None:
                watch.check()
                time.sleep(0.05)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, Hang):
                raise Hang(
                    f"{error}; {_read(out)[-2000:]}{_read(err)[-2000:]}"
                ) from None
            raise
        return subprocess.CompletedProcess(
            arguments, process.returncode, _read(out), _read(err)
        )


def _read(file):
    file.seek(0)
    return file.read()
