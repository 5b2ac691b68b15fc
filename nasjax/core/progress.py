"""How far a loop is: a bar on a terminal, plain lines every few seconds elsewhere."""

import logging
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TextIO

import tqdm

_BAR_INTERVAL = 0.1
_BAR = "{desc}: {percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}"
_COUNT = "{desc}: {n_fmt} [{elapsed}"
"""Without a total there is no bar. The values and `]` follow, as many as fit."""


class Progress:
    """Counts the steps of one loop and shows them; made by `progress`."""

    def __init__(
        self,
        steps: int | Iterable[Any],
        *,
        description: str,
        unit: str = "step",
        done: int = 0,
        interval: float = 10.0,
        stream: TextIO | None = None,
    ) -> None:
        self._items = range(done, steps) if isinstance(steps, int) else steps
        size = len(self._items) if isinstance(self._items, Sized) else None
        self._total = None if size is None else done + size
        self._description = description
        self._unit = unit
        self._done = self._first = done
        self._stream = sys.stderr if stream is None else stream
        self._started = time.monotonic()
        self._shown: tuple[int, str] | None = None
        self._shown_at = -float("inf")
        self._values: dict[str, Any] = {}
        self._bar = None
        self._interval = interval
        if 0 < done < (self._total or 0):
            line = f"{description}: resumed at {unit} {done}/{self._total}"
            print(line, file=self._stream, flush=True)
        if self._stream.isatty():
            # No monitor thread: every step is counted here, none can be missed.
            tqdm.tqdm.monitor_interval = 0
            self._interval = _BAR_INTERVAL
            self._bar = tqdm.tqdm(
                desc=description,
                total=self._total,
                initial=done,
                unit=unit,
                file=self._stream,
                dynamic_ncols=True,
                mininterval=0,
                bar_format=(_COUNT if self._total is None else _BAR) + "{postfix}]",
            )

    def __iter__(self) -> Iterator[Any]:
        with self:
            for item in self._items:
                yield item
                self.update()

    def update(self, count: int = 1) -> None:
        """Counts `count` more steps as done."""
        self._done += count
        now = time.monotonic()
        if now - self._shown_at >= self._interval:
            self._show(now)

    def set(self, **values: Any) -> None:
        """Sets what is shown beside the count, such as `loss=...`.

        Numbers and 0-d arrays are read (a device is waited for) only when shown.
        """
        self._values.update(values)

    def close(self) -> None:
        """Shows the last state; further calls do nothing."""
        if self._shown != (self._done, self._text()):
            self._show(time.monotonic())
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parts(self) -> list[str]:
        return [f"{key} {_short(value)}" for key, value in self._values.items()]

    def _text(self) -> str:
        return ", ".join(self._parts())

    def _fitting(self) -> str:
        """The first values, whole, that the line of a terminal has room for."""
        assert self._bar is not None
        self._bar.set_postfix_str("", refresh=False)
        columns = shutil.get_terminal_size().columns
        room = columns - len(str(self._bar)) - 1
        text = ""
        for part in self._parts():
            longer = f"{text}, {part}"
            if len(longer) > room:
                break
            text = longer
        return text[2:]

    def _seconds_left(self, now: float) -> str:
        """What the steps of this process say about those to come."""
        steps = self._done - self._first
        if self._total is None or steps < 1 or self._done >= self._total:
            return ""
        each = (now - self._started) / steps
        return f"{_duration(each * (self._total - self._done))} left"

    def _show(self, now: float) -> None:
        text = self._text()
        if self._bar is not None:
            self._bar.update(self._done - self._bar.n)
            self._bar.set_postfix_str(self._fitting(), refresh=False)
            self._bar.refresh()
        else:
            count = f"{self._done}" + ("" if self._total is None else f"/{self._total}")
            seconds = f"{now - self._started:.1f} s"
            first = f"{self._description}: {self._unit} {count}"
            parts = [first, text, seconds, self._seconds_left(now)]
            print(", ".join(filter(None, parts)), file=self._stream, flush=True)
        self._shown = (self._done, text)
        self._shown_at = now


def progress(
    steps: int | Iterable[Any],
    *,
    description: str,
    unit: str = "step",
    done: int = 0,
    interval: float = 10.0,
    stream: TextIO | None = None,
) -> Progress:
    """Shows how far a loop is.

        for epoch in (bar := progress(epochs, description="supernet", unit="epoch")):
            bar.set(loss=loss)

    or `with progress(total, ...) as bar:` and `bar.update()`.

    Args:
      steps: how many steps there are in all, or what is iterated over.
      description: what the loop does.
      unit: what a step is called, in the singular.
      done: how many steps an earlier process has done. A number of `steps` includes
        them (`for` yields `done`, ..., `steps - 1`), an iterable does not.
      interval: seconds between two lines where `stream` is no terminal; the first
        step and the last state are shown always.
      stream: where to; standard error by default.
    """
    return Progress(
        steps,
        description=description,
        unit=unit,
        done=done,
        interval=interval,
        stream=stream,
    )


def echo(line: str, stream: TextIO | None = None) -> None:
    """Prints a line (by default on standard output) without breaking a bar."""
    tqdm.tqdm.write(line, file=sys.stdout if stream is None else stream)


def plain_warnings() -> None:
    """Makes warnings lines `warning: ...` on standard error that break no bar.

    For launch scripts: they come with dates, files and line numbers else.
    """
    root = logging.getLogger()
    for handler in [*root.handlers]:
        root.removeHandler(handler)
    root.addHandler(_Lines(logging.WARNING))


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        echo(f"{record.levelname.lower()}: {text}", sys.stderr)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _short(value: Any) -> str:
    if isinstance(value, str | int):
        return str(value)
    return f"{float(value):.4g}"
