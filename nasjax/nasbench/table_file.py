"""Table files: a safetensors file of arrays with a description, and a JSON sidecar.

A file holds what the official one holds: all data sets and schedules. The description
says which arrays make up which benchmark, so that loading one maps the file into
memory and touches those arrays only. The sidecar repeats the description for people
and other tools; it is not read back.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np

from nasjax.core import arrays, atomic_file, errors, result
from nasjax.nasbench import lookup
from nasjax.nasbench.runs import Runs, to_device
from nasjax.nasbench.table import TabularBenchmark
from nasjax.spaces import fingerprints

FORM = "nasjax table 1"
_FINGERPRINTS = fingerprints.VERSION


@dataclasses.dataclass(frozen=True)
class Part:
    """One benchmark of a table file: which arrays it is made of.

    Attributes:
      data_set: what was trained on.
      epochs: recorded epochs, increasing; the last one names the schedule.
      metric: `"accuracy"` or `"loss"`.
      seeds: names of the seeds of the validation score.
      curves: key of the `[N, S, T or 1]` array of each metric.
      seconds: key of the training seconds, or "".
      facts: key of the `[N]` array of each fact.
      notes: why a metric is absent, or what it is taken from.
    """

    data_set: str
    epochs: tuple[int, ...]
    metric: str
    seeds: tuple[int, ...]
    curves: Mapping[str, str]
    seconds: str = ""
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def schedule(self) -> int:
        """Epochs of the whole training."""
        return self.epochs[-1]


def describe(
    space: str, source: Mapping[str, Any], parts: Sequence[Part]
) -> dict[str, Any]:
    """The description of a file: the metadata of `arrays.save`."""
    return {
        "form": FORM,
        "space": space,
        "source": dict(source),
        "fingerprints": _FINGERPRINTS,
        "parts": [dataclasses.asdict(part) for part in parts],
    }


def save(
    path: str | os.PathLike[str], tree: dict[str, Any], description: dict[str, Any]
) -> None:
    """Writes a table whose arrays are all in memory, and its sidecar.

    Args:
      path: the file; `PATH.json` is the sidecar.
      tree: `archs` int8 `[N, G]`, `fingerprints` uint32 `[N, 2]` in lexicographic
        order unless the space is NAS-Bench-201, and the arrays of the parts.
      description: from `describe`.
    """
    arrays.save(path, tree, metadata=description)
    write_sidecar(path, description)


def write_sidecar(path: str | os.PathLike[str], description: Mapping[str, Any]) -> None:
    """Writes `PATH.json`: the description and the shapes of all arrays."""
    shapes = {
        key: {"dtype": str(view.dtype), "shape": list(view.shape)}
        for key, view in sorted(arrays.memory_map(path).items())
    }
    result.write(f"{os.fspath(path)}.json", {**description, "arrays": shapes})


class RowWriter:
    """Collects a table row by row in a folder; made by `streaming`."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._files: dict[str, tuple[IO[bytes], np.dtype, tuple[int, ...]]] = {}
        self.num_rows = 0

    def append(self, row: Mapping[str, np.ndarray]) -> None:
        """Adds a row to every array; the first one decides on keys and shapes."""
        if not self._files:
            for number, (key, values) in enumerate(row.items()):
                new = (self._folder / str(number)).open("wb+")
                self._files[key] = new, values.dtype, values.shape
        for key, (file, dtype, shape) in self._files.items():
            values = row[key]
            if (values.dtype, values.shape) != (dtype, shape):
                raise ValueError(f"{key}: a row of {values.dtype}{values.shape}")
            file.write(np.ascontiguousarray(values).tobytes())
        self.num_rows += 1

    def join(self, path: pathlib.Path, description: Mapping[str, Any]) -> None:
        """Writes the one file that holds all arrays."""
        header: dict[str, Any] = {
            "__metadata__": {"nasjax": json.dumps(description, sort_keys=True)}
        }
        end = 0
        # Wide types first: then every array is aligned.
        keys = sorted(self._files, key=lambda key: -self._files[key][1].itemsize)
        for key in keys:
            _, dtype, shape = self._files[key]
            start, end = end, end + self.num_rows * math.prod(shape) * dtype.itemsize
            header[key] = {
                "dtype": f"{dtype.kind.upper()}{8 * dtype.itemsize}",
                "shape": [self.num_rows, *shape],
                "data_offsets": [start, end],
            }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with path.open("wb") as whole:
            whole.write(len(text).to_bytes(8, "little") + text)
            for key in keys:
                file = self._files[key][0]
                file.seek(0)
                shutil.copyfileobj(file, whole, 1 << 20)

    def close(self) -> None:
        """Closes the files of the folder."""
        for file, _, _ in self._files.values():
            file.close()


@contextlib.contextmanager
def streaming(
    path: str | os.PathLike[str], description: dict[str, Any]
) -> Iterator[RowWriter]:
    """Writes a table row by row without holding it in memory; whole or not at all.

    Args:
      path: the file; the sidecar is written with it. Its folder must have room for
        two copies of it.
      description: from `describe`; read at the end, so that the block may change it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as rows:
        with contextlib.closing(RowWriter(pathlib.Path(rows))) as writer:
            yield writer
            with atomic_file.replacing(path) as temporary:
                writer.join(temporary, description)
    write_sidecar(path, description)


def load(
    path: str | os.PathLike[str],
    *,
    data_set: str = "",
    schedule: int = 0,
    metrics: Sequence[str] | None = None,
) -> TabularBenchmark:
    """Loads one benchmark of a table file.

    Args:
      path: a file that `save` or `streaming` has written.
      data_set: which one; default: the first of the file.
      schedule: epochs of the whole training; default: the longest of the data set.
      metrics: load only these; default: all.

    Raises:
      DataError: the file is missing, damaged or no table.
      ConfigError: it has no such data set, schedule or metric.
    """
    description = read_description(path)
    part = _select(path, description, data_set, schedule)
    for metric in metrics or ():
        if metric not in part.curves:
            raise errors.unknown_name(f"metric of {path}", metric, part.curves)

    def view(key: str) -> np.ndarray:
        # Mapped anew, so that the pages of what has been copied are given back.
        views = arrays.memory_map(path)
        if key not in views:
            raise errors.DataError(f"{path}: {key!r} is missing; convert it again")
        return views[key]

    return TabularBenchmark(
        index=read_index(path),
        archs=to_device(view("archs")),
        curves={
            metric: Runs.build(view(key))
            for metric, key in part.curves.items()
            if metrics is None or metric in metrics
        },
        seconds=Runs.build(view(part.seconds)) if part.seconds else None,
        facts={name: to_device(view(key)) for name, key in part.facts.items()},
        space=description["space"],
        data_set=part.data_set,
        epochs=tuple(part.epochs),
        metric=part.metric,
        seeds=tuple(part.seeds),
        notes=tuple(part.notes.items()),
    )


def read_index(path: str | os.PathLike[str]) -> lookup.Index:
    """What finds the rows of a table file.

    Raises:
      DataError: the file is missing, damaged or no table.
    """
    description, views = read_description(path), arrays.memory_map(path)
    if "archs" not in views:
        raise errors.DataError(f"{path}: 'archs' is missing; convert it again")
    known = description["fingerprints"] == _FINGERPRINTS
    prints = views.get("fingerprints") if known else None
    return lookup.build(description["space"], views["archs"], prints)


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The description of a table file.

    Raises:
      DataError: the file is missing, damaged or no table.
    """
    description = arrays.load_metadata(path)
    if description.get("form") != FORM:
        raise errors.DataError(
            f"{path}: not a table of this version; convert the official file again "
            "with launch/nasbench_x11.py --mode=convert"
        )
    return description


def read_parts(description: Mapping[str, Any]) -> list[Part]:
    """The benchmarks of a file."""
    return [Part(**part) for part in description["parts"]]


def _select(
    path: str | os.PathLike[str],
    description: Mapping[str, Any],
    data_set: str,
    schedule: int,
) -> Part:
    parts = read_parts(description)
    data_set = data_set or parts[0].data_set
    chosen = [part for part in parts if part.data_set == data_set]
    if not chosen:
        names = {part.data_set for part in parts}
        raise errors.unknown_name(f"data set of {path}", data_set, names)
    schedule = schedule or max(part.schedule for part in chosen)
    for part in chosen:
        if part.schedule == schedule:
            return part
    known = sorted(part.schedule for part in chosen)
    raise errors.ConfigError(
        f"{path} has no {schedule}-epoch schedule of {data_set}; known: "
        f"{', '.join(map(str, known))}"
    )
