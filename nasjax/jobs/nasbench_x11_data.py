"""The curves that surrogates are fitted to: what `config.data` names."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from nasjax import nasbench
from nasjax.core import arrays, errors
from nasjax.jobs import nasbench_x11_trainings as trainings
from nasjax.nasbench import loading
from nasjax.nasbench.surrogate import curve_data
from nasjax.nasbench.surrogate.curve_data import CurveData
from nasjax.nasbench.table import TabularBenchmark


def read(config: dict[str, Any]) -> tuple[CurveData, np.ndarray | None]:
    """The data, and the curves of further seeds where there are any.

    Args:
      config: `data.name` is a benchmark, the file of a table, a .csv or .csv.gz of
        curves, `curves.safetensors` of `launch/train_architecture.py`, or another
        .safetensors of features and curves; the rest of `data` says how to read it.

    Returns:
      One row each architecture, and float64 `[N, S, T]` or None.

    Raises:
      ConfigError: a setting does not fit the file.
      DataError: the file is missing or holds no curves or features.
    """
    settings = config["data"]
    name, metric = settings["name"], settings["metric"]
    if not name:
        raise errors.ConfigError("no curves: pass --config.data.name=FILE")
    path = pathlib.Path(name).expanduser()
    repeats = None
    if trainings.is_file(path):
        data, repeats = trainings.read(
            path, settings["features"], metric, settings["benchmark_seed"]
        )
    elif settings["arrays"] or _is_own_file(path):
        data = curve_data.read(
            name,
            features_name=settings["features"],
            prefix=settings["prefix"],
            metric=metric,
            scale=settings["scale"],
        )
    else:
        data, repeats = _read_benchmark(settings)
    if metric not in data.curves:
        raise errors.unknown_name("metric", metric, data.curves)
    return _with_first_epochs(data, settings["first_epochs"], metric), repeats


def _is_own_file(path: pathlib.Path) -> bool:
    """A user's CSV, or arrays that are no benchmark of a known kind."""
    if path.name.endswith((".csv", ".csv.gz")):
        return True
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    return arrays.load_metadata(path).get("form") not in loading.FORMS


def _read_benchmark(settings: dict[str, Any]) -> tuple[CurveData, np.ndarray | None]:
    name, seed = settings["name"], settings["benchmark_seed"]
    options = {"data_set": settings["data_set"]} if settings["data_set"] else {}
    benchmark = nasbench.load(name, **options)
    if not isinstance(benchmark, TabularBenchmark):
        raise errors.ConfigError(f"{name} is no table; a surrogate is fitted to curves")
    features = settings["features"] or trainings.FEATURES[benchmark.space]
    data = curve_data.from_benchmark(benchmark, features, seed=seed)
    runs = benchmark.require(settings["metric"])
    others = [s for s in range(runs.num_seeds) if s != seed]
    if not others or len(data) != len(benchmark.archs):
        return data, None
    return data, np.asarray(runs.values, np.float64)[:, others]


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
