"""What every section is made of, and how numbers are written in it."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nasjax.core import errors, read_guard
from nasjax.report import page
from nasjax.report.page import Markup

if TYPE_CHECKING:
    from nasjax.report.plot import Plot


class Headline(NamedTuple):
    """The row of a run in the table at the top of the page.

    Attributes:
      what: kind of run and what it was on.
      number: its main number, in words.
      interval: 95 % interval of the number, or why there is none.
      seeds: what was repeated.
      control: what it was compared with, and what came out.
    """

    what: str
    number: str
    interval: str = "–"
    seeds: str = "–"
    control: str = "–"


class Part(NamedTuple):
    """One run on the page.

    Attributes:
      title: of its section.
      headline: of the table of all runs.
      pieces: HTML and plots, one below the other.
    """

    title: str
    headline: Headline
    pieces: "Sequence[Markup | Plot]"


def attempt(folder: pathlib.Path, make: "Callable[[], Plot]") -> "Markup | Plot":
    """A plot, or a line that says why it cannot be drawn."""
    try:
        with read_guard.guard(folder, "cannot be drawn", remedy="see its log"):
            return make()
    except errors.DataError as error:
        return page.paragraph(str(error), class_="warning")


def number(value: Any, digits: int = 3, *, scale: float = 1.0, sign: str = "") -> Any:
    """A cell of a table, sorted by its value; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (None, "–")
    scaled = round(scale * value, digits) + 0.0  # no -0.000
    return (scale * value, f"{scaled:{sign},.{digits}f}")


def counted(count: int, word: str) -> str:
    """`1 trial` or `2 trials`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def known_columns(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[list[str], list[list[Any]]]:
    """A table without the columns that have no value in any row."""
    kept = [
        place
        for place in range(len(columns))
        if any(_shown(row[place]) not in (None, "–") for row in rows)
    ]
    return [columns[p] for p in kept], [[row[p] for p in kept] for row in rows]


def interval(ends: Any, digits: int = 3, *, scale: float = 1.0) -> str:
    """Two ends as `1.20 – 1.31`; a dash where there are none."""
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return "–"
    if not all(isinstance(end, int | float) for end in ends):
        return "–"
    low, high = sorted(scale * end for end in ends)
    return f"{low:.{digits}f} – {high:.{digits}f}"


def _shown(cell: Any) -> Any:
    return cell[1] if isinstance(cell, tuple) else cell


def p_value(value: float) -> str:
    """A chance as people write it."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def notes(outcome: Mapping[str, Any]) -> list[Markup]:
    """What the run itself remarked, a paragraph each."""
    warnings = [
        page.paragraph(w, class_="warning") for w in outcome.get("warnings", ())
    ]
    return warnings + [
        page.paragraph(n, class_="soft") for n in outcome.get("notes", ())
    ]


def tables(found: Mapping[str, Any]) -> list[Markup]:
    """Rows of the thesis' tables that a run reproduces, beside its numbers."""
    return [_published(name, rows) for name, rows in found.items() if rows]


def _published(name: str, rows: Sequence[Mapping[str, Any]]) -> Markup:
    keys = list(dict.fromkeys(key for row in rows for key in row["settings"]))
    same = {
        key: rows[0]["settings"][key]
        for key in keys
        if len(rows) > 1 and len({str(row["settings"].get(key)) for row in rows}) == 1
    }
    own = [key for key in keys if key not in same]
    shown = [
        [
            *(row["settings"].get(key) for key in own),
            number(row["value"]),
            (row["value"], interval(row.get("ci95"))),
            number(row.get("std")),
            number(row.get("num_seeds"), 0),
            number(row.get("thesis")),
        ]
        for row in rows
    ]
    columns = (*own, "value", "95 % interval", "deviation", "seeds", "thesis")
    heads, cells = known_columns([c.replace("_", " ") for c in columns], shown)
    title = name if name.startswith("figure") else f"table {name}"
    facts = [f"{key.replace('_', ' ')} {value}" for key, value in same.items()]
    missing = "" if "thesis" in heads else "; the thesis has none of this setting"
    caption = f"As {title} of Yan (2022){missing}."
    if facts:
        caption += f" In all rows: {', '.join(facts)}."
    return page.table(heads, cells, caption=caption)
