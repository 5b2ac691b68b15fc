"""Independent trials of one algorithm, a chunk at a time; finished chunks are files."""

import math
import os
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from nasjax import search
from nasjax.core import arrays, errors, progress, read_guard, signals
from nasjax.experiments.search_problem import Problem
from nasjax.jobs.search.algorithms import Entry
from nasjax.jobs.search.settings import Budget
from nasjax.search.history import History
from nasjax.search.loops import trials

FORM = "nasjax trials 1"
"""Of `trials.safetensors`."""
_MOST_CHUNK = 100
"""Trials of a chunk where the configuration does not say."""
_ROWS = ("epochs", "mask", "valid", "test", "seconds", "trial", "trained")
"""Fields of a history that have a number for each evaluation."""


class Trials(NamedTuple):
    """Finished trials.

    Attributes:
      history: numpy arrays `[R, K, ...]`, only evaluations that count, in their order.
      cpu_seconds: of all threads of the process, compilation included.
    """

    history: History
    cpu_seconds: float


def run(
    keys: Any,
    entry: Entry,
    made: Problem,
    limits: Budget,
    folder: str | os.PathLike[str],
    stop: signals.StopSignal,
) -> Trials:
    """Runs one trial for each key, or reads those that an earlier process finished.

    Args:
      keys: typed keys `[R]`.
      entry: the algorithm.
      made: what is searched.
      limits: what each trial may spend.
      folder: of the chunks' files.
      stop: checked after every chunk.

    Raises:
      DataError: no evaluation gave a score.
      search.Stopped: the process was asked to stop; finished chunks are saved.
    """
    path = pathlib.Path(folder)
    size = _chunk_size(entry, made, limits, len(keys))
    starts = range(0, len(keys), size)
    files = {start: path / f"{start:06d}.safetensors" for start in starts}
    counts = {start: min(size, len(keys) - start) for start in starts}
    parts = {s: _load(file, made, counts[s]) for s, file in files.items()}
    done = sum(counts[start] for start in starts if parts[start] is not None)
    bar = progress.progress(len(keys), description=entry.name, unit="trial", done=done)
    with bar:
        for start in [start for start in starts if parts[start] is None]:
            if stop.requested:
                bar.close()
                progress.echo(
                    f"stopped in {entry.name} after {done} of {len(keys)} trials; the "
                    "same command continues"
                )
                raise search.Stopped(128 + int(stop.received or 0))
            # Chunks of equal size are one program: the last repeats keys.
            places = (start + np.arange(size)) % len(keys)
            part = _run_chunk(keys[places], counts[start], entry, made, limits)
            _save(files[start], part)
            parts[start] = part
            done += counts[start]
            bar.update(counts[start])
    return join([part for part in parts.values() if part is not None])


def join(parts: list[Trials]) -> Trials:
    """Trials one after another; shorter histories are filled with masked rows."""
    length = max(part.history.mask.shape[1] for part in parts)
    padded = [_pad(part.history, length) for part in parts]
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *padded)
    return Trials(joined, sum(part.cpu_seconds for part in parts))


def as_tree(finished: Trials) -> dict[str, Any]:
    """The arrays that are stored: genes as int8 where they fit."""
    history = finished.history
    archs = np.asarray(history.archs)
    if archs.size and np.abs(archs).max() < 128:
        archs = archs.astype(np.int8)
    tree = {name: np.asarray(getattr(history, name)) for name in _ROWS}
    return tree | {"archs": archs}


def compress(history: Any) -> History:
    """Only the evaluations that count, moved to the front of each trial `[R, H]`."""
    mask = np.asarray(history.mask)
    length = max(1, int(mask.sum(axis=1).max()))
    order = np.argsort(~mask, axis=1, kind="stable")[:, :length]

    def take(field: Any) -> np.ndarray:
        field = np.asarray(field)
        index = order.reshape(*order.shape, *(1,) * (field.ndim - 2))
        return np.take_along_axis(field, index, axis=1)

    taken: History = jax.tree.map(take, history)
    return taken


def _chunk_size(entry: Entry, made: Problem, limits: Budget, count: int) -> int:
    """Trials of a chunk: as asked for, within memory, all chunks about equal."""
    steps = trials.SEGMENT
    if limits.queries:
        steps = min(steps, math.ceil(limits.queries / entry.size))
    bytes_each = trials.trial_bytes(entry.algorithm, made.evaluate, steps)
    most = max(1, trials.MEMORY_LIMIT // bytes_each)
    size = min(entry.chunk_size or _MOST_CHUNK, most, count)
    return math.ceil(count / math.ceil(count / size))


def _run_chunk(
    keys: Any, count: int, entry: Entry, made: Problem, limits: Budget
) -> Trials:
    """Trials of some keys, until the budgets of all are used up."""
    began = time.process_time()
    history = search.run_trials(
        keys,
        entry.algorithm,
        made.evaluate,
        budget_seconds=float(limits.seconds) or math.inf,
        budget_queries=limits.queries or None,
        budget_epochs=limits.epochs or None,
        last_epoch=made.last_epoch,
        chunk_size=len(keys),
        vectorized=entry.vectorized,
        description=entry.name,
    )
    kept = jax.tree.map(lambda x: np.asarray(x)[:count], history)
    return Trials(compress(kept), time.process_time() - began)


def _save(file: pathlib.Path, finished: Trials) -> None:
    metadata = {"cpu_seconds": finished.cpu_seconds}
    arrays.save(file, as_tree(finished), metadata=metadata)


def _load(file: pathlib.Path, made: Problem, count: int) -> Trials | None:
    """A finished chunk; a damaged file is one that is not there."""
    if not file.exists():
        return None
    try:
        with read_guard.guard(file, "not trials of a search", remedy="delete it"):
            tree = arrays.load(file)
            tree["archs"] = tree["archs"].astype(np.int32)
            # Older files are of searches that continued no training.
            tree.setdefault("trained", np.zeros_like(tree["trial"]))
            seconds = float(arrays.load_metadata(file)["cpu_seconds"])
            history = History(**tree)
            shapes = {np.shape(getattr(history, name)) for name in _ROWS}
            if shapes != {tree["archs"].shape[:2]}:
                raise errors.DataError(f"{file}: its arrays have different lengths")
    except errors.DataError as error:
        logging.warning("%s; its trials are run again", error)
        return None
    if tree["archs"].shape[::2] != (count, made.space.num_genes):
        raise errors.WorkdirError(
            f"{file}: holds other trials than this configuration's; delete it"
        )
    return Trials(history, seconds)


def _pad(history: Any, length: int) -> Any:
    """Histories `[R, length]`; what is added is masked."""
    fill = {"valid": -np.inf, "test": np.nan}
    values: dict[str, Any] = {}
    for name in History.__dataclass_fields__:
        field = np.asarray(getattr(history, name))
        missing = ((0, 0), (0, length - field.shape[1]), *((0, 0),) * (field.ndim - 2))
        # The clock of a trial that has ended stands still.
        edge = name == "seconds"
        values[name] = (
            np.pad(field, missing, mode="edge")
            if edge
            else np.pad(field, missing, constant_values=fill.get(name, 0))
        )
    return History(**values)
