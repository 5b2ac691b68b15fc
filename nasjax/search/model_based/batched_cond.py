"""Branches that stay branches when trials are vectorised."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap, sequential_vmap

from nasjax.core.types import Array


@custom_vmap
def any_in_batch(flag: Array) -> Array:
    """The flag, bool `[]`; under vmap, whether it is set in any member of the batch."""
    return flag


@any_in_batch.def_vmap
def _any_in_batch(
    axis_size: int, in_batched: list[bool], flag: Array
) -> tuple[Array, bool]:
    del axis_size
    return any_in_batch(jnp.any(flag) if in_batched[0] else flag), False


def cond_any(
    needed: Array,
    compute: Callable[..., Any],
    arguments: tuple[Any, ...],
    otherwise: Any,
    *,
    one_by_one: bool = False,
) -> Any:
    """`compute(*arguments)` unless nobody needs it.

    A `lax.cond` on a flag of each trial would run both branches under vmap; this one
    is skipped while the flag is not set in any trial. Trials that do not need the
    result may get either, so they must not use it.

    Args:
      needed: bool `[]`.
      compute: the costly branch; reads what differs between trials in its arguments.
      arguments: of `compute`.
      otherwise: a result of the same structure, shapes and types.
      one_by_one: under vmap trials that need it compute one after another. That is
        faster where the work of one trial fills the cache (fits by matrix
        decompositions), compiles a smaller program, and gives the bits of a run alone.
    """
    if not one_by_one:
        return jax.lax.cond(
            any_in_batch(needed), lambda: compute(*arguments), lambda: otherwise
        )

    def branch(needed: Array, arguments: tuple[Any, ...], otherwise: Any) -> Any:
        return jax.lax.cond(needed, lambda: compute(*arguments), lambda: otherwise)

    return sequential_vmap(branch)(needed, arguments, otherwise)
