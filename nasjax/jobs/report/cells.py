"""Architectures of a space as drawings, equal ones once."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nasjax import spaces
from nasjax.core import errors
from nasjax.core.types import SearchSpace
from nasjax.report import cell_svg, page
from nasjax.report.page import Markup

MOST = 8
"""Architectures that are drawn."""


def drawings(space_name: str, found: Mapping[str, Mapping[str, Any]]) -> list[Markup]:
    """The best architecture of each algorithm.

    Args:
      space_name: a registered space.
      found: by algorithm `arch`, `genes` and a `caption`.

    Raises:
      DataError: genes are of no architecture of the space.
      ConfigError: there is no such space.
    """
    space = spaces.make(space_name)
    owners: dict[str, list[str]] = {}
    for name, row in found.items():
        owners.setdefault(str(row["arch"]), []).append(name)
    colors = cell_svg.colors_of(space.graph_op_names)
    figures, used = [], set()
    for arch, names in list(owners.items())[:MOST]:
        row = found[names[0]]
        cells = graph_cells(space, row["genes"])
        used |= {name for cell in cells for name in cell.operations}
        label = f"cell {arch} of {', '.join(names)}"
        pictures = page.join(
            Markup(cell_svg.draw(cell, colors, label=label)) for cell in cells
        )
        who = page.element("strong", ", ".join(names))
        caption = page.join([who, f": {row['caption']}. ", page.code(arch)])
        figures.append(page.figure(pictures, caption))
    legend = [
        page.element("span", page.element("i", style=f"background:{color}"), name)
        for name, color in colors.items()
        if name in used and not cell_svg.is_end(name)
    ]
    if any('class="dead"' in figure for figure in figures):
        legend.append(page.element("span", "faint: from no input to the output"))
    return [
        page.element("div", *legend, class_="legend"),
        page.element("div", *figures, class_="cells"),
    ]


def graph_cells(space: SearchSpace, genes: Sequence[int]) -> list[cell_svg.GraphCell]:
    """The cells of an architecture, nodes without operation left out.

    Raises:
      DataError: the space draws no graphs, or the genes are of no architecture.
    """
    arch = np.asarray(genes)
    if space.to_graph is None:
        raise errors.DataError(f"{space.name}: the space has no graphs to draw")
    fits = arch.shape == (space.num_genes,) and arch.dtype.kind == "i"
    if not fits or not bool(jax.jit(space.is_valid)(arch.astype(np.int32))):
        raise errors.DataError(f"{space.name}: genes that are no architecture of it")
    graph = jax.device_get(jax.jit(space.to_graph)(arch.astype(np.int32)))
    adjacency = np.asarray(graph.adjacency)
    if adjacency.ndim == 2:
        return [_cell(space, adjacency, graph.ops, graph.num_nodes)]
    every = zip(adjacency, graph.ops, graph.num_nodes, strict=True)
    return [_cell(space, *one) for one in every]


def _cell(
    space: SearchSpace, adjacency: np.ndarray, ops: Any, num_nodes: Any
) -> cell_svg.GraphCell:
    count = int(num_nodes)
    matrix = np.triu(adjacency[:count, :count] != 0, 1)
    names = [space.graph_op_names[op] for op in np.asarray(ops)[:count].tolist()]
    return cell_svg.GraphCell(matrix, names)
