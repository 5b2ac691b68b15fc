"""A search as a loop on the host: real trainings on any executor, checkpointed."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import jax
import numpy as np

from nasjax.core import checkpoint, errors, progress, signals
from nasjax.core.types import Evaluation, Key, Proposal
from nasjax.search import incumbents
from nasjax.search.algorithm import SearchAlgorithm, as_argument, name_of
from nasjax.search.history import History
from nasjax.search.loops import budget, drive_state, executors, scan
from nasjax.search.loops.dispatch import EvaluationPool, Train, make_task
from nasjax.search.loops.drive_state import DriveState

ORDERS = ("asked", "completed")
# How long a signal may wait while evaluations run elsewhere, in seconds.
_PATIENCE = 0.5


class Stopped(SystemExit):
    """The search was asked to stop and has saved its state; not an error."""


def drive(
    key: Key,
    algorithm: SearchAlgorithm,
    train: Train,
    num_steps: int,
    *,
    executor: futures.Executor | None = None,
    ask_ahead: int = 1,
    order: str = "asked",
    folder: str | os.PathLike[str] | None = None,
    trainings_folder: str | os.PathLike[str] | None = None,
    budget_seconds: float = float("inf"),
    budget_queries: int | None = None,
    budget_epochs: int | None = None,
    last_epoch: int | None = None,
    min_epochs: int | None = None,
    curve_length: int = 0,
    retries: int = 3,
    log: Callable[[int, dict[str, float]], None] | None = None,
    description: str = "search",
) -> History:
    """One search with trainings that take their time.

    With `ask_ahead=1` and the same key the history is that of `run`. With more it
    depends on key and `ask_ahead` only: neither on the executor nor on which evaluation
    happens to finish first, nor on lost workers and restarts.

        def train(key, arch, epoch, trained):
            accuracy, seconds = my_training(space.format_arch(arch), epochs=20)
            return Evaluation(accuracy, test=nan, cost=seconds, curve=())

        history = drive(key, algorithm, train, 100, folder="runs/mine/search")

    Args:
      key: all randomness of the search.
      algorithm: what to run.
      train: `(key, arch, epoch, trained) -> Evaluation`; arch is an int32 numpy array
        `[G]`, epoch and trained are ints. It must be picklable for other processes. One
        that raises `DivergedError` counts as a training without a score; any other
        error ends the search, and what was finished before is saved.
      num_steps: how often the algorithm is asked. An `ask` that has nothing to propose
        until more is told does not count, and is repeated then.
      executor: where trainings run; None: in this process, one after another. It is
        not shut down.
      ask_ahead: W, how many proposals are in flight; Q x W trainings run at once.
      order: "asked": results are told in the order of the asks. "completed": as they
        come in, so that no worker waits for another; the history then depends on time.
      folder: where the state is saved before the first and after every evaluation; the
        same call continues from there, proposals half evaluated included. None:
        nowhere. A call with more steps, or larger budgets, continues a search that has
        ended; it is then the longer search for `ask_ahead=1`, and for more but for the
        asks around the seam, which knew more. That needs an algorithm whose buffers
        stay as they are (`capacity`).
      trainings_folder: where trainings may keep their own checkpoints: `train` is
        called with `trainings_folder/TRIAL` as fifth argument, the same when a training
        is continued. The folder must be seen by all workers.
      budget_seconds: ends the search, as the next three; see `scan.run`.
      budget_queries: how many evaluations count.
      budget_epochs: how many trained epochs count.
      last_epoch: how many epochs `LAST` stands for.
      min_epochs: trainings that were stopped before are not the best of the log and of
        the progress bar; see `incumbents.incumbents`.
      curve_length: T, what the curves of `train` must have; 0: curves are not told.
      retries: how often an evaluation whose worker was lost is sent again.
      log: `(step, row)`, called after every tell, before its state is saved: the row
        has valid, test, seconds, best_valid and queries. The step of the newest of
        `checkpoint.Checkpoints(folder)` is the last that was logged and saved.
      description: of the progress bar.

    Raises:
      ConfigError: an argument is out of range, or the algorithm has nothing to ask
        although everything was told: `num_steps` is too large for it.
      WorkdirError: the folder holds another search, or a longer one.
      OSError: the folder cannot be written; nothing was trained then.
      DataError: `train` returned a curve of another length.
      LostEvaluation: an evaluation lost its worker more often than `retries` allows.
      Stopped: SIGTERM or SIGINT came; the state is saved.
    """
    if order not in ORDERS:
        raise errors.unknown_name("order", order, ORDERS)
    if min(ask_ahead, num_steps) < 1 or retries < 0:
        raise errors.ConfigError(
            f"ask_ahead = {ask_ahead} and num_steps = {num_steps} must be at least 1, "
            f"retries = {retries} at least 0"
        )
    limits = budget.limit(budget_seconds, budget_queries, budget_epochs, last_epoch)
    algorithm = as_argument(algorithm)
    book = drive_state.start(
        key, algorithm, num_steps, places=ask_ahead, curve_length=curve_length
    )
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(signals.StopSignal())
        save = stack.enter_context(_Saver(folder))
        book = save.restore(book)
        if book.told < num_steps and not book.spent.is_over(limits):
            _check_extension(book, folder)
        crew = EvaluationPool(executor or executors.InProcess(), train, retries)
        stack.enter_context(crew)
        bar = progress.progress(num_steps, description=description, done=book.told)
        stack.enter_context(bar)
        waits = False
        while book.told < num_steps and not book.spent.is_over(limits):
            if not waits:
                book, waits = _ask(book, algorithm, num_steps)
            place = drive_state.next_to_tell(book, order)
            if place is not None:
                book, waits = _tell(book, place, algorithm, limits), False
                _report(book, bar, log, min_epochs)
                save(book)
                continue
            if waits and (book.steps == drive_state.FREE).all():
                remedy = f"; give num_steps = {book.told}" if book.told else ""
                raise errors.ConfigError(
                    f"{description}: {name_of(algorithm)} has nothing more to ask "
                    f"after {book.told} steps, though all of them are told{remedy}"
                )
            if stop.requested:
                save(book)
                bar.close()
                again = "" if folder is None else "; the same command continues"
                progress.echo(f"stopped in {description} at step {book.told}{again}")
                raise Stopped(128 + int(stop.received or 0))
            for place, step, slot in drive_state.missing(book):
                if (step, slot) not in crew:
                    crew.add(
                        (step, slot), _training(book, place, slot, trainings_folder)
                    )
            results = crew.collect(_PATIENCE)
            for (step, slot), evaluation in results:
                checked = _check_curve(evaluation, curve_length)
                book = drive_state.record(book, step, slot, checked)
            if results and drive_state.next_to_tell(book, order) is None:
                save(book)
    return book.history


class _Saver:
    """Saves journals in a folder, or nowhere."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._folder = folder
        self._checkpoints = None if folder is None else checkpoint.Checkpoints(folder)

    def __enter__(self) -> "_Saver":
        return self

    def __exit__(self, *_: object) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()

    def __call__(self, book: DriveState) -> None:
        if self._checkpoints is not None:
            self._checkpoints.save(book.told, book)

    def restore(self, book: DriveState) -> DriveState:
        """The newest journal of the folder, or `book`, saved, where there is none."""
        if self._checkpoints is None:
            return book
        size, num_rows = book.done.shape[1], len(book.history.mask)
        begun = book

        def template(shapes: Mapping[str, tuple[int, ...]]) -> DriveState:
            nonlocal begun
            saved = shapes.get("history/mask", (num_rows,))[0]
            begun = drive_state.resized(book, saved)
            return drive_state.as_saved(begun, shapes)

        found = self._checkpoints.restore(template)
        if found is None:
            self(book)
            return book
        restored = drive_state.completed(found[1], begun)
        if (jax.random.key_data(restored.key) != jax.random.key_data(book.key)).any():
            raise errors.WorkdirError(
                f"{self._folder}: holds a search with another key; use another folder "
                "or delete this one"
            )
        if restored.told * size > num_rows:
            raise errors.WorkdirError(
                f"{self._folder}: holds a search of {restored.told} steps, more than "
                f"num_steps = {num_rows // size}; give at least as many"
            )
        return drive_state.resized(restored, num_rows)


def _check_extension(book: DriveState, folder: str | os.PathLike[str] | None) -> None:
    """A search whose budget ended within a batch has lost the scores of the others."""
    lost = int(book.spent.queries) - int(np.asarray(book.history.mask).sum())
    if lost:
        raise errors.WorkdirError(
            f"{folder}: its budget left {lost} finished evaluations out, so it cannot "
            "go on with a larger one; use another folder"
        )


@jax.jit
def _ask_next(
    algorithm: SearchAlgorithm, key: Key, step: Any, state: Any
) -> tuple[Proposal, Any]:
    return algorithm.ask(jax.random.fold_in(scan.split_keys(key).asks, step), state)


_settle = jax.jit(scan.settle)


def _ask(
    book: DriveState, algorithm: SearchAlgorithm, num_steps: int
) -> tuple[DriveState, bool]:
    """Asks until W proposals are in flight, or there is nothing to ask.

    Returns:
      The journal, and whether there is nothing to ask until more is told: the algorithm
      proposed nothing and its state has not changed. That was no step.
    """
    while book.asked < num_steps and (book.steps == drive_state.FREE).any():
        asked, state = _ask_next(algorithm, book.key, book.asked, book.state)
        proposal = jax.device_get(asked)
        if not proposal.mask.any() and drive_state.is_same(state, book.state):
            return book, True
        book = drive_state.add(book, proposal, state)
    return book, False


def _tell(
    book: DriveState, place: int, algorithm: SearchAlgorithm, limits: budget.Budget
) -> DriveState:
    proposal = jax.tree.map(lambda x: x[place], book.proposals)
    evaluation = jax.tree.map(lambda x: x[place], book.results)
    state, spent, told = _settle(
        algorithm, book.state, proposal, evaluation, book.spent, limits
    )
    return drive_state.tell(book, place, state, spent, jax.device_get(told))


def _training(
    book: DriveState, place: int, slot: int, folder: str | os.PathLike[str] | None
) -> Any:
    archs, epochs, _, trials, trained = (x[place, slot] for x in book.proposals)
    key = jax.random.fold_in(scan.split_keys(book.key).trials, trials)
    own = None if folder is None else str(pathlib.Path(folder) / str(trials))
    return make_task(key, archs, epochs, trained, own)


def _check_curve(evaluation: Evaluation, curve_length: int) -> Evaluation:
    """The evaluation with a curve of the right length."""
    length = np.size(evaluation.curve)
    if curve_length == 0 or length == 0:
        empty: Any = np.full(curve_length, np.nan, np.float32)
        return evaluation._replace(curve=empty)
    if length != curve_length:
        raise errors.DataError(
            f"the training function returned a curve of {length} epochs, not "
            f"curve_length = {curve_length}; fill it with NaN after the last epoch"
        )
    return evaluation


def _report(
    book: DriveState,
    bar: progress.Progress,
    log: Callable[[int, dict[str, float]], None] | None,
    min_epochs: int | None,
) -> None:
    """Shows and logs the proposal that was just told by its best evaluation."""
    size = book.done.shape[1]
    history, end = book.history, book.told * size
    last = slice(end - size, end)
    best = last.start + int(np.argmax(history.valid[last]))
    counts = np.asarray(incumbents.eligible(history, min_epochs))
    row = {
        "valid": float(history.valid[best]),
        "test": float(history.test[best]),
        "seconds": float(history.seconds[end - 1]),
        "best_valid": float(history.valid.max(where=counts, initial=-np.inf)),
        "queries": float(history.mask[:end].sum()),
    }
    if log is not None:
        log(book.told, row)
    bar.update()
    bar.set(best_valid=row["best_valid"], seconds=row["seconds"])
