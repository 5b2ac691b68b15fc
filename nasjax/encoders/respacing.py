"""Encodings that change how a space is searched (White et al., 2020, section 4)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from nasjax.core import errors
from nasjax.core.partials import as_partial
from nasjax.core.sampling import first_valid
from nasjax.core.types import Array, Key, SearchSpace


def respace(
    space: SearchSpace,
    *,
    sample: Callable[[Key], Array] | None = None,
    perturb: Callable[[Key, Array], Array] | None = None,
    neighbors: Callable[[Array], tuple[Array, Array]] | None = None,
    name: str | None = None,
    draws: int = 8,
) -> SearchSpace:
    """The same architectures, drawn and changed in the terms of an encoding.

        near = encoders.respace(space, perturb=lambda key, arch: ...)
        search.make("regularized_evolution", near)

    What a function returns need not be valid: of `draws` draws the first valid one
    counts, and if there is none the space's own `sample`, or the parent, stands in.
    Arrays of a function that is a `jax.tree_util.Partial` stay arguments of programs
    (`search.carrying`).

    Args:
      space: whose architectures they are.
      sample: `(key) -> arch [G]`; None: that of the space.
      perturb: `(key, arch [G]) -> arch [G]`, the new `mutate`; None: that of the space.
      neighbors: `(arch [G]) -> (archs [M, G], mask [M])`; None: those of the space.
        Invalid ones are masked.
      name: of the new space; None: that of the space, so that whatever is looked up by
        it (encodings, benchmarks) is found.
      draws: of `sample` and `perturb`; 1 for functions that return valid ones only.

    Returns:
      The space; all else is as it was.

    Raises:
      ConfigError: a function does not return an architecture of the space.
    """
    valid = as_partial(space.is_valid)
    genes = jax.ShapeDtypeStruct((space.num_genes,), jnp.int32)
    key = jax.random.key(0)
    if sample is not None:
        _check(space, "sample", jax.eval_shape(sample, key))

        def sample_valid(
            drawn: Partial, own: Partial, valid: Partial, key: Key
        ) -> Array:
            key_draws, key_own = jax.random.split(key)
            archs = jax.vmap(drawn)(jax.random.split(key_draws, draws))
            archs = archs.astype(jnp.int32)
            return first_valid(archs, jax.vmap(valid)(archs), own(key_own))

        own = as_partial(space.sample)
        changed = Partial(sample_valid, as_partial(sample), own, valid)
        space = space._replace(sample=changed)
    if perturb is not None:
        _check(space, "perturb", jax.eval_shape(perturb, key, genes))

        def mutate(changed: Partial, valid: Partial, key: Key, arch: Array) -> Array:
            keys = jax.random.split(key, draws)
            archs = jax.vmap(changed, in_axes=(0, None))(keys, arch).astype(jnp.int32)
            return first_valid(archs, jax.vmap(valid)(archs), arch)

        space = space._replace(mutate=Partial(mutate, as_partial(perturb), valid))
    if neighbors is not None:
        archs, mask = jax.eval_shape(neighbors, genes)
        _check(space, "neighbors", jax.ShapeDtypeStruct(archs.shape[1:], archs.dtype))
        if mask.shape != archs.shape[:1]:
            raise errors.ConfigError(
                f"neighbors: a mask of shape {mask.shape} does not fit "
                f"{archs.shape[0]} architectures"
            )

        def valid_neighbors(
            listed: Partial, valid: Partial, arch: Array
        ) -> tuple[Array, Array]:
            archs, mask = listed(arch)
            archs = archs.astype(jnp.int32)
            return archs, mask & jax.vmap(valid)(archs)

        near = Partial(valid_neighbors, as_partial(neighbors), valid)
        space = space._replace(neighbors=near)
    return space if name is None else space._replace(name=name)


def _check(space: SearchSpace, function: str, found: jax.ShapeDtypeStruct) -> None:
    shape, dtype = found.shape, found.dtype
    if shape != (space.num_genes,) or not jnp.issubdtype(dtype, jnp.integer):
        raise errors.ConfigError(
            f"{function} of a respaced {space.name} must return integers of shape "
            f"({space.num_genes},), not {dtype} of shape {shape}"
        )
