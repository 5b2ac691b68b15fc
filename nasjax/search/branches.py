"""Branches that stay branches when trials are vectorised."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from nasjax.core.types import Array


@custom_vmap
def anywhere(flag: Array) -> Array:
    """The flag, bool `[]`; under vmap, whether it is set in any member of the batch."""
    return flag


@anywhere.def_vmap
def _anywhere_in_batch(
    axis_size: int, in_batched: list[bool], flag: Array
) -> tuple[Array, bool]:
    del axis_size
    return anywhere(jnp.any(flag) if in_batched[0] else flag), False


def where_needed(needed: Array, compute: Callable[[], Any], otherwise: Any) -> Any:
    """`compute()` unless nobody needs it.

    A `lax.cond` on a flag of each trial would run both branches under vmap; this one
    is skipped while the flag is not set in any trial. Trials that do not need the
    result may get either, so they must not use it.

    Args:
      needed: bool `[]`.
      compute: `() -> result`, the costly branch.
      otherwise: a result of the same structure, shapes and types.
    """
    return jax.lax.cond(anywhere(needed), compute, lambda: otherwise)
