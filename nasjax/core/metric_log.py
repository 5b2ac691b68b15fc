"""Scalars of a run: one JSON line a row in `metrics.jsonl`, and TensorBoard."""

import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nasjax.core import atomic_file, paths

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_OWN_FIELDS = ("stage", "step", "time")
_FLUSH_SECONDS = 10.0

Row = dict[str, Any]


class MetricLog:
    """Appends rows to `workdir/metrics.jsonl` and scalars to `workdir/tensorboard`.

    A row is `{"stage": ..., "step": ..., "time": ..., **values}`; `time` is seconds
    since 1970. Each row is handed to the operating system before `write` returns, so
    a killed process loses none; write the rows of a step before the checkpoint of
    that step is saved, and a resumed run's file equals an uninterrupted one's but
    for the time.

    Attributes:
      last_step: the greatest step of its rows, 0 where there are none.
    """

    last_step: int

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        resume_step: int | None = None,
        keep: Callable[[Row], bool] | None = None,
    ) -> None:
        """Opens the log.

        Args:
          workdir: the folder of the run; made when it is missing.
          resume_step: the step of the checkpoint that the run resumes from: later
            rows and a torn last line are dropped. None: the run starts anew and all
            rows are dropped.
          keep: which rows stay, instead of `resume_step`, where steps alone do not say
            it.

        Raises:
          OSError: the folder cannot be written.
        """
        workdir = pathlib.Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        self._path = workdir / METRICS_FILE
        newest = -1 if resume_step is None else resume_step
        kept = _keep_only(self._path, keep or (lambda row: row["step"] <= newest))
        self.last_step = max((row["step"] for row in kept), default=0)
        self._file = open(self._path, "a", encoding="utf-8")
        purge_step = newest + 1 if keep is None else self.last_step + 1
        self._events = _Events(workdir / TENSORBOARD_FOLDER, purge_step)

    def write(self, step: int, values: Mapping[str, Any], *, stage: str) -> None:
        """Appends one row.

        Args:
          step: the global step, which grows through all stages of the run.
          values: numbers or 0-d arrays by name; a value that is not finite is null in
            `metrics.jsonl`.
          stage: the part of the run, such as `"supernet"`; TensorBoard shows
            `stage/name`.

        Raises:
          ValueError: a value is named like a field of the row.
          OSError: the row cannot be written; it names the file.
        """
        taken = sorted(set(values) & set(_OWN_FIELDS))
        if taken:
            raise ValueError(f"a metric cannot be named {taken[0]!r}")
        now = time.time()
        numbers = {name: _as_number(value) for name, value in values.items()}
        row: Row = {"stage": stage, "step": int(step), "time": round(now, 3)}
        for name, number in numbers.items():
            row[name] = number if math.isfinite(number) else None
        with atomic_file.naming(self._path):
            self._file.write(json.dumps(row, allow_nan=False) + "\n")
            self._file.flush()
        self.last_step = max(self.last_step, int(step))
        self._events.write(
            int(step), {f"{stage}/{name}": number for name, number in numbers.items()}
        )

    def close(self) -> None:
        """Closes both files."""
        try:
            with atomic_file.naming(self._path):
                self._file.close()
        finally:
            self._events.close()

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(workdir: str | os.PathLike[str]) -> list[Row]:
    """The whole rows of `workdir/metrics.jsonl`; what a kill has torn is left out.

    Empty where there is no such file: everything but curves can do without.
    """
    path = pathlib.Path(workdir) / METRICS_FILE
    with paths.told(path):
        content = path.read_bytes() if path.exists() else b""
    lines = content.splitlines(keepends=True)
    rows = (_read_row(line) for line in lines)
    return [row for row in rows if row is not None]


class _Events:
    """TensorBoard's file, written by this thread.

    tensorboardX' own writer does it in another one. When that dies of a full disk, the
    queue to it fills up, and the run waits for ever.
    """

    def __init__(self, folder: pathlib.Path, purge_step: int) -> None:
        """`purge_step`: TensorBoard hides what earlier files have from there on."""
        # Imported here: it costs a second or more (it imports torch where that is).
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._scalar, self._proto = summary.scalar, event_pb2
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # Events files are named by the second: two starts within one need the suffix.
        with atomic_file.naming(folder):
            self._writer = event_file_writer.EventsWriter(
                str(folder / "events"), f".{time.time_ns()}"
            )
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.write_event(
                event_pb2.Event(
                    wall_time=time.time(), step=purge_step, session_log=start
                )
            )
        self._flushed = 0.0

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        now = time.time()
        with atomic_file.naming(self._folder):
            for tag, number in numbers.items():
                value = self._scalar(tag, number)
                self._writer.write_event(
                    self._proto.Event(wall_time=now, step=step, summary=value)
                )
            if now - self._flushed >= _FLUSH_SECONDS:
                self._writer.flush()
                self._flushed = now

    def close(self) -> None:
        with atomic_file.naming(self._folder):
            self._writer.close()


def _as_number(value: Any) -> int | float:
    number = np.asarray(value).item()
    return number if isinstance(number, int) else float(number)


def _keep_only(path: pathlib.Path, keep: Callable[[Row], bool]) -> list[Row]:
    """Drops torn rows and those that are not to stay; returns the others."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    read = [(line, _read_row(line)) for line in lines]
    kept = [(line, row) for line, row in read if row is not None and keep(row)]
    if len(kept) < len(lines):
        atomic_file.write_text(path, b"".join(line for line, _ in kept).decode())
    return [row for _, row in kept]


def _read_row(line: bytes) -> Row | None:
    """A whole row, or None."""
    try:
        row = json.loads(line)
        whole = line.endswith(b"\n") and isinstance(row["stage"], str)
        return row if whole and type(row["step"]) is int else None
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
