"""What every section is made of, and how numbers are written in it."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nasjax.core import errors, read_guard
from nasjax.report import page
from nasjax.report.page import Markup

if TYPE_CHECKING:
    from nasjax.experiments.plots import Plot


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
    return (scale * value, f"{scale * value:{sign},.{digits}f}")


def interval(ends: Any, digits: int = 3, *, scale: float = 1.0) -> str:
    """Two ends as `1.20 – 1.31`; a dash where there are none."""
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return "–"
    if not all(isinstance(end, int | float) for end in ends):
        return "–"
    low, high = sorted(scale * end for end in ends)
    return f"{low:.{digits}f} – {high:.{digits}f}"


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
    """Rows of the thesis' tables that a run reproduces, each beside its number there."""
    made = []
    for name, rows in found.items():
        if not rows:
            continue
        keys = list(dict.fromkeys(key for row in rows for key in row["settings"]))
        shown = [
            [
                *(row["settings"].get(key) for key in keys),
                number(row["value"]),
                interval(row.get("ci95")),
                number(row.get("std")),
                number(row.get("num_seeds"), 0),
                number(row.get("thesis")),
            ]
            for row in rows
        ]
        title = name if name.startswith("figure") else f"table {name}"
        columns = (*keys, "value", "95 % interval", "deviation", "seeds", "thesis")
        caption = (
            f"As {title} of Yan (2022); – is not measured, or not of this setting."
        )
        made.append(page.table(columns, shown, caption=caption))
    return made
