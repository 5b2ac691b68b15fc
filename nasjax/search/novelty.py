"""Which architectures are one cell, and which of them a search has asked for.

A cell can be written in many ways: with vertices that lead nowhere, or in another
order. A benchmark has one row for all of them, so a search that compared genes would
train the same network again under another name. What is new is therefore decided by
`space.fingerprint`, which is equal for isomorphic architectures. On NAS-Bench-201 it is
the official unique string. A space without a fingerprint compares genes.

Where everything that a search can reach was asked for, it does not stop: it goes on
with random architectures, unseen ones as long as it draws any, then seen ones, which
are trained again. A search over a table leaves slots unused once every cell was
trained.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from nasjax.core import batching
from nasjax.core.types import Array, SearchSpace

MEMORY = 2048
"""Trainings that a search remembers at least."""
_CHUNK = 4096
"""Rows of a table that are identified in one call."""


def identity(space: SearchSpace) -> Callable[[Array], Array]:
    """`arch int32 [G] -> [W]`, equal for architectures that are one cell.

    The fingerprint uint32 `[2]`, or the genes where the space has none (None).
    """
    fingerprint = getattr(space, "fingerprint", None)
    return _genes if fingerprint is None else fingerprint


def _genes(arch: Array) -> Array:
    return arch


def identify(space: SearchSpace, archs: Array) -> Array:
    """Identities `[C, W]` of architectures `[C, G]`."""
    return jax.vmap(identity(space))(archs)


class Memory(struct.PyTreeNode):
    """The last M trainings that were asked for; number t is at place t mod M.

    Attributes:
      prints: identities `[M, W]`.
      used: bool `[M]`, False where nothing was asked for.
    """

    prints: Array
    used: Array

    @classmethod
    def empty(cls, space: SearchSpace, *, at_least: int = 1) -> "Memory":
        """No training; M is `MEMORY`, or `at_least` where that is more."""
        size = max(MEMORY, at_least)
        genes = jax.ShapeDtypeStruct((space.num_genes,), jnp.int32)
        one = jax.eval_shape(identity(space), genes)
        return cls(jnp.zeros((size, *one.shape), one.dtype), jnp.zeros(size, bool))

    def add(self, number: Array, prints: Array, used: Array | bool = True) -> "Memory":
        """With the trainings `number` int32 `[Q]`, at most M.

        Args:
          number: of the trainings.
          prints: their identities `[Q, W]`.
          used: bool `[Q]`, False where a slot was not used.
        """
        places = number % self.used.shape[0]
        return self.replace(
            prints=self.prints.at[places].set(prints),
            used=self.used.at[places].set(used),
        )

    def knows(self, prints: Array) -> Array:
        """bool `[C]`, which of the identities `[C, W]` were asked for."""
        return jnp.any(equal(prints, self.prints) & self.used[None], axis=1)


def is_first(prints: Array) -> Array:
    """bool `[C]`, which of the identities `[C, W]` are not earlier in the list."""
    number = jnp.arange(prints.shape[0])
    earlier = number[None] < number[:, None]
    return ~jnp.any(equal(prints, prints) & earlier, axis=1)


def foremost(preferred: Array, count: int) -> Array:
    """Places int32 `[count]`: the preferred ones in their order, then the others.

    Args:
      preferred: bool `[C]`.
      count: how many, at most C.
    """
    number = jnp.arange(preferred.shape[0])
    rank = jnp.where(preferred, -number, -number - preferred.shape[0])
    return lax.top_k(rank, count)[1].astype(jnp.int32)


def equal(left: Array, right: Array) -> Array:
    """bool `[C, D]`: which of the identities `[C, W]` and `[D, W]` are the same."""
    # Column by column: an axis of two would be the innermost loop.
    same = [left[:, None, k] == right[None, :, k] for k in range(left.shape[1])]
    return functools.reduce(jnp.logical_and, same)


def groups(space: SearchSpace, archs: Array) -> Array | None:
    """int32 `[N]`, the same number for rows `[N, G]` that are one cell.

    None where all rows are different cells. Runs on the host, outside of jit.
    """
    rows = np.asarray(archs, np.int32)
    if identity(space) is _genes:
        prints = rows
    else:
        prints = batching.map_batched(
            functools.partial(_identify, identity(space)),
            rows,
            min(_CHUNK, 1 << max(len(rows) - 1, 0).bit_length()),
        )
    distinct, number = np.unique(prints, axis=0, return_inverse=True)
    if len(distinct) == len(rows):
        return None
    return jnp.asarray(number.reshape(-1), jnp.int32)


@functools.partial(jax.jit, static_argnums=0)
def _identify(identify_one: Callable[[Array], Array], archs: Array) -> Array:
    return jax.vmap(identify_one)(archs)
