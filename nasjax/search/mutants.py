"""Candidates near the best architectures so far."""

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Key, SearchSpace
from nasjax.search import novelty


def mutate(key: Key, space: SearchSpace, archs: Array, edits: Array) -> Array:
    """Mutants int32 `[C, G]` of architectures `[C, G]`, of `edits` `[C]` mutations."""

    def edit(step: Array, archs: Array) -> Array:
        keys = jax.random.split(jax.random.fold_in(key, step), archs.shape[0])
        changed = jax.vmap(space.mutate)(keys, archs)
        return jnp.where((step < edits)[:, None], changed, archs)

    return lax.fori_loop(0, jnp.max(edits), edit, archs)


def best(archs: Array, valid: Array, count: int) -> Array:
    """The `count` architectures int32 `[count, G]` of highest score.

    Where fewer are scored the best one is repeated.

    Args:
      archs: int32 `[P, G]`.
      valid: float32 `[P]`, -inf where there is no score.
      count: how many.
    """
    top, places = lax.top_k(valid, count)
    return archs[jnp.where(top > -jnp.inf, places, places[0])]


def sample_distinct(
    key: Key, space: SearchSpace, count: int, *, num_drawn: int | None = None
) -> tuple[Array, Array]:
    """Different cells drawn by `space.sample`.

    Args:
      key: of the draws.
      space: whose `sample` and `fingerprint` are used; see `novelty`.
      count: how many.
      num_drawn: architectures drawn; None: twice as many. If they hold too few
        different cells, some are repeated.

    Returns:
      The architectures int32 `[count, G]` and their identities `[count, W]`.
    """
    drawn = 2 * count if num_drawn is None else num_drawn
    archs = jax.vmap(space.sample)(jax.random.split(key, drawn))
    prints = novelty.identify(space, archs)
    places = novelty.foremost(novelty.is_first(prints), count)
    return archs[places], prints[places]
