"""One HTML page that needs nothing else: style, script and figures are inside it.

Every function returns HTML; `Markup` is text that is HTML already, and everything else
is escaped, for names, settings and architectures come from files of other people.

    page.document("Searches", [page.paragraph("two < three")])
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nasjax.report.page_look import SCRIPT, STYLE

MOST_BYTES = 1_000_000
"""Of a page that is easily sent and opened."""


class Markup(str):
    """Text that is HTML."""


def text(value: Any) -> Markup:
    """A value as text: `Markup` as it is, the rest escaped; None is a dash."""
    if isinstance(value, Markup):
        return value
    return Markup("–" if value is None else html.escape(str(value)))


def join(parts: Iterable[Any], between: str = "") -> Markup:
    """Parts one after the other; `between` is escaped."""
    return Markup(html.escape(between).join(text(part) for part in parts))


def element(tag: str, *parts: Any, **attributes: str) -> Markup:
    """An element; `class_` and `for_` stand for names that Python has taken."""
    own = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for name, value in attributes.items()
    )
    return Markup(f"<{tag}{own}>{join(parts)}</{tag}>")


def paragraph(*parts: Any, class_: str = "") -> Markup:
    """A paragraph."""
    return element("p", *map(_prose, parts), **({"class_": class_} if class_ else {}))


def heading(level: int, title: Any, anchor: str = "") -> Markup:
    """A heading, which links can name by its `anchor`."""
    return element(f"h{level}", title, **({"id": anchor} if anchor else {}))


def section(title: Any, anchor: str, *parts: Any) -> Markup:
    """A part of the page."""
    return element("section", heading(2, title, anchor), *parts)


def link(title: Any, anchor: str) -> Markup:
    """A link within the page."""
    return element("a", title, href=f"#{anchor}")


def code(value: Any) -> Markup:
    """Text of fixed width."""
    return element("code", value)


def block(value: str) -> Markup:
    """Lines of fixed width, as a command or a file."""
    return element("pre", element("code", value))


def details(summary: Any, *parts: Any) -> Markup:
    """What is shown after a click on its summary."""
    return element("details", element("summary", summary), *parts)


def figure(drawing: Markup, caption: Any) -> Markup:
    """A drawing, as `inline_svg` makes it, with a caption."""
    return element("figure", drawing, element("figcaption", _prose(caption)))


def _prose(part: Any) -> Markup:
    """Text whose percent signs stay with their numbers."""
    return Markup(text(part).replace(" %", "\u00a0%"))


def facts(values: Mapping[str, Any]) -> Markup:
    """Names and values below one another."""
    rows = (join([element("dt", k), element("dd", v)]) for k, v in values.items())
    return element("dl", *rows)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: Any = ""
) -> Markup:
    """A table that a click on a column's head sorts.

    Args:
      columns: heads.
      rows: a cell for each column; a pair `(value, shown)` is sorted by its value.
      caption: printed above.
    """
    cells = [list(row) for row in rows]
    heads = [
        element(
            "th",
            element("button", head, type="button"),
            scope="col",
            class_="number" if cells and isinstance(cells[0][place], tuple) else "",
        )
        for place, head in enumerate(columns)
    ]
    body = (element("tr", *map(_cell, row)) for row in cells)
    # A caption element would be as narrow as its table.
    above = [paragraph(caption, class_="soft")] if caption else []
    parts = [element("thead", element("tr", *heads)), element("tbody", *body)]
    return element("div", *above, element("table", *parts), class_="wide")


def _cell(cell: Any) -> Markup:
    if not isinstance(cell, tuple):
        return element("td", cell)
    value, shown = cell
    known = isinstance(value, int | float) and math.isfinite(value)
    key = repr(value) if known else ""
    return element("td", shown, class_="number", data_value=key)


def document(title: str, parts: Iterable[Any], *, links: Iterable[Any] = ()) -> str:
    """The whole page.

    Args:
      title: of the window and the first heading.
      parts: sections, one after the other.
      links: to sections, printed below the title.
    """
    shown = list(links)
    menu = element("nav", join(shown, " · ")) if shown else Markup()
    body = join([element("header", heading(1, title), menu), element("main", *parts)])
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>{body}\n<script>{SCRIPT}</script></body></html>\n"
    )
