"""From an architecture to its row of a table, as arrays that jit takes as arguments."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax import spaces
from nasjax.core import batching
from nasjax.core.types import Array
from nasjax.nasbench.runs import to_device
from nasjax.spaces import nasbench201

_CHUNK = 1 << 14
"""Rows of one compiled call."""


class GeneIndex(struct.PyTreeNode):
    """NAS-Bench-201: the genes are the digits of an address.

    Attributes:
      rows: int32 `[15625]`, row of each `nasbench201.code`, -1 where there is none.
    """

    rows: Array

    @classmethod
    def build(cls, archs: np.ndarray) -> "GeneIndex":
        """Index of `archs` `[N, 6]`, which must be valid and distinct."""
        places = nasbench201.NUM_OPS ** np.arange(nasbench201.NUM_GENES)[::-1]
        rows = np.full(nasbench201.SIZE, -1, np.int32)
        rows[archs.astype(np.int64) @ places] = np.arange(len(archs))
        return cls(to_device(rows))

    def find(self, arch: Array) -> Array:
        """int32 `[]`, the row of `arch` `[6]`, or -1."""
        genes = [arch[k] for k in range(nasbench201.NUM_GENES)]
        fits = [(gene >= 0) & (gene < nasbench201.NUM_OPS) for gene in genes]
        code = functools.reduce(lambda c, gene: c * nasbench201.NUM_OPS + gene, genes)
        known = functools.reduce(jnp.logical_and, fits)
        return jnp.where(known, self.rows[jnp.where(known, code, 0)], -1)


class FingerprintIndex(struct.PyTreeNode):
    """Any other space: sorted fingerprints, found through their first bits.

    They are cut into `2^bits` buckets of equal width, about one entry each, so that an
    entry is at one of `reach` places from the start of its bucket. Under vmap on a CPU
    that takes a quarter of the time of a binary search.

    Attributes:
      first: uint32 `[N + reach]`, first lane, increasing; padded at the end.
      second: uint32 `[N + reach]`, second lane.
      rows: int32 `[N + reach]`, row of each entry, -1 for padding.
      starts: int32 `[2^bits]`, first place of each bucket.
      reach: entries of the fullest bucket.
      space: registry name of the space whose fingerprints these are.
    """

    first: Array
    second: Array
    rows: Array
    starts: Array
    reach: int = struct.field(pytree_node=False)
    space: str = struct.field(pytree_node=False)

    @classmethod
    def build(cls, fingerprints: np.ndarray, space: str) -> "FingerprintIndex":
        """Index of uint32 `[N, 2]`, one for each row, all different."""
        lanes = fingerprints.astype(np.uint64)
        keys = lanes[:, 0] << np.uint64(32) | lanes[:, 1]
        order = np.argsort(keys)
        size = len(order)
        bits = max(1, size.bit_length())
        edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
        starts = np.searchsorted(keys, edges, sorter=order)
        reach = int(np.diff(starts, append=size).max())
        lanes = np.zeros((2, size + reach), np.uint32)
        lanes[:, :size] = fingerprints[order].T
        rows = np.full(size + reach, -1, np.int32)
        rows[:size] = order
        return cls(
            first=to_device(lanes[0]),
            second=to_device(lanes[1]),
            rows=to_device(rows),
            starts=to_device(starts.astype(np.int32)),
            reach=reach,
            space=space,
        )

    def find(self, arch: Array) -> Array:
        """int32 `[]`, the row of `arch` `[G]` (any isomorphic writing), or -1."""
        return self.find_fingerprint(spaces.make(self.space).fingerprint(arch))

    def find_fingerprint(self, fingerprint: Array) -> Array:
        """int32 `[]`, the row of a fingerprint uint32 `[2]`, or -1."""
        bits = self.starts.shape[0].bit_length() - 1
        start = self.starts[(fingerprint[0] >> (32 - bits)).astype(jnp.int32)]
        found = jnp.int32(-1)
        for step in range(self.reach):
            place = start + step
            same = (self.first[place] == fingerprint[0]) & (
                self.second[place] == fingerprint[1]
            )
            found = jnp.where(same, place, found)
        return jnp.where(found >= 0, self.rows[found], -1)


Index = GeneIndex | FingerprintIndex


def build(space: str, archs: np.ndarray, prints: np.ndarray | None = None) -> Index:
    """The index of a table: by genes for NAS-Bench-201, else by fingerprints.

    Args:
      space: registry name of the space.
      archs: int8 `[N, G]`.
      prints: uint32 `[N, 2]`, computed where None is given.
    """
    if space == "nasbench201":
        return GeneIndex.build(archs)
    prints = fingerprints(space, archs) if prints is None else prints
    return FingerprintIndex.build(prints, space)


def fingerprints(space: str, archs: np.ndarray) -> np.ndarray:
    """uint32 `[N, 2]`: fingerprints of `archs` `[N, G]`."""
    return apply(spaces.make(space).fingerprint, archs)


def apply(function: Callable[[Array], Array], archs: np.ndarray) -> np.ndarray:
    """`function` of each of `archs` `[N, G]`, in compiled batches of one size."""
    compiled = jax.jit(jax.vmap(function))
    found: np.ndarray = batching.map_batched(
        compiled, np.asarray(archs, np.int32), _CHUNK
    )
    return found
