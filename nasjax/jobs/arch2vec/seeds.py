"""Pre-training with several seeds: table 3.1 with intervals, embeddings for searches.

Seeds differ in the split, the initial weights, the order and the noise. Seed s leaves
in `seeds/s/VARIANT` the embeddings of `--mode=train` with `--config.seed=s`, the same
bits; searches read those of `config.seed` from the working directory where they are
there already.
"""

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging

from nasjax.core import compilation, errors, malloc, progress, result
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import model as models
from nasjax.encoders.arch2vec.pretraining import Corpus
from nasjax.jobs import config_door
from nasjax.jobs.arch2vec import tables as table
from nasjax.jobs.arch2vec import variants
from nasjax.jobs.arch2vec.settings import Pretraining
from nasjax.training import runner

SEEDS = "seeds"
"""Below the working directory."""
RESULT_FILE = "pretraining.json"
MEASURED_FILE = "measured.json"
IGNORED = ("analysis", "search", "pretraining_seeds")
"""Keys that pre-training does not depend on."""


def embeddings(
    folder: pathlib.Path, config: Pretraining, seed: int, variant: str
) -> pathlib.Path:
    """The file of a seed's embeddings, which may be missing."""
    name = f"embeddings_{variant}.safetensors"
    own = folder / SEEDS / str(seed) / variant / name
    if seed == config.seed and not own.exists() and (folder / name).exists():
        return folder / name
    return own


def run(filled: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Pre-trains all variants with all seeds and returns `pretraining.json`.

    Args:
      filled: `settings.Pretraining`, and keys of a user's own.
      folder: working directory; what is finished there is read back.

    Raises:
      ConfigError: a setting does not fit.
      training.loop.Stopped: the process was asked to stop; the same call continues.
    """
    began = time.time()
    config = config_door.read(Pretraining, filled)
    graph_inputs.spec(config.space)
    for name in config.variants:
        variants.variant(config, name)
    compilation.enable_cache()
    malloc.keep_memory()
    measured = []
    for seed in config.seeds:
        own = dataclasses.replace(config, seed=seed)
        place = folder / SEEDS / str(seed)
        claimed = {**filled, "seed": seed}
        config_door.claim(place, claimed, ignore=(*IGNORED, "variants"))
        progress.echo(f"seed {seed}")
        measured.append(_one(own, place))
    outcome = {
        "seeds": list(config.seeds),
        "variants": {
            name: [found[name] for found in measured] for name in config.variants
        },
        "tables": {"3.1": table.rows(config, measured)},
        "notes": [table.NOTE],
        "seconds": time.time() - began,
        "config": dict(filled),
        "versions": result.versions(),
    }
    result.write(folder / RESULT_FILE, outcome)
    show(outcome, folder)
    return outcome


def train(
    config: Pretraining,
    graphs: Corpus,
    name: str,
    folder: pathlib.Path,
    stages: runner.StageRunner,
) -> variants.Measured:
    """One variant with the seed of the configuration."""
    key = jax.random.key(config.seed)
    key = jax.random.fold_in(key, list(models.VARIANTS).index(name) + 1)
    return variants.run(key, name, config, graphs, folder, stages)


def _one(config: Pretraining, folder: pathlib.Path) -> dict[str, Any]:
    """What each variant of a seed has learnt; trains those that are not finished."""
    files = {name: folder / name / MEASURED_FILE for name in config.variants}
    found = {name: _read(file) for name, file in files.items()}
    missing = [name for name, measured in found.items() if measured is None]
    if missing:
        graphs = variants.load(config)
        for name in missing:
            # A runner of its own: variants do not follow from one another.
            with runner.StageRunner(folder / name) as stages:
                made = train(config, graphs, name, folder / name, stages)
            result.write(files[name], made.measured)  # last: what was trained is there
    return {name: result.read(file) for name, file in files.items()}


def _read(file: pathlib.Path) -> dict[str, Any] | None:
    """What a finished variant measured; a damaged file is one that is not there."""
    if not file.exists():
        return None
    try:
        measured = result.read(file)
        for field in table.COLUMNS.values():
            if not isinstance(measured.get(field, ""), int | float | None):
                raise errors.DataError(f"{file}: no number {field!r}")
    except errors.DataError as error:
        logging.warning("%s; its variant is finished again", error)
        return None
    return measured


def show(outcome: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Prints the table."""
    rows = outcome["tables"]["3.1"]
    progress.echo(f"{'variant':12}" + "".join(f"{c:>26}" for c in table.COLUMNS))
    for name in outcome["variants"]:
        own = [row for row in rows if row["settings"]["variant"] == name]
        progress.echo(f"{name:12}" + "".join(f"{table.text(row):>26}" for row in own))
    progress.echo(table.NOTE)
    seeds = ", ".join(map(str, outcome["seeds"]))
    progress.echo(f"means of the seeds {seeds}; {folder / RESULT_FILE}")
