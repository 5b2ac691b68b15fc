"""`nasbench_only108.tfrecord` and `nasbench_full.tfrecord` (Ying et al., 2019).

A record is a JSON list: module hash, epochs, adjacency matrix as a string of 0 and 1,
operations joined by commas, and the base64 of a protocol buffer of metrics. There are
three for every cell and number of epochs.
"""

import base64
import os
import pathlib
import re
import struct
from typing import Any, NamedTuple

import numpy as np

from nasjax.core import paths, read_guard
from nasjax.core.errors import DataError
from nasjax.core.progress import progress
from nasjax.nasbench import index, table_file
from nasjax.nasbench.readers import tfrecord
from nasjax.nasbench.table_file import Part
from nasjax.spaces import nasbench101
from nasjax.spaces import nasbench101_notation as notation

EPOCHS = (4, 12, 36, 108)
REPEATS = 3
SPLITS = ("train", "valid", "test")
_MAX_CELLS = 1_000_000
_DOUBLE = struct.Struct("<d").unpack_from
# Fields of one evaluation: epoch, seconds, train, validation and test accuracy.
_EVALUATION = 5
# The message as it is written: three evaluations without a checkpoint, all fields.
_USUAL = re.compile(
    rb"(?s)"
    + rb"\n-\t(.{8})\x11(.{8})\x19(.{8})!(.{8})\)(.{8})" * 3
    + rb"\x10([\x80-\xff]{0,9}[\x00-\x7f])\x19(.{8})"
)
_HASH = re.compile(r"[0-9a-f]{32}")
_MAX_PARAMETERS = 2**31
_OPS = {name: op for op, name in enumerate(notation.OP_NAMES)}


class Metrics(NamedTuple):
    """One training.

    Attributes:
      evaluations: float64 `[E, 5]`: epoch, training seconds so far, train, validation
        and test accuracy; officially before, half-way and at the end.
      parameters: trainable parameters.
      total_time: seconds, evaluations included.
    """

    evaluations: np.ndarray
    parameters: int
    total_time: float


def is_nasbench101(path: pathlib.Path) -> bool:
    """Whether a file has the name of a TFRecord file."""
    return path.suffix == ".tfrecord" and paths.is_file(path)


def parse_metrics(message: bytes) -> Metrics:
    """Parses the protocol buffer `ModelMetrics`.

    Raises:
      ValueError, IndexError, struct.error: it is malformed.
    """
    usual = _USUAL.fullmatch(message)
    if usual:
        numbers = struct.unpack("<16d", b"".join(usual.groups()[:15]) + usual[17])
        table = np.array(numbers[:15]).reshape(3, _EVALUATION)
        return Metrics(table, _varint(usual[16], 0)[0], numbers[15])
    evaluations, parameters, total_time = [], 0, float("nan")
    place = 0
    while place < len(message):
        field, wire, place = _tag(message, place)
        value, place = _value(message, place, wire)
        if field == 1 and wire == 2:
            evaluations.append(_parse_evaluation(value))
        elif field == 2 and wire == 0:
            parameters = value
        elif field == 3 and wire == 1:
            total_time = value
    table = np.array(evaluations, np.float64).reshape(-1, _EVALUATION)
    return Metrics(table, parameters, total_time)


def _parse_evaluation(message: bytes) -> list[float]:
    values, place = [float("nan")] * _EVALUATION, 0
    while place < len(message):
        field, wire, place = _tag(message, place)
        value, place = _value(message, place, wire)
        if wire == 1 and 1 <= field <= _EVALUATION:
            values[field - 1] = value
    return values


def _tag(message: bytes, place: int) -> tuple[int, int, int]:
    number, place = _varint(message, place)
    return number >> 3, number & 7, place


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number, shift = 0, 0
    while shift < 64:
        byte = message[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
        shift += 7
    raise ValueError("a number of more than 64 bits")


def _value(message: bytes, place: int, wire: int) -> tuple[Any, int]:
    """The value of a field and the place after it; unknown 32-bit ones are skipped."""
    if wire == 0:
        return _varint(message, place)
    if wire == 1:
        return _DOUBLE(message, place)[0], place + 8
    if wire == 2:
        size, place = _varint(message, place)
        if place + size > len(message):
            raise ValueError("a field that ends outside")
        return message[place : place + size], place + size
    if wire == 5:
        return None, place + 4
    raise ValueError(f"a field of the unknown wire type {wire}")


def parse_cell(adjacency: str, operations: str) -> list[int]:
    """The 27 genes of a cell from the two fields of a record.

    Raises:
      KeyError, ValueError: they are malformed; whether the cell is valid is not
        checked.
    """
    if not isinstance(adjacency, str) or not isinstance(operations, str):
        raise ValueError("matrix or operations are no text")
    first, *names, last = operations.split(",")
    n = len(names) + 2
    if (first, last) != ("input", "output") or n > notation.MAX_VERTICES:
        raise ValueError(f"the operations {operations[:80]!r}")
    ones = {place for place, bit in enumerate(adjacency) if bit == "1"}
    if len(adjacency) != n * n or len(ones) + adjacency.count("0") != n * n:
        raise ValueError(f"the matrix {adjacency[:80]!r} of {n} vertices")
    if any(place // n >= place % n for place in ones):
        raise ValueError(
            f"the matrix {adjacency[:80]!r} is not strictly upper triangular"
        )
    bits = [int(j < n and i * n + j in ones) for i, j in notation.EDGES]
    ops = [_OPS[name] for name in names]
    return [*bits, *ops, *[-1] * (notation.OP_SPOTS - len(ops)), n]


class _Cells:
    """Rows of the table while the file is read: arrays that grow by doubling."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.archs = np.zeros((1024, notation.NUM_GENES), np.int8)
        self.parameters: list[int] = []
        # budget, repeat, (half-way, end), (seconds, train, valid, test)
        self._shape = len(EPOCHS), REPEATS, 2, 1 + len(SPLITS)
        self.values = np.full((1024, *self._shape), np.nan, np.float32)
        self.count = np.zeros((1024, len(EPOCHS)), np.uint8)

    def row(self, module_hash: str, adjacency: str, operations: str) -> int:
        """The row of a cell, new when it is seen first."""
        row = self.rows.get(module_hash)
        if row is not None:
            return row
        row = len(self.rows)
        if not isinstance(module_hash, str) or not _HASH.fullmatch(module_hash):
            raise ValueError("a module hash that is none")
        if row == _MAX_CELLS:
            raise ValueError("more cells than the space has")
        if row == len(self.values):
            more = np.full((row, *self._shape), np.nan, np.float32)
            self.values = np.concatenate([self.values, more])
            self.count = np.concatenate([self.count, np.zeros_like(self.count)])
            self.archs = np.concatenate([self.archs, np.zeros_like(self.archs)])
        self.archs[row] = parse_cell(adjacency, operations)
        self.rows[module_hash] = row
        self.parameters.append(0)
        return row

    def add(self, fields: Any) -> None:
        """Adds the fields of one record; raises what malformed content raises."""
        module_hash, epochs, adjacency, operations, encoded = fields
        metrics = parse_metrics(base64.b64decode(encoded, validate=True))
        if metrics.evaluations.shape[0] != 3:
            raise ValueError(f"{metrics.evaluations.shape[0]} evaluations, not 3")
        _check_range(metrics)
        budget = EPOCHS.index(epochs)
        row = self.row(module_hash, adjacency, operations)
        repeat = int(self.count[row, budget])
        if repeat == REPEATS:
            raise ValueError(f"more than {REPEATS} trainings of {module_hash:.32}")
        self.values[row, budget, repeat] = metrics.evaluations[1:, 1:]
        self.count[row, budget] += 1
        self.parameters[row] = metrics.parameters


def _check_range(metrics: Metrics) -> None:
    """Raises `ValueError` for numbers that no training has."""
    seconds, scores = metrics.evaluations[1:, 1], metrics.evaluations[1:, 2:]
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("an accuracy outside [0, 1]")
    if not ((seconds >= 0) & (seconds < np.inf)).all():
        raise ValueError("training seconds that are negative or not finite")
    if not 0 <= metrics.parameters < _MAX_PARAMETERS:
        raise ValueError(f"{metrics.parameters} parameters")


def convert(
    path: pathlib.Path, output: str | os.PathLike[str], source: dict[str, Any]
) -> None:
    """Writes the table file of all cells of a TFRecord file.

    Raises:
      DataError: the file is damaged or not of the official form.
    """
    cells, place, size, shown = _Cells(), 0, 0, 0
    total = path.stat().st_size // 10**6
    with progress(total, description="reading", unit="MB") as bar:
        for records in tfrecord.read(path):
            for number, record in enumerate(records):
                _add(cells, record, f"{path}, record {place + number}")
            place += len(records)
            size += sum(map(len, records)) + tfrecord.FRAME_BYTES * len(records)
            bar.set(cells=len(cells.rows))
            bar.update(size // 10**6 - shown)
            shown = size // 10**6
    if not cells.rows:
        raise DataError(f"{path}: holds no record; download it again")
    _save(cells, output, source)


def _add(cells: _Cells, record: bytes, name: str) -> None:
    what = "not of the NAS-Bench-101 form"
    with read_guard.guard(name, what):
        cells.add(read_guard.parse_json(record, name=name, what=what))


def _save(
    cells: _Cells, output: str | os.PathLike[str], source: dict[str, Any]
) -> None:
    """Sorts the cells by fingerprint and writes them."""
    size = len(cells.rows)
    used = [b for b in range(len(EPOCHS)) if cells.count[:size, b].any()]
    archs = cells.archs[:size]
    valid = index.apply(nasbench101.is_valid, archs)
    if not valid.all():
        text = notation.format_arch(archs[np.argmin(valid)])
        raise DataError(f"{source.get('file')}: {text} is no cell of the space")
    prints = index.fingerprints("nasbench101", archs)
    order = np.lexsort((prints[:, 1], prints[:, 0]))
    if (np.diff(prints[order], axis=0) == 0).all(axis=1).any():
        raise DataError(f"{source.get('file')}: two module hashes for one cell")
    names = ("seconds", *(f"{split}_accuracy" for split in SPLITS))
    tree: dict[str, Any] = {
        "archs": archs[order],
        "fingerprints": prints[order],
        "module_hash": np.array(
            [list(bytes.fromhex(key)) for key in cells.rows], np.uint8
        )[order],
        "parameters": np.array(cells.parameters, np.int32)[order],
    }
    for quantity, name in enumerate(names):
        for half, prefix in ((0, "halfway_"), (1, "")):
            values = cells.values[:size, :, :, half, quantity][order][:, used]
            tree[prefix + name] = np.ascontiguousarray(values.swapaxes(1, 2))
    del cells.values
    part = Part(
        data_set="cifar10",
        epochs=tuple(EPOCHS[b] for b in used),
        metric="accuracy",
        seeds=tuple(range(REPEATS)),
        curves={key: key for key in tree if key.endswith("_accuracy")},
        seconds="seconds",
        facts={"parameters": "parameters"},
        notes={
            "valid_accuracy": "each number of epochs is a training of its own; "
            "halfway_* is the same training after half of them"
        },
    )
    description = table_file.describe("nasbench101", source, [part])
    table_file.save(output, tree, description)
