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

from nasjax import spaces
from nasjax.core import arrays, atomic_file, errors, read_guard, result
from nasjax.nasbench import index as lookup
from nasjax.nasbench.runs import TrainingRuns, to_device
from nasjax.nasbench.table import TabularBenchmark
from nasjax.spaces import fingerprints, nasbench101_notation, nasbench201

FORM = "nasjax table 1"
_FINGERPRINTS = fingerprints.VERSION
_REMEDY = "convert the official file again"
_MAX_SEEDS, _MAX_EPOCHS, _MAX_REACH = 8, 10_000, 64


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
            "__metadata__": arrays.header_metadata(dict(description))
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
                arrays.seal(temporary)
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

    index = read_index(path)
    _check_arrays(path, part)

    def view(key: str) -> np.ndarray:
        # Mapped anew, so that the pages of what has been copied are given back.
        return arrays.memory_map(path)[key]

    return TabularBenchmark(
        index=index,
        archs=to_device(view("archs")),
        curves={
            metric: TrainingRuns.build(view(key))
            for metric, key in part.curves.items()
            if metrics is None or metric in metrics
        },
        seconds=TrainingRuns.build(view(part.seconds)) if part.seconds else None,
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
    space = description["space"]
    with read_guard.guard(path, "its architectures are damaged", remedy=_REMEDY):
        archs = _check_archs(space, views)
        known = description["fingerprints"] == _FINGERPRINTS
        prints = views.get("fingerprints") if known else None
        if prints is not None:
            if (prints.dtype, prints.shape) != (np.dtype(np.uint32), (len(archs), 2)):
                raise ValueError("the fingerprints are not uint32 [N, 2]")
        index = lookup.build(space, archs, prints)
        if getattr(index, "reach", 0) > _MAX_REACH:
            raise ValueError("the fingerprints are not spread, as those of cells are")
    return index


def _check_archs(space: str, views: Mapping[str, np.ndarray]) -> np.ndarray:
    """The genes of a table `[N, G]`; raises where they are not those of the space."""
    archs = views["archs"]
    num_genes = spaces.make(space).num_genes
    if archs.ndim != 2 or archs.shape[1] != num_genes or archs.dtype.kind not in "iu":
        raise ValueError(f"archs are not integers [N, {num_genes}]")
    if not len(archs):
        raise ValueError("there is none")
    low, high = _GENES.get(space, (-1, np.iinfo(np.int32).max))
    if (archs < low).any() or (archs > high).any():
        raise ValueError("genes outside the space")
    return archs


def _check_arrays(path: str | os.PathLike[str], part: Part) -> None:
    """Raises `DataError` where an array is missing or of another shape or type."""
    views = arrays.memory_map(path)
    rows = len(views["archs"])
    for key in (*part.curves.values(), *filter(None, [part.seconds])):
        values = _view(path, views, key)
        fits = values.ndim == 3 and values.dtype.kind == "f" and len(values) == rows
        if not fits or values.shape[2] not in (1, len(part.epochs)):
            raise _malformed(path, key)
        # One column may be the published mean of all seeds.
        columns = values.shape[1]
        if columns != 1 and not len(part.seeds) <= columns <= _MAX_SEEDS:
            raise _malformed(path, key)
    for key in part.facts.values():
        values = _view(path, views, key)
        if values.shape != (rows,) or values.dtype.kind not in "iuf":
            raise _malformed(path, key)


def _view(
    path: str | os.PathLike[str], views: Mapping[str, np.ndarray], key: str
) -> np.ndarray:
    if key not in views:
        raise errors.DataError(f"{path}: {key[:80]!r} is missing; {_REMEDY}")
    return views[key]


def _malformed(path: str | os.PathLike[str], key: str) -> errors.DataError:
    return errors.DataError(
        f"{path}: {key[:80]!r} has a shape or type that does not fit; {_REMEDY}"
    )


_GENES: dict[str, tuple[Any, Any]] = {
    "nasbench201": (0, nasbench201.NUM_OPS - 1),
    "nasbench101": (
        np.array(
            [0] * nasbench101_notation.NUM_BITS
            + [-1] * nasbench101_notation.OP_SPOTS
            + [2]
        ),
        np.array(
            [1] * nasbench101_notation.NUM_BITS
            + [2] * nasbench101_notation.OP_SPOTS
            + [nasbench101_notation.MAX_VERTICES]
        ),
    ),
}
"""Least and largest value of each gene, where a space says so in one place."""


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
    with read_guard.guard(path, "its description is malformed", remedy=_REMEDY):
        space = description["space"]
        if not isinstance(space, str) or space not in spaces.SPACES:
            raise ValueError(f"the space {read_guard.show(space)}")
        description["fingerprints"], description["source"]
        if not read_parts(description):
            raise ValueError("no benchmark")
    return description


def read_parts(description: Mapping[str, Any]) -> list[Part]:
    """The benchmarks of a file.

    Raises:
      KeyError, TypeError, ValueError: the description is not one of ours.
    """
    parts = description["parts"]
    if not isinstance(parts, list):
        raise TypeError("parts are no list")
    return [_read_part(part) for part in parts]


def _read_part(fields: Mapping[str, Any]) -> Part:
    part = Part(**fields)
    for texts in (part.curves, part.facts, part.notes):
        if not isinstance(texts, dict):
            raise TypeError("names and keys are no object")
        if not all(isinstance(text, str) for text in texts.values()):
            raise TypeError("a key that is no text")
    for text in (part.data_set, part.metric, part.seconds):
        if not isinstance(text, str):
            raise TypeError("a name that is no text")
    epochs, seeds = _integers(part.epochs), _integers(part.seeds)
    if not epochs or epochs[0] < 1 or epochs[-1] > _MAX_EPOCHS:
        raise ValueError("epochs that no training has")
    if list(epochs) != sorted(set(epochs)) or len(seeds) > _MAX_SEEDS:
        raise ValueError("epochs that do not increase, or too many seeds")
    if part.metric not in ("accuracy", "loss") or not part.curves:
        raise ValueError("no known metric")
    return dataclasses.replace(part, epochs=epochs, seeds=seeds)


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or any(type(v) is not int for v in values):
        raise TypeError("no list of whole numbers")
    return tuple(values)


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
