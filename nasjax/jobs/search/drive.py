"""Searches with real trainings, in this process, in others or on a Dask cluster.

Every architecture that an algorithm asks for is trained by a protocol. Each evaluation
is saved, workers may be lost, and a run that was killed goes on where it was.
"""

import functools
import math
import pathlib
import shutil
import time
from collections.abc import Mapping
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import search, spaces
from nasjax.core import (
    arrays,
    checkpoint,
    errors,
    metric_log,
    read_guard,
    result,
    stopwatch,
    workdir,
)
from nasjax.core.types import Evaluation
from nasjax.experiments import comparison, search_inputs, search_scores
from nasjax.experiments.search_scores import SPLITS, Optima, Scores
from nasjax.jobs import config_door
from nasjax.jobs.search import algorithms, chunks, executors, figures, tables
from nasjax.jobs.search import cells as search_cells
from nasjax.jobs.search.algorithms import Entry
from nasjax.jobs.search.settings import Drive
from nasjax.search.history import History
from nasjax.training import architecture
from nasjax.training import protocol as protocols
from nasjax.training.protocol import Protocol

RESULT_FILE = "result.json"
TRIALS_FILE = "trials.safetensors"
SEARCHES = "searches"
TRAININGS = "trainings"
_MAY_CHANGE = (
    *executors.PLACES,
    "protocol.data.dir",
    "budget.queries",
    "budget.epochs",
)


def run(filled: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Drives every algorithm, `num_trials` times, and returns `result.json`.

    Args:
      filled: `settings.Drive`, and keys of a user's own. `budget.seconds` are measured,
        and then not reproducible; `budget.queries` may be raised later, and the
        searches go on.
      folder: working directory; other machines of a cluster must see it.

    Raises:
      NasjaxError: bad configuration, data or working directory, or a training that
        lost its worker again and again.
      search.Stopped: the process was asked to stop; the state is saved.
    """
    config = config_door.read(Drive, filled)
    protocol, entries = _check(config)
    config_door.claim(folder, filled, ignore=_MAY_CHANGE)
    searches = _plan(entries, config.budget.queries, folder)
    _check_capacities(config, searches, folder)
    histories: dict[str, list[History]] = {entry.name: [] for entry in entries}
    cpu = dict.fromkeys(histories, 0.0)
    with (
        stopwatch.Stopwatch(folder) as watch,
        executors.executor(config) as executor,
        _open_log(searches, folder) as log,
    ):
        drive = functools.partial(_drive, config, protocol, executor, log)
        for planned in searches:
            started = time.process_time()
            histories[planned.entry.name].append(drive(planned))
            cpu[planned.entry.name] += time.process_time() - started
    # What trainings left behind is of no use once all searches are over.
    shutil.rmtree(folder / TRAININGS, ignore_errors=True)
    joined = {name: _join(parts) for name, parts in histories.items()}
    _save(folder, joined, protocol)
    outcome = _summarise(config, filled, folder, protocol, joined, cpu)
    found = {name: row["found"] for name, row in outcome["algorithms"].items()}
    best = {name: cells[0]["arch"] for name, cells in found.items() if cells}
    outcome["commands"] = search_cells.commands(protocol.space, best)
    search_cells.draw(protocol.space, found, folder / "figures")
    outcome["seconds"] = watch.seconds
    result.write(folder / RESULT_FILE, outcome)
    tables.show(outcome, folder)
    search_cells.show(protocol.space, outcome, folder / TRIALS_FILE)
    return outcome


def _check(config: Drive) -> tuple[Protocol, list[Entry]]:
    """Everything that can be wrong, before the workdir belongs to the configuration."""
    protocol = protocols.read(config.protocol)
    inputs = search_inputs.SearchInputs(
        spaces.make(protocol.space), None, config.budget.queries
    )
    shape = functools.partial(_shape, protocol.epochs)
    entries = algorithms.entries(config, inputs, shape)
    for entry in entries:
        if entry.others:
            raise errors.ConfigError(
                f"{entry.name}: drive searches with one embedding, not "
                f"{len(entry.embeddings)}: give each a working directory of its own"
            )
    arch = inputs.space.sample(jax.random.key(0))
    architecture.check(protocol, np.asarray(arch))
    return protocol, entries


def _shape(num_epochs: int, *_: Any) -> Evaluation:
    """What a training returns, for tracing."""
    zero = jnp.float32(0)
    return Evaluation(zero, zero, zero, jnp.zeros(num_epochs))


class _Search(NamedTuple):
    """One search of one algorithm.

    Attributes:
      entry: the algorithm.
      trial: number of the search, which picks its key.
      num_steps: proposals.
      saved: folder of its state.
      trainings: folder of the state of its trainings.
    """

    entry: Entry
    trial: int
    num_steps: int
    saved: pathlib.Path
    trainings: pathlib.Path


def _plan(
    entries: list[Entry], num_queries: int, folder: pathlib.Path
) -> list[_Search]:
    """All searches in the order in which they run."""
    planned = []
    for entry in entries:
        steps = math.ceil(num_queries / entry.size)
        for trial in range(entry.num_trials):
            places = (
                folder / part / entry.name / str(trial)
                for part in (SEARCHES, TRAININGS)
            )
            planned.append(_Search(entry, trial, steps, *places))
    return planned


def _check_capacities(
    config: Drive, searches: list[_Search], folder: pathlib.Path
) -> None:
    """A buffer whose size is the budget keeps the size that its search began with."""
    path, now = folder / workdir.CONFIG_FILE, config.budget.queries
    with read_guard.guard(path, "damaged", remedy="use another --workdir"):
        before = int(result.read(path)["budget"]["queries"])
    for planned in searches if before != now else ():
        name = planned.entry.name
        settings = algorithms.settings_of(config.settings, name)
        is_open = search_inputs.has_open_capacity(planned.entry.kind, settings)
        if is_open and planned.saved.exists():
            raise errors.WorkdirError(
                f"{folder}: {name} began with budget.queries = {before}, which was its "
                f"capacity too, and cannot go on with {now}: use another --workdir, "
                f"and set settings.{name}.capacity there where the budget is to be "
                "raised later"
            )


def _open_log(searches: list[_Search], folder: pathlib.Path) -> metric_log.MetricLog:
    """The log, with one row for every step that a checkpoint holds."""
    saved: dict[tuple[str, int], int] = {}
    for planned in searches:
        with checkpoint.Checkpoints(planned.saved) as checkpoints:
            told = checkpoints.newest_whole() or 0
        saved[planned.entry.name, planned.trial] = told

    def keep(row: Mapping[str, Any]) -> bool:
        search = row["stage"], row.get("trial", 0)
        kept: bool = row.get("told", row["step"]) <= saved.get(search, -1)
        return kept

    return metric_log.MetricLog(folder, keep=keep)


def _drive(
    config: Drive,
    protocol: Protocol,
    executor: futures.Executor,
    log: metric_log.MetricLog,
    planned: _Search,
) -> History:
    """One search; a finished one is read back."""
    entry, trial = planned.entry, planned.trial
    keys = jax.random.split(jax.random.key(config.seed), config.num_trials)

    def write(told: int, row: dict[str, float]) -> None:
        # Steps grow through all searches, also where an earlier one is continued.
        values = {"trial": trial, "told": told, **row}
        log.write(log.last_step + 1, values, stage=entry.name)

    return search.drive(
        keys[trial],
        entry.algorithm,
        executors.CachedTrainer(architecture.Trainer(protocol)),
        planned.num_steps,
        executor=executor,
        ask_ahead=config.ask_ahead,
        folder=planned.saved,
        trainings_folder=planned.trainings,
        budget_seconds=float(config.budget.seconds) or math.inf,
        budget_queries=config.budget.queries,
        budget_epochs=config.budget.epochs or None,
        last_epoch=protocol.epochs,
        min_epochs=config.min_epochs or None,
        curve_length=protocol.epochs,
        log=write,
        description=f"{entry.name}/{trial}",
    )


# --- results -----------------------------------------------------------------------


def _join(parts: list[History]) -> History:
    """Searches `[R, K]`, only the evaluations that count."""
    stacked = [jax.tree.map(lambda x: np.asarray(x)[None], part) for part in parts]
    finished = [chunks.Trials(chunks.compress(part), 0.0) for part in stacked]
    return chunks.join(finished).history


def _save(folder: pathlib.Path, joined: dict[str, History], protocol: Protocol) -> None:
    tree = {
        name: chunks.as_tree(chunks.Trials(history, 0.0))
        for name, history in joined.items()
    }
    metadata = {"form": chunks.FORM, "space": protocol.space}
    arrays.save(folder / TRIALS_FILE, tree, metadata=metadata)


def _summarise(
    config: Drive,
    filled: Mapping[str, Any],
    folder: pathlib.Path,
    protocol: Protocol,
    joined: dict[str, History],
    cpu: dict[str, float],
) -> dict[str, Any]:
    """`result.json` without its seconds; figures on the way."""
    times = search_scores.time_grid(list(joined.values()), 0.0)
    judged = {
        name: _judge(
            history,
            config.budget.queries,
            times,
            min_epochs=config.min_epochs or None,
        )
        for name, history in joined.items()
    }
    nothing = Optima({"valid": None, "test": None}, "unknown")
    space = spaces.make(protocol.space)
    rows = {}
    for name, scores in judged.items():
        row = comparison.summarize(scores, nothing) | {"cpu_seconds": cpu[name]}
        found = search_cells.found(space, scores)
        rows[name] = row | {"best": found[0]["arch"] if found else None, "found": found}
    benchmark = {
        "space": protocol.space,
        "data_set": protocol.data["name"],
        "metric": "loss" if protocol.space in protocols.TEXT_SPACES else "accuracy",
        "epoch": protocol.epochs,
        "last_epoch": protocol.epochs,
        "listed": False,
        "version": "",
    }
    is_accuracy = benchmark["metric"] == "accuracy"
    figures.draw(
        folder,
        judged,
        # The error is what an accuracy falls short of 1, the loss what minus it of 0.
        Optima(dict.fromkeys(SPLITS, 1.0 if is_accuracy else 0.0), "perfect"),
        title=f"{protocol.space} on {protocol.data['name']}",
        unit="%" if is_accuracy else "nats",
        seconds="training seconds",
        word="error" if is_accuracy else "loss",
        log=False,
    )
    return {
        "algorithms": rows,
        "comparisons": comparison.comparisons(
            judged, {name: algorithms.controls(config, name) for name in judged}
        ),
        "benchmark": benchmark,
        "report": benchmark,
        "tables": {},
        "notes": ["regret: - (the best architecture is not known)"],
        "warnings": [],
        "config": dict(filled),
        "versions": result.versions(),
    }


def _judge(
    history: History, num_queries: int, times: np.ndarray, *, min_epochs: int | None
) -> Scores:
    """The incumbents by their own trainings."""
    places = search_scores.places_of(history, min_epochs)
    at = np.maximum(places, 0)
    scores = {
        split: np.take_along_axis(np.asarray(getattr(history, split)), at, axis=1)
        for split in SPLITS
    }
    return search_scores.from_scores(
        history, places, scores, num_queries, times, min_epochs=min_epochs
    )
