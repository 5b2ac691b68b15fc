"""Cells along a walk through a latent space, drawn side by side.

Yan, 2022, figures 3.5 and 3.8 to 3.10. The nodes of a cell stand in one column, an edge
to the next node is a straight line, a longer one an arc beside the column; between two
cells stands their edit distance. All measures are inches, y downwards.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from nasjax.core.errors import DataError
from nasjax.report import canvas

_MARGIN = 0.2
_TITLE = 0.3
_BOX = (0.42, 0.2)
_PITCH = 0.32  # from node to node
_ARC = (0.05, 0.045)  # bulge of an arc: at least, and for each node that it passes
_GAP = 0.16  # between the arcs of two cells
_EDGE = "#777777"
_CHANGED = "#D62728"


class DrawnCell(NamedTuple):
    """One cell.

    Attributes:
      matrix: 0/1 `[n, n]`, strictly upper triangular.
      labels: of the n nodes, short.
    """

    matrix: np.ndarray
    labels: Sequence[str]


class Walk(NamedTuple):
    """L cells one after the other.

    Attributes:
      cells: L of them.
      edits: L - 1 edit distances between neighbours.
    """

    cells: Sequence[DrawnCell]
    edits: Sequence[int]


def draw_walks(
    walks: Mapping[str, Walk],
    path: str | os.PathLike[str],
    *,
    mark_changes: bool = False,
) -> list[pathlib.Path]:
    """Draws walks below one another.

    Args:
      walks: by their names, which are printed with the mean edit distance.
      path: file to write; the suffix is replaced.
      mark_changes: draw a node in red whose label differs from that of the same node
        of the cell before (figure 3.9: the edges are always the same).

    Returns:
      The files written, one for each of `canvas.FORMATS`.

    Raises:
      DataError: there is no cell, or the number of edit distances does not fit.
    """
    figure = walks_figure(walks, mark_changes=mark_changes)
    path = pathlib.Path(path)
    return [
        canvas.save(figure, path.with_suffix(f".{kind}")) for kind in canvas.FORMATS
    ]


def walks_figure(walks: Mapping[str, Walk], *, mark_changes: bool = False) -> Figure:
    """The walks as a figure that is not yet written."""
    _check(walks)
    cells = [cell for walk in walks.values() for cell in walk.cells]
    longest = max(len(walk.cells) for walk in walks.values())
    reach = max(_bulge(_longest_edge(cell)) for cell in cells)
    step = _BOX[0] + 2 * reach + _GAP
    heights = [
        _TITLE + _PITCH * max(len(cell.labels) for cell in walk.cells) + _MARGIN
        for walk in walks.values()
    ]
    width, height = 2 * _MARGIN + longest * step, _MARGIN + sum(heights)
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    top = _MARGIN
    for row, ((name, walk), tall) in enumerate(
        zip(walks.items(), heights, strict=True)
    ):
        _draw_walk(axes, row, name, walk, top, step, mark_changes)
        top += tall
    return figure


def _check(walks: Mapping[str, Walk]) -> None:
    if not walks or not all(len(walk.cells) for walk in walks.values()):
        raise DataError("walks: there is no cell to draw")
    for name, walk in walks.items():
        if len(walk.edits) != len(walk.cells) - 1:
            raise DataError(
                f"walk {name!r}: {len(walk.cells)} cells have {len(walk.cells) - 1} "
                f"edit distances between them, not {len(walk.edits)}"
            )


def _draw_walk(
    axes: Axes,
    row: int,
    name: str,
    walk: Walk,
    top: float,
    step: float,
    mark_changes: bool,
) -> None:
    mean = f": mean edit distance {np.mean(walk.edits):.1f}" if len(walk.edits) else ""
    axes.text(_MARGIN, top, name + mean, va="top", size=9, parse_math=False)
    for column, cell in enumerate(walk.cells):
        x = _MARGIN + (column + 0.5) * step
        y = top + _TITLE + _PITCH / 2
        before = walk.cells[column - 1].labels if column else cell.labels
        comparable = mark_changes and len(before) == len(cell.labels)
        changed = [
            comparable and old != new
            for old, new in zip(before, cell.labels, strict=False)
        ]
        changed += [False] * (len(cell.labels) - len(changed))
        _draw_cell(axes, f"{row}-{column}", cell, (x, y), changed)
        if column:
            axes.text(
                x - step / 2,
                y,
                str(int(walk.edits[column - 1])),
                ha="center",
                va="center",
                size=8,
                weight="bold",
                gid=f"edits-{row}-{column}",
            )


def _draw_cell(
    axes: Axes,
    place: str,
    cell: DrawnCell,
    top: tuple[float, float],
    changed: Sequence[bool],
) -> None:
    """The node 0 is centred on `top`."""
    x, first = top
    for source, target in np.argwhere(np.asarray(cell.matrix)).tolist():
        _draw_edge(axes, f"edge-{place}-{source}-{target}", x, first, source, target)
    for node, (label, new) in enumerate(zip(cell.labels, changed, strict=True)):
        color = _CHANGED if new else "#333333"
        y = first + node * _PITCH
        box = FancyBboxPatch(
            (x - _BOX[0] / 2, y - _BOX[1] / 2),
            *_BOX,
            boxstyle="round,pad=0,rounding_size=0.05",
            edgecolor=color,
            facecolor="#F7F7F7",
            linewidth=0.8,
            zorder=3,
            gid=f"node-{place}-{node}",
        )
        axes.add_patch(box)
        middle: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 4}
        axes.text(x, y, label, size=6.5, color=color, parse_math=False, **middle)


def _draw_edge(
    axes: Axes, name: str, x: float, first: float, source: int, target: int
) -> None:
    """A line to the next node, or an arc, on the right of even sources, else left."""
    start, end = first + source * _PITCH, first + target * _PITCH
    if target == source + 1:
        tip, heading = (x, end - _BOX[1] / 2), (0.0, 1.0)
        points = [(x, start + _BOX[1] / 2), tip]
        codes = [Path.MOVETO, Path.LINETO]
    else:
        side = 1 if source % 2 == 0 else -1
        edge = x + side * _BOX[0] / 2
        # The middle of a cubic arc lies three quarters of the way to its handles.
        handle = edge + side * _bulge(target - source) * 4 / 3
        tip, heading = (edge, end), (-float(side), 0.0)
        points = [(edge, start), (handle, start), (handle, end), tip]
        codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    line = PathPatch(Path(points, codes), fill=False, edgecolor=_EDGE, linewidth=0.7)
    line.set(zorder=2, gid=name)
    axes.add_patch(line)
    back = tip[0] - 0.05 * heading[0], tip[1] - 0.05 * heading[1]
    across = -0.022 * heading[1], 0.022 * heading[0]
    head = [
        tip,
        (back[0] + across[0], back[1] + across[1]),
        (back[0] - across[0], back[1] - across[1]),
    ]
    axes.add_patch(Polygon(head, color=_EDGE, linewidth=0, zorder=2.5))


def _bulge(span: int) -> float:
    """How far an arc over `span` nodes stands out."""
    return _ARC[0] + _ARC[1] * span


def _longest_edge(cell: DrawnCell) -> int:
    ends = np.argwhere(np.asarray(cell.matrix))
    return int((ends[:, 1] - ends[:, 0]).max(initial=0))
