"""Tables of embedded architectures, and steps between them."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core import errors, sampling
from nasjax.core.types import Array, Key, SearchSpace
from nasjax.search import gene_features, novelty


class EmbeddingTable(struct.PyTreeNode):
    """Architectures with a vector each, such as the encodings of arch2vec.

    Attributes:
      archs: int32 `[N, G]`.
      vectors: float32 `[N, D]`; where rows share them, `[U, D]`.
      groups: int32 `[N]`, the same number for rows that are one cell; None: all are
        different. `identify` finds them.
      codes: int32 `[N]`, which of the vectors a row has; None: its own. An encoder that
        cannot tell most architectures apart has few, and a predictor scores these only.
    """

    archs: Array
    vectors: Array
    groups: Array | None = None
    codes: Array | None = None

    def of(self, rows: Array) -> Array:
        """Vectors `[..., D]` of rows int32 `[...]`."""
        found: Array = self.vectors[rows if self.codes is None else self.codes[rows]]
        return found

    def spread(self, values: Array) -> Array:
        """Values `[N]` of all rows from those of the vectors."""
        spread: Array = values if self.codes is None else values[self.codes]
        return spread


def check(table: EmbeddingTable | None, space: SearchSpace, *, needed: int) -> None:
    """Raises a `ConfigError` unless the table fits the space.

    Args:
      table: to be checked.
      space: whose architectures it must hold.
      needed: how many rows there must be at least.
    """
    if table is None:
        raise errors.ConfigError(
            "table=... is needed: an EmbeddingTable of the architectures to choose "
            "from, such as latent.random_projection(key, space, archs)"
        )
    archs, vectors = table.archs.shape, table.vectors.shape
    rows = vectors[:1] if table.codes is None else table.codes.shape
    if len(archs) != 2 or len(vectors) != 2 or archs[:1] != rows:
        raise errors.ConfigError(
            f"an EmbeddingTable has archs [N, G] and vectors [N, D], or codes [N], not "
            f"{list(archs)}, {list(vectors)} and codes {list(rows)}"
        )
    if archs[1] != space.num_genes:
        raise errors.ConfigError(
            f"the EmbeddingTable has architectures of {archs[1]} genes; those of "
            f"{space.name} have {space.num_genes}"
        )
    if archs[0] < needed:
        raise errors.ConfigError(
            f"the EmbeddingTable has {archs[0]} rows; at least {needed} are needed"
        )


def identify(table: EmbeddingTable, space: SearchSpace) -> EmbeddingTable:
    """The table with its `groups`, by `space.fingerprint`; those it has are kept."""
    if table.groups is not None:
        return table
    return table.replace(groups=novelty.groups(space, table.archs))


def visit(table: EmbeddingTable, visited: Array, row: Array) -> Array:
    """bool `[N]` with all rows marked that are the same cell as `row` `[]`."""
    if table.groups is None:
        return visited.at[row].set(True)
    return visited | (table.groups == table.groups[row])


def mark(table: EmbeddingTable, visited: Array, rows: Array) -> Array:
    """`visit` for several rows `[K]`; those beyond the end are none."""
    if table.groups is None:
        return visited.at[rows].set(True, mode="drop")
    groups = table.groups.at[rows].get(mode="fill", fill_value=-1)
    return visited | jnp.any(table.groups[:, None] == groups[None], axis=1)


def first_rows(key: Key, table: EmbeddingTable, count: int) -> Array:
    """Rows int32 `[count]` of different cells, at random.

    Rows that are one cell are drawn as one of the four times `count` rows that come
    first in a random order; if these hold too few cells, some are repeated.
    """
    num_rows = table.archs.shape[0]
    num_drawn = count if table.groups is None else min(4 * count, num_rows)
    scores = sampling.uniform(key, num_rows)
    rows = jax.lax.top_k(scores, num_drawn)[1].astype(jnp.int32)
    if table.groups is None:
        return rows
    new = novelty.is_first(table.groups[rows][:, None])
    return rows[novelty.foremost(new, count)]


def random_projection(
    key: Key, space: SearchSpace, archs: Array | np.ndarray, *, num_features: int = 16
) -> EmbeddingTable:
    """A table that needs no training: one-hot genes times a fixed Gaussian matrix.

    Distances follow the number of genes in which two architectures differ. Entries of
    the matrix are N(0, 1 / (G D)), so that vectors have a norm of about 1.

    Args:
      key: of the matrix; the same key, the same table.
      space: whose genes they are.
      archs: int32 `[N, G]`, such as `nasbench201.enumerate_cells()`.
      num_features: D.

    Raises:
      ConfigError: the space does not say which values its genes have, or the
        architectures have another number of genes.
    """
    archs = jnp.asarray(archs, jnp.int32)
    encoded = jax.vmap(gene_features.one_hot(space))(archs)
    scale = (space.num_genes * num_features) ** -0.5
    matrix = scale * jax.random.normal(key, (encoded.shape[1], num_features))
    table = EmbeddingTable(archs, encoded @ matrix)
    check(table, space, needed=1)
    return table


def lots(key: Key, count: int) -> Array:
    """uint32 `[count]`, random numbers that decide between equals.

    A hash of the row's number (the finalizer of MurmurHash3) costs less than a distance
    to the row; the generator of `jax.random` costs more.
    """
    bits = (jnp.arange(count, dtype=jnp.uint32) + jax.random.bits(key)) * jnp.uint32(
        0x9E3779B9
    )
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    mixed: Array = bits ^ (bits >> 16)
    return mixed


def best(key: Key, scores: Array, allowed: Array) -> tuple[Array, Array]:
    """The row of the highest score that is allowed, of equals one at random.

    Rows of tables are often in the order of their size: the first of equals would be a
    preference for small architectures.

    Args:
      key: decides between equals.
      scores: `[N]`; NaN counts as lowest of all.
      allowed: bool `[N]`.

    Returns:
      The row int32 `[]`, and whether there is one, bool `[]`.
    """
    lowest = jnp.finfo(scores.dtype).min
    ranked = jnp.where(jnp.isnan(scores), lowest, jnp.maximum(scores, lowest))
    ranked = jnp.where(allowed, ranked, -jnp.inf)
    equal = allowed & (ranked == jnp.max(ranked))
    drawn = jnp.where(equal, lots(key, scores.shape[0]) | 1, 0)
    return jnp.argmax(drawn).astype(jnp.int32), jnp.any(allowed)


def nearest(
    key: Key,
    table: EmbeddingTable,
    target: Array,
    excluded: Array,
    *,
    skip_first: bool = False,
) -> tuple[Array, Array]:
    """The row whose vector is nearest to the target by Euclidean distance.

    |v|^2 - 2 v t orders rows as |v - t| does; under vmap over targets it is one matrix
    product for all of them. Of rows at one distance, such as those of one encoding, one
    is drawn.

    Args:
      key: decides between equals.
      table: of N rows.
      target: float32 `[D]`.
      excluded: bool `[N]`, rows that are not wanted.
      skip_first: never the nearest row of all, excluded or not.

    Returns:
      The row int32 `[]` and whether there is one, bool `[]`.
    """
    norms = jnp.sum(jnp.square(table.vectors), axis=1)
    distances = table.spread(norms - 2 * (table.vectors @ target))
    if skip_first:
        excluded |= jnp.arange(distances.shape[0]) == jnp.argmin(distances)
    return best(key, -distances, ~excluded)
