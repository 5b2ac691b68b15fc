"""Learning curves to fit a surrogate to: from a benchmark or from arrays.

`csv_curves` reads CSV files.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from nasjax import spaces
from nasjax.core import arrays, errors, paths
from nasjax.nasbench.surrogate import features as feature_registry
from nasjax.nasbench.table import TabularBenchmark

GIVEN = "given"
"""Name of features that a file gives, not the registry."""
METRICS = tuple(
    f"{split}_{quantity}"
    for split in ("train", "valid", "test")
    for quantity in ("accuracy", "loss")
)
"""Names of curves: accuracies in [0, 1] and losses in nats."""


@dataclasses.dataclass(frozen=True)
class CurveData:
    """Architectures and their curves, one row each.

    Attributes:
      features: float64 `[N, D]`, what an architecture alone gives; NaN where unknown.
      curves: by metric, float64 `[N, T]`; accuracies in [0, 1], losses in nats.
      epochs: the T completed epochs, increasing; they may have gaps.
      seconds: float64 `[N]`, of the whole training, or None.
      archs: int32 `[N, G]`, or None where only features are known.
      space: registry name of the space, "" where only features are known.
      features_name: of the registry, or `GIVEN`.
      num_measured: how many of the last features were measured in the training.
      data_set: what was trained on.
      feature_names: of the D features, () where they are the registry's.
      ignored: columns of the file that are not used, and why.
      notes: what was left out or read in another way, one line each.
      groups: names of samples that the rows belong to, () where they are one.
      group: int `[N]`, an index of `groups`, or None.
    """

    features: np.ndarray
    curves: dict[str, np.ndarray]
    epochs: tuple[int, ...]
    seconds: np.ndarray | None = None
    archs: np.ndarray | None = None
    space: str = ""
    features_name: str = GIVEN
    num_measured: int = 0
    data_set: str = ""
    feature_names: tuple[str, ...] = ()
    ignored: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    group: np.ndarray | None = None

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
            group=pick(self.group),
        )

    def with_first_epochs(self, count: int, metric: str) -> "CurveData":
        """Adds the first `count` values of a curve to the features, as measurements."""
        if not 0 <= count < self.curves[metric].shape[1]:
            raise errors.ConfigError(
                f"{count} first epochs of curves of {self.curves[metric].shape[1]}"
            )
        measured = self.curves[metric][:, :count]
        names = self.feature_names
        if names:
            names += tuple(f"{metric} at epoch {e}" for e in self.epochs[:count])
        return dataclasses.replace(
            self,
            features=np.concatenate([self.features, measured], axis=1),
            num_measured=self.num_measured + count,
            feature_names=names,
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

    Returns:
      The trainings with a value at every epoch; `notes` tells which are left out, and
      metrics that this seed was not measured by.

    Raises:
      ConfigError: there is no such seed.
      DataError: no training of this seed has a whole curve.
    """
    check_seed(benchmark, seed)
    archs, length = np.asarray(benchmark.archs, np.int32), len(benchmark.epochs)
    whole = {n: r for n, r in benchmark.curves.items() if r.values.shape[2] == length}
    series = {
        name: np.asarray(runs.values[:, seed], np.float64)
        for name, runs in whole.items()
        if seed < runs.num_seeds
    }
    notes = []
    if lacking := sorted(set(whole) - set(series)):
        notes.append(f"not measured by seed number {seed}: {', '.join(lacking)}")
    if not series:
        raise errors.DataError(
            f"{benchmark.space} on {benchmark.data_set}: seed number {seed} has no "
            f"metric at each of {length} epochs, so there is no curve to fit"
        )
    fits = np.asarray(
        jax.jit(jax.vmap(feature_registry.make(features_name).fits))(archs)
    )
    if keep is not None:
        fits = fits & keep(archs)
    finite = np.all([np.isfinite(v).all(axis=1) for v in series.values()], axis=0)
    rows = fits & finite
    notes += _count(~fits, f"of {len(rows)} do not fit the features {features_name}")
    notes += _count(
        fits & ~finite, f"of {len(rows)} diverged or lack a value of seed {seed}"
    )
    if not rows.any():
        raise errors.DataError(
            f"{benchmark.space} on {benchmark.data_set}: no architecture can be used: "
            + "; ".join(notes)
        )
    measured = None
    if extras := feature_registry.make(features_name).extras:
        measured = _first_epochs(benchmark, series, len(extras))[rows]
    return CurveData(
        features=_encode(features_name, archs[rows], measured),
        curves={name: values[rows] for name, values in series.items()},
        epochs=benchmark.epochs,
        seconds=_whole_seconds(benchmark, seed, rows),
        archs=archs[rows],
        space=benchmark.space,
        features_name=features_name,
        num_measured=0 if measured is None else measured.shape[1],
        data_set=benchmark.data_set,
        notes=tuple(notes),
        groups=benchmark.groups,
        group=np.asarray(benchmark.facts["group"])[rows] if benchmark.groups else None,
    )


def check_seed(benchmark: TabularBenchmark, seed: int) -> None:
    """Refuses a number that is no place in `benchmark.seeds`.

    Raises:
      ConfigError: there is no such seed.
    """
    count = len(benchmark.seeds)
    if isinstance(seed, bool) or seed != int(seed) or not 0 <= seed < count:
        raise errors.ConfigError(
            f"there is no seed number {seed}: {benchmark.space} on "
            f"{benchmark.data_set} has {count}; pass --config.data.benchmark_seed=0"
            + (f" to {count - 1}" if count > 1 else "")
        )


def _whole_seconds(
    benchmark: TabularBenchmark, seed: int, rows: np.ndarray
) -> np.ndarray | None:
    """float64 `[N]`, or None where some are not known."""
    runs = benchmark.seconds
    if runs is None or not (runs.num_seeds == 1 or seed < runs.num_seeds):
        return None
    # A time that was recorded once for each architecture holds for every seed.
    slot = seed if runs.num_seeds > 1 else 0
    seconds = np.asarray(runs.values[:, slot, -1], np.float64)[rows]
    return seconds if np.isfinite(seconds).all() else None


def _count(rows: np.ndarray, what: str) -> list[str]:
    """A note about rows that are left out, if there are any."""
    if not rows.any():
        return []
    return [f"left out: {rows.sum()} {what}; first: row {int(np.argmax(rows)) + 1}"]


def read_arrays(path: str | os.PathLike[str], *, features_name: str = "") -> CurveData:
    """A user's own curves as arrays.

    Args:
      path: `.safetensors` with curves by a name of `METRICS` `[N, T]`, either
        `features` `[N, D]` or `archs` `[N, G]`, and perhaps `epochs` `[T]` (default: 1
        to T) and `seconds` of the training up to each epoch `[N, T]` or of all of it
        `[N]`.
      features_name: of the registry, to turn `archs` into features.

    Returns:
      Rows whose curves are finite; `notes` counts the others.

    Raises:
      DataError: the file is missing, or its arrays do not fit together or their units.
      ConfigError: `archs` without features.
    """
    path = paths.expand(path)
    if not paths.is_file(path):
        raise errors.DataError(f"{path}: no such file")
    stored = {key: np.array(view) for key, view in arrays.memory_map(path).items()}
    curves, notes = _stored_curves(path, stored)
    num_rows, length = next(iter(curves.values())).shape
    for name in ("features", "archs", "measured", "seconds"):
        if name in stored and (not stored[name].ndim or len(stored[name]) != num_rows):
            raise errors.DataError(
                f"{path}: {name} has shape {stored[name].shape}, the curves "
                f"{(num_rows, length)}: one row an architecture"
            )
    finite = np.all([np.isfinite(v).all(axis=1) for v in curves.values()], axis=0)
    notes += _count(~finite, f"of {num_rows} trainings are unfinished or diverged")
    if not finite.any():
        raise errors.DataError(f"{path}: no training has a value at each epoch")
    features, archs, measured = _stored_features(path, stored, features_name)
    given = "features" in stored
    if not given:
        assert archs is not None
        fits = _fitting(path, archs, features_name)
        notes += _count(~fits, f"of {num_rows} do not fit the features {features_name}")
        finite = finite & fits
        if not finite.any():
            raise errors.DataError(f"{path}: no architecture can be used: {notes[-1]}")
    seconds = stored.get("seconds")
    if seconds is not None:
        seconds = seconds.reshape(num_rows, -1)[finite, -1].astype(np.float64)
    metadata: Mapping[str, Any] = arrays.load_metadata(path)
    data_set = metadata.get("data_set", path.stem)
    return CurveData(
        features=features[finite],
        curves={name: values[finite] for name, values in curves.items()},
        epochs=_stored_epochs(path, stored, length),
        seconds=seconds,
        archs=None if given or archs is None else archs[finite],
        space="" if given else feature_registry.make(features_name).space,
        features_name=GIVEN if given else features_name,
        num_measured=measured,
        data_set=data_set if isinstance(data_set, str) else path.stem,
        notes=tuple(notes),
    )


def _stored_curves(
    path: pathlib.Path, stored: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Curves float64 `[N, T]` by metric, in their units, and notes."""
    found = {n: stored[n].astype(np.float64) for n in METRICS if n in stored}
    empty = sorted(n for n, values in found.items() if not np.isfinite(values).any())
    notes = [f"metrics without any value left out: {', '.join(empty)}"] * bool(empty)
    curves = {name: values for name, values in found.items() if name not in empty}
    if not curves:
        raise errors.DataError(
            f"{path}: no curves; name them {', '.join(METRICS)}, each [N, T]"
        )
    shapes = {name: values.shape for name, values in curves.items()}
    name, shape = next(iter(shapes.items()))
    for other, found_shape in shapes.items():
        if len(found_shape) != 2 or found_shape != shape:
            raise errors.DataError(
                f"{path}: {other} has shape {found_shape}"
                + (f", {name} {shape}" if other != name else "")
                + ": curves are [N, T], all of one shape"
            )
    for name, values in curves.items():
        high = 1.0 if name.endswith("accuracy") else np.inf
        outside = np.isfinite(values) & ~((values >= 0) & (values <= high))
        if outside.any():
            row, place = np.argwhere(outside)[0]
            what = "accuracies are in [0, 1]: divide percent by 100"
            if high > 1:
                what = "losses are at least 0"
            raise errors.DataError(
                f"{path}: {name}, row {row + 1}, epoch number {place + 1} is outside "
                f"its unit ({int(outside.sum())} values in all): {what}"
            )
    return curves, notes


def _stored_epochs(
    path: pathlib.Path, stored: Mapping[str, np.ndarray], length: int
) -> tuple[int, ...]:
    epochs = np.asarray(stored.get("epochs", np.arange(1, length + 1)))
    whole = epochs.ndim == 1 and (epochs == epochs.astype(np.int64)).all()
    if len(epochs) != length or not whole or (np.diff(epochs, prepend=0) < 1).any():
        raise errors.DataError(
            f"{path}: epochs are {length} increasing whole numbers from 1 on, one each "
            "column of the curves"
        )
    return tuple(int(epoch) for epoch in epochs)


def _stored_features(
    path: pathlib.Path, stored: Mapping[str, np.ndarray], features_name: str
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Features float64 `[N, D]`, archs `[N, G]` if any, how many were measured."""
    archs = stored.get("archs")
    if "features" in stored:
        features = stored["features"].astype(np.float64)
        if features.ndim != 2 or np.isinf(features).any():
            raise errors.DataError(
                f"{path}: features are [N, D], finite or NaN where unknown; found "
                f"shape {features.shape}"
                + (", some infinite" if np.isinf(features).any() else "")
            )
        return features, archs, 0
    if archs is None or not features_name:
        raise errors.ConfigError(
            f"{path} has no array `features`; "
            + (
                "name features that are made of its `archs`, as in "
                "--config.data.features=nasbench211_paths"
                if archs is not None
                else "add it, [N, F], or `archs`, [N, G]"
            )
        )
    if not np.issubdtype(archs.dtype, np.integer):
        raise errors.DataError(f"{path}: archs are {archs.dtype}, not integers")
    measured = stored.get("measured")
    if measured is None and feature_registry.make(features_name).extras:
        raise errors.DataError(
            f"{path}: the features {features_name} need an array `measured` [N, M]"
        )
    num_genes = spaces.make(feature_registry.make(features_name).space).num_genes
    if archs.ndim != 2 or archs.shape[1] != num_genes:
        raise errors.DataError(
            f"{path}: archs have shape {archs.shape}; those of {features_name} are "
            f"[N, {num_genes}]"
        )
    features = _encode(features_name, archs.astype(np.int32), measured)
    return (
        features,
        archs.astype(np.int32),
        0 if measured is None else measured.shape[1],
    )


def _fitting(path: pathlib.Path, archs: np.ndarray, name: str) -> np.ndarray:
    """bool `[N]`, which architectures the features of a name can hold."""
    features = feature_registry.make(name)
    space = spaces.make(features.space)
    valid = np.asarray(jax.jit(jax.vmap(space.is_valid))(archs))
    if not valid.all():
        raise errors.DataError(
            f"{path}: row {int(np.argmin(valid)) + 1} of archs is no architecture of "
            f"{features.space} ({int(np.sum(~valid))} rows in all)"
        )
    return np.asarray(jax.jit(jax.vmap(features.fits))(archs))


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
