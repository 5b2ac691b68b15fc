"""A CSV file as columns of text: one header, rows of one length, names told apart.

pyarrow cuts the text into cells, because it refuses rows that are too short or too
long, and is told nothing of their meaning: what is missing, a number or a name is
decided by `csv_numbers` and `csv_curves`.
"""

import collections
import pathlib
import re
import types
from typing import NamedTuple

import numpy as np

from nasjax.core import errors
from nasjax.nasbench.surrogate import csv_text

MAX_CELLS = 10_000_000
"""What is read of one file, so that its cells take about a gigabyte at most."""
DELIMITERS = (",", ";", "\t", "|")
_SHOWN = 40


class Table(NamedTuple):
    """A file's cells.

    Attributes:
      path: for messages.
      columns: text, `[N]` objects by name, in the order of the file and without blanks
        around it. Row 1 of a message is the first below the header; empty rows are not
        counted.
      delimiter: between the cells.
      notes: what was left out, one line each.
    """

    path: pathlib.Path
    columns: dict[str, np.ndarray]
    delimiter: str
    notes: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """N, at least 1."""
        return len(next(iter(self.columns.values())))


def show(name: str) -> str:
    """A column's name for a message: quoted, in one line, its first 40 characters."""
    return repr(name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "...")


def show_all(names: list[str], limit: int = 8) -> str:
    """Several names, the first of many."""
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(map(show, names[:limit])) + more


def read(path: pathlib.Path, *, delimiter: str = "", encoding: str = "") -> Table:
    """Reads a file with a header.

    Args:
      path: CSV or another delimited text, perhaps compressed by gzip.
      delimiter: "": the one of `DELIMITERS` that is in the header, or what Excel's
        first line `sep=` says.
      encoding: as in `csv_text.read`.

    Raises:
      DataError: the file is damaged, empty, ragged or of another kind, or two columns
        have one name.
      ConfigError: pyarrow is not installed, or a setting means nothing.
    """
    delimiter = delimiter.replace("\\t", "\t")
    if delimiter and (len(delimiter) > 1 or delimiter in "\"'\n." or delimiter > "~"):
        raise errors.ConfigError(
            "config.data.columns.delimiter is one ASCII character, as , or ; or a tab"
        )
    text = csv_text.read(path, encoding).lstrip("\n")
    if match := re.match(r'"?sep=([!-~\t])"?[ \t]*\n', text):
        text = text[match.end() :].lstrip("\n")
        delimiter = delimiter or match[1]
    delimiter = delimiter or _find_delimiter(path, text)
    num_cells = text.count(delimiter) + text.count("\n")
    if num_cells > MAX_CELLS:
        raise errors.DataError(
            f"{path} has some {num_cells:,} cells, more than {MAX_CELLS:,}: keep the "
            "columns that are needed, or give arrays (.safetensors)"
        )
    cells, notes = _cells(path, text, delimiter)
    header, rows = list(cells[0]), cells[1:]
    rows, header, more = _without_empty(path, rows, header)
    _check_names(path, header)
    columns = {name: rows[:, i] for i, name in enumerate(header)}
    return Table(path, columns, delimiter, tuple(notes + more))


def _find_delimiter(path: pathlib.Path, text: str) -> str:
    """The one that the header uses outside quotes."""
    header = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    found = [mark for mark in DELIMITERS if mark in header]
    if len(found) == 1:
        return found[0]
    if found:
        which = " and ".join("a tab" if mark == "\t" else mark for mark in found)
        raise errors.DataError(
            f"{path}: its header holds {which}: pass the one between the columns, as "
            f"--config.data.columns.delimiter='{found[0]}'"
        )
    if " " in header.strip():
        raise errors.DataError(
            f"{path}: its header holds none of , ; | or tab; where blanks part the "
            "columns, as R's write.table does, write it with sep=',' or pass "
            "--config.data.columns.delimiter=' '"
        )
    raise errors.DataError(
        f"{path}: its header is one column; a curve and features need several, parted "
        "by , or ; or | or a tab"
    )


def _cells(
    path: pathlib.Path, text: str, delimiter: str
) -> tuple[np.ndarray, list[str]]:
    """All records, the header first, as text `[1 + N, C]`, and notes."""
    records, bad = _parse(path, text, delimiter)
    if not bad:
        return records, []
    number, width, found = bad[0]
    if len(records) == 1 and all(row[2] == width + 1 for row in bad):
        # Every row has one cell more than the header.
        rows, _ = _parse(path, text[text.index("\n") + 1 :], delimiter)
        if len(rows) == len(bad) and not any(rows[:, -1]):
            note = "rows end with a delimiter that the header lacks: nothing follows it"
            return np.concatenate([records, rows[:, :-1]]), [note]
        raise errors.DataError(
            f"{path}: every row has one cell more than the header: a first column "
            "without a name, as R's write.table makes of row names; give it a name "
            "(R: write.csv, or col.names=NA) or leave it out (row.names=FALSE)"
        )
    raise errors.DataError(
        f"{path}: row {number - 1} has {found} cells, the header {width} ({len(bad)} "
        "rows in all are of another length): mend it; a quote that is not closed and a "
        "delimiter inside a value look the same"
    )


def _parse(
    path: pathlib.Path, text: str, delimiter: str
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Records `[M, C]` as long as the first, and (number, C, length) of the others."""
    arrow, csv = _pyarrow()
    others: list[tuple[int, int, int]] = []

    def skip(row: "types.SimpleNamespace") -> str:
        others.append((row.number, row.expected_columns, row.actual_columns))
        return "skip"

    content = f"{text}\n".encode()
    width = text.count(delimiter) + 1 if "\n" not in text else None
    width = width or text[: content.index(b"\n")].count(delimiter) + 1
    try:
        table = csv.read_csv(
            arrow.BufferReader(content),
            csv.ReadOptions(
                use_threads=False,
                block_size=len(content) + 1,
                autogenerate_column_names=True,
            ),
            csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            csv.ConvertOptions(
                # A name with a line end or delimiters inside only makes this too many.
                column_types={f"f{i}": arrow.string() for i in range(width + 1)}
            ),
        )
    except (arrow.ArrowException, ValueError) as error:
        raise errors.DataError(
            f"{path} is no delimited text ({type(error).__name__}): export it again as "
            "CSV, with a header and one row a line"
        ) from error
    columns = [
        [str(cell).strip(" \t\n\u00a0\ufeff") for cell in column.to_pylist()]
        for column in table.columns
    ]
    return np.array(columns, object).T, others


def _pyarrow() -> tuple[types.ModuleType, types.ModuleType]:
    try:
        import pyarrow
        from pyarrow import csv
    except ImportError as error:
        raise errors.ConfigError(
            "reading CSV files needs pyarrow: pip install 'nasjax[curves]', or give "
            "arrays (.safetensors)"
        ) from error
    return pyarrow, csv


def _without_empty(
    path: pathlib.Path, rows: np.ndarray, header: list[str]
) -> tuple[np.ndarray, list[str], list[str]]:
    """Leaves out rows without any value, and nameless columns at the end."""
    notes = []
    filled = rows.astype(bool)  # text that is not empty
    full = filled.any(axis=1)
    if not full.any():
        raise errors.DataError(f"{path} holds a header and no values: export it again")
    if not full.all():
        first = int(np.argmin(full)) + 1
        notes.append(f"{np.sum(~full)} rows without any value left out; first: {first}")
        rows, filled = rows[full], filled[full]
    width = len(header)
    while width and not header[width - 1] and not filled[:, width - 1].any():
        width -= 1
    if width < len(header):
        notes.append(f"{len(header) - width} empty columns at the end left out")
    return rows[:, :width], header[:width], notes


def _check_names(path: pathlib.Path, header: list[str]) -> None:
    counts = collections.Counter(header)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        name = twice[0]
        first, second = [i + 1 for i, other in enumerate(header) if other == name][:2]
        what = "have no name" if not name else f"are both called {show(name)}"
        raise errors.DataError(
            f"{path}: columns {first} and {second} {what}: give each column a name of "
            "its own"
        )
