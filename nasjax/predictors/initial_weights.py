"""Initial weights of a network from one draw.

Every call of a random function is compiled on its own; one for all weights makes the
program of a fit markedly smaller.
"""

import math
from collections.abc import Mapping

import jax.numpy as jnp

from nasjax.core.types import Array


def size(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many numbers arrays of these shapes hold."""
    return sum(math.prod(shape) for shape in shapes.values())


def cut(numbers: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The numbers `[size(shapes)]` as arrays of these names and shapes, in order."""
    ends = [0]
    for shape in shapes.values():
        ends.append(ends[-1] + math.prod(shape))
    parts = jnp.split(numbers, ends[1:-1])
    return {
        name: part.reshape(shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
