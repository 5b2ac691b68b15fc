"""Which sets of paths are those of a cell, and which cells have them.

Most sets of paths belong to no cell: a path encoding can be drawn or changed only
within the sets of an index. All 423,624 cells of NAS-Bench-101 have 170,820 sets of at
most 8 of the 364 paths; their index takes 21 MB and is built in 2 CPU seconds from the
list of the cells, which takes 2 more.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core import batching, errors
from nasjax.core.types import Array
from nasjax.encoders import paths
from nasjax.encoders.adjacency import Encoding
from nasjax.encoders.subroutines import equal_codes
from nasjax.encoders.subroutines.equal_codes import EqualCodes
from nasjax.spaces import nasbench101_cells, nasbench201

SPACES = ("nasbench101", "nasbench201")
"""Spaces whose sets of paths can be indexed. A DARTS cell has up to 30 of 5,600 paths,
and hardly any two cells that are drawn share a set."""
_CHUNK = 1 << 14
_WORD = 32


class PathIndex(struct.PyTreeNode):
    """M different sets of paths, small ones first; of one size, short paths first.

    Attributes:
      words: uint32 `[W, M]`, the sets as bits; path i is bit i mod 32 of word i / 32.
      sizes: int8 `[M]`, paths of each set.
      is_short: bool `[M]`, whether a truncated encoding sees all of its paths.
      cells: architectures of each set.
    """

    words: Array
    sizes: Array
    is_short: Array
    cells: EqualCodes


def build(
    space: str,
    *,
    archs: np.ndarray | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> PathIndex:
    """The index of the cells of a space, or of a part of them.

    Args:
      space: nasbench101 or nasbench201.
      archs: integers `[N, G]`, a drawn pool; None: all cells of the space.
      cache_dir: of the enumerated NAS-Bench-101 cells; None: `~/.cache/nasjax`.

    Raises:
      ConfigError: the sets of paths of this space are not indexed.
      DataError: the cells have fewer than two sets of paths.
    """
    if space not in SPACES:
        raise errors.unknown_name("space with an index of its paths", space, SPACES)
    if archs is None:
        archs = _all_cells(space, cache_dir)
    rows = np.asarray(archs, np.int32)
    size = paths.size_of(space)
    words = _encode(paths.one_hot(space), rows)
    short = words & mask_words(size, words.shape[1])
    # The rows as texts of bytes: one sort for all words.
    texts = np.ascontiguousarray(words).view(f"S{4 * words.shape[1]}")
    _, first, classes = np.unique(texts[:, 0], return_index=True, return_inverse=True)
    if len(first) < 2:
        raise errors.DataError(
            f"{len(rows)} cells of {space} have {len(first)} set of paths; an index "
            "needs cells of at least 2"
        )
    sizes = np.bitwise_count(words[first]).sum(axis=1)
    is_short = np.all(words[first] == short[first], axis=1)
    order = np.lexsort((~is_short, sizes))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return PathIndex(
        words=jnp.asarray(words[first][order].T),
        sizes=jnp.asarray(sizes[order], jnp.int8),
        is_short=jnp.asarray(is_short[order]),
        cells=equal_codes.group(rows, rank[classes.reshape(-1)]),
    )


def pack(bits: Array) -> Array:
    """uint32 `[W]` of a one-hot path encoding `[D]`."""
    padded = jnp.pad(bits != 0, (0, -bits.shape[0] % _WORD)).reshape(-1, _WORD)
    powers = jnp.uint32(1) << jnp.arange(_WORD, dtype=jnp.uint32)
    return jnp.sum(padded * powers[None], axis=1, dtype=jnp.uint32)


def mask_words(size: int, num_words: int) -> np.ndarray:
    """uint32 `[W]` with the bits of the first `size` paths."""
    path = np.arange(num_words * _WORD).reshape(num_words, _WORD)
    powers = np.uint32(1) << np.arange(_WORD, dtype=np.uint32)
    bits = np.where(path < size, powers, np.uint32(0))
    masks: np.ndarray = bits.sum(axis=1, dtype=np.uint32)
    return masks


def _all_cells(space: str, cache_dir: str | os.PathLike[str] | None) -> np.ndarray:
    if space == "nasbench101":
        return nasbench101_cells.cells(cache_dir).archs
    return nasbench201.enumerate_cells()


def _encode(encode: Encoding, archs: np.ndarray) -> np.ndarray:
    """The sets of architectures `[N, G]` as bits, uint32 `[N, W]`."""
    packed = jax.jit(jax.vmap(lambda arch: pack(encode(arch))))
    return np.asarray(batching.map_batched(packed, archs, _CHUNK))
