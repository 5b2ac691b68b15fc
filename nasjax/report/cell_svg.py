"""A cell as a hand-written SVG: nodes in layers, every operation in its colour.

A node stands one layer behind the last of those that feed it, inputs on the left. An
edge over several layers bends through a free place in each, so that no line crosses a
box; places within a layer follow the mean of their neighbours (Sugiyama et al., 1981).
All measures are pixels, y downwards.
"""

import html
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nasjax.core.errors import DataError

COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#AA4499", "#B8860B", "#3A9BDC"),
    *("#882255", "#117733", "#665EC7", "#8A6D3B", "#C2457A", "#4A7C7E"),
)
"""Of operations, all dark enough for white letters."""
ENDS = "#5F6B76"
"""Of inputs and outputs."""
_BOX = (52, 24)
_PITCH = (84, 34)
"""From layer to layer, and from place to place within one."""
_MARGIN = 8
_SWEEPS = 8

Place = tuple[int, int]
"""Node and layer: an edge has one in every layer that it passes."""


class GraphCell(NamedTuple):
    """One cell with operations on its nodes.

    Attributes:
      matrix: 0/1 `[n, n]`, strictly upper triangular.
      operations: full names of the n nodes.
    """

    matrix: np.ndarray
    operations: Sequence[str]


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each operation of a space; inputs and outputs are grey."""
    ends = [name for name in names if is_end(name)]
    others = [name for name in names if name not in ends]
    made = {name: COLORS[i % len(COLORS)] for i, name in enumerate(others)}
    return made | dict.fromkeys(ends, ENDS)


def is_end(name: str) -> bool:
    """Whether an operation is none: an input, an output, nothing at all."""
    return name in ("input", "output", "none", "sum", "base") or name.startswith("c_{")


def draw(cell: GraphCell, colors: Mapping[str, str], *, label: str) -> str:
    """An `<svg>` element of a cell; what leads from no input to the output is faint.

    Args:
      cell: at least one node.
      colors: by operation, as `colors_of` makes them; others are grey.
      label: what the drawing shows, for readers who do not see it.

    Raises:
      DataError: the matrix does not fit, or an edge does not lead from a lower to a
        higher node.
    """
    matrix = np.asarray(cell.matrix) != 0
    count = len(cell.operations)
    if not count or matrix.shape != (count, count) or np.tril(matrix).any():
        raise DataError(
            f"cell: {count} operations with a matrix {list(matrix.shape)}; edges lead "
            "from lower to higher nodes of a square matrix"
        )
    layers, live = _layers(matrix, cell.operations), live_nodes(matrix, cell.operations)
    columns, chains = _columns(matrix, layers)
    rows = _arrange(columns, chains)
    width = 2 * _MARGIN + _BOX[0] + _PITCH[0] * max(layers)
    height = 2 * _MARGIN + _BOX[1] + _PITCH[1] * max(rows.values())
    drawn = [
        (live[chain[0][0]] and live[chain[-1][0]], _line([_at(p, rows) for p in chain]))
        for chain in chains
    ]
    drawn += [
        (
            live[node],
            _box(_at((node, layers[node]), rows), name, colors.get(name, ENDS)),
        )
        for node, name in enumerate(cell.operations)
    ]
    dead = "".join(part for is_live, part in drawn if not is_live)
    alive = "".join(part for is_live, part in drawn if is_live)
    faded = f'<g class="dead">{dead}</g>' if dead else ""
    return (
        f'<svg class="cell" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{html.escape(label)}" style="width:{width:.0f}px;max-width:100%">'
        f"{faded}{alive}</svg>"
    )


def short(name: str) -> str:
    """`nor_conv_3x3` as `conv 3x3`: what fits a box; a hint there has the whole."""
    if name.startswith("c_{"):
        return name.removeprefix("c_{").removesuffix("}")[:9]
    for long, brief in _SHORT.items():
        name = name.replace(long, brief)
    words = name.replace("_", " ").replace("-", " ").strip()
    return words if len(words) <= 9 else words[:8] + "…"


_SHORT = {
    "nor_conv": "conv",
    "avg_pool": "avg",
    "max_pool": "max",
    "maxpool": "max ",
    "conv1x1-bn-relu": "conv 1x1",
    "conv3x3-bn-relu": "conv 3x3",
    "sep_conv": "sep",
    "dil_conv": "dil",
    "skip_connect": "skip",
    "activation_": "",
    "leaky_relu": "leaky",
    "elementwise": "elem",
}


def live_nodes(matrix: np.ndarray, operations: Sequence[str]) -> np.ndarray:
    """bool `[n]`: nodes on a path from an input to the last node, if that is an output.

    All of them where a cell has no inputs or outputs of its own.
    """
    count = len(operations)
    inputs = [i for i in range(count - 1) if is_end(operations[i])]
    fed, used = np.zeros(count, bool), np.zeros(count, bool)
    fed[[i for i in inputs if not matrix[:, i].any()]] = True
    used[-1] = is_end(operations[-1])
    if not (fed.any() and used.any()):
        return np.ones(count, bool)
    for node in range(count):
        fed[node] |= bool((matrix[:, node] & fed).any())
    for node in reversed(range(count)):
        used[node] |= bool((matrix[node] & used).any())
    return fed & used


def _layers(matrix: np.ndarray, operations: Sequence[str]) -> list[int]:
    """The longest path to each node; an output stands behind all others."""
    layers = [0] * len(matrix)
    for target in range(len(matrix)):
        sources = np.flatnonzero(matrix[:, target])
        layers[target] = max((layers[s] + 1 for s in sources), default=0)
    for node in range(len(matrix)):
        if not (matrix[:, node].any() or is_end(operations[node])):
            # Fed by nothing: beside the first node that it would feed.
            targets = [layers[t] for t in np.flatnonzero(matrix[node])]
            layers[node] = max(min(targets, default=1) - 1, 0)
    if len(layers) > 1 and is_end(operations[-1]):
        layers[-1] = max(max(layers[:-1]) + 1, layers[-1])
    return layers


def _columns(
    matrix: np.ndarray, layers: Sequence[int]
) -> tuple[list[list[Place]], list[list[Place]]]:
    """The places of each layer, and the places that each edge passes."""
    columns: list[list[Place]] = [[] for _ in range(max(layers) + 1)]
    for node, layer in enumerate(layers):
        columns[layer].append((node, layer))
    chains, free = [], len(layers)
    for source, target in np.argwhere(matrix).tolist():
        chain = [(source, layers[source])]
        for layer in range(layers[source] + 1, layers[target]):
            chain.append((free, layer))
            columns[layer].append((free, layer))
        chains.append([*chain, (target, layers[target])])
        free += 1
    return columns, chains


def _arrange(
    columns: list[list[Place]], chains: list[list[Place]]
) -> dict[Place, float]:
    """The row of every place: sweeps from left to right and back."""
    near: dict[Place, list[Place]] = {place: [] for col in columns for place in col}
    for chain in chains:
        for first, second in zip(chain[:-1], chain[1:], strict=True):
            near[first].append(second)
            near[second].append(first)
    tallest = max(map(len, columns))
    rows: dict[Place, float] = {}
    for column in columns:
        _spread(column, [0.0] * len(column), tallest, rows)
    for sweep in range(_SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        for column in columns[::step]:
            means = [
                float(np.mean([rows[n] for n in near[p]])) if near[p] else rows[p]
                for p in column
            ]
            order = np.argsort(means, kind="stable")
            column[:] = [column[i] for i in order]
            _spread(column, [means[i] for i in order], tallest, rows)
    lowest = min(rows.values())
    return {place: row - lowest for place, row in rows.items()}


def _spread(
    column: list[Place], wanted: Sequence[float], tallest: int, rows: dict[Place, float]
) -> None:
    """Rows in order, one apart, as near to those wanted as their mean can be."""
    count = len(column)
    middle = float(np.mean(wanted)) - (count - 1) / 2
    start = min(max(middle, 0.0), float(tallest - count))
    for place, node in enumerate(column):
        rows[node] = start + place


def _at(place: Place, rows: Mapping[Place, float]) -> tuple[float, float]:
    """The middle of a place."""
    return (
        _MARGIN + _BOX[0] / 2 + _PITCH[0] * place[1],
        _MARGIN + _BOX[1] / 2 + _PITCH[1] * rows[place],
    )


def _line(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line from the right of the first box to the left of the last one."""
    (x, y), *others = points
    half, bend = _BOX[0] / 2, (_PITCH[0] - _BOX[0]) / 2
    path, x = f"M{x + half:g} {y:g}", x + half
    for number, (next_x, next_y) in enumerate(others, 1):
        end = next_x - half
        path += f"C{x + bend:g} {y:g} {end - bend:g} {next_y:g} {end:g} {next_y:g}"
        x, y = end, next_y
        if number < len(others):  # straight through a free place
            x = next_x + half
            path += f"H{x:g}"
    return f'<path class="edge" d="{path}"/>' + (
        f'<path class="tip" d="M{x:g} {y:g}l-6 -3v6z"/>'
    )


def _box(middle: tuple[float, float], name: str, color: str) -> str:
    (x, y), (width, height) = middle, _BOX
    return (
        f'<g><title>{html.escape(name)}</title><rect x="{x - width / 2:g}" '
        f'y="{y - height / 2:g}" width="{width}" height="{height}" rx="5" '
        f'fill="{color}"/><text x="{x:g}" y="{y + 3.5:g}">{html.escape(short(name))}'
        "</text></g>"
    )
