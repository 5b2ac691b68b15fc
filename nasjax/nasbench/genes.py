"""Whole numbers that a query is asked by: genes of an architecture and epochs.

On values that can be seen, a number that is not whole is refused; none is rounded.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array


def is_traced(value: Any) -> bool:
    """Whether a value is only known when a compiled program runs."""
    return isinstance(value, jax.core.Tracer)


def check(arch: Any, title: str) -> Array:
    """An architecture `[G]` as integers.

    Args:
      arch: genes; floats only if they can be seen and are whole.
      title: what is asked, for the message.

    Raises:
      UnknownArchitecture: a gene is not a whole number.
    """
    array = jnp.asarray(arch)
    if jnp.issubdtype(array.dtype, jnp.integer):
        return array
    seen = None if is_traced(array) else np.asarray(array, np.float64)
    if seen is None or not (seen == np.round(seen)).all():
        what = f"values of type {array.dtype}" if seen is None else "fractions"
        raise errors.UnknownArchitecture(
            f"{title}: genes are whole numbers, not {what}; pass an int32 array"
        )
    return array.astype(jnp.int32)


def whole(value: Any, what: str, title: str) -> int:
    """A value that can be seen, as an integer.

    Args:
      value: a number or 0-d array.
      what: `"epoch"`, for the message.
      title: what is asked.

    Raises:
      DataError: it is not a whole number.
    """
    number = np.asarray(value)
    if number.shape or number.dtype.kind not in "iuf" or number != np.floor(number):
        raise errors.DataError(
            f"{title}: the {what} is one whole number"
            + (
                f", not {float(number)}"
                if number.dtype.kind == "f" and not number.shape
                else ""
            )
        )
    return int(number)


def ranges(epochs: tuple[int, ...]) -> str:
    """`only 200 is`, `there are 4, 12` or `there are 1 to 200`."""
    if len(epochs) == 1:
        return f"only {epochs[0]} is"
    if epochs == tuple(range(epochs[0], epochs[-1] + 1)) and len(epochs) > 2:
        return f"there are {epochs[0]} to {epochs[-1]}"
    shown = ", ".join(map(str, epochs[:12]))
    if len(epochs) > 12:
        shown += f", ..., {epochs[-1]}"
    return f"there are {shown}"
