"""Searches with arch2vec's embeddings on benchmarks: tables 3.2 and 3.3, figure 3.6.

One call runs all algorithms on every data set, each as a run of `jobs.search` in a
folder of its own, and joins their rows with the thesis' values. Embeddings are those
that pre-training left in the working directory, one of each seed: trials with one of
them are a cluster (`clusters`), and what is said of a variant is over seeds.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from nasjax.core import arrays, batching, errors, paths, progress, result
from nasjax.core import settings as core_settings
from nasjax.experiments import search_inputs
from nasjax.jobs import config_door
from nasjax.jobs.arch2vec import search_tables as tables
from nasjax.jobs.arch2vec import seeds as pretraining
from nasjax.jobs.arch2vec.settings import DataSet, Pretraining, Searches
from nasjax.jobs.search import problem, settings, trials

FOLDER = "search"
"""Below the working directory."""
RESULT_FILE = "result.json"

Files = Mapping[str, list[str]]
"""Of embeddings, by variant, one a pre-training seed."""

_CHUNK = 1 << 14


def run(filled: Mapping[str, Any], folder: str | pathlib.Path) -> dict[str, Any]:
    """Searches on all data sets and returns the joined `result.json`.

    Args:
      filled: `settings.Pretraining`, and `settings.Searches` as `search`.
      folder: working directory of the pre-training; everything is written below
        `search` there.

    Raises:
      ConfigError: a setting does not fit.
      DataError: a benchmark or an embedding is missing or damaged.
      search.Stopped: the process was asked to stop; the same call continues.
    """
    place = pathlib.Path(folder)
    section = _section(filled)
    files = _files(config_door.read(Pretraining, filled), section, place)
    outcomes: dict[str, dict[str, Any]] = {}
    data_sets = section.data_sets
    for name in sorted(data_sets, key=lambda name: bool(data_sets[name].queries_of)):
        like = data_sets[name].queries_of
        queries = _mean_queries(outcomes[like]) if like else 0
        wanted = search_config(section, data_sets[name], files, queries)
        if section.benchmark.listed:
            wanted = _listed(wanted, files, place / FOLDER / "tables")
        outcomes[name] = trials.run(wanted, str(place / FOLDER / name))
    seconds = sum(joined["seconds"] for joined in outcomes.values())
    outcome = tables.join(section.settings, outcomes)
    outcome |= {"config": dict(filled), "seconds": seconds}
    result.write(place / FOLDER / RESULT_FILE, outcome)
    for line in outcome["statements"]:
        progress.echo(line)
    return outcome


def search_config(
    section: Searches, chosen: DataSet, files: Files, queries: int
) -> dict[str, Any]:
    """The configuration of `jobs.search` for one data set.

    Args:
      section: of the job.
      chosen: one of its `data_sets`.
      files: of variants, with the embeddings of each seed.
      queries: of a trial, where `chosen` has no budget of its own.
    """
    entries = {}
    for name, entry in section.settings.items():
        own = {key: value for key, value in entry.items() if key != "row"}
        if own.get("table") in files:
            tables_of_seeds = files[own["table"]]
            # Of what it does not read, any file names the architectures.
            learns = search_inputs.learns(own.get("algorithm", name))
            own["table"] = tables_of_seeds[0] if learns else list(tables_of_seeds)
        entries[name] = own
    budget: dict[str, Any] = {"queries": chosen.queries, "seconds": chosen.seconds}
    if chosen.queries_of:
        other = section.data_sets[chosen.queries_of]
        kept = ("data_set", "schedule", "queries", "seconds")
        like = {key: getattr(other, key) for key in kept}
        budget = {"queries": queries, "seconds": 0.0, "like": like}
    data_set = chosen.data_set
    report = chosen.report_schedule
    return {
        "seed": section.seed,
        "num_trials": section.num_trials,
        "epoch": chosen.epoch,
        "benchmark": {
            **dataclasses.asdict(section.benchmark),
            "data_set": data_set,
            "schedule": chosen.schedule,
        },
        "report": {"data_set": data_set if report else "", "schedule": report},
        "budget": budget,
        "algorithms": list(section.algorithms),
        "controls": list(section.controls),
        "settings": entries,
        # Trials of other embeddings are not these, wherever the file lies.
        "embeddings": {
            variant: [_digest(file) for file in names]
            for variant, names in files.items()
        },
    }


def _section(config: Mapping[str, Any]) -> Searches:
    if "search" not in config:
        raise errors.ConfigError(
            "the configuration has no section `search`; searches on benchmarks are for "
            "nasbench101 and nasbench201. In the DARTS space every architecture is "
            "trained: python launch/search.py --mode=drive "
            "--config=configs/search/darts.py"
        )
    return core_settings.read(Searches, "search", config["search"])


def _files(
    config: Pretraining, section: Searches, folder: pathlib.Path
) -> dict[str, list[str]]:
    """By variant that a search reads the file of each pre-training seed."""
    files: dict[str, list[str]] = {}
    for name in section.algorithms:
        variant = section.settings.get(name, {}).get("table", "")
        known = ("", search_inputs.RANDOM_PROJECTION, search_inputs.ONE_HOT)
        if variant in known or pathlib.Path(variant).suffix:
            continue
        given = section.tables.get(variant, "")
        if given:
            chosen = [given] if isinstance(given, str) else list(given)
            missing = [path for path in chosen if not paths.exists(path)]
            if missing:
                raise errors.DataError(
                    f"{name}: there is no {missing[0]}, which search.tables.{variant} "
                    "names"
                )
        else:
            found = {
                s: pretraining.embeddings(folder, config, s, variant)
                for s in config.seeds
            }
            absent = [seed for seed, path in found.items() if not path.exists()]
            if absent:
                raise errors.DataError(
                    f"{name}: there is no {found[absent[0]]}, the embeddings of the "
                    f"variant {variant!r} of seed {absent[0]}; run the same command "
                    f"with --mode=pretrain first, or set search.tables.{variant}=FILE"
                )
            chosen = [str(path) for path in found.values()]
        files[variant] = chosen
    return files


def _digest(file: str) -> str:
    with paths.told(file):
        return hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()[:16]


def _mean_queries(outcome: Mapping[str, Any]) -> int:
    """Queries of a trial, the mean over algorithms."""
    taken = [row["queries"] for row in outcome["algorithms"].values()]
    return round(float(np.mean(taken)))


# --- tables of a part of the space ---------------------------------------------------


def _listed(
    wanted: dict[str, Any], files: Files, folder: pathlib.Path
) -> dict[str, Any]:
    """The same configuration with tables of what the benchmark knows only."""
    reward = problem.load(config_door.read(settings.Trials, wanted)).reward
    kept = {}
    for variant, names in files.items():
        for number, file in enumerate(names):
            kept[file] = str(folder / f"{variant}_{number}.safetensors")
            tree = arrays.load(file)
            rows = known_rows(reward, tree["archs"])
            if not len(rows):
                raise errors.DataError(
                    f"{file}: the benchmark knows none of its "
                    f"{len(tree['archs']):,} architectures"
                )
            arrays.save(
                pathlib.Path(kept[file]),
                {key: np.asarray(tree[key])[rows] for key in ("archs", "vectors")},
            )
    for entry in wanted["settings"].values():
        table = entry.get("table", "")
        if isinstance(table, list):
            entry["table"] = [kept[file] for file in table]
        elif table:
            entry["table"] = kept.get(table, table)
        else:
            entry.pop("table", None)
    return wanted


def known_rows(benchmark: Any, archs: Any) -> np.ndarray:
    """Rows int64 of the architectures `[N, G]` that a benchmark knows.

    Of isomorphic ones the first.
    """
    find = jax.jit(jax.vmap(benchmark.find))
    row = batching.map_batched(find, np.asarray(archs, np.int32), _CHUNK)
    _, first = np.unique(row, return_index=True)
    return np.sort(first[row[first] >= 0])
