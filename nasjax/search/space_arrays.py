"""Large arrays behind the functions of a space, as arguments of compiled programs.

A factory closes over `space.sample`, and what a traced function closes over becomes a
constant of its program: 108 MB for embeddings of all cells of NAS-Bench-101.
"""

import contextvars
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from nasjax.core.partials import as_partial
from nasjax.core.types import Array, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm

Build = Callable[[SearchSpace], SearchAlgorithm]
"""`(space) -> algorithm`."""


def carrying(space: SearchSpace, build: Build) -> SearchAlgorithm:
    """The algorithm of a space whose functions may hold arrays.

    Arrays of those functions of the space that are `jax.tree_util.Partial`s become
    arrays of the algorithm's `init`, `ask` and `tell`, which are then `Partial`s
    themselves. A space without such arrays is built as it is.

        embed = jax.tree_util.Partial(draw_embedded, table)
        algorithm = carrying(space._replace(sample=embed), random_search)

    Args:
      space: what is searched.
      build: makes the algorithm; it sees a space of plain functions, which may be
        called at any time.
    """
    found = {
        name: function
        for name, function in zip(space._fields, space, strict=True)
        if isinstance(function, Partial)
    }
    leaves, structure = jax.tree.flatten(found)
    places = [place for place, leaf in enumerate(leaves) if _is_array(leaf)]
    if not places:
        return build(space)
    held = [leaves[place] for place in places]
    current: contextvars.ContextVar[list[Array]] = contextvars.ContextVar("arrays")

    def looked_up(name: str) -> Callable[..., Any]:
        """The function of the space, with the arrays of the program being traced."""

        def function(*arguments: Any) -> Any:
            chosen = list(leaves)
            for place, array in zip(places, current.get(held), strict=True):
                chosen[place] = array
            return jax.tree.unflatten(structure, chosen)[name](*arguments)

        return function

    def with_arrays(function: Callable[..., Any]) -> Partial:
        inner = as_partial(function)

        @functools.wraps(inner.func)
        def call(arrays: list[Array], inner: Partial, *arguments: Any) -> Any:
            token = current.set(arrays)
            try:
                return inner(*arguments)
            finally:
                current.reset(token)

        return Partial(call, held, inner)

    plain: dict[str, Any] = {name: looked_up(name) for name in found}
    init, ask, tell = build(space._replace(**plain))
    return SearchAlgorithm(with_arrays(init), with_arrays(ask), with_arrays(tell))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)
