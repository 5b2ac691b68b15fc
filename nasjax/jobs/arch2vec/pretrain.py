"""arch2vec (chapter 3): pre-training, what was learnt, embeddings for searches."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from nasjax.core import compilation, malloc, registry, result, stopwatch
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import model as models
from nasjax.jobs import config_door
from nasjax.jobs.arch2vec import figures, search, variants
from nasjax.jobs.arch2vec import seeds as pretraining
from nasjax.jobs.arch2vec import tables as table
from nasjax.jobs.arch2vec.settings import Pretraining
from nasjax.training import runner

RESULT_FILE = "result.json"


def pretrain(filled: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Trains all variants and returns `result.json`.

    Args:
      filled: `settings.Pretraining`, and keys of a user's own.
      folder: working directory.

    Raises:
      ConfigError: a setting does not fit.
      training.loop.Stopped: the process was asked to stop; the same call continues.
    """
    config = config_door.read(Pretraining, filled)
    graph_inputs.spec(config.space)
    for name in config.variants:
        variants.variant(config, name)
    compilation.enable_cache()
    malloc.keep_memory()
    config_door.claim(folder, filled, ignore=pretraining.IGNORED)
    graphs = variants.load(config)
    key = jax.random.key(config.seed)
    trained = {}
    with stopwatch.Stopwatch(folder) as watch, runner.StageRunner(folder) as stages:
        for name in config.variants:
            trained[name] = pretraining.train(config, graphs, name, folder, stages)
    found = {name: made.measured for name, made in trained.items()}
    learnt = {name: _representation(made) for name, made in trained.items()}
    examined = figures.examine(
        jax.random.fold_in(key, len(models.VARIANTS) + 1),
        config,
        graphs.archs,
        learnt,
        folder,
    )
    outcome = {
        "variants": found,
        **examined,
        "tables": {"3.1": table.rows(config, [found]), **examined.get("tables", {})},
        "notes": [table.NOTE],
        "num_archs": len(graphs.archs),
        "seconds": watch.seconds,
        "config": dict(filled),
        "versions": result.versions(),
    }
    result.write(folder / RESULT_FILE, outcome)
    show(outcome, folder)
    return outcome


def _representation(made: variants.Measured) -> figures.Representation:
    return figures.Representation(made.vectors, made.trained.embed)


def show(outcome: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Prints the table."""
    columns = {
        "exact": "reconstruction_exact",
        "element": "reconstruction_elementwise",
        "valid (released)": "validity_released",
        "unique": "uniqueness",
        "valid (strict)": "validity_strict",
        "unique (strict)": "uniqueness_strict",
        "CPU s": "cpu_seconds",
    }
    print(f"{'variant':12}" + "".join(f"{name:>18}" for name in columns))
    for name, measured in outcome["variants"].items():
        cells = (f"{measured[field]:18.4f}" for field in columns.values())
        print(f"{name:12}" + "".join(cells))
    print(table.NOTE)
    print(f"{folder / RESULT_FILE}")


def run(config: dict[str, Any], folder: str, mode: str = "train") -> dict[str, Any]:
    """Runs a mode and returns `result.json`.

    Args:
      config: as in `configs/arch2vec/`.
      folder: working directory.
      mode: `"train"`, `"pretrain"` (several seeds) or `"search"`.

    Raises:
      NasjaxError: bad configuration, data or working directory.
    """
    job = registry.find("mode", MODES, mode)
    path = config_door.working_directory(folder)
    return job(config_door.enter("launch/arch2vec.py", config), path)


MODES = {
    "train": pretrain,
    "pretrain": pretraining.run,
    "search": search.run,
}
