"""NAS-Bench-101 cells as text: the one-line notation, and what programs print.

    input,conv3x3-bn-relu,output|010/001/000
    ModelSpec(matrix=[[0, 1, 0], [0, 0, 1], [0, 0, 0]], ops=[INPUT, CONV3X3, OUTPUT])
    {'module_adjacency': array([[0, 1, 0], ...]), 'module_operations': ['input', ...]}

Nothing is evaluated.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nasjax.core import errors
from nasjax.spaces import literals

MAX_WRITTEN = 32
"""Vertices of a cell before vertices that are on no path are left out."""
FORM = "write it as 'input,conv3x3-bn-relu,output|010/001/000'"
_CONSTANTS = {
    "INPUT": "input",
    "OUTPUT": "output",
    "CONV1X1": "conv1x1-bn-relu",
    "CONV3X3": "conv3x3-bn-relu",
    "MAXPOOL3X3": "maxpool3x3",
}
_MATRIX = ("matrix", "module_adjacency", "adjacency", "adjacency_matrix")
_OPERATIONS = ("ops", "module_operations", "operations")
_BESIDE = ("data_format", "trainable_parameters")


def read(text: str, names: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """The matrix int32 `[n, n]` of 0 and 1 and the n - 2 interior operations.

    Args:
      text: a cell in one of the forms above.
      names: operations of the space.

    Raises:
      UnknownArchitecture: it is none, or breaks a rule that the message names.
    """
    text = text.strip()
    written = _line(text) if "[" not in text and "(" not in text else _printed(text)
    operations, rows = written
    n = len(operations)
    if n > MAX_WRITTEN:
        raise errors.UnknownArchitecture(
            f"the cell has {n} vertices; at most {MAX_WRITTEN} are read"
        )
    if len(rows) != n or any(len(row) != n for row in rows):
        raise errors.UnknownArchitecture(
            f"the cell has {n} operations, input and output among them, but its "
            f"matrix is not {n} x {n}; {FORM}"
        )
    if any(
        type(bit) not in (int, bool) or bit not in (0, 1) for r in rows for bit in r
    ):
        raise errors.UnknownArchitecture(
            "the adjacency matrix holds something other than 0 and 1"
        )
    if n < 2 or operations[0] != "input" or operations[-1] != "output":
        raise errors.UnknownArchitecture(
            "the operations of a cell must begin with 'input' and end with 'output'"
        )
    for name in operations[1:-1]:
        if name not in names:
            raise errors.UnknownArchitecture(
                f"unknown operation {name[:40]!r}{errors.suggest(name[:40], names)}; "
                f"known: {', '.join(names)}"
            )
    return np.array(rows, np.int32), [names.index(name) for name in operations[1:-1]]


def _line(text: str) -> tuple[list[str], list[list[int]]]:
    names_text, bar, bits = text.strip("'\"").partition("|")
    names = [name.strip() for name in names_text.split(",")]
    bits = bits.replace("/", "").strip()
    n = len(names)
    if not bar or len(bits) != n * n or set(bits) - {"0", "1"}:
        raise _unreadable(text)
    return names, [[int(bit) for bit in bits[i : i + n]] for i in range(0, n * n, n)]


def _printed(text: str) -> tuple[list[str], list[list[int]]]:
    try:
        value = literals.read(text)
    except ValueError as error:
        raise _unreadable(text, f": {error}") from error
    if isinstance(value, literals.Call) and value.name == "ModelSpec":
        value = {
            **dict(zip(("matrix", "ops"), value.args, strict=False)),
            **value.kwargs,
        }
    if isinstance(value, dict):
        matrix, operations = _of(value, _MATRIX), _of(value, _OPERATIONS)
        for key in value:
            if key not in (*_MATRIX, *_OPERATIONS, *_BESIDE):
                raise errors.UnknownArchitecture(
                    f"the cell has the field {key[:40]}, which is not known; leave it "
                    "out"
                )
    elif isinstance(value, list | tuple) and len(value) == 2:
        matrix, operations = value
    else:
        raise _unreadable(text)
    lists = [matrix, operations]
    lists += list(matrix) if isinstance(matrix, list | tuple) else []
    if not all(isinstance(each, list | tuple) for each in lists):
        raise _unreadable(text)
    if not all(isinstance(name, str) for name in operations):
        raise errors.UnknownArchitecture("the operations of a cell are names")
    names = [
        _CONSTANTS.get(name, name) if isinstance(name, literals.Name) else name
        for name in operations
    ]
    return names, [list(row) for row in matrix]


def _of(fields: dict[str, Any], names: Sequence[str]) -> Any:
    found = [name for name in names if name in fields]
    if len(found) != 1:
        raise errors.UnknownArchitecture(
            f"a cell has one field of {', '.join(names)}, this one has {len(found)}"
        )
    return fields[found[0]]


def _unreadable(text: str, why: str = "") -> errors.UnknownArchitecture:
    return errors.UnknownArchitecture(
        f"cannot read {literals.shown(text)} as a NAS-Bench-101 cell{why}; {FORM}, "
        "or as ModelSpec(matrix=[[...], ...], ops=[...])"
    )
