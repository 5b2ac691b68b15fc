"""How every figure is written: no display, no pyplot, the same bytes every time."""

import os
import pathlib
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from nasjax.core.errors import ConfigError, unknown_name

FORMATS = ("svg", "png")
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
}


def save(figure: Figure, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `figure` in the format that the suffix of `path` names.

    Args:
      figure: a `matplotlib.figure.Figure` made without pyplot.
      path: file to write, `.svg` or `.png`; missing folders are made.

    Returns:
      `path`.

    Raises:
      ConfigError: the suffix names another format.
    """
    path = pathlib.Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if not kind:
        raise ConfigError(f"figure {path}: give the name a suffix, .svg or .png")
    if kind not in FORMATS:
        raise unknown_name("figure format", kind, FORMATS)
    path.parent.mkdir(parents=True, exist_ok=True)
    dated = {"Date": None} if kind == "svg" else None
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, format=kind, dpi=150, metadata=dated)
    return path
