"""How many different graphs were decoded: as written, and up to isomorphism."""

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Graph
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import validity
from nasjax.spaces import darts, fingerprints, nasbench101, nasbench201

_LABELS = 64
"""More than any space has operation ids."""


def labelled_key(graph: Graph) -> Array:
    """uint32 `[2]`, equal if and only if edges and labels are (to chance 2^-64).

    A sum of hashed edges and hashed (node, label) pairs. Padding counts as a label, so
    trim a graph first where its padding means nothing.
    """
    size = graph.ops.shape[0]
    edges = jnp.arange(size * size).reshape(size, size)
    labels = size * size + jnp.arange(size) * _LABELS + graph.ops + 1
    keys = []
    for lane in fingerprints.LANES:
        there = jnp.where(graph.adjacency != 0, fingerprints.start(edges, lane), 0)
        total = jnp.sum(there, dtype=jnp.uint32)
        total += jnp.sum(fingerprints.start(labels, lane), dtype=jnp.uint32)
        keys.append(fingerprints.mix(total))
    return jnp.stack(keys)


def class_key(space: str) -> Callable[[Graph], Array]:
    """`(graph) -> uint32 [2]`, equal for valid graphs of isomorphic cells.

    The fingerprint of the cell: after trimming and pruning in NAS-Bench-101, by the
    published classes in NAS-Bench-201 (`nasbench201.fingerprint` says what they merge).
    Where the graph is that of no cell (see `validity.strict`) the key means nothing.

    Args:
      space: a key of `graph_inputs.SPECS`.

    Raises:
      ConfigError: arch2vec does not encode the space.
    """
    return _CLASS_KEYS[graph_inputs.spec(space).space]


def count_distinct(keys: Array, mask: Array) -> Array:
    """int32 `[]`: how many different keys there are where the mask is set.

    A hash table that is filled again and again: in each round one row of every slot
    wins it, counts, and takes all rows of the same key out. It is exact, since keys
    are compared, and each round takes at least one row out. On CPU it is 15 times
    faster than a sort of two-word keys.

    Args:
      keys: uint32 `[M, 2]`.
      mask: bool `[M]`.
    """
    count = keys.shape[0]
    zero: Array = jnp.int32(0)
    if count == 0:
        return zero
    bits = min((4 * count).bit_length(), 31)
    rows = jnp.arange(count)

    def fill(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        left, distinct, salt = carry
        word = keys[:, 0] + fingerprints.mix(keys[:, 1] + salt)
        slot = (fingerprints.mix(word) >> (32 - bits)).astype(jnp.int32)
        table = jnp.zeros(1 << bits, jnp.int32)
        table = table.at[jnp.where(left, slot, 1 << bits)].set(rows, mode="drop")
        winner = table[slot]
        out = left & jnp.all(keys[winner] == keys, axis=1)
        won = jnp.sum(left & (winner == rows), dtype=jnp.int32)
        return left & ~out, distinct + won, salt + 1

    start = mask, zero, jnp.uint32(0)
    end: tuple[Array, Array, Array] = lax.while_loop(
        lambda carry: jnp.any(carry[0]), fill, start
    )
    return end[1]


def ceiling(size: float, draws: float) -> float:
    """Expected share of different ones among n uniform draws out of N.

        N (1 - (1 - 1/N)^n) / n

    The uniqueness of a model that generates every cell equally often; any other model
    of the same cells has less. NaN without draws.

    Args:
      size: N, at least 1.
      draws: n.
    """
    if draws <= 0:
        return math.nan
    if size <= 1:
        return 1 / draws
    return -size * math.expm1(draws * math.log1p(-1 / size)) / draws


def _class_101(graph: Graph) -> Array:
    return nasbench101.fingerprint(nasbench101.from_graph(validity.trim(graph)))


def _class_201(graph: Graph) -> Array:
    # Labels that are no operations read some class: no index leaves the table.
    arch = jnp.maximum(nasbench201.from_graph(graph), 0)
    return nasbench201.fingerprint(arch)


def _class_darts(graph: Graph) -> Array:
    return darts.fingerprint(darts.from_compact_graph(graph))


_CLASS_KEYS: Mapping[str, Callable[[Graph], Array]] = {
    "nasbench101": _class_101,
    "nasbench201": _class_201,
    "darts_shared": _class_darts,
}
