"""Random and changed architectures in the terms of a table of learned vectors.

A perturbed architecture is one of the nearest in the table, by Euclidean distance.
Many cells can have one vector (CATE's 423,624 of NAS-Bench-101 have 10,706): they are
one entry of the table, of which a cell is drawn, and never neighbours of each other.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from nasjax.core import batching, errors, linalg
from nasjax.core.types import Array, Key, SearchSpace
from nasjax.encoders.subroutines import equal_codes
from nasjax.encoders.subroutines.equal_codes import EqualCodes
from nasjax.spaces import fingerprints

NUM_NEAREST = 10
"""Entries of the neighbourhood of a vector."""
_CHUNK = 4096
_BLOCK = 256


class LearnedTable(struct.PyTreeNode):
    """U different vectors and the architectures that have them.

    Attributes:
      vectors: float32 `[U, D]`.
      cells: the architectures of each vector.
      prints: uint32 `[N, 2]`, fingerprints of all architectures, increasing.
      entries: int32 `[N]`, the vector of each of them.
    """

    vectors: Array
    cells: EqualCodes
    prints: Array
    entries: Array


def build(
    space: SearchSpace, archs: Array | np.ndarray, vectors: Array | np.ndarray
) -> LearnedTable:
    """The table of architectures and their vectors.

    Args:
      space: whose architectures they are.
      archs: integers `[N, G]`; of isomorphic ones, the first one's vector counts when
        it is looked up.
      vectors: float `[N, D]`.

    Raises:
      DataError: the sizes do not fit, a number is not finite, or there are fewer than
        two different vectors.
    """
    rows, values = np.asarray(archs, np.int32), np.asarray(vectors, np.float32)
    if rows.ndim != 2 or values.ndim != 2 or len(rows) != len(values):
        raise errors.DataError(
            f"a table of {space.name} has archs [N, G] and vectors [N, D], not "
            f"{list(rows.shape)} and {list(values.shape)}"
        )
    if rows.shape[1] != space.num_genes:
        raise errors.DataError(
            f"archs have {rows.shape[1]} genes; those of {space.name} have "
            f"{space.num_genes}"
        )
    if not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise errors.DataError(f"vector {bad} of the table is not finite; drop its row")
    distinct, classes = np.unique(values, axis=0, return_inverse=True)
    classes = classes.reshape(-1)
    if len(distinct) < 2:
        raise errors.DataError(
            f"all {len(values)} vectors of the table are equal; nothing is near another"
        )
    identify = jax.jit(jax.vmap(space.fingerprint))
    lanes = np.asarray(batching.map_batched(identify, rows, _CHUNK))
    prints, first = np.unique(lanes, axis=0, return_index=True)
    return LearnedTable(
        jnp.asarray(distinct),
        equal_codes.group(rows, classes),
        jnp.asarray(prints, jnp.uint32),
        jnp.asarray(classes[first], jnp.int32),
    )


def entry_of(table: LearnedTable, fingerprint: Array) -> Array:
    """int32 `[]`: the vector of an architecture, -1 where the table has none."""
    row = fingerprints.find(table.prints, fingerprint)
    return jnp.where(row < 0, -1, table.entries[row])


def encode(space: SearchSpace, table: LearnedTable, arch: Array) -> Array:
    """float32 `[D]`: the vector of an architecture, NaN where the table has none."""
    entry = entry_of(table, space.fingerprint(arch))
    return jnp.where(entry < 0, jnp.nan, table.vectors[entry])


def sample(table: LearnedTable, key: Key) -> Array:
    """int32 `[G]`: an architecture of the table, each as likely."""
    number = table.cells.archs.shape[0]
    row = jax.random.randint(key, (), 0, number)
    return table.cells.archs[row].astype(jnp.int32)


@linalg.one_by_one
def nearest(table: LearnedTable, entry: Array, seed: Array) -> Array:
    """int32 `[K]`: the nearest other vectors, K = `NUM_NEAREST` or all there are.

    Args:
      table: of U vectors.
      entry: int32 `[]`, from which distances are measured.
      seed: uint32 `[]`, decides between vectors that are equally far.
    """
    target = table.vectors[entry]
    distances = jnp.sum(jnp.square(table.vectors - target[None]), axis=1)
    number = jnp.arange(distances.shape[0])
    distances = jnp.where(number == entry, jnp.inf, distances)
    count = min(NUM_NEAREST, distances.shape[0] - 1)
    farthest = -_highest(-distances, count)[0][-1]
    chance = fingerprints.mix(fingerprints.mix(number.astype(jnp.uint32)) ^ seed) >> 9
    # All that are nearer come first, then those that are as far, in a random order.
    ties = jnp.where(distances == farthest, chance.astype(jnp.float32), -1.0)
    rank = jnp.where(distances < farthest, jnp.inf, ties)
    return _highest(rank, count)[1].astype(jnp.int32)


def perturb(space: SearchSpace, table: LearnedTable, key: Key, arch: Array) -> Array:
    """int32 `[G]`: an architecture of one of the nearest vectors, each as likely.

    One that is not in the table has no vector: any architecture of the table follows.
    """
    key_near, key_other = jax.random.split(key)
    bits = jax.random.bits(key_near, (4,), jnp.uint32)
    entry = entry_of(table, space.fingerprint(arch))
    near = nearest(table, jnp.maximum(entry, 0), bits[0])
    chosen = near[bits[1] % jnp.uint32(near.shape[0])]
    child = equal_codes.draw(table.cells, chosen, bits[2])
    return jnp.where(entry < 0, sample(table, key_other), child)


def neighbors(
    space: SearchSpace, table: LearnedTable, arch: Array
) -> tuple[Array, Array]:
    """An architecture of each of the nearest vectors.

    Returns:
      archs int32 `[K, G]` and mask bool `[K]`, False for an `arch` that is not in the
      table.
    """
    fingerprint = space.fingerprint(arch)
    entry, seed = entry_of(table, fingerprint), equal_codes.seed_of_arch(fingerprint)
    near = nearest(table, jnp.maximum(entry, 0), seed)
    archs = jax.vmap(equal_codes.draw, (None, 0, None))(table.cells, near, seed)
    return archs, jnp.full(near.shape[0], entry >= 0)


def _highest(values: Array, count: int) -> tuple[Array, Array]:
    """The highest of values `[U]` and their places, as `lax.top_k`.

    They are in the blocks of the highest maxima, which are found without a sort of all.
    """
    padding = (0, -values.shape[0] % _BLOCK)
    blocks = jnp.pad(values, padding, constant_values=-jnp.inf).reshape(-1, _BLOCK)
    chosen = lax.top_k(jnp.max(blocks, axis=1), min(count, blocks.shape[0]))[1]
    found, place = lax.top_k(blocks[chosen].reshape(-1), count)
    return found, chosen[place // _BLOCK] * _BLOCK + place % _BLOCK
