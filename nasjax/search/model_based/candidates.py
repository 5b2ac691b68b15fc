"""Candidates near the best architectures so far."""

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Key, SearchSpace
from nasjax.search import novelty


def mutate(keys: Key, space: SearchSpace, archs: Array, edits: Array) -> Array:
    """Mutants int32 `[C, G]` of architectures.

    Args:
      keys: `[E, C]`, of each mutation of each architecture.
      space: whose `mutate` is used.
      archs: int32 `[C, G]`.
      edits: int `[C]`, how often each is mutated, at most E.
    """

    def edit(archs: Array, keys_and_step: tuple[Key, Array]) -> tuple[Array, None]:
        keys, step = keys_and_step
        changed = jax.vmap(space.mutate)(keys, archs)
        return jnp.where((step < edits)[:, None], changed, archs), None

    if keys.shape[0] == 1:
        return edit(archs, (keys[0], jnp.int32(0)))[0]
    return lax.scan(edit, archs, (keys, jnp.arange(keys.shape[0])))[0]


def top_k(archs: Array, valid: Array, count: int) -> Array:
    """The `count` architectures int32 `[count, G]` of highest score.

    Where fewer are scored the best one is repeated.

    Args:
      archs: int32 `[P, G]`.
      valid: float32 `[P]`, -inf where there is no score.
      count: how many.
    """
    top, places = lax.top_k(valid, count)
    return archs[jnp.where(top > -jnp.inf, places, places[0])]


def sample_unique(
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
