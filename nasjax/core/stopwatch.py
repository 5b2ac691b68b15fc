"""The seconds that a run has taken, over all of its processes."""

import contextlib
import json
import os
import pathlib
import threading
import time

from nasjax.core import atomic_file

_FILE = ".seconds"
_INTERVAL = 10.0


class Stopwatch:
    """Seconds of a run in `folder`, those of killed processes included.

        with Stopwatch(folder) as watch:
            ...
            outcome["seconds"] = watch.seconds

    A thread notes them every ten seconds, which is what a kill can lose. Use it in a
    folder that this process has claimed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._file = pathlib.Path(folder) / _FILE
        self._earlier = _read(self._file)
        self._began = time.monotonic()
        self._end, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._keep_noting, daemon=True)

    @property
    def seconds(self) -> float:
        """Of this process and all before it; what is said to a user is noted too."""
        return self._note()

    def __enter__(self) -> "Stopwatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._note()

    def _keep_noting(self) -> None:
        while not self._end.wait(_INTERVAL):
            self._note()

    def _note(self) -> float:
        # What cannot be written (a full disk) is told by what the run itself writes.
        with self._lock, contextlib.suppress(OSError):
            seconds = self._earlier + time.monotonic() - self._began
            if self._file.parent.is_dir():
                atomic_file.write_text(self._file, json.dumps(round(seconds, 3)))
        return seconds


def _read(file: pathlib.Path) -> float:
    """0 where there is nothing, or nothing that can be read."""
    try:
        seconds = float(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
    return seconds if 0 <= seconds < float("inf") else 0.0
