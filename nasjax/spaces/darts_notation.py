"""Genotypes of the DARTS code and its descendants, as programs print them.

    Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6),
             reduce=[...], reduce_concat=range(2, 6))

Fields stand in any order or by position; edges in one list or in one list a step
(pt.darts, Yang et al., 2020); numbers may be numpy's or torch's. Nothing is evaluated.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.core import errors
from nasjax.spaces import literals

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
NUM_STEPS = 4
_CONCAT = [2, 3, 4, 5]
_FORM = (
    "write it as 'Genotype(normal=[(operation, state), ... 8 of them], "
    "normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))'"
)
_START = re.compile(r"Genotype\s*\(")


def parse(text: str, names: Sequence[str]) -> np.ndarray:
    """int32 `[2 cells, 4 steps, 2, (operation, input)]`, the normal cell first.

    Args:
      text: a genotype, alone, assigned to a name, or at the end of a line of a log.
      names: operations of the space.

    Raises:
      UnknownArchitecture: the text is no genotype, or breaks a rule of the space, which
        the message names.
    """
    fields = _fields(_read(text))
    cells = [_cell(cell, fields[cell], names) for cell in ("normal", "reduce")]
    for cell in ("normal", "reduce"):
        _check_concat(f"{cell}_concat", fields[f"{cell}_concat"])
    return np.array(cells, np.int32)


def _read(text: str) -> Any:
    start = _START.search(text)
    try:
        try:
            return literals.read(text)
        except ValueError:
            if start is None or not start.start():
                raise
        return literals.read(text[start.start() :])
    except ValueError as error:
        raise _refused(
            f"cannot read {literals.shown(text)}: {error}; {_FORM}"
        ) from error


def _refused(what: str) -> errors.UnknownArchitecture:
    return errors.UnknownArchitecture(what)


def _fields(value: Any) -> Mapping[str, Any]:
    if isinstance(value, literals.Call) and value.name == "Genotype":
        if len(value.args) > len(FIELDS):
            raise _refused(f"a genotype has {len(FIELDS)} fields; {_FORM}")
        fields = dict(zip(FIELDS, value.args, strict=False))
        for name, content in value.kwargs.items():
            if name in fields:
                raise _refused(f"the genotype has the field {name} twice; {_FORM}")
            fields[name] = content
    elif isinstance(value, dict):
        fields = value
    else:
        raise _refused(f"the text is no genotype; {_FORM}")
    for name in FIELDS:
        if name not in fields:
            raise _refused(f"the genotype has no field {name}; {_FORM}")
    for name, content in fields.items():
        if name not in FIELDS and content is not None:
            raise _refused(
                f"the genotype has the field {name[:40]}, which is none of "
                f"{', '.join(FIELDS)}; leave it out"
            )
    return fields


def _check_concat(name: str, concat: Any) -> None:
    if not isinstance(concat, list | tuple) or list(concat) != _CONCAT:
        raise _refused(
            f"{name} is not range(2, 6); in this space a cell concatenates its four "
            "steps, the states 2, 3, 4 and 5"
        )


def _cell(cell: str, value: Any, names: Sequence[str]) -> list[list[list[int]]]:
    if not isinstance(value, list | tuple):
        raise _refused(f"{cell} is no list of edges (operation, state); {_FORM}")
    steps = _steps(cell, value)
    if len(steps) != NUM_STEPS:
        raise _refused(
            f"{cell} has {len(steps)} steps; a cell of this space has {NUM_STEPS}, of "
            "two edges each"
        )
    return [
        _step(f"step {number} of {cell}", number, step, names)
        for number, step in enumerate(steps, 1)
    ]


def _steps(cell: str, value: Sequence[Any]) -> list[Sequence[Any]]:
    """The edges by steps, from one list of them or from a list of lists."""
    nested = [
        isinstance(item, list | tuple)
        and all(isinstance(edge, list | tuple) for edge in item)
        for item in value
    ]
    if all(nested):
        return list(value)
    if any(nested):
        raise _refused(f"{cell} mixes edges and lists of edges; {_FORM}")
    if len(value) % 2:
        raise _refused(
            f"{cell} has {len(value)} edges, an odd number; every step has two"
        )
    return [value[i : i + 2] for i in range(0, len(value), 2)]


def _step(
    where: str, last: int, step: Sequence[Any], names: Sequence[str]
) -> list[list[int]]:
    """The edges of a step that may read the states 0 to `last`."""
    if len(step) != 2:
        raise _refused(f"{where} has {len(step)} edges; a step of this space has 2")
    edges = [_edge(where, edge, names) for edge in step]
    for _, state in edges:
        if not 0 <= state <= last:
            raise _refused(
                f"{where} reads the state {state}, which is not before it; it may read "
                f"0 to {last}"
            )
    if edges[0][1] == edges[1][1]:
        raise _refused(
            f"{where} reads the state {edges[0][1]} twice; its edges need two states"
        )
    return edges


def _edge(where: str, edge: Any, names: Sequence[str]) -> list[int]:
    if not isinstance(edge, list | tuple) or len(edge) != 2:
        raise _refused(f"{where}: an edge is a pair (operation, state); {_FORM}")
    operation, state = edge
    if not isinstance(operation, str) or type(state) is not int:
        raise _refused(
            f"{where}: an edge is (operation, state), a name and an integer, in this "
            "order"
        )
    if operation == "none" and operation not in names:
        raise _refused(
            f"{where} has the operation 'none', which the space offers only as "
            "spaces.make('darts', none=True)"
        )
    if operation not in names:
        raise _refused(
            f"{where} has the unknown operation {operation[:40]!r}"
            f"{errors.suggest(operation[:40], names)}; known: {', '.join(names)}"
        )
    return [names.index(operation), state]
