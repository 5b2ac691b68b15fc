"""Encodings that change how a space is searched (White et al., 2020, section 4)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.sampling import first_valid
from nasjax.core.types import Array, Key, SearchSpace

_DRAWS = 8


def respace(
    space: SearchSpace,
    *,
    sample: Callable[[Key], Array] | None = None,
    perturb: Callable[[Key, Array], Array] | None = None,
    neighbors: Callable[[Array], tuple[Array, Array]] | None = None,
    name: str | None = None,
) -> SearchSpace:
    """The same architectures, drawn and changed in the terms of an encoding.

        near = encoders.respace(space, perturb=lambda key, arch: ...)
        search.make("regularized_evolution", near)

    What a function returns need not be valid: of eight draws the first valid one
    counts, and if there is none the space's own `sample`, or the parent, stands in.

    Args:
      space: whose architectures they are.
      sample: `(key) -> arch [G]`; None: that of the space.
      perturb: `(key, arch [G]) -> arch [G]`, the new `mutate`; None: that of the space.
      neighbors: `(arch [G]) -> (archs [M, G], mask [M])`; None: those of the space.
        Invalid ones are masked.
      name: of the new space; None: that of the space, so that whatever is looked up by
        it (encodings, benchmarks) is found.

    Returns:
      The space; all else is as it was.

    Raises:
      ConfigError: a function does not return an architecture of the space.
    """
    if sample is not None:
        drawn, own_sample = sample, space.sample
        _check(space, "sample", jax.eval_shape(drawn, jax.random.key(0)))

        def sample_valid(key: Key) -> Array:
            key_draws, key_own = jax.random.split(key)
            archs = jax.vmap(drawn)(jax.random.split(key_draws, _DRAWS))
            archs = archs.astype(jnp.int32)
            return first_valid(
                archs, jax.vmap(space.is_valid)(archs), own_sample(key_own)
            )

        space = space._replace(sample=sample_valid)
    if perturb is not None:
        changed = perturb
        genes = jax.ShapeDtypeStruct((space.num_genes,), jnp.int32)
        _check(space, "perturb", jax.eval_shape(changed, jax.random.key(0), genes))

        def mutate(key: Key, arch: Array) -> Array:
            keys = jax.random.split(key, _DRAWS)
            archs = jax.vmap(changed, in_axes=(0, None))(keys, arch).astype(jnp.int32)
            return first_valid(archs, jax.vmap(space.is_valid)(archs), arch)

        space = space._replace(mutate=mutate)
    if neighbors is not None:
        listed = neighbors
        genes = jax.ShapeDtypeStruct((space.num_genes,), jnp.int32)
        archs, mask = jax.eval_shape(listed, genes)
        _check(space, "neighbors", jax.ShapeDtypeStruct(archs.shape[1:], archs.dtype))
        if mask.shape != archs.shape[:1]:
            raise errors.ConfigError(
                f"neighbors: a mask of shape {mask.shape} does not fit "
                f"{archs.shape[0]} architectures"
            )

        def valid_neighbors(arch: Array) -> tuple[Array, Array]:
            archs, mask = listed(arch)
            archs = archs.astype(jnp.int32)
            return archs, mask & jax.vmap(space.is_valid)(archs)

        space = space._replace(neighbors=valid_neighbors)
    return space if name is None else space._replace(name=name)


def _check(space: SearchSpace, function: str, found: jax.ShapeDtypeStruct) -> None:
    shape, dtype = found.shape, found.dtype
    if shape != (space.num_genes,) or not jnp.issubdtype(dtype, jnp.integer):
        raise errors.ConfigError(
            f"{function} of a respaced {space.name} must return integers of shape "
            f"({space.num_genes},), not {dtype} of shape {shape}"
        )
