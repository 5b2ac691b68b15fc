"""Where the trainings of a driven search run: here, in processes or on a cluster."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from concurrent import futures
from typing import Any

from nasjax.core import compilation, malloc
from nasjax.core.types import Evaluation
from nasjax.jobs.search.settings import Drive
from nasjax.search.loops import executors
from nasjax.training import architecture

PLACES = ("executor", "workers", "address")
"""Keys that say where trainings run; what they find does not depend on them."""


@contextlib.contextmanager
def executor(config: Drive) -> Iterator[futures.Executor]:
    """Where trainings run; its processes end with the block.

    Args:
      config: `executor`, `workers` and `address`.

    Raises:
      ConfigError: Dask is not installed, or its scheduler does not answer.
    """
    if config.executor == "in_process":
        yield executors.InProcess()
    elif config.executor == "processes":
        pool = executors.Processes(config.workers)
        try:
            yield pool
        except BaseException:
            pool.stop()  # a training may take hours; it goes on where it was
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    else:
        address = config.address or None
        with executors.cluster(address, num_workers=config.workers) as executor:
            yield executor


@dataclasses.dataclass(frozen=True)
class CachedTrainer:
    """A `Trainer` whose process keeps its compiled programs and its freed memory.

    Attributes:
      trainer: what trains.
    """

    trainer: architecture.Trainer

    def __call__(self, *arguments: Any) -> Evaluation:
        """As `Trainer`."""
        _prepare()
        return self.trainer(*arguments)


@functools.cache
def _prepare() -> None:
    compilation.enable_cache()
    malloc.keep_memory()
