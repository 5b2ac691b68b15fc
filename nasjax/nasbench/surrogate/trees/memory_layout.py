"""In what order a forest is walked: which queries, and which trees, at a time.

Masks of U trees lie in memory as `[S, W, Z]`: S slabs of Z trees, W bytes each.
Compiled for a CPU, each of three stages is stored before the next: the AND of the rows,
which bit is left, the sum of leaf values. Fused into one they are forty times slower,
because a loop that looks up leaves is not vectorised. XLA fuses whatever it can; a
conditional that it cannot decide keeps the stages apart. Elsewhere they are traced
plainly, without slabs, for XLA to fuse (not measured on an accelerator).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import formulation
from nasjax.core.types import Array

WHOLE = -1
"""In place of the number of a slab: all of them."""
_FEW = 16
"""Up to so many queries on a CPU are answered with all slabs at once."""
_ALIGNMENT = 64
_TOGETHER = 256
"""Queries that share one slab while it is in the cache of a CPU."""
_CHUNK = {True: 16 * _TOGETHER, False: 1024}
"""Queries whose intermediate results are in memory at a time: on a CPU, elsewhere."""
Masks = Callable[[Any, Array, Array], Array]
_EXPONENT_BITS, _EXPONENT_BIAS = 23, 127


class Layout(NamedTuple):
    """Where U trees are in S slabs of Z; the last slab is padded with empty trees."""

    num_blocks: int
    num_slabs: int
    size: int
    num_bytes: int

    @classmethod
    def of(cls, num_blocks: int, num_bytes: int, most: int) -> "Layout":
        """Slabs of at most `most` trees, of equal size, in whole vector registers."""
        num_slabs = max(1, -(-num_blocks // most))
        size = max(1, -(-num_blocks // num_slabs))
        size = min(most, -(-size // _ALIGNMENT) * _ALIGNMENT)
        return cls(num_blocks, num_slabs, size, num_bytes)

    def masks(self, table: np.ndarray) -> np.ndarray:
        """Unsigned `[R, U]` as uint8 `[R, S, W, Z]`."""
        size = table.dtype.itemsize
        little = np.ascontiguousarray(table.astype(f"<u{size}", copy=False))
        split = little.view(np.uint8).reshape(*table.shape, size)
        split = split[..., : self.num_bytes]
        padded = self._padded(split, axis=1)
        shape = (len(table), self.num_slabs, self.size, self.num_bytes)
        return np.ascontiguousarray(np.swapaxes(padded.reshape(shape), 2, 3))

    def numbers(self, table: np.ndarray) -> np.ndarray:
        """`[R, U]` as `[R, S, Z]`."""
        padded = self._padded(table, axis=1)
        return padded.reshape(len(table), self.num_slabs, self.size)

    def values(self, table: np.ndarray) -> np.ndarray:
        """`[U, V]` as `[S, Z V]`."""
        return self._padded(table, axis=0).reshape(self.num_slabs, -1)

    def _padded(self, table: np.ndarray, axis: int) -> np.ndarray:
        widths = [(0, 0)] * table.ndim
        widths[axis] = (0, self.num_slabs * self.size - self.num_blocks)
        return np.pad(table, widths)


def take(table: Array, row: Array, slab: Any) -> Array:
    """Rows of a table `[R, S, ...]` for queries `[B]`: `[B, N]`.

    One slab of each, flat, or all slabs of `WHOLE`. XLA's gather of one whole row of a
    matrix is a vectorised loop, that of a window in several dimensions is not; a row
    that all queries share, and that of a single query, are slices.
    """
    num_rows, num_slabs = table.shape[:2]
    if isinstance(slab, int) and slab == WHOLE:
        matrix = table.reshape(num_rows, -1)
    else:
        matrix = table.reshape(num_rows * num_slabs, -1)
        row = row * num_slabs + slab
    if row.shape == (1,):
        return lax.dynamic_slice_in_dim(matrix, row[0], 1)
    return matrix.at[row].get(mode="promise_in_bounds")


def in_chunks(function: Callable[[Array], Array], xs: Array) -> Array:
    """`function(xs)` of `[B, D]`, chunk by chunk, so that memory stays bounded."""
    most = _CHUNK[_on_cpu()]
    batch = xs.shape[0]
    if batch <= most:
        return function(xs)
    num_chunks = -(-batch // most)
    size = -(-batch // num_chunks)
    padded = jnp.pad(xs, ((0, num_chunks * size - batch), (0, 0)))
    found = lax.map(function, padded.reshape(num_chunks, size, xs.shape[1]))
    outputs: Array = found.reshape(num_chunks * size, -1)[:batch]
    return outputs


def total(
    masks: Masks,
    picked: Array,
    codes: Array,
    values: Array,
    num_bytes: int,
) -> Array:
    """Sum of leaf values over all trees, for every query.

    Args:
      masks: `(slab, picked [B, G], codes [B, F]) -> uint8 [B, W Z]` of one slab,
        `[B, S W Z]` of `WHOLE`.
      picked: int32 `[B, G]`.
      codes: int32 `[B, F]`.
      values: float `[S, Z (1 + 8W)]`.
      num_bytes: W.

    Returns:
      float `[B]`. Sums run over a slab first, then over slabs, which keeps their
      rounding errors small.
    """
    batch = picked.shape[0]
    if batch <= _FEW or not _on_cpu():
        return jnp.sum(
            _slab_sums(masks, WHOLE, picked, codes, values, num_bytes), axis=1
        )
    num_parts = -(-batch // _TOGETHER)
    size = -(-batch // num_parts)

    def parts(array: Array) -> Array:
        padded = jnp.pad(array, ((0, num_parts * size - batch), (0, 0)))
        return padded.reshape(num_parts, size, array.shape[1])

    queries = parts(picked), parts(codes)

    def one_slab(sums: Array, slab: Array) -> tuple[Array, None]:
        own = lax.dynamic_slice_in_dim(values, slab, 1)

        def one_part(part: tuple[Array, Array]) -> Array:
            return _slab_sums(masks, slab, *part, own, num_bytes)[:, 0]

        return sums + lax.map(one_part, queries), None

    start = jnp.zeros((num_parts, size), values.dtype)
    sums, _ = lax.scan(one_slab, start, jnp.arange(values.shape[0]))
    return sums.reshape(-1)[:batch]


def _slab_sums(
    masks: Masks,
    slab: Any,
    picked: Array,
    codes: Array,
    values: Array,
    num_bytes: int,
) -> Array:
    """`[B, S']`, sums over the trees of each of S' slabs, all or one."""
    num_slabs = values.shape[0]
    # True, but only known when the query is; the forest may be a constant.
    witness = jnp.sum(picked[:1]) + jnp.sum(codes[:1]) >= 0

    def left(picked: Array, codes: Array) -> Array:
        return masks(slab, picked, codes)

    found = _stored(left, witness, picked, codes)
    found = found.reshape(found.shape[0], num_slabs, num_bytes, -1)
    number = _stored(_bit_numbers, witness, found)
    size, slots = number.shape[-1], 1 + 8 * num_bytes
    first = jnp.arange(num_slabs)[:, None] * values.shape[1]
    first = first + jnp.arange(size)[None] * slots
    at = first[None] + number.astype(jnp.int32)
    picked_values = values.reshape(-1).at[at].get(mode="promise_in_bounds")
    return jnp.sum(picked_values, axis=-1)


def _bit_numbers(masks: Array) -> Array:
    """uint8 `[..., Z]` of masks `[..., W, Z]`: 1 + which bit is set, 0 for none.

    A mask with one bit is a power of two, whose float32 is exact and has its exponent
    in bits 23 to 30.
    """
    number = masks[..., 0, :].astype(jnp.float32)
    for w in range(1, masks.shape[-2]):
        number += masks[..., w, :].astype(jnp.float32) * np.float32(256.0**w)
    exponent = lax.bitcast_convert_type(number, jnp.int32) >> _EXPONENT_BITS
    return jnp.maximum(exponent - (_EXPONENT_BIAS - 1), 0).astype(jnp.uint8)


def _stored(function: Callable[..., Array], witness: Array, *operands: Array) -> Array:
    """`function(*operands)`, evaluated once and stored; `witness` is true."""
    if not _on_cpu():
        return function(*operands)
    shape = jax.eval_shape(function, *operands)

    def never(*_: Array) -> Array:
        return jnp.zeros(shape.shape, shape.dtype)

    stored: Array = lax.cond(witness, function, never, *operands)
    return stored


def _on_cpu() -> bool:
    return formulation.current() == formulation.CPU
