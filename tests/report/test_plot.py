"""Columns as CSV: exact, and nothing in them that a spreadsheet would run."""

import csv
import io

import numpy as np
import pytest

from nasjax.core.errors import DataError
from nasjax.report import plot


def read(text):
    rows = list(csv.reader(io.StringIO(text, newline="")))
    return rows[0], rows[1:]


def test_numbers_and_texts_read_back():
    columns = {
        "name, with comma": np.array(['a "b"', "c\nd", ""]),
        "float": np.array([0.1 + 0.2, np.nan, 1e-300]),
        "int": np.array([1, -2, 3], np.int8),
    }
    head, rows = read(plot.csv_text(columns))
    assert head == list(columns)
    assert [row[0] for row in rows] == ['a "b"', "c\nd", ""]
    assert [row[1] for row in rows] == [repr(0.1 + 0.2), "", "1e-300"]
    assert [int(row[2]) for row in rows] == [1, -2, 3]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-a", "@x", "\t=1"])
def test_no_cell_is_a_formula(text):
    _, rows = read(plot.csv_text({text: np.array([text])}))
    assert rows == [[f"'{text}"]]


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(DataError, match=r"lengths \[1, 2\]"):
        plot.csv_text({"a": [1], "b": [1, 2]})


def test_parts_are_stacked_with_their_facts():
    made = plot.stack(
        [{"a": "x", "b": np.arange(2)}, {"a": "long", "b": np.array([7])}]
    )
    assert made["a"].tolist() == ["x", "x", "long"]
    assert made["b"].tolist() == [0, 1, 7]
    assert plot.stack([]) == {}
