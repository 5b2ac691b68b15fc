"""What every plot is: a figure, a caption that explains it, and its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from nasjax.core.errors import DataError


class Plot(NamedTuple):
    """A figure with its numbers.

    Attributes:
      name: of its files, of letters, digits and underscores.
      figure: not yet written; `report.canvas.save` writes it.
      caption: what is drawn, of how many, and what the bands are.
      columns: what is drawn, as columns of one length; `csv_text` writes them.
    """

    name: str
    figure: Figure
    caption: str
    columns: Mapping[str, np.ndarray]


def csv_text(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> str:
    """Columns as CSV (RFC 4180): floats read back exactly, what is not known is empty.

    A text that a spreadsheet would take for a formula gets a `'` in front.

    Raises:
      DataError: columns of different lengths.
    """
    values = [np.asarray(column).tolist() for column in columns.values()]
    if len({len(column) for column in values}) > 1:
        raise DataError(f"CSV: columns of lengths {[len(v) for v in values]}")
    lines = [columns.keys(), *zip(*values, strict=True)]
    return "".join(",".join(map(_field, line)) + "\r\n" for line in lines)


def _field(value: Any) -> str:
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if np.isfinite(value) else ""
    text = str(value)
    if text.startswith(("=", "+", "-", "@", "\t", "\r")):
        text = f"'{text}"
    quoted = any(mark in text for mark in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if quoted else text


def stack(parts: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Columns of parts below one another; a single value stands for the whole part."""
    made: dict[str, list[Any]] = {name: [] for name in parts[0]} if parts else {}
    for part in parts:
        length = max(np.size(value) for value in part.values())
        for name, value in part.items():
            made[name].append(np.broadcast_to(np.asarray(value), length))
    return {name: np.concatenate(values) for name, values in made.items()}
