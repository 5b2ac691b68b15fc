"""NAS-Bench-201 and NATS-Bench topology: from one architecture's results to a row.

Both official forms hold, for each architecture, schedule, data set and seed, the same
dictionary of curves by epoch. `TableBuilder` turns them into rows of one table file.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from nasjax.core import read_guard
from nasjax.core.errors import DataError, UnknownArchitecture
from nasjax.nasbench import table_file
from nasjax.nasbench.table_file import Part, RowWriter
from nasjax.spaces import nasbench201

SCHEDULES = (200, 12)
DATA_SETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
_SPLITS: dict[str, dict[str, str]] = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": {"x-valid": "valid", "x-test": "test", "ori-test": "original_test"},
}
_SPLITS["ImageNet16-120"] = _SPLITS["cifar100"]
# Slots of the published seeds; what else occurs takes a free one.
_SEEDS = {200: (777, 888, 999), 12: (111, 777)}
_NUM_SEEDS, _MAX_NAMES = 3, 16
_MAX_COUNT = 2**31
_MAX_PERCENT = 100.01  # means over batches are rounded
_FACTS = {"parameters": np.int32, "flops": np.int32, "latency": np.float32}
_ABSENT: dict[type, float] = {np.int32: -1, np.float32: np.nan}


class Run(NamedTuple):
    """One training.

    Attributes:
      curves: float32 `[T]` by (official name of the data, "accuracy" or "loss"), NaN
        at epochs that are not recorded; accuracies in [0, 1].
      seconds: of the whole training.
      facts: parameters, flops and latency.
    """

    curves: dict[tuple[str, str], np.ndarray]
    seconds: float
    facts: dict[str, float]


class Record(NamedTuple):
    """One architecture: its string and its trainings by schedule, data set, seed."""

    arch: str
    runs: dict[int, dict[tuple[str, int], Run]]


def read_run(result: Mapping[str, Any]) -> Run:
    """Takes what the tables need from the official result of one training.

    Raises:
      KeyError, TypeError, ValueError: it is not of the official form, or holds numbers
        that no training has. The caller's guard makes them a `DataError`.
    """
    epochs = result["epochs"]
    if type(epochs) is not int or not 1 <= epochs <= 10_000:
        raise ValueError(f"{read_guard.show(epochs)} epochs")
    curves = {
        ("train", "accuracy"): _percent(result["train_acc1es"], range(epochs)),
        ("train", "loss"): _series(result["train_losses"], range(epochs)),
    }
    names = result["eval_names"]
    if not isinstance(names, list | tuple) or len(names) > _MAX_NAMES:
        raise TypeError("eval_names are no short list")
    for name in names:
        if type(name) is not str:
            raise TypeError("a name of evaluation data that is no text")
        keys = [f"{name}@{epoch}" for epoch in range(epochs)]
        curves[name, "accuracy"] = _percent(result["eval_acc1es"], keys)
        curves[name, "loss"] = _series(result["eval_losses"], keys)
    latency = result["latency"]
    latency = [] if latency is None else latency
    measured = latency if isinstance(latency, list) else [latency]
    mean = sum(map(_number, measured)) / len(measured) if measured else np.nan
    facts = {
        "parameters": _count(result["params"]),
        "flops": _count(result["flop"]),
        "latency": mean if 0 < mean < np.inf else np.nan,
    }
    return Run(curves, _seconds(result["train_times"]), facts)


def _seconds(times: Mapping[Any, Any] | None) -> float:
    """All seconds of a training; NaN where none are recorded."""
    seconds = sum(map(_number, times.values())) if times else np.nan
    if seconds < 0 or seconds == np.inf:
        raise ValueError("training seconds that are negative or not finite")
    return float(seconds)


def _count(millions: Any) -> int:
    """A number of parameters or operations from its millions."""
    number = _number(millions) * 1e6
    if not 0 <= number < _MAX_COUNT:
        raise ValueError(f"{number:.4g} parameters or operations")
    return round(number)


def _number(value: Any) -> float:
    """A number of the file; nothing else becomes one, least of all a text."""
    if type(value) is bool or not isinstance(value, float | int | np.number):
        raise TypeError(f"{type(value).__name__} in the place of a number")
    return float(value)


def _percent(values: Mapping[Any, Any] | None, keys: Any) -> np.ndarray:
    """Accuracies in [0, 1] of a curve in percent."""
    found = _numbers(values, keys)
    if (found < 0).any() or (found > _MAX_PERCENT).any():
        raise ValueError("an accuracy outside 0..100 %")
    return (found * 0.01).astype(np.float32)


def _series(values: Mapping[Any, Any] | None, keys: Any) -> np.ndarray:
    """float32: a curve of losses."""
    with np.errstate(over="ignore"):
        return _numbers(values, keys).astype(np.float32)


def _numbers(values: Mapping[Any, Any] | None, keys: Any) -> np.ndarray:
    """float64: the values in the order of the keys, NaN where there is none."""
    found = [_number((values or {}).get(key, np.nan)) for key in keys]
    return np.array(found, np.float64)


def read_record(entries: Mapping[Any, Mapping[str, Any]], run: Any) -> Record:
    """The record of an architecture from its results by schedule.

    Args:
      entries: what the file has for each schedule.
      run: makes a `Run` of the result of one training.

    Raises:
      AttributeError, KeyError, TypeError, ValueError: as `read_run`.
    """
    arch, runs = "", {}
    for schedule, results in entries.items():
        arch = results["arch_str"]
        if type(arch) is not str:
            raise TypeError("an architecture that is no text")
        trained: dict[tuple[str, int], Run] = {}
        for key, result in results["all_results"].items():
            data_set, seed = key
            if type(data_set) is not str or type(seed) is not int:
                raise TypeError("a training without name of its data and seed")
            trained[data_set, seed] = run(result)
        runs[int(schedule)] = trained
    return Record(arch, runs)


@contextlib.contextmanager
def building(
    path: str | os.PathLike[str], source: Mapping[str, Any]
) -> Iterator["TableBuilder"]:
    """Writes a table file from the records added inside the block."""
    description = table_file.describe("nasbench201", source, [])
    with table_file.streaming(path, description) as writer:
        builder = TableBuilder(writer)
        yield builder
        if not writer.num_rows:
            raise DataError(f"{source.get('file')}: holds no architecture")
        parts = builder.parts()
        description |= table_file.describe("nasbench201", source, parts)


class TableBuilder:
    """Adds architectures to a table file; made by `building`."""

    def __init__(self, writer: RowWriter):
        self._writer = writer
        self._seen: set[str] = set()
        self._slots: dict[tuple[int, str], dict[int, int]] = {}
        # Key of each array, to the epochs that it holds.
        self._widths: dict[tuple[int, str, str, str], int] = {}

    def add(self, record: Record, *, name: str) -> None:
        """Adds one architecture; errors call its source `name`.

        Raises:
          DataError: it is not of the official form, or was there before.
        """
        try:
            genes = nasbench201.parse_arch(record.arch)
        except UnknownArchitecture as error:
            raise DataError(f"{name}: {error}") from error
        if record.arch in self._seen:
            raise DataError(f"{name}: {record.arch} is there twice")
        self._seen.add(record.arch)
        if not self._widths:
            self._decide_layout(record, name)
        row: dict[str, np.ndarray] = {"archs": genes.astype(np.int8)}
        for schedule, data_set in self._slots:
            runs = record.runs.get(schedule, {})
            found = {seed: run for (d, seed), run in runs.items() if d == data_set}
            row.update(self._fill(schedule, data_set, found, name))
        self._writer.append(row)

    def _decide_layout(self, record: Record, name: str) -> None:
        """Which curves are kept for every epoch: as in the first architecture."""
        for schedule in SCHEDULES:
            for (data_set, _), run in record.runs.get(schedule, {}).items():
                if data_set not in DATA_SETS:
                    raise DataError(f"{name}: unknown data set {data_set[:80]!r}")
                seeds = _SEEDS.get(schedule, ())
                self._slots[schedule, data_set] = {s: i for i, s in enumerate(seeds)}
                for (source, kind), values in run.curves.items():
                    split = _SPLITS[data_set].get(source, source)
                    recorded = int(np.isfinite(values).sum())
                    if recorded:
                        key = schedule, data_set, split, kind
                        self._widths[key] = schedule if recorded > 1 else 1
        if not self._widths:
            raise DataError(f"{name}: holds no training of {SCHEDULES} epochs")

    def _fill(
        self, schedule: int, data_set: str, runs: Mapping[int, Run], name: str
    ) -> dict[str, np.ndarray]:
        """The rows of one data set under one schedule."""
        prefix = f"{schedule}/{data_set}"
        rows = {
            f"{prefix}/{split}_{kind}": np.full((_NUM_SEEDS, width), np.nan, np.float32)
            for (t, d, split, kind), width in self._widths.items()
            if (t, d) == (schedule, data_set)
        }
        seconds = np.full((_NUM_SEEDS, 1), np.nan, np.float32)
        for seed, run in runs.items():
            slot = self._slot(schedule, data_set, seed, name)
            seconds[slot] = run.seconds
            for (source, kind), values in run.curves.items():
                split = _SPLITS[data_set].get(source, source)
                target = rows.get(f"{prefix}/{split}_{kind}")
                if len(values) != schedule:
                    raise DataError(f"{name}: {len(values)} epochs, not {schedule}")
                if target is not None:
                    target[slot] = values if target.shape[1] > 1 else values[-1:]
        rows[f"{prefix}/seconds"] = seconds
        for fact, dtype in _FACTS.items():
            # The median: a few runs carry the numbers of another architecture.
            numbers = [run.facts[fact] for run in runs.values()]
            known = bool(np.isfinite(numbers).any())
            number = np.nanmedian(numbers) if known else _ABSENT[dtype]
            rows[f"{prefix}/{fact}"] = np.array(number, dtype)
        return rows

    def _slot(self, schedule: int, data_set: str, seed: int, name: str) -> int:
        slots = self._slots[schedule, data_set]
        if seed not in slots and len(slots) < _NUM_SEEDS:
            slots[seed] = len(slots)
        if seed not in slots:
            raise DataError(
                f"{name}: more than {_NUM_SEEDS} seeds on {data_set}: {seed} after "
                f"{sorted(slots)}"
            )
        return slots[seed]

    def parts(self) -> list[Part]:
        """The benchmarks of the file, CIFAR-10 first."""
        parts = []
        for data_set in ("cifar10", "cifar10-valid", *DATA_SETS[2:]):
            for schedule in SCHEDULES:
                if (schedule, data_set) in self._slots:
                    parts.append(self._part(schedule, data_set))
        return parts

    def _part(self, schedule: int, data_set: str) -> Part:
        curves = self._curves(schedule, data_set)
        notes, source = {}, data_set
        if data_set == "cifar10" and (schedule, "cifar10-valid") in self._slots:
            # Searched on half of the training images, reported after training on all.
            source = "cifar10-valid"
            trained = self._curves(schedule, source)
            curves = {**curves, **{m: k for m, k in trained.items() if "test" not in m}}
            notes["test_accuracy"] = (
                "of trainings on all 50,000 images; validation accuracy, training "
                "curves and seconds are of trainings on 25,000 (cifar10-valid)"
            )
        slots = self._slots[schedule, source]
        return Part(
            data_set=data_set,
            epochs=tuple(range(1, schedule + 1)),
            metric="accuracy",
            seeds=tuple(slots),
            curves=curves,
            seconds=f"{schedule}/{source}/seconds",
            facts={fact: f"{schedule}/{source}/{fact}" for fact in _FACTS},
            notes=notes,
        )

    def _curves(self, schedule: int, data_set: str) -> dict[str, str]:
        return {
            f"{split}_{kind}": f"{schedule}/{data_set}/{split}_{kind}"
            for (t, d, split, kind) in self._widths
            if (t, d) == (schedule, data_set)
        }
