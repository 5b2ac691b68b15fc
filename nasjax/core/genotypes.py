"""What holds for gene vectors of a space of which nothing else is known."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors

_LANES = ((0x9E3779B9, 0x85EBCA6B), (0x7F4A7C15, 0xC2B2AE35))
_MAX_CHARACTERS = 100_000


def always_valid(arch: jax.Array) -> jax.Array:
    """bool `[]`: every gene vector is an architecture."""
    return jnp.ones(jnp.shape(arch)[:-1], bool)


def gene_hash(arch: jax.Array) -> jax.Array:
    """uint32 `[2]`, different for different genes (to chance 2^-64).

    Murmur3's mixing of one word, gene after gene, in two lanes.
    """
    genes = jnp.asarray(arch).astype(jnp.int32).astype(jnp.uint32)
    lanes = []
    for seed, factor in _LANES:
        total = jnp.uint32(seed)
        for k in range(genes.shape[-1]):
            word = (total ^ genes[..., k]) * jnp.uint32(factor)
            word ^= word >> 15
            word *= jnp.uint32(0x2C1B3C6D)
            total = (word ^ (word >> 12)) + jnp.uint32(k)
        lanes.append(total)
    return jnp.stack(lanes, axis=-1)


def format_genes(arch: Any) -> str:
    """`[0, 2, 1]`."""
    return json.dumps(np.asarray(arch).tolist())


def parse_genes(text: str) -> np.ndarray:
    """int32 `[G]` of what `format_genes` writes.

    Raises:
      UnknownArchitecture: the text is no list of whole numbers.
    """
    try:
        genes = json.loads(text) if len(text) <= _MAX_CHARACTERS else None
    except (ValueError, RecursionError):
        genes = None
    if not isinstance(genes, list) or not all(
        type(gene) is int and abs(gene) < 2**31 for gene in genes
    ):
        raise errors.UnknownArchitecture(
            f"cannot read {text[:60]!r} as genes; write them as '[0, 2, 1]'"
        )
    return np.array(genes, np.int32)
