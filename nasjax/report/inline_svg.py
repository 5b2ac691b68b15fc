"""Figures as SVG inside an HTML page: small, and no two of them share an id."""

import html
import re

from matplotlib.figure import Figure

from nasjax.report import canvas

FONTS = "'DejaVu Sans', Verdana, sans-serif"
"""Where DejaVu is missing, Verdana is about as wide."""

_DROPPED = re.compile(
    r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>"
    r"|\s+xmlns(:\w+)?=\"[^\"]*\"",
    re.DOTALL,
)
_GEOMETRY = re.compile(r' (d|x|y|x1|x2|y1|y2|width|height|points|transform)="([^"]*)"')
_LONG = re.compile(r"-?\d+\.\d{2,}(e-?\d+)?")
_NUMBER = r"(-?\d[\d.]*(?:e-?\d+)?)"
_POINT = re.compile(rf"([ML])\s*{_NUMBER}\s+{_NUMBER}|[zZ]")
_STRAIGHT = re.compile(rf"(?:\s*(?:[ML]\s*{_NUMBER}\s+{_NUMBER}|[zZ]))+\s*")
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]+)')
_ROOT = re.compile(r'<svg[^>]*?viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"[^>]*>')
_PIXELS = 96 / 72
"""Of a point."""


def inline(figure: Figure, name: str, *, label: str) -> str:
    """An `<svg>` element of a figure.

    Coordinates have one decimal, a tenth of a point; ids that nothing refers to are
    left out, and the others begin with `name`.

    Args:
      figure: not yet written.
      name: of letters, digits and dashes, another one for each figure of a page.
      label: what the figure shows, for readers who do not see it.
    """
    text = canvas.to_svg(figure)
    text = _DROPPED.sub("", text[text.index("<svg") :])
    text = re.sub(r"<defs>\s*</defs>", "", text)
    text = text.replace("xlink:href", "href").replace("'DejaVu Sans'", FONTS)
    used = {found[1] for found in _REFERENCE.findall(text)}
    text = re.sub(
        r' id="([^"]*)"',
        lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "",
        text,
    )
    text = _REFERENCE.sub(lambda m: f"{m[1]}{name}-{m[2]}", text)
    text = _GEOMETRY.sub(lambda m: f' {m[1]}="{_short(m[1], m[2])}"', text)
    root = _ROOT.match(text)
    assert root is not None  # matplotlib always writes one
    width, height = float(root[1]), float(root[2])
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{html.escape(label)}" style="max-width:{_PIXELS * width:.0f}px">'
    )
    return head + re.sub(r">\s+<", "><", text[root.end() :]).strip()


def _short(name: str, values: str) -> str:
    """Numbers with one decimal, and no line breaks; straight paths step by step."""
    if name == "d" and _STRAIGHT.fullmatch(values):
        return _steps(values)
    rounded = _LONG.sub(lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), values)
    return " ".join(rounded.split())


def _steps(path: str) -> str:
    """A path of straight lines, each point by its distance from the one before.

    Points are rounded before distances are taken: errors do not add up.
    """
    made, point, start, is_line = [], (0, 0), (0, 0), False
    for command, first, second in _POINT.findall(path):
        if not command:
            made.append("z")
            point, is_line = start, False
            continue
        x, y = round(10 * float(first)), round(10 * float(second))
        if command == "M":
            made.append(f"M{_tenths(x)}{_apart(_tenths(y))}")
            start, is_line = (x, y), False
        else:
            step = _tenths(x - point[0])
            made.append(_apart(step) if is_line else f"l{step}")
            made.append(_apart(_tenths(y - point[1])))
            is_line = True
        point = x, y
    return "".join(made)


def _tenths(count: int) -> str:
    """So many tenths, as `-12.3` or `.4`."""
    whole, tenth = divmod(abs(count), 10)
    digits = f"{whole or ''}.{tenth}" if tenth else str(whole)
    return f"-{digits}" if count < 0 else digits


def _apart(number: str) -> str:
    """A number behind another one: a sign is enough between them."""
    return number if number[0] == "-" else f" {number}"
