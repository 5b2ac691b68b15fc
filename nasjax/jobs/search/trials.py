"""Searches: trials of algorithms on a benchmark, or searches with real trainings.

`trials` runs independent searches as compiled programs and compares the algorithms;
`drive` trains every architecture that is asked for.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from nasjax.core import (
    arrays,
    compilation,
    malloc,
    registry,
    result,
    signals,
    stopwatch,
)
from nasjax.core.types import LAST
from nasjax.experiments import comparison, search_inputs, search_problem, search_scores
from nasjax.experiments.search_problem import Benchmark, Problem
from nasjax.experiments.search_scores import Optima
from nasjax.jobs import config_door
from nasjax.jobs.search import (
    algorithms,
    chunks,
    clusters,
    drive,
    figures,
    problem,
    settings,
    tables,
)
from nasjax.jobs.search import cells as search_cells
from nasjax.jobs.search.algorithms import Entry
from nasjax.nasbench.surrogate.model import Surrogate
from nasjax.nasbench.table import TabularBenchmark

RESULT_FILE = "result.json"
TRIALS_FILE = "trials.safetensors"
ALGORITHMS = "algorithms"


def run(config: dict[str, Any], folder: str, mode: str = "trials") -> dict[str, Any]:
    """Runs a mode and returns `result.json`.

    Args:
      config: as in `configs/search/`.
      folder: working directory.
      mode: `"trials"` or `"drive"`.

    Raises:
      NasjaxError: bad configuration, data or working directory.
      search.Stopped: the process was asked to stop; what is finished is saved.
    """
    job = registry.find("mode", MODES, mode)
    path = config_door.working_directory(folder)
    filled = config_door.enter(COMMANDS[mode], config)
    compilation.enable_cache()
    malloc.keep_memory()
    return job(filled, path)


def run_trials(filled: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """All trials of all algorithms, on tables or surrogates; see `run`.

    Args:
      filled: `settings.Trials`, and keys of a user's own.
      folder: working directory.
    """
    config = config_door.read(settings.Trials, filled)
    made = problem.load(config)
    inputs = search_inputs.SearchInputs(made.space, made.reward, config.budget.queries)
    entries = algorithms.entries(config, inputs, made.evaluate)
    doubts = list(made.warnings)
    for entry in entries:
        own = algorithms.settings_of(config.settings, entry.name)
        doubts += search_problem.bias(made.reward, entry.name, entry.kind, own)
    controls = {name: algorithms.controls(config, name) for name in config.algorithms}
    config_door.claim(folder, filled)
    problem.warn(doubts)
    finished = {}
    with stopwatch.Stopwatch(folder) as watch, signals.StopSignal() as stop:
        for entry in entries:
            place = folder / ALGORITHMS / entry.name
            finished[entry.name] = clusters.run(config, entry, made, place, stop)
    _save_trials(folder, finished, made)
    outcome = _conclude(config, filled, folder, made, entries, finished, controls)
    outcome |= {"warnings": doubts, "seconds": watch.seconds}
    result.write(folder / RESULT_FILE, outcome)
    tables.show(outcome, folder)
    search_cells.show(made.reward.space, outcome, folder / TRIALS_FILE)
    return outcome


# --- results -----------------------------------------------------------------------


def describe(benchmark: Benchmark, epoch: int, *, listed: bool) -> dict[str, Any]:
    """What `result.json` says of a benchmark."""
    return {
        "space": benchmark.space,
        "data_set": benchmark.data_set,
        "metric": benchmark.metric,
        "epoch": benchmark.epochs[-1] if epoch == LAST else epoch,
        "last_epoch": benchmark.epochs[-1],
        "listed": listed,
        "version": benchmark.version if isinstance(benchmark, Surrogate) else "",
    }


def _conclude(
    config: settings.Trials,
    filled: Mapping[str, Any],
    folder: pathlib.Path,
    made: Problem,
    entries: list[Entry],
    finished: Mapping[str, chunks.Trials],
    controls: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """`result.json` without its seconds and warnings; figures on the way."""
    histories = {name: trials.history for name, trials in finished.items()}
    budget = config.budget
    times = search_scores.time_grid(list(histories.values()), budget.seconds)
    queries = budget.queries or max(h.mask.shape[1] for h in histories.values())
    judged = {
        entry.name: search_scores.judge(
            histories[entry.name],
            made,
            queries,
            times,
            min_epochs=config.min_epochs or None,
        )._replace(embeddings=entry.embeddings)
        for entry in entries
    }
    optima = search_scores.optima(made.report, list(judged.values()))
    figures.draw(
        folder,
        judged,
        optima,
        title=f"{made.reward.space} on {made.report.data_set}",
        unit="%" if made.report.metric == "accuracy" else "nats",
        seconds="simulated seconds",
    )
    listed = bool(config.benchmark.listed)
    found = {
        name: search_cells.found(made.space, scores) for name, scores in judged.items()
    }
    best = {name: cells[0]["arch"] for name, cells in found.items() if cells}
    search_cells.draw(made.reward.space, found, folder / "figures")
    outcome = {
        "algorithms": {
            name: comparison.summarize(judged[name], optima)
            | {
                "cpu_seconds": trials.cpu_seconds,
                "best": best.get(name),
                "found": found[name],
            }
            for name, trials in finished.items()
        },
        "commands": search_cells.commands(made.reward.space, best),
        "comparisons": comparison.comparisons(judged, controls),
        "optimum": {**optima.values, "kind": optima.kind},
        "benchmark": describe(made.reward, made.epoch, listed=listed),
        "report": describe(made.report, LAST, listed=listed),
        "notes": _notes(made, optima),
        "config": dict(filled),
        "versions": result.versions(),
    }
    kinds = {entry.name: entry.kind for entry in entries}
    outcome["tables"] = tables.tables(kinds, judged, outcome)
    return outcome


def _notes(made: Problem, optima: Optima) -> list[str]:
    """Why a column has no numbers, and where others come from."""
    known = search_scores.recorded(made.report)
    notes = [f"{split}: - ({why})" for split, why in known.items() if why]
    for benchmark in {id(b): b for b in (made.reward, made.report)}.values():
        told = benchmark.notes if isinstance(benchmark, TabularBenchmark) else ()
        label = f"{benchmark.data_set}, {benchmark.epochs[-1]} epochs"
        recorded_here = {name for name, why in known.items() if not why}
        for metric, note in told:
            split = metric.split("_")[0]
            if metric == "seconds" or split in recorded_here:
                notes.append(f"{metric} of {label}: {note}")
    if optima.kind == "best found":
        notes.append("regret is to the best score that any trial here has found")
    return notes


def _save_trials(
    folder: pathlib.Path, finished: Mapping[str, chunks.Trials], made: Problem
) -> None:
    tree = {name: chunks.as_tree(trials) for name, trials in finished.items()}
    metadata = {
        "form": chunks.FORM,
        "space": made.reward.space,
        "algorithms": list(finished),
    }
    arrays.save(folder / TRIALS_FILE, tree, metadata=metadata)


MODES = {"trials": run_trials, "drive": drive.run}
COMMANDS = {"trials": "launch/search.py", "drive": "launch/search.py --mode=drive"}
