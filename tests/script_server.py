"""Scripts that start in a fork of a process which has imported what they need.

`Server` holds a child that imports modules and computes nothing. Each call forks it and
runs a script there as `__main__`, with its own arguments, folder, environment and files
for what it prints: no call sees another one's flags or programs, and none pays for the
imports again.
"""

import json
import os
import pathlib
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings

import file_order
import patience
import shared


class Server:
    """Runs scripts in forks of one process; a context manager."""

    def __init__(self, modules):
        """Imports these modules before it forks."""
        folders = shared.ROOT, shared.ROOT / "launch"
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            cwd=shared.ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._used = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._process:
            self._process.stdin.close()
        file_order.charge(-self._used)  # what a child used counts when it has ended

    def run(self, arguments, cwd=shared.ROOT):
        """Runs `[script, ...]` in a folder; a `CompletedProcess` with what it said."""
        with tempfile.TemporaryDirectory() as folder:
            out, err = pathlib.Path(folder, "out"), pathlib.Path(folder, "err")
            request = json.dumps([[*map(str, arguments)], *map(str, (cwd, out, err))])
            self._process.stdin.write(request.encode() + b"\n")
            pid = int(self._process.stdout.readline())
            watch = patience.Watch(pid)
            try:
                while not select.select([self._process.stdout], [], [], 0.1)[0]:
                    watch.check()
            except BaseException:
                os.killpg(pid, signal.SIGKILL)
                raise
            status, used = json.loads(self._process.stdout.readline())
            file_order.charge(used)
            self._used += used
            return subprocess.CompletedProcess(
                arguments, status, out.read_text(), err.read_text()
            )


def _serve(modules):
    for name in modules:
        __import__(name)
    for line in sys.stdin:
        arguments, cwd, out, err = json.loads(line)
        with warnings.catch_warnings(action="ignore"):  # nothing runs in threads
            pid = os.fork()
        if pid == 0:
            _become(arguments, cwd, out, err)
        print(pid, flush=True)
        _, status, used = os.wait4(pid, 0)
        answer = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        print(json.dumps(answer), flush=True)


def _become(arguments, cwd, out, err):
    """Is the script from here on."""
    os.setsid()
    os.chdir(cwd)
    for stream, path in ((0, os.devnull), (1, out), (2, err)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, stream)
        os.close(opened)
    sys.argv = arguments
    sys.path[0] = str(pathlib.Path(arguments[0]).resolve().parent)
    status = 1
    try:
        runpy.run_path(arguments[0], run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1:])
