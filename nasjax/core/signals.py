"""Stopping politely: a signal asks, and the loop saves and leaves when it can."""

import signal
import threading
import types
from typing import Any


class StopSignal:
    """Notes SIGTERM and SIGINT instead of dying; a second SIGINT interrupts.

        with StopSignal() as stop:
            for epoch in range(epochs):
                ...
                if stop.requested:
                    break

    The handlers found at the start are put back at the end. Off the main thread,
    where Python cannot handle signals, nothing is changed and nothing is noted.

    Attributes:
      received: the number of the first signal that came, or None.
    """

    received: int | None

    def __init__(self) -> None:
        self.received = None
        self._previous: dict[int, Any] = {}
        self._interrupts = 0

    @property
    def requested(self) -> bool:
        """True once a signal has asked the run to stop."""
        return self.received is not None

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None: installed by something other than Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, _: types.FrameType | None) -> None:
        if self.received is None:
            self.received = number
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt
