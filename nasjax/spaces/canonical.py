"""One writing for each class of isomorphic architectures: NAS-Bench-101 and DARTS.

The order of a cell's inner vertices or steps is free as far as edges lead upwards. Each
order gives a writing, each writing one integer; the canonical writing is that of the
smallest. Equal canonical genes mean isomorphic architectures and the other way round,
so whatever reads them cannot tell two writings of one architecture apart.

For example:

    import jax
    from nasjax.spaces import canonical, nasbench101

    cell = nasbench101.sample(jax.random.key(0))
    print(nasbench101.make().format_arch(canonical.nasbench101_cell(cell)))
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array
from nasjax.spaces import darts, nasbench101
from nasjax.spaces.nasbench101_notation import (
    EDGES,
    MAX_VERTICES,
    NUM_BITS,
    OP_SPOTS,
)

_NO_CODE = np.iinfo(np.int32).max

# --- NAS-Bench-101: 120 orders of five inner vertices -------------------------------

_ABSENT = 3
"""Digit of a spot without an operation; those of operations are smaller."""


def _orders_101() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each bit and each digit adds to the code of an order, int32 `[120, 21]` and
    `[120, 5]`, and the set of edges that would lead downwards, int32 `[120]`.

    The operations of the first vertices count most, then the edges, those behind the
    first vertices least: 10 and 21 bits.
    """
    weights = np.zeros((120, NUM_BITS), np.int32)
    digits = np.zeros((120, OP_SPOTS), np.int32)
    downward = np.zeros(120, np.int32)
    for row, places in enumerate(itertools.permutations(range(1, OP_SPOTS + 1))):
        place = [0, *places, MAX_VERTICES - 1]
        for k, (i, j) in enumerate(EDGES):
            if place[i] < place[j]:
                weights[row, k] = 1 << EDGES.index((place[i], place[j]))
            else:
                downward[row] |= 1 << k
        for v in range(OP_SPOTS):
            digits[row, v] = 1 << (NUM_BITS + 2 * (OP_SPOTS - place[v + 1]))
    return weights, digits, downward


_WEIGHTS_101, _DIGITS_101, _DOWNWARD_101 = _orders_101()
_SOURCES, _TARGETS = np.array(EDGES).T
_IS_INNER = (_SOURCES >= 1) & (_TARGETS <= OP_SPOTS)


def nasbench101_cell(arch: Array) -> Array:
    """The canonical writing of a NAS-Bench-101 cell: pruned, inner vertices ordered.

    Among all numberings of the inner vertices whose edges lead to higher vertices, the
    one with the smallest operations (0 conv1x1, 1 conv3x3, 2 maxpool3x3, the first
    vertex counts most), then with the smallest edges.

    Args:
      arch: integers `[27]`.

    Returns:
      int32 `[27]`, a writing of the same cell; an invalid cell comes back as it is.
    """
    arch = jnp.asarray(arch).astype(jnp.int32)
    pruned = nasbench101.prune(arch)
    bits, ops, n = pruned[:NUM_BITS], pruned[NUM_BITS:-1], pruned[-1]
    digits = jnp.where(ops < 0, _ABSENT, ops)
    codes = jnp.sum(_WEIGHTS_101 * bits[None], axis=1)
    codes += jnp.sum(_DIGITS_101 * digits[None], axis=1)
    # Empty spots stay behind the output, and the output behind the inner vertices.
    kept_apart = (_SOURCES < n) & (n <= _TARGETS) & _IS_INNER
    edges = jnp.sum(((bits == 1) | kept_apart) << np.arange(NUM_BITS))
    fits = _DOWNWARD_101 & edges == 0
    code = jnp.min(jnp.where(fits, codes, _NO_CODE))
    shifts = NUM_BITS + 2 * np.arange(OP_SPOTS)[::-1]
    chosen = code >> shifts & 3
    genes = [
        code >> np.arange(NUM_BITS) & 1,
        jnp.where(chosen == _ABSENT, -1, chosen),
        n[None],
    ]
    written = jnp.concatenate(genes)
    return jnp.where(nasbench101.is_valid(arch), written, arch)


# --- DARTS: 24 orders of four steps -------------------------------------------------

_PLACES = np.array(list(itertools.permutations(range(darts.NUM_STEPS))), np.int32)
"""Where each order puts each step."""
_BASE = 8
"""States and operations, `none` counted, are below."""
_STEP_CODE = _BASE**4
# The state that each order makes of each state, 3 bits each.
_STATES = 8 + np.sum((_PLACES + 2) << 3 * (np.arange(darts.NUM_STEPS) + 2), axis=1)
# What the code of a step counts in the first and in the second half of an order's code.
_HALVES = np.array(
    [
        np.where(_PLACES == 0, _STEP_CODE, np.where(_PLACES == 1, 1, 0)),
        np.where(_PLACES == 2, _STEP_CODE, np.where(_PLACES == 3, 1, 0)),
    ],
    np.int32,
)


def darts_cells(arch: Array) -> Array:
    """The canonical writing of DARTS cells: each cell's steps and their inputs ordered.

    Of all orders of the steps in which each reads earlier states, the one with the
    smallest inputs and operations, the first step's counting most. The output
    concatenates the steps, whose order there changes only the order of channels.

    Args:
      arch: integers `[32]`, or `[16]` for a shared cell; operations may be `none`.

    Returns:
      int32 of the same shape; an invalid architecture comes back as it is.
    """
    arch = jnp.asarray(arch).astype(jnp.int32)
    written = jax.vmap(_darts_cell)(arch.reshape(-1, darts.NUM_STEPS, 2, 2))
    valid = darts.is_valid(arch, num_ops=darts.NONE + 1)
    return jnp.where(valid, written.reshape(-1), arch)


def _darts_cell(steps: Array) -> Array:
    """`[4, 2, 2]` of one cell `[4, 2, (operation, input)]`."""
    ops, inputs = steps[None, ..., 0], steps[None, ..., 1]
    # By order, step and input: [24, 4, 2].
    states = _STATES[:, None, None] >> 3 * inputs & 7
    fits = jnp.all(states < _PLACES[..., None] + 2, axis=(1, 2))
    edges = states * _BASE + ops
    code = jnp.min(edges, axis=2) * _BASE**2 + jnp.max(edges, axis=2)
    high, low = (jnp.sum(code * half, axis=1) for half in _HALVES)
    first = jnp.min(jnp.where(fits, high, _NO_CODE))
    second = jnp.min(jnp.where(fits & (high == first), low, _NO_CODE))
    shifts = 3 * np.arange(darts.NUM_STEPS * 2)[::-1]
    digits = jnp.concatenate([first >> shifts & 7, second >> shifts & 7])
    return digits.reshape(darts.NUM_STEPS, 2, 2)[..., ::-1]
