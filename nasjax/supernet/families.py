"""Convolutions of a cell that are computed as one, with their kernels side by side.

Chains of equal dilation and length differ in the size of their kernels only. Where
zeros around a kernel cost next to nothing, in the banded formulation of `depthwise`,
they are one chain with F kernels an edge: fewer operations to trace, to compile and to
load, and larger products.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Tree
from nasjax.networks import depthwise
from nasjax.networks import operations as ops

Families = tuple[tuple[str, ...], ...]
"""The names of each family's operations; its first name stands for it."""


def of(names: tuple[str, ...], size: tuple[int, ...]) -> Families:
    """Which of these operations are one, on maps of height and width `size`."""
    families: dict[Any, tuple[str, ...]] = {}
    banded = depthwise.is_banded(*size)
    for name in names:
        conv = ops.CONVOLUTIONS.get(name)
        key = (conv.dilation, conv.stages) if conv and banded else name
        families[key] = (*families.get(key, ()), name)
    return tuple(families.values())


# Jitted, so that cells of one shape are traced once.
@functools.partial(jax.jit, static_argnums=1)
def join(tree: Tree, families: Families) -> Tree:
    """Arrays `[E, ...]` of each operation as `[E * F, ...]` of each family.

    Smaller depthwise kernels get zeros around them. Operations that are not in `tree`
    are alone in their family, or none of it is.
    """
    return {
        family[0]: tree[family[0]]
        if len(family) == 1
        else jax.tree.map(_interleave, *[tree[name] for name in family])
        for family in families
        if family[0] in tree
    }


def part(tree: Tree, families: Families) -> Tree:
    """The inverse of `join` where no zeros were added."""

    def of_member(i: int, number: int) -> Any:
        return lambda x: x if number == 1 else x.reshape(-1, number, *x.shape[1:])[:, i]

    return {
        name: jax.tree.map(of_member(i, len(family)), tree[family[0]])
        for family in families
        if family[0] in tree
        for i, name in enumerate(family)
    }


def _interleave(*parts: Array) -> Array:
    shape = max(parts, key=lambda part: part.size).shape
    stacked = jnp.stack([_centred(part, shape) for part in parts], axis=1)
    return stacked.reshape(-1, *shape[1:])


def _centred(x: Array, shape: tuple[int, ...]) -> Array:
    widths = [(large - small) // 2 for large, small in zip(shape, x.shape, strict=True)]
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, [(w, w, 0) for w in widths]) if any(widths) else x
