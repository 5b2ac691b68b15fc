"""Embeddings that are learnt while a search runs: the network arrives as functions."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array, Key, SearchSpace
from nasjax.search import embedding_table
from nasjax.search.embedding_table import EmbeddingTable

BLOCK = 256
"""Architectures that are embedded at a time: their states stay in the cache."""


class EncoderNetwork(Protocol):
    """An encoder such as `encoders.arch2vec.supervised.network` makes.

    Batch normalisation needs moments: of the batch that is embedded, or those that an
    earlier batch had.
    """

    @property
    def num_features(self) -> int:
        """D."""

    @property
    def init(self) -> Callable[[Key], Any]:
        """`(key) -> params`."""

    @property
    def embed_batch(self) -> Callable[[Any, Array, Array], tuple[Array, Any]]:
        """`(params, archs [B, G], weights [B]) -> (vectors [B, D], moments)`."""

    @property
    def embed(self) -> Callable[[Any, Any, Array], Array]:
        """`(params, moments, archs [B, G]) -> vectors [B, D]`."""


def check(
    network: EncoderNetwork | None, candidates: Any, space: SearchSpace, *, needed: int
) -> tuple[EncoderNetwork, EmbeddingTable]:
    """The network, and the candidates as a table whose vectors are their own genes.

    Args:
      network: to be learnt.
      candidates: int `[N, G]`.
      space: whose architectures they must be.
      needed: how many there must be at least.

    Raises:
      ConfigError: one is missing, or the candidates do not fit.
    """
    if network is None or candidates is None:
        raise errors.ConfigError(
            "network=... and candidates=... are needed: an encoder such as "
            "encoders.arch2vec.supervised.network(space.name), and the architectures "
            "to choose from, int [N, G]"
        )
    archs = jnp.asarray(candidates, jnp.int32)
    table = EmbeddingTable(archs, archs)
    embedding_table.check(table, space, needed=needed)
    return network, table


def by_blocks(embed: Callable[[Array, Array], Any], archs: Array) -> Any:
    """`embed(archs [K, G], weights [K])` of many architectures, a block at a time.

    Args:
      embed: returns an array, or a tree of arrays, of leading axis K; weights are 0 on
        what fills the last block up.
      archs: int32 `[N, G]`.

    Returns:
      The same of all `[N, ...]`.
    """
    num_rows, num_genes = archs.shape
    if num_rows <= BLOCK:
        return embed(archs, jnp.ones(num_rows))
    missing = -num_rows % BLOCK
    filled = jnp.concatenate([archs, jnp.broadcast_to(archs[:1], (missing, num_genes))])
    weights = (jnp.arange(num_rows + missing) < num_rows).astype(jnp.float32)
    parts = lax.map(
        lambda block: embed(*block),
        (filled.reshape(-1, BLOCK, num_genes), weights.reshape(-1, BLOCK)),
    )
    return jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_rows], parts
    )
