"""Learning curves to fit a surrogate to: from a benchmark, a CSV file or arrays."""

import csv
import dataclasses
import gzip
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from nasjax.core import arrays, errors
from nasjax.nasbench.surrogate import features as feature_registry
from nasjax.nasbench.table import TabularBenchmark

GIVEN = "given"
"""Name of features that a file gives, not the registry."""
MAX_CATEGORIES = 20
"""Texts of a CSV column with at most this many values are one-hot features."""
_SPLITS = [f"{s}_{m}" for s in ("train", "valid", "test") for m in ("accuracy", "loss")]


@dataclasses.dataclass(frozen=True)
class CurveData:
    """Architectures and their curves, one row each.

    Attributes:
      features: float64 `[N, D]`, what an architecture alone gives.
      curves: by metric, float64 `[N, T]`; accuracies in [0, 1], losses in nats.
      seconds: float64 `[N]`, of the whole training, or None.
      archs: int32 `[N, G]`, or None where only features are known.
      space: registry name of the space, "" where only features are known.
      features_name: of the registry, or `GIVEN`.
      num_measured: how many of the last features were measured in the training.
      data_set: what was trained on.
      ignored: columns of the file that are not used, and why.
    """

    features: np.ndarray
    curves: dict[str, np.ndarray]
    seconds: np.ndarray | None = None
    archs: np.ndarray | None = None
    space: str = ""
    features_name: str = GIVEN
    num_measured: int = 0
    data_set: str = ""
    ignored: dict[str, str] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: np.ndarray) -> "CurveData":
        """The rows of a subset."""

        def pick(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return dataclasses.replace(
            self,
            features=self.features[rows],
            curves={name: values[rows] for name, values in self.curves.items()},
            seconds=pick(self.seconds),
            archs=pick(self.archs),
        )

    def with_first_epochs(self, count: int, metric: str) -> "CurveData":
        """Adds the first `count` values of a curve to the features, as measurements."""
        if not 0 <= count < self.curves[metric].shape[1]:
            raise errors.ConfigError(
                f"{count} first epochs of curves of {self.curves[metric].shape[1]}"
            )
        measured = self.curves[metric][:, :count]
        return dataclasses.replace(
            self,
            features=np.concatenate([self.features, measured], axis=1),
            num_measured=self.num_measured + count,
        )


def from_benchmark(
    benchmark: TabularBenchmark,
    features_name: str,
    *,
    seed: int = 0,
    keep: Callable[[np.ndarray], np.ndarray] | None = None,
) -> CurveData:
    """The trainings of one seed of a table.

    Args:
      benchmark: a table whose validation curves are recorded at every epoch.
      features_name: of the features' registry.
      seed: place in `benchmark.seeds`.
      keep: of archs `[N, G]`, bool `[N]`: which to use besides `Features.fits`.
    """
    archs = np.asarray(benchmark.archs, np.int32)
    series = {
        name: np.asarray(runs.values[:, min(seed, runs.num_seeds - 1)], np.float64)
        for name, runs in benchmark.curves.items()
        if runs.values.shape[2] == len(benchmark.epochs)
    }
    fits = feature_registry.make(features_name).fits
    rows = np.asarray(jax.jit(jax.vmap(fits))(archs))
    if keep is not None:
        rows = rows & keep(archs)
    for values in series.values():
        # Trainings that diverged or lack this seed have no curve to fit.
        rows = rows & np.isfinite(values).all(axis=1)
    seconds = None
    if benchmark.seconds is not None:
        slot = min(seed, benchmark.seconds.num_seeds - 1)
        seconds = np.asarray(benchmark.seconds.values[:, slot, -1], np.float64)
        if not np.isfinite(seconds[rows]).all():
            seconds = None
    measured = None
    if extras := feature_registry.make(features_name).extras:
        measured = _first_epochs(benchmark, series, len(extras))[rows]
    return CurveData(
        features=_encode(features_name, archs[rows], measured),
        curves={name: values[rows] for name, values in series.items()},
        seconds=None if seconds is None else seconds[rows],
        archs=archs[rows],
        space=benchmark.space,
        features_name=features_name,
        num_measured=0 if measured is None else measured.shape[1],
        data_set=benchmark.data_set,
    )


def read(
    path: str | os.PathLike[str],
    *,
    features_name: str = "",
    prefix: str = "acc_",
    metric: str = "valid_accuracy",
    scale: float = 1.0,
) -> CurveData:
    """A user's own curves.

    Args:
      path: `.csv` or `.csv.gz` with a header, or `.safetensors` with curves by metric
        name `[N, T]`, either `features` `[N, D]` or `archs` `[N, G]`, and perhaps
        `seconds` of the training up to each epoch `[N, T]` or of all of it `[N]`.
      features_name: of the registry, to turn `archs` into features.
      prefix: CSV columns that begin with it are the epochs of the curve, in order.
      metric: what a CSV file's curve is.
      scale: multiplies a CSV file's curve, as .01 for percent.

    Raises:
      DataError: the file is missing or holds no curves or features.
      ConfigError: `archs` without features.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise errors.DataError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_arrays(path, features_name)
    return _read_csv(path, prefix, metric, scale)


def _read_arrays(path: pathlib.Path, features_name: str) -> CurveData:
    stored = {key: np.array(view) for key, view in arrays.memory_map(path).items()}
    metadata: Mapping[str, Any] = arrays.load_metadata(path)
    found = {
        name: stored[name].astype(np.float64)
        for name in _SPLITS
        if name in stored and np.isfinite(stored[name]).any()
    }
    if not found:
        raise errors.DataError(
            f"{path}: no curves; name them {', '.join(_SPLITS)}, each [N, T]"
        )
    finite = [np.isfinite(values).all(axis=1) for values in found.values()]
    # Trainings that diverged have no curve to fit.
    rows = np.logical_and.reduce(finite)
    found = {name: values[rows] for name, values in found.items()}
    stored = {
        key: values[rows] if len(values) == len(rows) else values
        for key, values in stored.items()
        if values.ndim
    }
    archs, measured = stored.get("archs"), None
    if "features" in stored:
        features, features_name = stored["features"].astype(np.float64), GIVEN
    elif archs is not None and features_name:
        measured = stored.get("measured")
        if measured is None and feature_registry.make(features_name).extras:
            raise errors.DataError(
                f"{path}: the features {features_name} need an array `measured` [N, M]"
            )
        features = _encode(features_name, archs.astype(np.int32), measured)
    else:
        raise errors.ConfigError(
            f"{path} has no array `features`; "
            + (
                "name features that are made of its `archs`, as in "
                "--config.data.features=nasbench211_paths"
                if archs is not None
                else "add it, [N, F], or `archs`, [N, G]"
            )
        )
    seconds = stored.get("seconds")
    given = features_name == GIVEN
    return CurveData(
        features=features,
        curves=found,
        seconds=None if seconds is None else seconds.reshape(len(features), -1)[:, -1],
        archs=None if given or archs is None else archs.astype(np.int32),
        space="" if given else feature_registry.make(features_name).space,
        features_name=features_name,
        num_measured=0 if measured is None else measured.shape[1],
        data_set=str(metadata.get("data_set", path.stem)),
    )


def _read_csv(path: pathlib.Path, prefix: str, metric: str, scale: float) -> CurveData:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        header, *rows = list(csv.reader(file))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    epochs = [name for name in header if name.startswith(prefix)]
    if not epochs:
        raise errors.DataError(
            f"{path}: no column begins with {prefix!r}, so there is no curve; columns: "
            f"{', '.join(header[:10])}"
        )
    curve = np.array([[_number(v) for v in columns[name]] for name in epochs]).T
    kept = np.isfinite(curve).all(axis=1)
    features, ignored = [], {}
    for name in header:
        if name in epochs:
            continue
        values, why = _as_features(columns[name])
        features += values
        if why:
            ignored[name] = why
    if not features:
        raise errors.DataError(f"{path}: no column can be used as a feature: {ignored}")
    return CurveData(
        features=np.stack(features, axis=1)[kept],
        curves={metric: curve[kept] * scale},
        data_set=path.name.split(".")[0],
        ignored=ignored,
    )


def _first_epochs(
    benchmark: TabularBenchmark, series: Mapping[str, np.ndarray], count: int
) -> np.ndarray:
    """`[N, count]`: the measured values of NAS-Bench-NLP11's features."""
    if benchmark.space != "nasbench_nlp":
        raise errors.ConfigError(
            f"the table of {benchmark.space} lacks what these features measure; use "
            "arrays with `measured`, or features that end in _cell"
        )
    return 100 - series["valid_loss"][:, :count]


def _encode(name: str, archs: np.ndarray, measured: np.ndarray | None) -> np.ndarray:
    """Features float64 `[N, D]` of `archs` `[N, G]` and `measured` `[N, M]`."""
    encode = feature_registry.make(name).encode
    if measured is None:
        measured = np.zeros((len(archs), 0))
    batch = jax.jit(jax.vmap(encode))
    return np.asarray(batch(archs, measured.astype(np.float32)), np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _as_features(column: tuple[str, ...]) -> tuple[list[np.ndarray], str]:
    """The feature columns of a CSV column, and why there are none."""
    numbers = np.array([_number(text) for text in column])
    kinds = sorted(set(column))
    if len(kinds) == 1:
        return [], "constant"
    if np.isfinite(numbers).all():
        return [numbers], ""
    if len(kinds) <= MAX_CATEGORIES:
        return [
            np.array([text == kind for text in column], float) for kind in kinds
        ], ""
    return [], f"text with {len(kinds)} values"
