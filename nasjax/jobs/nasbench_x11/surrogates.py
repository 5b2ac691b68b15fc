"""Fits surrogates of learning curves, judges them and draws curves (chapter 5).

Every surrogate that is finished is a file in `surrogates/`, and a run that was killed
goes on with the next one.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from nasjax.core import arrays, errors, progress, result, stopwatch
from nasjax.experiments import forecasts
from nasjax.jobs import config_door
from nasjax.jobs.nasbench_x11 import experiment, figures, tables
from nasjax.jobs.nasbench_x11.settings import Fits
from nasjax.nasbench.surrogate import (
    cross_validation,
    fitting,
    held_out,
    model,
    storage,
    study,
)
from nasjax.nasbench.surrogate.study import Study

RESULT_FILE = "result.json"
EVALUATION_FILE = "evaluation.json"
SAMPLES_FILE = "samples.safetensors"
SURROGATES = "surrogates"
FORECASTS_FILE = "forecasts.safetensors"
"""Of the first surrogate, `experiments.forecasts`."""


def fit(config: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Fits, judges and saves every surrogate of the configuration.

    Returns:
      What `result.json` holds.
    """
    fits = config_door.read(Fits, config)
    made = experiment.read(fits)
    # What is wrong with the configuration was said above: the folder is not taken then.
    config_door.claim(folder, config)
    with stopwatch.Stopwatch(folder) as watch:
        if fits.folds:
            outcome = cross_validation.cross_validate(made)
        else:
            outcome = _fit_all(made, folder, fits)
    outcome |= {
        "seconds": watch.seconds,
        "config": config,
        "versions": result.versions(),
    }
    result.write(folder / RESULT_FILE, outcome)
    print(tables.summary(outcome))
    return outcome


def evaluate(config: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Judges the saved surrogates again, on the same held-out architectures."""
    fits = config_door.read(Fits, config)
    made = experiment.read(fits)
    scores: dict[str, Any] = {}
    for path in _saved(folder, fits):
        surrogate = storage.load(path)
        fitted = surrogate.require(made.metric)
        score: dict[str, Any] = dict(held_out.judge(made, fitted))
        scores[path.stem] = score | {"version": surrogate.version}
    outcome = {
        "surrogates": scores,
        "baselines": held_out.judge_baselines(made),
        "versions": result.versions(),
    }
    result.write(folder / EVALUATION_FILE, outcome)
    print(tables.summary(outcome))
    return outcome


def sample(config: dict[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Draws curves of the held-out architectures and writes them, with figure 5.7."""
    fits = config_door.read(Fits, config)
    made, wanted = experiment.read(fits), fits.sample
    name = wanted.surrogate or next(iter(made.settings))
    curve_model = storage.load(saved(folder, fits, name)).require(made.metric)
    for key, value, most in (
        ("num_archs", wanted.num_archs, len(made.test)),
        ("num_samples", wanted.num_samples, 10**6),
    ):
        if not 1 <= value <= most:
            raise errors.ConfigError(
                f"config.sample.{key} is {value}: pass 1 to {most}"
            )
    rows = made.test[: wanted.num_archs]
    keys = jax.random.split(made.key, (len(rows), wanted.num_samples))
    draw = jax.jit(
        jax.vmap(jax.vmap(model.CurveModel.sample, (None, 0, None)), (None, 0, 0))
    )
    features = jnp.asarray(made.data.features[rows])
    curves = np.asarray(draw(curve_model, keys, features))
    arrays.save(folder / SAMPLES_FILE, {"rows": rows, made.metric: curves})
    drawn = figures.draw_predictions(made, curve_model, folder, "figure_5_7", first=9)
    print(f"{folder / SAMPLES_FILE}: {curves.shape} curves of {name}; {drawn[0]}")
    return {"surrogate": name, "shape": list(curves.shape)}


def _fit_all(made: Study, folder: pathlib.Path, fits: Fits) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    means: dict[str, fitting.Mean] = {}
    bar = progress.progress(len(made.settings), description="surrogates")
    for name, settings in made.settings.items():
        path = folder / SURROGATES / f"{name}.safetensors"
        report = path.with_suffix(".json")
        found = _read_report(report)
        if found is None:
            kind = f"{settings.compression}_{settings.regressor}"
            if kind not in means:
                means = {kind: study.fit_mean(made, settings)}
            surrogate = study.complete(
                made,
                means[kind],
                settings,
                all_metrics=name in fits.keep_all_metrics,
            )
            surrogate = storage.save(path, surrogate)
            fitted = surrogate.require(made.metric)
            score: dict[str, Any] = dict(held_out.judge(made, fitted))
            score |= {
                "fit_seconds": means[kind].seconds,
                "rounds": means[kind].rounds,
                "version": surrogate.version,
            }
            result.write(report, score)
            found = result.read(report)
        scores[name] = found
        bar.update(1)
    bar.close()
    outcome: dict[str, Any] = {
        "surrogates": scores,
        "baselines": held_out.judge_baselines(made),
        "features": list(made.data.feature_names),
        "ignored": made.data.ignored,
        "notes": list(made.data.notes),
        "num_train": len(made.train),
        "num_test": len(made.test),
        "tables": tables.tables(made, scores, fits.data),
    }
    first = next(iter(made.settings))
    stored = storage.load(folder / SURROGATES / f"{first}.safetensors")
    curve_model = stored.require(made.metric)
    if len(made.repeated(made.test)):
        outcome["seed_noise"] = held_out.judge_seed_noise(made, curve_model)
    outcome["studies"] = figures.draw_studies(made, curve_model, folder)
    foretold = forecasts.foretell(made.key, curve_model, made)
    facts = {"surrogate": first, "metric": made.metric}
    arrays.save(folder / FORECASTS_FILE, foretold._asdict(), metadata=facts)
    return outcome


def _read_report(path: pathlib.Path) -> dict[str, Any] | None:
    """Scores of a finished surrogate; a damaged file is one that is not there."""
    if not (path.exists() and path.with_suffix(".safetensors").exists()):
        return None
    try:
        score = result.read(path)
        for key in held_out.KEYS:
            if not isinstance(score.get(key, 0.0), int | float | None):
                raise errors.DataError(f"{path}: {key} is no number")
        if not {*cross_validation.COLUMNS, "version"} <= set(score):
            raise errors.DataError(f"{path}: not the scores of a surrogate")
    except errors.DataError as error:
        logging.warning("%s; its surrogate is fitted again", error)
        return None
    return score


def saved(folder: pathlib.Path, fits: Fits, name: str) -> pathlib.Path:
    """The file of a fitted surrogate.

    Raises:
      ConfigError: there is none of that name.
      DataError: there are none.
    """
    path = folder / SURROGATES / f"{name}.safetensors"
    if not path.exists():
        known = [file.stem for file in _saved(folder, fits)]
        raise errors.unknown_name(f"surrogate in {folder}", name, known)
    return path


def _saved(folder: pathlib.Path, fits: Fits) -> list[pathlib.Path]:
    paths = sorted((folder / SURROGATES).glob("*.safetensors"))
    if not paths:
        how = " with --config.folds=0, which saves them" if fits.folds else ""
        raise errors.DataError(f"{folder}: no surrogates; run --mode=fit first{how}")
    return paths
