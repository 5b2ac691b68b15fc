"""Which NAS-Bench-201 cells compute the same function: 15,625 cells, 4,930 functions.

Coarser than the published unique strings: terms that are always zero are dropped, and a
skip connection of a sum is the terms of that sum. Cells of one function have equal
networks up to the values of unused weights, if normalisation in cells has no shift.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from nasjax.spaces import nasbench201

NUM_FUNCTIONS = 4_930
_COST = np.array([0, 0, 1, 9, 1])
"""Relative work of none, skip, 1x1, 3x3 and pooling."""

Terms = tuple[str, ...]


class Functions(NamedTuple):
    """The functions of the space, numbered by the code of their first cell.

    Attributes:
      of_code: int32 `[15625]`, function of the cell with each `nasbench201.code`.
      representatives: int32 `[4930, 6]`, the cheapest cell of each function, edges
        without effect set to none.
    """

    of_code: np.ndarray
    representatives: np.ndarray


def describe(arch: tuple[int, ...]) -> Terms:
    """The output of a cell as a sorted sum of terms; equal sums, equal functions."""
    nodes: list[Terms] = [("x",)]
    for node in (1, 2, 3):
        terms: list[str] = []
        for op, (source, target) in zip(arch, nasbench201.EDGES, strict=True):
            if target != node or op == nasbench201.NONE or not nodes[source]:
                continue
            if op == nasbench201.SKIP:
                terms += nodes[source]
            else:
                terms.append(f"{op}({'+'.join(nodes[source])})")
        nodes.append(tuple(sorted(terms)))
    return nodes[-1]


def without_dead_edges(arch: tuple[int, ...]) -> tuple[int, ...]:
    """The cell with every edge set to none that the output does not depend on."""
    none, edges = nasbench201.NONE, nasbench201.EDGES
    reached, needed = {0}, {3}
    for op, (source, target) in zip(arch, edges, strict=True):
        if op != none and source in reached:
            reached.add(target)
    for op, (source, target) in reversed(list(zip(arch, edges, strict=True))):
        if op != none and target in needed and source in reached:
            needed.add(source)
    return tuple(
        op if source in reached and target in needed else none
        for op, (source, target) in zip(arch, edges, strict=True)
    )


@functools.cache
def functions() -> Functions:
    """Enumerates the space once (a second)."""
    numbers: dict[Terms, int] = {}
    best: list[tuple[int, tuple[int, ...]]] = []
    of_code = np.empty(nasbench201.SIZE, np.int32)
    cells = itertools.product(range(nasbench201.NUM_OPS), repeat=nasbench201.NUM_GENES)
    for code, cell in enumerate(cells):
        number = numbers.setdefault(describe(cell), len(numbers))
        of_code[code] = number
        bare = without_dead_edges(cell)
        candidate = (int(_COST[list(bare)].sum()), bare)
        if number == len(best):
            best.append(candidate)
        best[number] = min(best[number], candidate)
    return Functions(of_code, np.array([cell for _, cell in best], np.int32))
