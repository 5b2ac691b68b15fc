"""Where evaluations run: here, in spawned processes, or on a Dask cluster.

All are `concurrent.futures.Executor`s; `search.drive` takes any other as well.
"""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

from absl import logging

from nasjax.core import errors, worker_process

_LOST_ON_CLUSTER = ("KilledWorker", "FutureCancelledError", "CommClosedError")


class InProcess(futures.Executor):
    """Runs each call at once, in the calling thread."""

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> futures.Future[Any]:
        """Calls `fn`; the future that is returned is done."""
        future: futures.Future[Any] = futures.Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(futures.Executor):
    """Spawned worker processes; a pool that lost one is replaced by a new one.

    The standard pool is of no further use once a worker was killed. Here the futures
    of the broken pool fail with `BrokenExecutor` as there, and the next `submit` starts
    new workers. What is submitted must be picklable: functions of modules, and
    `functools.partial`s of them. Workers leave SIGINT to their parent and end with it,
    however it ends. A script that starts processes needs
    `if __name__ == "__main__":`.
    """

    def __init__(self, num_workers: int) -> None:
        """Workers start with the first call; `num_workers` is at least 1."""
        if num_workers < 1:
            raise errors.ConfigError(f"num_workers = {num_workers} must be at least 1")
        self._num_workers = num_workers
        self._context = multiprocessing.get_context("spawn")
        # Workers have the one end; that the other is closed asks them to stop.
        self._stop, self._go_on = self._context.Pipe(duplex=False)
        self._pool = self._make_pool()

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> futures.Future[Any]:
        """Schedules a call, in a new pool if this one is broken."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except futures.BrokenExecutor:
            logging.warning("a worker process ended abruptly; starting new ones")
            self._pool.shutdown(wait=False)
            self._pool = self._make_pool()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers after the calls they are at."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def stop(self) -> None:
        """Asks the workers to save what they are at and to end, without waiting.

        They get SIGTERM: calls that note it (`core.signals.StopSignal`) end when they
        have saved their state, others at once. No more calls can be submitted.
        """
        self._go_on.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_pool(self) -> futures.ProcessPoolExecutor:
        # Forking a process that runs jax may deadlock.
        return futures.ProcessPoolExecutor(
            self._num_workers,
            mp_context=self._context,
            initializer=worker_process.start,
            initargs=(self._stop,),
        )


@contextlib.contextmanager
def cluster(
    address: str | None = None,
    *,
    num_workers: int = 2,
    resources: Mapping[str, float] | None = None,
    timeout: float = 30.0,
) -> Iterator[futures.Executor]:
    """A Dask cluster as an executor; needs the extra `cluster`.

        with executors.cluster("tcp://host:8786", resources={"eval": 1}) as executor:
            search.drive(..., executor=executor, ask_ahead=8)

    Messages are pickles: a scheduler must not listen to machines that are not
    trusted. Dask itself retries the calls of a lost worker; one that lost several
    fails with `KilledWorker`.

    Args:
      address: of a running scheduler (of dask-jobqueue, SSH, Kubernetes). None: own
        processes on this machine, listening on the loopback interface only.
      num_workers: how many own processes, of one thread each.
      resources: what a call takes of a worker, such as `{"eval": 1}` where workers were
        started with `--resources "eval=1"`, so that each trains one network at a time.
      timeout: seconds in which the scheduler must answer.

    Raises:
      ConfigError: the extra is not installed, or the scheduler does not answer.
      LostScheduler: by `submit`, when the scheduler is gone.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise errors.ConfigError(
            "a cluster needs Dask: pip install 'nasjax[cluster]'"
        ) from error
    with contextlib.ExitStack() as stack:
        if address is None:
            own = distributed.LocalCluster(
                n_workers=num_workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
            )
            address = stack.enter_context(own).scheduler_address
        try:
            client = stack.enter_context(distributed.Client(address, timeout=timeout))
        except OSError as error:
            raise errors.ConfigError(
                f"no Dask scheduler answers at {address!r}: {error}"
            ) from error
        wanted = {} if resources is None else {"resources": dict(resources)}
        yield _Cluster(client, client.get_executor(**wanted), address)


class LostScheduler(errors.NasjaxError):
    """The scheduler of a Dask cluster is gone, and every evaluation with it."""


class _Cluster(futures.Executor):
    """Dask's executor, which says that its scheduler is gone.

    Dask itself takes calls after that, whose futures never end.
    """

    def __init__(self, client: Any, executor: futures.Executor, address: str) -> None:
        self._client, self._executor, self._address = client, executor, address

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> futures.Future[Any]:
        """Schedules a call; raises `LostScheduler`."""
        if self._client.status in ("closing", "closed"):
            raise LostScheduler(
                f"the Dask scheduler at {self._address!r} is gone; start one, and the "
                "same command continues what was saved"
            )
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of Dask's executor, which has no `cancel_futures`."""
        del cancel_futures
        self._executor.shutdown(wait=wait)


def is_lost(error: BaseException) -> bool:
    """Whether an evaluation failed because its worker did, and can be tried again.

    A worker that was asked to stop alone (SIGTERM) has exited as well.
    """
    gone = (
        futures.BrokenExecutor,
        futures.CancelledError,
        asyncio.CancelledError,
        SystemExit,
    )
    module, name = type(error).__module__.split(".")[0], type(error).__name__
    return isinstance(error, gone) or (
        module == "distributed" and name in _LOST_ON_CLUSTER
    )
