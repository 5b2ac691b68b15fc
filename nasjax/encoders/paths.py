"""Path encodings (White et al., 2021, section 4): which sequences of operations lead
from the input of a cell to its output.

    one-hot       a bit for every possible sequence, shorter ones first
    categorical   the numbers of the sequences that are there, increasing
    continuous    a weight in [0, 1] for every possible sequence, and how many to keep
    counts        how many paths read each sequence

and each of the first three truncated to short sequences. A sequence of L operations out
of B has the number `sum_i B^i (o_i + 1)`, so sequences of fewer operations have smaller
numbers. An operation `none` cuts the paths through it.

A function here takes the name of a space and returns a pure function of one gene
vector, which may be jitted and vmapped.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array
from nasjax.encoders import adjacency
from nasjax.encoders.adjacency import Encoding
from nasjax.spaces import darts, nasbench201
from nasjax.spaces import nasbench101_notation as notation


class Paths(NamedTuple):
    """The paths that a cell may have; P is the same for all cells of a space.

    Attributes:
      number: int32 `[C, P]`, of its sequence, from 0 on; C cells have their own
        numbers.
      there: bool `[C, P]`, whether the cell has the path.
    """

    number: Array
    there: Array


class _Space(NamedTuple):
    """How the paths of a space are counted.

    Attributes:
      paths: `arch -> Paths`.
      sizes: how many sequences have at most 0, 1, 2, ... operations.
      short: operations of the longest sequence that a truncated encoding keeps.
      first: what a categorical encoding writes for number 0.
      slots: numbers of a categorical encoding.
    """

    paths: Callable[[Array], Paths]
    sizes: tuple[int, ...]
    short: int
    first: int
    slots: int


def one_hot(space: str) -> Encoding:
    """All sequences: 364 (nasbench101), 84 (nasbench201), 5,600 a cell (darts).

    nasbench201: released code has 155, as it takes `none` for an operation. darts:
    sequences of 7 operations from either input to any of the four steps.

    Raises:
      ConfigError: the space has no path encoding.
    """
    return functools.partial(_one_hot, _space(space), size=_space(space).sizes[-1])


def one_hot_truncated(space: str, *, max_ops: int | None = None) -> Encoding:
    """The sequences of at most `max_ops` operations.

    Args:
      space: nasbench101, nasbench201, darts or darts_shared.
      max_ops: default 3 for nasbench101 (40 bits), else 2 (20, and 112 a cell).

    Raises:
      ConfigError: the space has no path encoding, or no sequences of that length.
    """
    return functools.partial(_one_hot, _space(space), size=size_of(space, max_ops))


def categorical(space: str, *, slots: int | None = None) -> Encoding:
    """The numbers of the paths, increasing and with repetitions; the rest is 0.

    Args:
      space: nasbench101, nasbench201, darts or darts_shared.
      slots: how many fit for each cell; default 20 (nasbench101, as published; a valid
        cell has at most 8), 4 (nasbench201), 30 (darts).

    nasbench101, as published: the path without an operation has the number 0, too. In
    the other spaces numbers begin with 1.

    Raises:
      ConfigError: the space has no path encoding.
    """
    known = _space(space)
    return functools.partial(
        _categorical, known, size=known.sizes[-1], slots=slots or known.slots
    )


def categorical_truncated(
    space: str, *, max_ops: int | None = None, slots: int | None = None
) -> Encoding:
    """`categorical` of the sequences of at most `max_ops` operations.

    Raises:
      ConfigError: as for `one_hot_truncated`.
    """
    known = _space(space)
    size = size_of(space, max_ops)
    return functools.partial(_categorical, known, size=size, slots=slots or known.slots)


def continuous(space: str) -> Encoding:
    """The continuous form of a discrete cell: its weights are 0 and 1.

    The numbers of `one_hot`, then of each cell how many sequences it has: 365
    (nasbench101), 85 (nasbench201), 5,601 a cell (darts). Released code: has a distance
    and a mutation of this form, but no vector.

    Raises:
      ConfigError: the space has no path encoding.
    """
    known = _space(space)
    return functools.partial(_continuous, known, size=known.sizes[-1])


def continuous_truncated(space: str, *, max_ops: int | None = None) -> Encoding:
    """`continuous` of the sequences of at most `max_ops` operations.

    Raises:
      ConfigError: as for `one_hot_truncated`.
    """
    return functools.partial(_continuous, _space(space), size=size_of(space, max_ops))


def counts(space: str) -> Encoding:
    """How many paths read each of the sequences of `one_hot`.

    Raises:
      ConfigError: the space has no path encoding.
    """
    known = _space(space)
    return functools.partial(_counts, known, size=known.sizes[-1])


def size_of(space: str, max_ops: int | None = None) -> int:
    """How many sequences have at most `max_ops` operations, for each cell.

    Args:
      space: nasbench101, nasbench201, darts or darts_shared.
      max_ops: None: those that a truncated encoding keeps.

    Raises:
      ConfigError: the space has no path encoding, or no sequences of that length.
    """
    known = _space(space)
    max_ops = known.short if max_ops is None else max_ops
    if not 1 <= max_ops < len(known.sizes):
        raise errors.ConfigError(
            f"max_ops of a truncated path encoding of {space} must be 1 to "
            f"{len(known.sizes) - 1}, not {max_ops}"
        )
    return known.sizes[max_ops]


def paths(space: str) -> Callable[[Array], Paths]:
    """The function that lists the paths of a cell.

    Raises:
      ConfigError: the space has no path encoding.
    """
    return _space(space).paths


def _counts(space: _Space, arch: Array, *, size: int) -> Array:
    number, there = space.paths(arch)
    cell = np.arange(len(number))[:, None]
    bins = jnp.zeros((len(number), size), jnp.float32)
    # A number beyond the end is dropped; one below 0 would count from there.
    return bins.at[cell, jnp.where(there, number, size)].add(1.0, mode="drop").ravel()


def _one_hot(space: _Space, arch: Array, *, size: int) -> Array:
    return jnp.minimum(_counts(space, arch, size=size), 1.0)


def _continuous(space: _Space, arch: Array, *, size: int) -> Array:
    weights = _one_hot(space, arch, size=size).reshape(-1, size)
    total = jnp.sum(weights, axis=1, keepdims=True)
    return jnp.concatenate([weights, total], axis=1).reshape(-1)


def _categorical(space: _Space, arch: Array, *, size: int, slots: int) -> Array:
    number, there = space.paths(arch)
    absent = jnp.iinfo(jnp.int32).max
    kept = jnp.sort(jnp.where(there & (number < size), number, absent), axis=1)
    missing = max(0, slots - kept.shape[1])
    kept = jnp.pad(kept, ((0, 0), (0, missing)), constant_values=absent)[:, :slots]
    numbers = jnp.where(kept == absent, 0, kept + space.first)
    return numbers.astype(jnp.float32).reshape(-1)


# --- NAS-Bench-101: one path for each subset of the five interior vertices ---------

SUBSETS_101 = [
    subset
    for size in range(notation.OP_SPOTS + 1)
    for subset in itertools.combinations(range(1, notation.OP_SPOTS + 1), size)
]
"""Interior vertices of each path of `paths("nasbench101")`."""
_ALWAYS = notation.NUM_BITS
# Bits that a path needs; the slots after its last edge point to one that is always set.
_BITS_101 = np.full((len(SUBSETS_101), notation.MAX_VERTICES - 1), _ALWAYS)
_PLACES_101 = np.zeros((len(SUBSETS_101), notation.OP_SPOTS), np.int32)
for _row, _subset in enumerate(SUBSETS_101):
    _stops = (0, *_subset, notation.MAX_VERTICES - 1)
    for _k, _edge in enumerate(itertools.pairwise(_stops)):
        _BITS_101[_row, _k] = notation.EDGES.index(_edge)
    for _k, _vertex in enumerate(_subset):
        _PLACES_101[_row, _vertex - 1] = notation.NUM_OPS**_k
# The published numbers count conv3x3 first, then conv1x1 and pooling, from 1 on.
_DIGITS_101 = np.array([2, 1, 3], np.int32)


def _paths_101(arch: Array) -> Paths:
    wide = adjacency.widen(arch)
    bits = jnp.append(wide[: notation.NUM_BITS], 1)
    ops = jnp.asarray(_DIGITS_101)[wide[notation.NUM_BITS : -1]]
    there = jnp.all(bits[_BITS_101] == 1, axis=1)
    return Paths((jnp.asarray(_PLACES_101) @ ops)[None], there[None])


# --- NAS-Bench-201: four paths ------------------------------------------------------

_EDGES_201 = ((3,), (0, 4), (1, 5), (0, 2, 5))
_OPEN_201 = nasbench201.NUM_OPS - 1


def _paths_201(arch: Array) -> Paths:
    arch = jnp.asarray(arch)
    number, there = [], []
    for edges in _EDGES_201:
        ops = [arch[edge] for edge in edges]
        # Genes count from `none` on, so they are the digits themselves.
        terms = [op * _OPEN_201**k for k, op in enumerate(ops)]
        number.append(functools.reduce(jnp.add, terms) - 1)
        is_open = [op != nasbench201.NONE for op in ops]
        there.append(functools.reduce(jnp.logical_and, is_open))
    return Paths(jnp.stack(number)[None], jnp.stack(there)[None])


# --- DARTS: walks from each step back to an input, two choices at every step --------

_WALKS = np.array(
    [
        (step, *choices)
        for step in range(darts.NUM_STEPS)
        for choices in itertools.product(range(2), repeat=darts.NUM_STEPS)
        # A walk from this step takes at most step + 1 choices.
        if not any(choices[step + 1 :])
    ]
)


def _paths_darts(arch: Array) -> Paths:
    cells = jnp.asarray(arch).reshape(-1, darts.NUM_STEPS, 2, 2)
    return Paths(*jax.vmap(_paths_of_cell)(cells))


def _paths_of_cell(cell: Array) -> tuple[Array, Array]:
    """Numbers and presence of the walks of one cell `[4, 2, 2]`.

    A number is that of the operations, read from the output on, times two plus the
    input (0: c_{k-2}) where the walk ends.
    """
    step = jnp.asarray(_WALKS[:, 0])
    state = step + 2
    number = jnp.zeros(len(_WALKS), jnp.int32)
    there = jnp.ones(len(_WALKS), bool)
    for k in range(darts.NUM_STEPS):
        going, choice = state >= 2, _WALKS[:, 1 + k]
        op, source = jnp.moveaxis(cell[jnp.maximum(state - 2, 0), choice], -1, 0)
        number += jnp.where(going, (op + 1) * darts.NONE**k, 0)
        there &= ~(going & (op == darts.NONE))
        # A walk that has ended is counted once: with 0 for the choices that are left.
        there &= going | (choice == 0)
        state = jnp.where(going, source, state)
    return 2 * (number - 1) + state, there


def _cumulative(
    base: int, longest: int, *, empty: bool, copies: int = 1
) -> tuple[int, ...]:
    counts_of_length = [base**length for length in range(longest + 1)]
    counts_of_length[0] = 1 if empty else 0
    return tuple(copies * int(total) for total in np.cumsum(counts_of_length))


_DARTS = _Space(
    _paths_darts,
    _cumulative(darts.NONE, darts.NUM_STEPS, empty=False, copies=2),
    short=2,
    first=1,
    slots=30,
)
_SPACES: dict[str, _Space] = {
    "nasbench101": _Space(
        _paths_101,
        _cumulative(notation.NUM_OPS, notation.OP_SPOTS, empty=True),
        short=3,
        first=0,
        slots=20,
    ),
    "nasbench201": _Space(
        _paths_201,
        _cumulative(_OPEN_201, 3, empty=False),
        short=2,
        first=1,
        slots=len(_EDGES_201),
    ),
    "darts": _DARTS,
    "darts_shared": _DARTS,
}


def _space(name: str) -> _Space:
    if name not in _SPACES:
        raise errors.unknown_name("space of the path encodings", name, _SPACES)
    return _SPACES[name]
