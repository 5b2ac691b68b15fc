"""The curves that surrogates are fitted to: what `config.data` names."""

import dataclasses
import pathlib

import jax
import numpy as np

from nasjax import nasbench
from nasjax.core import arrays, errors, paths, progress
from nasjax.jobs.nasbench_x11 import trainings
from nasjax.jobs.nasbench_x11.settings import Data
from nasjax.nasbench import loading
from nasjax.nasbench.surrogate import csv_curves, curve_data
from nasjax.nasbench.surrogate.csv_columns import Columns
from nasjax.nasbench.surrogate.curve_data import CurveData
from nasjax.nasbench.table import TabularBenchmark

_NO_CSV = tuple(
    ".xlsx .xls .xlsm .ods .numbers .parquet .feather .arrow .json .jsonl .html .rds "
    ".rda .rdata .dta .sav .db .sqlite .h5 .hdf5 .csv.zip .csv.bz2 .csv.xz".split()
)
"""Names of tables of other kinds, which the reader of CSV refuses with a remedy."""


def read(settings: Data) -> tuple[CurveData, dict[str, np.ndarray]]:
    """The data, and the curves of further seeds where there are any.

    Args:
      settings: which file, and how to read it.

    Returns:
      One row each architecture, and by metric float64 `[N, S, T]`, NaN where a row
      lacks a training. What is left out is printed, a line each.

    Raises:
      ConfigError: a setting does not fit the file.
      DataError: the file is missing or holds no curves or features.
    """
    name, metric = settings.name, settings.metric
    if not name:
        raise errors.ConfigError("no curves: pass --config.data.name=FILE")
    path = paths.expand(name)
    repeats: dict[str, np.ndarray] = {}
    if trainings.is_file(path):
        data, repeats = trainings.read(path, settings.features, settings.benchmark_seed)
    elif settings.arrays or _is_own_file(path):
        data = _read_own(path, settings)
    else:
        data, repeats = _read_benchmark(settings)
    if metric not in data.curves:
        raise errors.unknown_name("metric", metric, data.curves)
    for note in data.notes:
        progress.echo(f"{path.name}: {note}")
    return _with_first_epochs(data, settings.first_epochs, metric), repeats


def _is_own_file(path: pathlib.Path) -> bool:
    """A user's CSV, or arrays that are no benchmark of a known kind."""
    if path.name.lower().endswith((*csv_curves.SUFFIXES, *_NO_CSV)):
        return True
    if path.suffix != ".safetensors" or not paths.is_file(path):
        return False
    return arrays.load_metadata(path).get("form") not in loading.FORMS


def _read_own(path: pathlib.Path, settings: Data) -> CurveData:
    if settings.benchmark_seed:
        raise errors.ConfigError(
            f"config.data.benchmark_seed is {settings.benchmark_seed}, but {path} "
            "has one training a row: pass --config.data.benchmark_seed=0"
        )
    if path.suffix == ".safetensors":
        return curve_data.read_arrays(path, features_name=settings.features)
    if settings.features:
        raise errors.ConfigError(
            f"config.data.features is {settings.features!r}, but {path} gives its "
            'own: pass --config.data.features="", and --config.data.columns.features '
            "for columns"
        )
    described = Columns(**settings.columns)
    return csv_curves.read(path, described, metric=settings.metric)


def _read_benchmark(settings: Data) -> tuple[CurveData, dict[str, np.ndarray]]:
    name, seed = settings.name, settings.benchmark_seed
    options = {"data_set": settings.data_set} if settings.data_set else {}
    listed = {"listed": True} if name in loading.LISTED else {}
    benchmark = nasbench.load(name, **options, **listed)
    if not isinstance(benchmark, TabularBenchmark):
        raise errors.ConfigError(f"{name} is no table; a surrogate is fitted to curves")
    features = settings.features or trainings.FEATURES[benchmark.space]
    data = curve_data.from_benchmark(benchmark, features, seed=seed)
    benchmark.require(settings.metric)
    rows = np.asarray(jax.jit(jax.vmap(benchmark.index.find))(data.archs))
    repeats = {
        name: np.delete(np.asarray(runs.values, np.float64)[rows], seed, axis=1)
        for name in data.curves
        if (runs := benchmark.require(name)).num_seeds > 1
    }
    if settings.metric not in repeats:
        return data, {}
    whole = np.isfinite(repeats[settings.metric]).all(axis=(1, 2))
    if not whole.all():
        note = (
            f"{np.sum(~whole)} of {len(data)} architectures lack a training of another "
            "seed: the noise is judged on the others"
        )
        data = dataclasses.replace(data, notes=(*data.notes, note))
    return data, repeats if whole.any() else {}


def _with_first_epochs(data: CurveData, count: int, metric: str) -> CurveData:
    """Adds the start of the curve to the features."""
    if not count:
        return data
    length = data.curves[metric].shape[1]
    if not 0 < count < length:
        raise errors.ConfigError(
            f"config.data.first_epochs is {count}, but curves have {length} epochs: "
            f"pass --config.data.first_epochs=0 (none) to {length - 1}"
        )
    data = data.with_first_epochs(count, metric)
    # The registry's features lack them: a saved surrogate is asked by its features.
    return dataclasses.replace(
        data, archs=None, space="", features_name=curve_data.GIVEN
    )
