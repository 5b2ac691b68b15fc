"""How every figure is written: no display, no pyplot, the same bytes every time."""

import io
import os
import pathlib
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nasjax.core.errors import ConfigError, unknown_name

FORMATS = ("svg", "png")
"""What a job writes of every figure."""
KINDS = (*FORMATS, "pdf")
"""What can be written."""
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#AA4499",
    "#B8860B",
    "#3A9BDC",
    "#882255",
    "#117733",
)
"""Colours that stay apart for colour-blind readers and in grey print."""

_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "none",  # text stays text: searchable, editable and small
    "svg.hashsalt": "nasjax",  # element ids do not change from run to run
    "pdf.fonttype": 42,  # TrueType: journals refuse the other kind
}


def plain_log_ticks(axis: Axis) -> None:
    """Labels of a logarithmic axis as plain numbers, 70 and .02, not 7 x 10^1.

    Less than a decade has no power of ten inside: then steps between are labelled, too.
    """

    def plain(value: float, _: object) -> str:
        return f"{value:g}"

    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    axis.set_major_formatter(FuncFormatter(plain))
    if decades < 2:
        steps = (2.0, 5.0) if decades > 0.5 else (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
        axis.set_minor_locator(LogLocator(subs=steps))
        axis.set_minor_formatter(FuncFormatter(plain))
        axis.set_tick_params(which="minor", labelsize=8)
    else:
        axis.set_minor_formatter(NullFormatter())


def note(axes: Axes, text: str) -> None:
    """Small print inside a panel, as what it does not show."""
    axes.text(
        0.02,
        0.98,
        text,
        transform=axes.transAxes,
        va="top",
        fontsize=6,
        color="#555555",
        parse_math=False,
    )


def save(figure: Figure, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `figure` in the format that the suffix of `path` names.

    Args:
      figure: a `matplotlib.figure.Figure` made without pyplot.
      path: file to write, `.svg`, `.png` or `.pdf`; missing folders are made.

    Returns:
      `path`.

    Raises:
      ConfigError: the suffix names another format.
    """
    path = pathlib.Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if not kind:
        raise ConfigError(f"figure {path}: give the name a suffix, .svg or .png")
    if kind not in KINDS:
        raise unknown_name("figure format", kind, KINDS)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, format=kind, dpi=150, metadata=_UNDATED.get(kind))
    return path


def to_svg(figure: Figure) -> str:
    """The text of an SVG file of a figure, its background left out."""
    text = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(
            text, format="svg", dpi=150, transparent=True, metadata=_UNDATED["svg"]
        )
    return text.getvalue()


_UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
"""Metadata of a kind of file without the time of writing."""
