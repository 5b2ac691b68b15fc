"""Functions as pytrees, so that the arrays behind them are arguments of programs."""

from collections.abc import Callable
from typing import Any

from flax import struct
from jax.tree_util import Partial


def as_partial(function: Callable[..., Any]) -> Partial:
    """A function as a pytree; a `Partial` stays what it is.

    A method of a pytree, such as `table.evaluate`, carries its owner's arrays as
    leaves, so that they are arguments of a program and not copied into it.
    """
    if isinstance(function, Partial):
        return function
    owner = getattr(function, "__self__", None)
    if isinstance(owner, struct.PyTreeNode):
        return Partial(getattr(type(owner), function.__name__), owner)
    return Partial(function)
