"""Which NAS-Bench-201 cells are the same network: 15,625 cells, 5,260 functions.

A cell is read as the operation instances its output depends on. An instance has its own
weights, so one convolution used twice is another function than two convolutions with
equal inputs; averages have none, so two with the same input are one. What is always
zero is dropped, and a skip connection of a sum is the terms of that sum. Two cells
compute one function if their instances are equal up to names; such cells have equal
networks up to the values of unused weights, if normalisation in cells has no shift.

This is finer than the published 6,466 unique strings in one way and coarser in another:
those are texts, which merge one node used twice with two equal nodes, but they keep
terms that are zero and the order of sums within skips.
"""

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np

from nasjax.spaces import nasbench201

NUM_FUNCTIONS = 5_260
_NUM_TEXTS = 4_930
_COST = np.array([0, 0, 1, 9, 1])
"""Relative work of none, skip, 1x1, 3x3 and pooling."""

Terms = tuple[int, ...]
"""A sum: instances, sorted, as often as they are added. Instance 0 is the input."""


class Instance(NamedTuple):
    """One operation of the network, applied to a sum of earlier instances."""

    op: int
    inputs: Terms


class FunctionClasses(NamedTuple):
    """The functions of the space.

    Attributes:
      of_code: int32 `[15625]`, function of the cell with each `nasbench201.code`.
      representatives: int32 `[5260, 6]`, the cheapest cell of each function, edges
        without effect set to none.
    """

    of_code: np.ndarray
    representatives: np.ndarray


def instances(arch: tuple[int, ...]) -> tuple[list[Instance], Terms]:
    """The operation instances of a cell (the first is its input) and its output."""
    found = [Instance(-1, ())]
    averages: dict[Terms, int] = {}
    nodes: list[Terms] = [(0,)]
    for node in (1, 2, 3):
        terms: list[int] = []
        for op, (source, target) in zip(arch, nasbench201.EDGES, strict=True):
            if target != node or op == nasbench201.NONE or not nodes[source]:
                continue
            if op == nasbench201.SKIP:
                terms += nodes[source]
            elif op == nasbench201.AVG_POOL and nodes[source] in averages:
                terms.append(averages[nodes[source]])
            else:
                found.append(Instance(op, nodes[source]))
                terms.append(len(found) - 1)
                if op == nasbench201.AVG_POOL:
                    averages[nodes[source]] = len(found) - 1
        nodes.append(tuple(sorted(terms)))
    return found, nodes[-1]


def describe(arch: tuple[int, ...]) -> tuple[Any, ...]:
    """Equal for two cells exactly if they compute the same function.

    The smallest of the descriptions by all names of the instances. Only instances with
    equal texts can be exchanged, so only their names are tried in every order.
    """
    found, output = instances(arch)
    live = _live(found, output)
    texts = _texts(found)
    by_text = [
        list(group)
        for _, group in itertools.groupby(
            sorted(live, key=texts.__getitem__), key=texts.__getitem__
        )
    ]
    return min(
        _renamed(found, output, [instance for group in order for instance in group])
        for order in itertools.product(*map(itertools.permutations, by_text))
    )


def _live(found: list[Instance], output: Terms) -> list[int]:
    """The instances that the output depends on, without the input."""
    live = set(output)
    for number in range(len(found) - 1, 0, -1):  # inputs come before their users
        if number in live:
            live |= set(found[number].inputs)
    return sorted(live - {0})


def _texts(found: list[Instance]) -> list[str]:
    """Each instance written out; equal for instances that differ in weights only."""
    texts = ["x"]
    for op, inputs in found[1:]:
        texts.append(f"{op}({_sum(texts, inputs)})")
    return texts


def _sum(texts: list[str], terms: Terms) -> str:
    return "+".join(sorted(texts[term] for term in terms))


def _renamed(found: list[Instance], output: Terms, order: list[int]) -> tuple[Any, ...]:
    """The network with the instances of `order` named 1, 2, ..."""
    name = {0: 0} | {number: place + 1 for place, number in enumerate(order)}

    def renamed(terms: Terms) -> Terms:
        return tuple(sorted(name[term] for term in terms))

    rows = [(found[number].op, renamed(found[number].inputs)) for number in order]
    return (*rows, (-1, renamed(output)))


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
def functions() -> FunctionClasses:
    """Enumerates the space once (a second).

    Functions are numbered so that stored trainings keep their numbers: each text of an
    output (4,930, by first cell) is the number of the function with the cheapest cell
    of that text; the 330 others follow, by first cell.
    """
    cells = list(itertools.product(range(nasbench201.NUM_OPS), repeat=6))
    cheapest: dict[tuple[Any, ...], tuple[int, tuple[int, ...]]] = {}
    by_text: dict[str, dict[tuple[Any, ...], None]] = {}
    forms = []
    for cell in cells:
        form, bare = describe(cell), without_dead_edges(cell)
        candidate = (int(_COST[list(bare)].sum()), bare)
        cheapest[form] = min(cheapest.get(form, candidate), candidate)
        found, output = instances(cell)
        by_text.setdefault(_sum(_texts(found), output), {})[form] = None
        forms.append(form)
    first = [min(forms_of, key=cheapest.__getitem__) for forms_of in by_text.values()]
    number = {form: place for place, form in enumerate(first)}
    for form in forms:
        number.setdefault(form, len(number))
    order = sorted(cheapest, key=number.__getitem__)
    return FunctionClasses(
        np.array([number[form] for form in forms], np.int32),
        np.array([cheapest[form][1] for form in order], np.int32),
    )
