"""A pruned genotype read from its JSON form: checked once, then plain tuples.

Nodes are numbered inputs first, then intermediate nodes, then the output, which
concatenates some of the intermediate ones.
"""

import math
import numbers
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from nasjax.core.errors import DataError

FORMAT = "nasjax.genotype/1"
MAX_NODES = 256
"""Of a cell; a file that claims more is damaged."""


class Edge(NamedTuple):
    """One live edge of a cell.

    Attributes:
      source: node the edge comes from.
      target: node the edge enters.
      weight: edge mixing weight beta.
      operations: (name, weight) of every operation that is left.
    """

    source: int
    target: int
    weight: float
    operations: tuple[tuple[str, float], ...]


class DrawnCell(NamedTuple):
    """One cell of a pruned genotype.

    Attributes:
      inputs: names of the input nodes, such as `c_{k-2}`.
      num_nodes: all nodes, the output included.
      edges: live edges, by target and then by source.
      concat: intermediate nodes that the output concatenates.
      weighted: whether the weights say anything; a discrete cell has none.
    """

    inputs: tuple[str, ...]
    num_nodes: int
    edges: tuple[Edge, ...]
    concat: tuple[int, ...]
    weighted: bool = True

    @property
    def output(self) -> int:
        """Number of the output node."""
        return self.num_nodes - 1

    @property
    def intermediate(self) -> range:
        """Numbers of the intermediate nodes."""
        return range(len(self.inputs), self.output)

    @property
    def num_possible_edges(self) -> int:
        """Edges of the cell before anything was pruned."""
        return sum(self.intermediate)

    def live_nodes(self) -> frozenset[int]:
        """Nodes on a path from an input to the output, the output included."""
        fed = set(range(len(self.inputs)))
        for edge in self.edges:
            if edge.source in fed:
                fed.add(edge.target)
        used = set(self.concat)
        for edge in reversed(self.edges):
            if edge.target in used:
                used.add(edge.source)
        return frozenset((fed & used) | {self.output})


def read_genotype(genotype: Mapping[str, Any]) -> dict[str, DrawnCell]:
    """Reads a whole genotype, `{"format", "operations", "cells"}`.

    Returns:
      The cells by name, in the order of the file.

    Raises:
      DataError: another format, no cells, or a cell that `read_cell` refuses.
    """
    if not isinstance(genotype, Mapping):
        raise DataError(
            f"genotype: a {type(genotype).__name__}, not an object with a format and "
            "cells"
        )
    form = genotype.get("format")
    if form != FORMAT:
        shown = repr(form[:40]) if isinstance(form, str) else type(form).__name__
        raise DataError(f"genotype: format is {shown}, this version reads {FORMAT!r}")
    cells = genotype.get("cells")
    if not isinstance(cells, Mapping) or not cells:
        raise DataError("genotype: 'cells' must map at least one name to a cell")
    for name in cells:
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]{0,99}", name):
            shown = repr(name[:40]) if isinstance(name, str) else type(name).__name__
            raise DataError(f"genotype: cell name {shown} cannot name a file; use a-z")
    return {name: read_cell(cell, name) for name, cell in cells.items()}


def read_cell(cell: Mapping[str, Any], name: str = "cell") -> DrawnCell:
    """Reads one cell, `{"num_nodes", "inputs", "edges", "concat"}`.

    An edge without operations carries nothing and is dropped.

    Raises:
      DataError: a key is missing or holds another type, or an edge does not fit the
        cell.
    """
    try:
        inputs = tuple(_of_type(str, label) for label in _list(cell, "inputs"))
        num_nodes = _of_type(int, cell["num_nodes"])
        edges = [_read_edge(edge) for edge in _list(cell, "edges")]
        concat = tuple(sorted(_of_type(int, node) for node in _list(cell, "concat")))
        weighted = _of_type(bool, cell.get("weighted", True))
    except KeyError as error:
        raise DataError(f"genotype {name}: key {error} is missing") from error
    except (AttributeError, OverflowError, TypeError) as error:
        raise DataError(f"genotype {name}: {error}; write the genotype anew") from error
    edges.sort(key=lambda edge: (edge.target, edge.source))
    edges = [edge for edge in edges if edge.operations]
    read = DrawnCell(inputs, num_nodes, tuple(edges), concat, weighted)
    _check(read, name)
    return read


def _of_type(kind: type, value: Any) -> Any:
    """A value of the file as `kind`, of no other one: 1.7 and True are no integers."""
    number = {int: numbers.Integral, float: numbers.Real}.get(kind)
    if number is None:
        fits = isinstance(value, kind)
    else:
        fits = isinstance(value, number) and not isinstance(value, bool)
    if not fits:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is expected")
    return kind(value)


def _list(fields: Mapping[str, Any], key: str) -> list[Any] | tuple[Any, ...]:
    value = fields[key]
    if not isinstance(value, list | tuple):
        raise TypeError(f"{key} is no list")
    return value


def _read_edge(edge: Mapping[str, Any]) -> Edge:
    operations = [
        (_of_type(str, op["name"]), _of_type(float, op["weight"]))
        for op in _list(edge, "operations")
    ]
    operations.sort(key=lambda operation: -operation[1])
    source, target = (_of_type(int, edge[end]) for end in ("source", "target"))
    return Edge(source, target, _of_type(float, edge["weight"]), tuple(operations))


def _check(cell: DrawnCell, name: str) -> None:
    if cell.num_nodes > MAX_NODES:
        raise DataError(
            f"genotype {name}: more than {MAX_NODES} nodes; write the genotype anew"
        )
    if not cell.inputs or not cell.intermediate:
        raise DataError(
            f"genotype {name}: {cell.num_nodes} nodes with {len(cell.inputs)} inputs "
            "leave no intermediate node; it takes inputs, nodes and one output"
        )
    seen = set()
    for edge in cell.edges:
        where = f"genotype {name}: edge {edge.source}->{edge.target}"
        if not 0 <= edge.source < edge.target or edge.target not in cell.intermediate:
            raise DataError(
                f"{where} does not fit; edges go from a lower to a higher node and "
                f"enter nodes {cell.intermediate[0]} to {cell.intermediate[-1]}"
            )
        if edge[:2] in seen:
            raise DataError(f"{where} is listed twice; keep one")
        seen.add(edge[:2])
        weights = [edge.weight, *(weight for _, weight in edge.operations)]
        if not all(math.isfinite(weight) for weight in weights):
            raise DataError(f"{where} has a weight that is not finite")
    wrong = [node for node in cell.concat if node not in cell.intermediate]
    if wrong:
        raise DataError(
            f"genotype {name}: concat lists {wrong[0]}, not an intermediate node"
        )
