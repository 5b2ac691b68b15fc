"""Random and changed cells in the terms of a path encoding.

The published functions draw a set of paths, look whether any cell has it, and try again
up to 5,000 times. Here what they accept is drawn at once and exactly: each of the M
sets of an index has the probability with which it would be accepted. No draw is lost,
and a changed set is never the old one.

Truncated encodings draw and change short paths only; a cell keeps its longer ones.
Released code: a cutoff that is given is forgotten, and path number `cutoff` is lost
from the cell; both are mended here.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core import linalg
from nasjax.core.types import Array, Key
from nasjax.encoders.adjacency import Encoding
from nasjax.encoders.subroutines import equal_codes, path_index
from nasjax.encoders.subroutines.path_index import PathIndex

MAX_DRAWN = 6
"""A continuous encoding keeps one to this many paths."""
_BLOCK = 512
_ROW = 64

Odds = Callable[[int], np.ndarray]
"""`(D) -> float [D + 1]`: how likely a certain set of k out of D paths is."""


# --- sample random ------------------------------------------------------------------


def independent(size: int) -> np.ndarray:
    """Odds where each of `size` paths is drawn with probability 1 / size."""
    return (size - 1.0) ** -np.arange(size + 1)


def highest(size: int) -> np.ndarray:
    """Odds where the n highest of uniform weights are kept, n uniform in 1 to 6.

    The weights fall into ten equal bins first (thesis, section 4.3). Weights of one
    bin are ties; ties are drawn at random, so that every set of n paths is as likely.
    """
    odds = np.zeros(size + 1)
    for number in range(1, min(MAX_DRAWN, size) + 1):
        odds[number] = 1 / math.comb(size, number)
    return odds


class Sizes(struct.PyTreeNode):
    """Where the sets that may be drawn are, by their number of paths.

    Attributes:
      ends: float32 `[K]`, probability of a set of at most k paths.
      firsts: int32 `[K]`, the first set of k paths.
      counts: int32 `[K]`, how many there are.
    """

    ends: Array
    firsts: Array
    counts: Array


def sizes(index: PathIndex, odds: np.ndarray, *, truncated: bool) -> Sizes:
    """How likely each number of paths is among the sets of an index.

    Args:
      index: of M sets.
      odds: of a certain set of k paths.
      truncated: only sets of short paths are drawn; of one size they come first.
    """
    number = np.asarray(index.sizes)
    allowed = np.asarray(index.is_short) if truncated else np.ones(len(number), bool)
    counts = np.bincount(number[allowed], minlength=number.max() + 1)
    weights = counts * np.resize(odds, len(counts))
    weights[len(odds) :] = 0
    return Sizes(
        jnp.asarray(np.cumsum(weights) / weights.sum(), jnp.float32),
        jnp.asarray(np.searchsorted(number, np.arange(len(counts))), jnp.int32),
        jnp.asarray(counts, jnp.int32),
    )


def sample(by_size: Sizes, index: PathIndex, key: Key) -> Array:
    """int32 `[G]`: a cell whose set of paths is drawn by its size."""
    words = jax.random.bits(key, (4,), jnp.uint32)
    unit = (words[0] >> 8).astype(jnp.float32) * 2.0**-24
    number = jnp.argmax(unit < by_size.ends)
    place = words[1] % by_size.counts[number].astype(jnp.uint32)
    chosen = by_size.firsts[number] + place.astype(jnp.int32)
    return equal_codes.draw(index.cells, chosen, words[2])


# --- perturb ------------------------------------------------------------------------


class Changes(NamedTuple):
    """What makes a cell's set of paths each of the sets of an index.

    Attributes:
      removed: int32 `[M]`, paths that the cell has and the set has not.
      added: int32 `[M]`, the other way round.
      allowed: bool `[M]`, whether they differ, and in paths only that may change.
      present: int32 `[]`, paths of the cell that may change.
    """

    removed: Array
    added: Array
    allowed: Array
    present: Array


Weigh = Callable[[Changes, int], Array]
"""`(changes, D) -> float [M]`, in proportion to the probabilities of the sets."""


def flipped(changes: Changes, size: int) -> Array:
    """Each of `size` paths is taken away or added with probability 1 / size."""
    number = changes.removed + changes.added
    fewest = jnp.min(jnp.where(changes.allowed, number, jnp.iinfo(jnp.int32).max))
    # The common factor goes: it can be too small for float32.
    log_odds = -math.log(size - 1) * (number - fewest)
    return jnp.where(changes.allowed, jnp.exp(log_odds), 0)


def moved(changes: Changes, size: int) -> Array:
    """A path is taken away, replaced by another or added, with probability 1/3 each."""
    present = changes.present.astype(jnp.float32)
    absent = size - present
    return _by_move(changes, 1 / present, 1 / (present * absent), 1 / absent)


def slot_redrawn(changes: Changes, size: int, *, slots: int) -> Array:
    """One slot of a categorical encoding takes a path that is drawn anew.

    A slot that held a path replaces it, or loses it where the new one is there already;
    an empty slot adds the new one. A path that is there twice counts once. Ours: the
    released code has no such mutation.
    """
    del size
    present = changes.present.astype(jnp.float32)
    return _by_move(changes, present - 1, jnp.float32(1), slots - present)


def _by_move(changes: Changes, remove: Array, replace: Array, add: Array) -> Array:
    one_out, one_in = changes.removed == 1, changes.added == 1
    weights = jnp.where(one_in, jnp.where(one_out, replace, add), remove)
    is_move = (changes.removed <= 1) & (changes.added <= 1)
    return jnp.where(changes.allowed & is_move, weights, 0)


def perturb(
    encode: Encoding, weigh: Weigh, size: int, index: PathIndex, key: Key, arch: Array
) -> Array:
    """int32 `[G]`: a cell with another set of paths, or `arch` where there is none.

    Args:
      encode: one-hot, all paths.
      weigh: how the set is changed.
      size: of the paths that may change, the first ones.
      index: of M sets.
      key: decides.
      arch: int32 `[G]`.
    """
    bits = jax.random.bits(key, (4,), jnp.uint32)
    uniform = (bits[:2] >> 9).astype(jnp.float32) * 2.0**-23

    # One cell after another on CPU: the weights of all sets are some megabytes.
    @linalg.one_by_one
    def choose(words: Array, uniform: Array, index: PathIndex) -> tuple[Array, Array]:
        weights = weigh(compare(index, words, size), size)
        return _draw_weighted(uniform, weights)

    words = path_index.pack(encode(arch))
    chosen, found = choose(words, uniform, index)
    child = equal_codes.draw(index.cells, chosen, bits[2])
    return jnp.where(found, child, arch)


def compare(index: PathIndex, words: Array, size: int) -> Changes:
    """How each set of the index differs from the set `words` uint32 `[W]`.

    Args:
      index: of M sets.
      words: as `path_index.pack` makes them.
      size: of the paths that may change, the first ones.
    """
    masks = path_index.mask_words(size, words.shape[0])
    common = jnp.zeros(index.sizes.shape, jnp.int32)
    same = jnp.ones(index.sizes.shape, bool)
    for row, mask in enumerate(masks):
        both = index.words[row] & words[row]
        if mask:
            common += jax.lax.population_count(both & mask).astype(jnp.int32)
        if ~mask:
            same &= (index.words[row] ^ words[row]) & ~mask == 0
    present = _count(words & masks)
    fixed = _count(words & ~masks)
    removed = present - common
    added = index.sizes.astype(jnp.int32) - fixed - common
    return Changes(removed, added, same & (removed + added > 0), present)


def neighbors(
    encode: Encoding,
    identify: Callable[[Array], Array],
    size: int,
    index: PathIndex,
    arch: Array,
) -> tuple[Array, Array]:
    """Cells whose sets have one path less or more.

    Args:
      encode: one-hot, all paths.
      identify: fingerprint uint32 `[2]` of an architecture. It decides, in the place of
        a key, which of the cells with one set stands for them.
      size: of the paths that may change, the first ones.
      index: of M sets.
      arch: int32 `[G]`.

    Returns:
      archs int32 `[size, G]` and mask bool `[size]`.
    """

    @linalg.one_by_one
    def choose(words: Array, index: PathIndex) -> tuple[Array, Array]:
        changes = compare(index, words, size)
        near = changes.allowed & (changes.removed + changes.added == 1)
        return _places(near, size)

    rows, there = choose(path_index.pack(encode(arch)), index)
    seed = equal_codes.seed_of_arch(identify(arch))
    archs = jax.vmap(functools.partial(equal_codes.draw, index.cells), (0, None))
    return archs(rows, seed), there


def _count(words: Array) -> Array:
    return jnp.sum(jax.lax.population_count(words).astype(jnp.int32))


def _places(chosen: Array, count: int) -> tuple[Array, Array]:
    """Where the first `count` rows are that are chosen, int32 `[count]`, and which of
    these there are; row 0 stands for the others.

    Sums of blocks come first: a running sum over all rows takes longer than the rest.
    """
    blocks = jnp.pad(chosen, (0, -chosen.shape[0] % _ROW)).reshape(-1, _ROW)
    ends = jnp.cumsum(jnp.sum(blocks, axis=1, dtype=jnp.int32))
    wanted = jnp.arange(1, count + 1)
    there = wanted <= ends[-1]
    block = jnp.where(there, jnp.searchsorted(ends, wanted), 0)
    inside = jnp.cumsum(blocks[block].astype(jnp.int32), axis=1)
    place = jnp.argmax(
        inside == (wanted - ends[block] + inside[:, -1])[:, None], axis=1
    )
    rows = (block * _ROW + place).astype(jnp.int32)
    return jnp.where(there, rows, 0), there


def _draw_weighted(uniform: Array, weights: Array) -> tuple[Array, Array]:
    """A row int32 `[]` in proportion to the weights `[M]`, and whether any is above 0.

    Args:
      uniform: `[2]`, in [0, 1): the first decides on a block of rows, the second on one
        of them; one sum over all rows would lose small weights.
      weights: `[M]`, not below 0.
    """
    blocks = jnp.pad(weights, (0, -weights.shape[0] % _BLOCK)).reshape(-1, _BLOCK)
    ends = jnp.cumsum(jnp.sum(blocks, axis=1))
    block = jnp.argmax(ends > uniform[0] * ends[-1])
    inner = jnp.cumsum(blocks[block])
    place = jnp.argmax(inner > uniform[1] * inner[-1])
    return (block * _BLOCK + place).astype(jnp.int32), ends[-1] > 0
