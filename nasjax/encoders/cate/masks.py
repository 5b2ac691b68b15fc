"""Dependency masks: which operations an operation attends (thesis, section 4.2).

The thesis writes M_ij = 0 where there is a path from i to j, so that i attends what
depends on it. Read literally, the output node, whose state is the encoding, attends
nothing, and every architecture gets the same vector. In `rules="thesis"` an operation
therefore attends itself and what it depends on; `rules="released"` is the published
way, where a row without a key attends everything.

A set of nodes is the bits of a uint32: rows `[N, B]` of B graphs hold the successors of
each node.
"""

import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array
from nasjax.encoders.cate.settings import Settings


def successors(adjacency: Array) -> Array:
    """Rows uint32 `[N, B]` of adjacency matrices `[B, N, N]`, N at most 32."""
    places = np.arange(adjacency.shape[-1], dtype=np.uint32)
    bits = adjacency.astype(jnp.uint32) << places[None, None]
    return jnp.sum(bits, axis=2, dtype=jnp.uint32).T


def closure(rows: Array) -> Array:
    """Descendants `[N, B]`: the transitive closure of algorithm 2, without a diagonal.

    R <- R | R R doubles the length of the paths that R knows.
    """
    count = rows.shape[0]
    for _ in range(max(count - 2, 0).bit_length()):
        reached = rows
        for k in range(count):
            onward = (rows >> k & 1) * rows[k][None]
            reached = reached | onward
        rows = reached
    return rows


def relations(settings: Settings, adjacency: Array) -> tuple[Array, ...]:
    """What rows attend in each direction, bool `[R, N, N, B]` (row, column).

    Args:
      settings: of the model; R is 2 for `mask="both"`, the direct one first, else 1.
      adjacency: integers `[B, N, N]`, row = from.

    Returns:
      One array, or two in "bi": along the edges and against them.
    """
    direct = successors(adjacency)
    kinds = {
        "direct": lambda: [direct],
        "indirect": lambda: [closure(direct)],
        "both": lambda: [direct, closure(direct)],
    }[settings.mask]()
    descendants = jnp.stack([_bits(rows) for rows in kinds])
    if settings.rules == "released":
        return (descendants,)
    own = jnp.eye(direct.shape[0], dtype=bool)[None, :, :, None]
    ancestors = jnp.swapaxes(descendants, 1, 2)
    if settings.direction == "bi":
        return ancestors | own, descendants | own
    return (ancestors | own,)


def heads(relation: Array, num_heads: int) -> Array:
    """The relation of each head: `[H, N, N, B]`, or as it is where all share one."""
    if len(relation) == 1:
        return relation
    return jnp.repeat(relation, num_heads // len(relation), axis=0)


def _bits(rows: Array) -> Array:
    """Bool `[N, N, B]` of rows `[N, B]`."""
    places = np.arange(rows.shape[0], dtype=np.uint32)
    return (rows[:, None] >> places[None, :, None] & 1).astype(bool)
