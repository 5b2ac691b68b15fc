"""What a worker process does first: it ends with the process that started it.

A killed parent cannot end its workers. Left alone they would train on, hold the locks
of their folders and wait for work for ever.
"""

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection

from nasjax.core import progress


def start(stop: connection.Connection | None = None) -> None:
    """Call in a worker before anything else, such as by `initializer` of a pool.

    The worker leaves SIGINT to its parent, and is gone moments after it: however the
    parent ended, the kernel closes its end of the pipe between them. A process that
    `multiprocessing` did not start has no parent to watch.

    Args:
      stop: when its other end is closed, the worker sends itself SIGTERM, so that what
        it is at can be saved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    progress.plain_warnings()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(
            target=_watch, args=(parent.sentinel, stop), daemon=True, name="parent"
        ).start()


def _watch(parent: int, stop: connection.Connection | None) -> None:
    watched: list[int | connection.Connection] = [parent]
    if stop is not None:
        watched.append(stop)
    while True:
        ended = connection.wait(watched)
        if parent in ended:
            os._exit(1)
        watched = [parent]
        os.kill(os.getpid(), signal.SIGTERM)
