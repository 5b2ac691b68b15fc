"""Genes as features where no encoding is given."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array, SearchSpace


def one_hot(space: SearchSpace) -> Callable[[Array], Array]:
    """The function `arch int32 [G] -> float32 [D]` that one-hot encodes every gene.

    D is the sum of the numbers of values that the genes may have.

    Raises:
      ConfigError: the space does not say which values its genes have.
    """
    ranges = np.asarray(space.gene_ranges)
    if ranges.shape != (space.num_genes, 2):
        raise errors.ConfigError(
            f"{space.name} has no gene_ranges, so its genes cannot be one-hot encoded; "
            "pass features=..., a function arch [G] -> vector [D]"
        )
    sizes = ranges[:, 1] - ranges[:, 0] + 1
    gene = np.repeat(np.arange(space.num_genes), sizes)
    value = np.concatenate([np.arange(low, high + 1) for low, high in ranges])

    def encode(arch: Array) -> Array:
        return (arch[gene] == jnp.asarray(value, jnp.int32)).astype(jnp.float32)

    return encode
