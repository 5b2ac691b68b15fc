"""Drawings of a pruned HM-NAS genotype (Yan, 2022, figures 2.4 and 2.5).

Nodes stand on a staircase. The edge from node i to node j leaves i to the right,
turns once and enters j from above, so every edge has a corner of its own in row i
and column j, and its label in that corner is crossed by no line. All measures are
inches, y downwards.
"""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.patheffects import Normal, withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from nasjax.report import canvas
from nasjax.report.genotypes import DrawnCell, Edge, read_cell, read_genotype

_MARGIN = 0.25
_HEADER = 0.62
_TRACK = 0.125  # between parallel lines
_CORNER = 0.24  # radius of a turn
_PAD = 0.09  # from a line to its label
_GAP = 0.14  # least space around a node
_BETA_POINTS, _BETA_HEIGHT = 10.0, 0.165
_OP_POINTS, _OP_HEIGHT = 7.5, 0.125
_DEAD = "#B8B8B8"
_PLAIN = "#8A8A8A"


class _Layout(NamedTuple):
    """Where everything is.

    Attributes:
      size: width and height of the drawing.
      side: width and height of a node.
      centers: (x, y) of each node.
      corners: (source, target) to the (x, y) where that line turns.
    """

    size: tuple[float, float]
    side: float
    centers: list[tuple[float, float]]
    corners: dict[tuple[int, int], tuple[float, float]]


def draw_cell(
    cell: Mapping[str, Any], path: str | os.PathLike[str], *, title: str = ""
) -> pathlib.Path:
    """Draws one cell as in figure 2.4(a).

    Every live edge is an arrow as wide as its mixing weight, labelled with that
    weight and with the operations left on it. Nodes and edges that lead from no input
    to no output are grey; thin lines are the concatenation.

    Args:
      cell: `{"num_nodes", "inputs", "edges", "concat"}` of a genotype; `weighted`
        False: a discrete cell, whose weights are not told.
      path: file to write, `.svg` or `.png`.
      title: printed above the cell.

    Returns:
      `path`.

    Raises:
      DataError: the cell is malformed.
      ConfigError: `path` has another suffix.
    """
    return canvas.save(cell_figure(read_cell(cell), title=title), path)


def draw_genotype(
    genotype: Mapping[str, Any], folder: str | os.PathLike[str]
) -> list[pathlib.Path]:
    """Draws each cell of a genotype, and figures 2.4(b) and (c) of all of them.

    Returns:
      The files written to `folder`: `cell_NAME` and `genotype_summary`, each as SVG
      and as PNG.

    Raises:
      DataError: the genotype is malformed.
    """
    cells = read_genotype(genotype)
    figures = {
        f"cell_{name}": cell_figure(cell, title=f"{name} cell")
        for name, cell in cells.items()
    }
    num_operations = len(genotype.get("operations", ()))
    figures["genotype_summary"] = summary_figure(cells, num_operations)
    return [
        canvas.save(figure, pathlib.Path(folder, f"{name}.{kind}"))
        for name, figure in figures.items()
        for kind in canvas.FORMATS
    ]


def cell_figure(cell: DrawnCell, *, title: str = "") -> Figure:
    """The drawing of one cell as a figure that is not yet written."""
    layout = _place(cell)
    header = _header(cell, title)
    needed = [2 * _MARGIN + _text_width(text, size) for text, size, _ in header]
    width, height = max(layout.size[0], *needed), layout.size[1]
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    _draw_header(axes, header)
    live = cell.live_nodes()
    for node in cell.concat:
        color = _PLAIN if node in live else _DEAD
        _draw_line(axes, layout, (node, cell.output), color, 1.0)
    heaviest = max((abs(edge.weight) for edge in cell.edges), default=0.0) or 1.0
    for edge in cell.edges:
        alive = edge.source in live and edge.target in live
        color = _color(edge.source) if alive else _DEAD
        stroke = 0.8 + 3.8 * abs(edge.weight) / heaviest
        _draw_line(axes, layout, edge[:2], color, stroke)
        _draw_label(axes, layout, edge, color, alive, cell.weighted)
    for node in range(cell.num_nodes):
        _draw_node(axes, layout, cell, node, node in live)
    return figure


def summary_figure(cells: Mapping[str, DrawnCell], num_operations: int) -> Figure:
    """Figures 2.4(b) and (c): input edges of each node, operations of each edge.

    Args:
      cells: the cells by name, one row each.
      num_operations: candidate operations of an edge, the end of the second axis.
    """
    figure = Figure(
        figsize=(7.2, 0.4 + 2.3 * len(cells)), layout="constrained", facecolor="white"
    )
    grid = figure.subplots(len(cells), 2, squeeze=False)
    for (left, right), (name, cell) in zip(grid, cells.items(), strict=True):
        targets = [edge.target for edge in cell.edges]
        inputs = [targets.count(node) for node in cell.intermediate]
        _draw_bars(left, inputs, canvas.PALETTE[0])
        left.set(xlabel="intermediate node", ylabel="input edges")
        left.set_title(f"{name} cell", loc="left", fontsize=9, parse_math=False)
        kept = [len(edge.operations) for edge in cell.edges]
        kept += [0] * (cell.num_possible_edges - len(kept))
        last = max([num_operations, *kept])
        _draw_bars(right, [kept.count(k) for k in range(last + 1)], canvas.PALETTE[1])
        right.set(xlabel="operations left on an edge (0: removed)", ylabel="edges")
    return figure


def _place(cell: DrawnCell) -> _Layout:
    links = [edge[:2] for edge in cell.edges]
    links += [(node, cell.output) for node in cell.concat]
    nodes = range(cell.num_nodes)
    # Later targets run above nearer ones and later sources left of earlier ones:
    # lines with a common end then never cross.
    outgoing = [sorted((t for s, t in links if s == n), reverse=True) for n in nodes]
    incoming = [sorted((s for s, t in links if t == n), reverse=True) for n in nodes]
    widest = max(len(ends) for ends in outgoing + incoming)
    side = max(0.6, _TRACK * widest + 0.12)
    down = {
        (node, end): (rank - (len(ends) - 1) / 2) * _TRACK
        for node, ends in enumerate(outgoing)
        for rank, end in enumerate(ends)
    }
    right = {
        (end, node): (rank - (len(ends) - 1) / 2) * _TRACK
        for node, ends in enumerate(incoming)
        for rank, end in enumerate(ends)
    }
    xs = _columns(cell, side)
    ys = _rows(cell, side, down)
    corners = {(s, t): (xs[t] + right[s, t], ys[s] + down[s, t]) for s, t in links}
    size = (xs[-1] + side / 2 + _MARGIN, ys[-1] + side / 2 + _MARGIN)
    return _Layout(size, side, list(zip(xs, ys, strict=True)), corners)


def _columns(cell: DrawnCell, side: float) -> list[float]:
    """x of every node: the inputs share a column, labels stand between columns."""
    xs = [_MARGIN + side / 2] * len(cell.inputs)
    for node in cell.intermediate:
        widths = [
            _label_width(edge, cell.weighted)
            for edge in cell.edges
            if edge.target == node
        ]
        step = side + max([0.0, *widths]) + _PAD + _GAP
        xs.append(xs[-1] + max(step, side + 2 * _CORNER))
    return [*xs, xs[-1] + side + 2 * _CORNER]


def _rows(
    cell: DrawnCell, side: float, down: Mapping[tuple[int, int], float]
) -> list[float]:
    """y of every node: a row is as high as its longest label."""
    ys = [_MARGIN + _HEADER + side / 2]
    for node in range(cell.output):
        heights = [
            down[edge[:2]] + _PAD + _BETA_HEIGHT + _OP_HEIGHT * len(edge.operations)
            for edge in cell.edges
            if edge.source == node
        ]
        ys.append(ys[-1] + side / 2 + max([side / 2, *heights]) + _GAP)
    return ys


def _label_width(edge: Edge, weighted: bool) -> float:
    lines = _operation_lines(edge, weighted)
    widths = [_text_width(line, _OP_POINTS) for line in lines]
    return max(widths, default=0.0)


def _text_width(text: str, points: float) -> float:
    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", size=points)
    literal = text.replace("$", "S")  # a dollar sign would start a formula
    hinting = 1.04  # letters drawn on pixels are a little wider than their outlines
    return hinting * TextPath((0, 0), literal, prop=font).get_extents().width / 72


def _operation_lines(edge: Edge, weighted: bool) -> list[str]:
    if not weighted:
        return [name for name, _ in edge.operations]
    return [f"{name}  {weight:.2f}" for name, weight in edge.operations]


def _header(cell: DrawnCell, title: str) -> list[tuple[str, float, str]]:
    """(text, points, colour) of the lines above the cell."""
    operations = sum(len(edge.operations) for edge in cell.edges)
    edges = f"{len(cell.edges)} of {cell.num_possible_edges} edges"
    key = "bold and line width: edge weight; below: operation weights"
    return [
        (title, 12, "#222222"),
        (f"{edges}, {operations} operations", 8, "#444444"),
        (key if cell.weighted else "", 7, "#777777"),
    ]


def _draw_header(axes: Axes, header: list[tuple[str, float, str]]) -> None:
    for down, (text, size, color) in zip((0.0, 0.24, 0.39), header, strict=True):
        axes.text(
            _MARGIN,
            _MARGIN + down,
            text,
            va="top",
            size=size,
            color=color,
            parse_math=False,
        )


def _draw_line(
    axes: Axes, layout: _Layout, link: tuple[int, int], color: str, width: float
) -> None:
    """An arrow out of the right side of a node into the top of another."""
    x, y = layout.corners[link]
    start = layout.centers[link[0]][0] + layout.side / 2
    tip = layout.centers[link[1]][1] - layout.side / 2
    head = 0.05 + 0.018 * width
    turn = min(_CORNER, x - start, tip - head - y)
    points = [(start, y), (x - turn, y), (x, y), (x, y + turn), (x, tip - 0.8 * head)]
    steps = [Path.MOVETO, Path.LINETO, Path.CURVE3, Path.CURVE3, Path.LINETO]
    line = PathPatch(Path(points, steps), fill=False, edgecolor=color, linewidth=width)
    line.set(capstyle="butt", zorder=2, gid=f"edge-{link[0]}-{link[1]}")
    # A white rim makes the crossing of two lines read as a bridge.
    rim = withStroke(linewidth=width + 2.4, foreground="white")
    line.set_path_effects([rim, Normal()])
    axes.add_patch(line)
    flank = 0.55 * head
    shape = [(x, tip), (x - flank, tip - head), (x + flank, tip - head)]
    axes.add_patch(Polygon(shape, color=color, linewidth=0, zorder=2.5))


def _draw_label(
    axes: Axes, layout: _Layout, edge: Edge, color: str, alive: bool, weighted: bool
) -> None:
    x, y = layout.corners[edge[:2]]
    place: dict[str, Any] = {"ha": "right", "va": "top", "zorder": 3}
    name = f"{edge.source}-{edge.target}"
    down = _PAD
    if weighted:
        axes.text(
            x - _PAD,
            y + down,
            f"{edge.weight:.2f}",
            size=_BETA_POINTS,
            weight="bold",
            color=color,
            gid=f"weight-{name}",
            **place,
        )
        down += _BETA_HEIGHT
    for line, text in enumerate(_operation_lines(edge, weighted)):
        axes.text(
            x - _PAD,
            y + down + line * _OP_HEIGHT,
            text,
            size=_OP_POINTS,
            color="#333333" if alive else _DEAD,
            gid=f"operation-{name}-{line}",
            parse_math=False,
            **place,
        )


def _draw_node(
    axes: Axes, layout: _Layout, cell: DrawnCell, node: int, alive: bool
) -> None:
    x, y = layout.centers[node]
    half = layout.side / 2
    if not alive:
        color, face = _DEAD, to_rgb("#F4F4F4")
    elif node == cell.output:
        color, face = "#333333", to_rgb("#EFEFEF")
    else:
        color = _color(node)
        red, green, blue = to_rgb(color)
        face = 0.86 + 0.14 * red, 0.86 + 0.14 * green, 0.86 + 0.14 * blue
    box = FancyBboxPatch(
        (x - half, y - half),
        layout.side,
        layout.side,
        boxstyle="round,pad=0,rounding_size=0.1",
        edgecolor=color,
        facecolor=face,
        linewidth=1.4,
        zorder=3,
        gid=f"node-{node}",
    )
    axes.add_patch(box)
    text = _node_name(cell, node)
    style: dict[str, Any] = {"size": 11, "ha": "center", "va": "center", "zorder": 4}
    style["color"] = "#9A9A9A" if not alive else "#222222"
    if re.fullmatch(r"[A-Za-z]+_\{[\w+-]+\}", text):
        axes.text(x, y, f"${text}$", **style)
    else:
        axes.text(x, y, text, parse_math=False, **style)


def _node_name(cell: DrawnCell, node: int) -> str:
    if node < len(cell.inputs):
        return cell.inputs[node]
    if node == cell.output:
        return "c_{k}"
    return str(node - len(cell.inputs))


def _draw_bars(axes: Axes, counts: list[int], color: str) -> None:
    bars = axes.bar(range(len(counts)), counts, width=0.62, color=color)
    axes.bar_label(bars, padding=2, fontsize=8)
    axes.set_xticks(range(len(counts)))
    axes.set_ylim(0, max([1, *counts]) * 1.18)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)


def _color(node: int) -> str:
    return canvas.PALETTE[node % len(canvas.PALETTE)]
