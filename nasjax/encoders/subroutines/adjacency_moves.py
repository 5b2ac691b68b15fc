"""Random and changed NAS-Bench-101 cells in the terms of an adjacency encoding.

    one-hot       those of the space: every edge with probability 1/2; flips of edges
                  (1/21 each) and other operations (1/5 each)
    categorical   nine slots hold an edge each (Ying et al., 2019, section S3); one of
                  the 21 slots of the vector is drawn anew
    continuous    the highest of 21 weights are kept; an edge is taken away, moved or
                  added

A mutation of the last two changes each operation with probability 1/5, too. What is
drawn is redrawn until it is a valid cell (and another writing than the parent); after
`_DRAWS` draws a cell of the space's `sample`, or the parent, stands in. Cells are not
pruned first, and one of fewer than seven vertices is written on seven.
"""

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.sampling import first_valid, to_integers
from nasjax.core.types import Array, Key
from nasjax.encoders import adjacency
from nasjax.spaces import nasbench101
from nasjax.spaces.nasbench101_notation import (
    MAX_EDGES,
    MAX_VERTICES,
    NUM_BITS,
    NUM_OPS,
    OP_SPOTS,
)

NUM_BINS = 10
"""Bins of equal size that a continuous weight falls into (thesis, section 4.3)."""
MAX_DRAWN = 8
"""Edges that a continuous encoding keeps at most when it is drawn, as published: cells
of nine edges are met by mutation only."""
_DRAWS = 32
_PAIRS = np.array([(i, j) for j in range(NUM_BITS) for i in range(j)])
# The two edges that each move flips, of which one is there: int32 [210, 21].
_MOVES = np.zeros((len(_PAIRS), NUM_BITS), np.int32)
_MOVES[np.arange(len(_PAIRS))[:, None], _PAIRS] = 1


# --- sample random ------------------------------------------------------------------


def sample_categorical(key: Key) -> Array:
    """int32 `[27]`: nine uniform edges, equal ones count once; uniform operations."""
    key_draws, key_own = jax.random.split(key)
    uniform = jax.random.uniform(key_draws, (_DRAWS, MAX_EDGES + OP_SPOTS))
    edges = to_integers(uniform[:, :MAX_EDGES], NUM_BITS)
    slots = edges[..., None] == np.arange(NUM_BITS)[None, None]
    bits = jnp.any(slots, axis=1).astype(jnp.int32)
    return _first(bits, uniform[:, MAX_EDGES:], key_own)


def sample_continuous(key: Key) -> Array:
    """int32 `[27]`: uniform weights in ten bins, the n highest edges; n uniform in 1 to
    8; uniform operations. Edges of one bin are ties, which are drawn at random.
    """
    key_draws, key_own = jax.random.split(key)
    uniform = jax.random.uniform(key_draws, (_DRAWS, 2 * NUM_BITS + 1 + OP_SPOTS))
    weights, ties, rest = jnp.split(uniform, [NUM_BITS, 2 * NUM_BITS], axis=1)
    number = 1 + to_integers(rest[:, 0], MAX_DRAWN)
    ranks = _descending_ranks(jnp.floor(NUM_BINS * weights) + ties)
    bits = (ranks < number[:, None]).astype(jnp.int32)
    return _first(bits, rest[:, 1:], key_own)


def _descending_ranks(values: Array) -> Array:
    """int32 `[K, D]`: how many entries of a row are above each entry."""
    return jnp.argsort(jnp.argsort(-values, axis=1), axis=1)


def _first(bits: Array, uniform: Array, key_own: Key) -> Array:
    """The first valid cell of edges `[K, 21]` and uniform numbers `[K, 5]`."""
    cells = _cells(bits, to_integers(uniform, NUM_OPS))
    valid = jax.vmap(nasbench101.is_valid)(cells)
    return first_valid(cells, valid, nasbench101.sample(key_own))


# --- perturb ------------------------------------------------------------------------


def perturb_categorical(key: Key, arch: Array) -> Array:
    """int32 `[27]`: one slot holds a uniformly drawn edge, each operation changes with
    probability 1/5.

    A slot that held an edge loses it; an empty one had none. Ours: the released code
    has no such mutation.
    """
    bits, ops, uniform = _start(key, arch, 2)
    slot, edge = (
        to_integers(uniform[:, 0], NUM_BITS),
        to_integers(uniform[:, 1], NUM_BITS),
    )
    place = jnp.cumsum(bits) - 1
    lost = (bits == 1)[None] & (place[None] == slot[:, None])
    gained = edge[:, None] == np.arange(NUM_BITS)[None]
    changed = (bits[None] & ~lost) | gained
    return _first_other(arch, bits, ops, changed.astype(jnp.int32), uniform[:, 2:])


def perturb_continuous(key: Key, arch: Array) -> Array:
    """int32 `[27]`: one edge less, another edge, or one edge more, with probability 1/3
    each; each operation changes with probability 1/5.
    """
    bits, ops, uniform = _start(key, arch, NUM_BITS + 1)
    kind, weights = to_integers(uniform[:, 0], 3), uniform[:, 1 : 1 + NUM_BITS]
    present = (bits == 1)[None]
    lost = _is_highest(jnp.where(present, weights, -1)) & (kind < 2)[:, None]
    gained = _is_highest(jnp.where(present, -1, weights)) & (kind > 0)[:, None]
    changed = (present & ~lost) | gained
    rest = uniform[:, 1 + NUM_BITS :]
    return _first_other(arch, bits, ops, changed.astype(jnp.int32), rest)


def _start(key: Key, arch: Array, num_extra: int) -> tuple[Array, Array, Array]:
    """Edges `[21]` and operations `[5]` on seven vertices (new ones have random
    operations), and uniform numbers `[K, num_extra + 10]`.
    """
    size = num_extra + 2 * OP_SPOTS
    uniform = jax.random.uniform(key, (_DRAWS + 1, size))
    wide = nasbench101.widen(arch, to_integers(uniform[-1, :OP_SPOTS], NUM_OPS))
    return wide[:NUM_BITS], wide[NUM_BITS:-1], uniform[:-1]


def _first_other(
    arch: Array, bits: Array, ops: Array, changed: Array, uniform: Array
) -> Array:
    """The first valid child with other edges or operations, or the parent.

    Args:
      arch: the parent `[27]`.
      bits: its edges `[21]` on seven vertices.
      ops: its operations `[5]` there.
      changed: edges of the children `[K, 21]`.
      uniform: `[K, 10]`, decide on the operations of the children.
    """
    where, step = jnp.split(uniform, [OP_SPOTS], axis=1)
    other = (ops[None] + 1 + to_integers(step, NUM_OPS - 1)) % NUM_OPS
    new_ops = jnp.where(where < 1 / OP_SPOTS, other, ops[None])
    cells = _cells(changed, new_ops)
    wide = _cells(bits[None], ops[None])
    # An encoding fills vertices that the parent has not in its own way.
    differs = jnp.any(cells != wide, axis=1)
    differs &= jnp.any(cells != adjacency.widen(arch)[None], axis=1)
    return first_valid(cells, differs & jax.vmap(nasbench101.is_valid)(cells), arch)


def _is_highest(values: Array) -> Array:
    """bool `[K, D]`: the highest entry of each row."""
    return jnp.argmax(values, axis=1)[:, None] == np.arange(values.shape[1])[None]


def _cells(bits: Array, ops: Array) -> Array:
    """Genes `[K, 27]` on seven vertices: edges `[K, 21]`, operations `[K, 5]`."""
    number = jnp.full((bits.shape[0], 1), MAX_VERTICES, jnp.int32)
    return jnp.concatenate([bits, ops, number], axis=1)


# --- neighbours ---------------------------------------------------------------------


def neighbors(arch: Array) -> tuple[Array, Array]:
    """Cells with one edge less, more or elsewhere, then with another operation.

    Returns:
      archs int32 `[241, 27]` and mask bool `[241]`: 21 flips of one edge, 210 of two of
      which one was there, and the 10 other operations of the 5 spots; those that are
      valid and another cell than `arch`.
    """
    single, is_single = nasbench101.neighbors(arch)
    bits = arch[:NUM_BITS]
    moved = jnp.tile(arch, (len(_MOVES), 1)).at[:, :NUM_BITS].set(bits[None] ^ _MOVES)
    prints = jax.vmap(nasbench101.fingerprint)(moved)
    is_moved = jnp.any(prints != nasbench101.fingerprint(arch)[None], axis=1)
    is_moved &= jnp.sum(_MOVES * bits[None], axis=1) == 1
    is_moved &= jax.vmap(nasbench101.is_valid)(moved)
    return jnp.concatenate([single, moved]), jnp.concatenate([is_single, is_moved])
