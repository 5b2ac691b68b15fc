"""Pre-trains CATE with several seeds: what it learnt, and embeddings for searches.

Seed s of variant V leaves in `seeds/s/V` its `embeddings.safetensors` (architectures
and vectors) and `weights.safetensors`; what is finished there is read back.
"""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from nasjax.core import arrays, errors, metric_log, progress, result, stopwatch
from nasjax.encoders import corpus as corpora
from nasjax.encoders import learned
from nasjax.encoders.cate import evaluation, forms, pretraining
from nasjax.encoders.cate import settings as variants
from nasjax.encoders.cate.model import PairModel
from nasjax.encoders.cate.pretraining import Pretrained
from nasjax.encoders.cate.training import TrainSettings, TrainState
from nasjax.experiments import comparison
from nasjax.jobs import config_door
from nasjax.jobs.cate.settings import Config, Pretraining
from nasjax.training import loop, runner

CATE = "cate"
SEEDS = "seeds"
RESULT_FILE = "result.json"
MEASURED_FILE = "measured.json"
EMBEDDINGS_FILE = "embeddings.safetensors"
WEIGHTS_FILE = "weights.safetensors"
IGNORED = ("quality", "search", "pretraining.seeds", "pretraining.variants")
"""Keys that a pre-training does not depend on."""
NUM_DRAWN = 200_000
"""Architectures of a space that is not listed."""
COLUMNS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "guess": "accuracy_guess",
    "operations": "accuracy_operations",
    "their guess": "accuracy_operations_guess",
    "CPU s": "cpu_seconds",
}
"""By printed name what is measured; guesses name the most frequent operation."""


def pretrain(filled: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Trains all variants with all seeds and returns `result.json`.

    Args:
      filled: `settings.Config`, and keys of a user's own.
      folder: working directory.

    Raises:
      ConfigError: a setting does not fit.
      training.loop.Stopped: the process was asked to stop; the same call continues.
    """
    config = config_door.read(Config, filled).pretraining
    for name in config.variants:
        if encoder_of(config, name) == CATE:
            configure(config, name)
    config_door.claim(folder, filled, ignore=IGNORED)
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in config.variants}
    with stopwatch.Stopwatch(folder) as watch:
        for seed in config.seeds:
            archs = None
            for name in config.variants:
                place = place_of(folder, seed, name)
                found = _read(place / MEASURED_FILE)
                if found is None:
                    if archs is None:
                        archs = architectures(config, seed)
                    progress.echo(f"{name}, seed {seed}")
                    if encoder_of(config, name) == CATE:
                        _train(config, name, seed, archs, place)
                    else:
                        _fit_other(config, name, seed, archs, place)
                    found = result.read(place / MEASURED_FILE)
                measured[name].append(found)
    outcome = {
        "variants": {
            name: {
                field: comparison.interval(
                    np.array([one[field] for one in found], float)
                )
                for field in COLUMNS.values()
            }
            for name, found in measured.items()
        },
        "seeds": list(config.seeds),
        "num_archs": measured[config.variants[0]][0]["num_archs"],
        "seconds": watch.seconds,
        "config": dict(filled),
        "versions": result.versions(),
    }
    result.write(folder / RESULT_FILE, outcome)
    show(outcome, folder)
    return outcome


def encoder_of(config: Pretraining, name: str) -> str:
    """Of `encoders.learned.LEARNED`.

    Raises:
      ConfigError: there is no such encoder.
    """
    encoder = str(config.settings.get(name, {}).get("encoder", CATE))
    if encoder not in learned.LEARNED:
        raise errors.unknown_name(f"encoder of {name}", encoder, learned.LEARNED)
    return encoder


def configure(config: Pretraining, name: str) -> tuple[PairModel, TrainSettings]:
    """The model of a variant and how it is trained.

    Raises:
      ConfigError: there is no such variant or setting.
    """
    changes = dict(config.settings.get(name, {}))
    changes.pop("encoder", None)
    variant = changes.pop("variant", name)
    if variant not in variants.VARIANTS:
        raise errors.ConfigError(
            f"{name} is no variant of CATE ({', '.join(variants.VARIANTS)}): say which "
            f"it changes, as pretraining.settings.{name}.variant"
        )
    return pretraining.configure(
        config.space,
        variant,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        changes=changes,
    )


def place_of(folder: pathlib.Path, seed: int, variant: str) -> pathlib.Path:
    """The folder of one pre-training."""
    return folder / SEEDS / str(seed) / variant


def architectures(config: Pretraining, seed: int) -> np.ndarray:
    """int32 `[M, G]` in the random order of a seed."""
    form = forms.find(config.space)
    count = config.num_archs
    if config.space.startswith("darts"):
        count = count or NUM_DRAWN
    key = jax.random.fold_in(jax.random.key(seed), 0)
    return corpora.architectures(form.space, key, count=count)


def _train(
    config: Pretraining, name: str, seed: int, archs: np.ndarray, place: pathlib.Path
) -> None:
    """Trains one variant from its newest checkpoint, measures it and saves it."""
    model, recipe = configure(config, name)
    key = jax.random.fold_in(jax.random.key(seed), 1)
    key_train, key_judge = jax.random.split(key)
    data = pretraining.divide(config.space, archs, recipe, held_out=config.held_out)
    with runner.StageRunner(place) as stages:

        def run_parts(
            initial: TrainState, step: pretraining.Step, parts: int
        ) -> TrainState:
            stage = _stage(name, step, config.epochs, parts // config.epochs)
            state: TrainState = stages.run(name, initial, lambda _, __: stage)
            return state

        state = pretraining.train(
            key_train, model, recipe, data.train, config.epochs, run_parts=run_parts
        )
    trained = Pretrained(model, recipe, state, data)
    measured: dict[str, Any] = dict(evaluation.measure(key_judge, trained))
    metadata = _save(config, name, seed, archs, trained.embed(archs), place)
    arrays.save(place / WEIGHTS_FILE, {"weights": state.weights}, metadata=metadata)
    measured["cpu_seconds"] = _cpu_seconds(place)
    measured["num_archs"] = len(archs)
    measured["num_pairs"] = len(data.train.places)
    result.write(place / MEASURED_FILE, measured)  # last: what was trained is there


def _fit_other(
    config: Pretraining, name: str, seed: int, archs: np.ndarray, place: pathlib.Path
) -> None:
    """Another encoder, from the start: what is not finished is not kept."""
    options = dict(config.settings.get(name, {}))
    encoder = options.pop("encoder")
    key = jax.random.fold_in(jax.random.key(seed), 1)
    began = time.process_time()
    embed = learned.fit(encoder, key, config.space, archs, **options)
    seconds = time.process_time() - began
    _save(config, name, seed, archs, embed(archs), place)
    measured: dict[str, Any] = dict.fromkeys(COLUMNS.values())
    measured |= {"cpu_seconds": seconds, "num_archs": len(archs)}
    result.write(place / MEASURED_FILE, measured)


def _save(
    config: Pretraining,
    name: str,
    seed: int,
    archs: np.ndarray,
    vectors: np.ndarray,
    place: pathlib.Path,
) -> dict[str, Any]:
    """Writes the embeddings; returns what the files say of themselves."""
    metadata = {"space": config.space, "variant": name, "seed": seed}
    place.mkdir(parents=True, exist_ok=True)
    arrays.save(
        place / EMBEDDINGS_FILE,
        {"archs": archs.astype(np.int8), **_shared(vectors)},
        metadata=metadata,
    )
    return metadata


def _shared(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Different vectors, and which each row has; all, where few are equal."""
    different, codes = np.unique(vectors, axis=0, return_inverse=True)
    if 2 * len(different) > len(vectors):
        return {"vectors": vectors}
    return {"vectors": different, "codes": codes.reshape(-1).astype(np.int32)}


def _stage(
    name: str, run_part: pretraining.Step, epochs: int, parts: int
) -> loop.Stage:
    """A step of the stage is a part of an epoch."""
    last: dict[str, float] = {}

    def step(state: TrainState, _: int) -> TrainState:
        began = time.process_time()
        state, found = run_part(state)
        values = {field: float(value) for field, value in found._asdict().items()}
        seconds = last.get("cpu_seconds", 0.0) + time.process_time() - began
        last.update(values, cpu_seconds=seconds)
        return state

    def end_epoch(state: TrainState, _: int) -> tuple[TrainState, dict[str, float]]:
        row = {"train_loss": last["loss"], **last}
        last["cpu_seconds"] = 0.0
        return state, row

    return loop.Stage(name, epochs, parts, step, end_epoch)


def _cpu_seconds(place: pathlib.Path) -> float:
    """Of all epochs, also of those before the run was resumed."""
    return float(sum(row["cpu_seconds"] for row in metric_log.read(place)))


def _read(file: pathlib.Path) -> dict[str, Any] | None:
    """What a finished pre-training measured; a damaged file counts as missing."""
    if not file.exists():
        return None
    try:
        measured = result.read(file)
        for field in COLUMNS.values():
            if not isinstance(measured.get(field, ""), int | float | None):
                raise errors.DataError(f"{file}: no number {field!r}")
    except errors.DataError as error:
        logging.warning("%s; its variant is finished again", error)
        return None
    return measured


def show(outcome: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Prints the table."""
    progress.echo(f"{'variant':12}" + "".join(f"{c:>23}" for c in COLUMNS))
    for name, row in outcome["variants"].items():
        cells = "".join(f"{_cell(row[field]):>23}" for field in COLUMNS.values())
        progress.echo(f"{name:12}{cells}")
    progress.echo(
        f"masked operations of those held out of {outcome['num_archs']:,} cells, "
        f"means of {len(outcome['seeds'])} seeds; {folder / RESULT_FILE}"
    )


def _cell(number: Mapping[str, Any]) -> str:
    if number["mean"] is None:
        return "-"
    if number["ci95"] is None:
        return f"{number['mean']:.3f}"
    low, high = number["ci95"]
    return f"{number['mean']:.3f} ({low:.3f} - {high:.3f})"
