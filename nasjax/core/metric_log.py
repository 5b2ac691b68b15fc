"""Scalars of a run: one JSON line a row in `metrics.jsonl`, and TensorBoard."""

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasjax.core import atomic_file

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_OWN_FIELDS = ("stage", "step", "time")


class MetricLog:
    """Appends rows to `workdir/metrics.jsonl` and scalars to `workdir/tensorboard`.

    A row is `{"stage": ..., "step": ..., "time": ..., **values}`; `time` is seconds
    since 1970. Each row is handed to the operating system before `write` returns, so
    a killed process loses none; write the rows of a step before the checkpoint of
    that step is saved, and a resumed run's file equals an uninterrupted one's but
    for the time.
    """

    def __init__(
        self, workdir: str | os.PathLike[str], *, resume_step: int | None
    ) -> None:
        """Opens the log.

        Args:
          workdir: the folder of the run; made when it is missing.
          resume_step: the step of the checkpoint that the run resumes from: later
            rows and a torn last line are dropped. None: the run starts anew and all
            rows are dropped.

        Raises:
          OSError: the folder cannot be written.
        """
        # Imported here: it costs a second or more (it imports torch where that is).
        from tensorboardX import SummaryWriter

        workdir = pathlib.Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        last_step = -1 if resume_step is None else resume_step
        _drop_after(workdir / METRICS_FILE, last_step)
        self._file = open(workdir / METRICS_FILE, "a", encoding="utf-8")
        # Events files are named by the second: two starts within one need the suffix.
        self._tensorboard = SummaryWriter(
            str(workdir / TENSORBOARD_FOLDER),
            purge_step=last_step + 1,
            flush_secs=10,
            filename_suffix=f".{time.time_ns()}",
        )

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
        """
        taken = sorted(set(values) & set(_OWN_FIELDS))
        if taken:
            raise ValueError(f"a metric cannot be named {taken[0]!r}")
        now = time.time()
        numbers = {name: _as_number(value) for name, value in values.items()}
        row: dict[str, Any] = {"stage": stage, "step": int(step), "time": round(now, 3)}
        for name, number in numbers.items():
            row[name] = number if math.isfinite(number) else None
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()
        for name, number in numbers.items():
            self._tensorboard.add_scalar(f"{stage}/{name}", number, int(step), now)

    def close(self) -> None:
        """Writes what TensorBoard's queue holds and closes both files."""
        self._file.close()
        self._tensorboard.close()

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_number(value: Any) -> int | float:
    number = np.asarray(value).item()
    return number if isinstance(number, int) else float(number)


def _drop_after(path: pathlib.Path, last_step: int) -> None:
    """Keeps the whole rows of steps up to `last_step`."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _is_kept(line, last_step)]
    if kept != lines:
        atomic_file.write_text(path, b"".join(kept).decode())


def _is_kept(line: bytes, last_step: int) -> bool:
    try:
        row = json.loads(line)
        return line.endswith(b"\n") and row["step"] <= last_step
    except (ValueError, TypeError, LookupError, RecursionError):
        return False
