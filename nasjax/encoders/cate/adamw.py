"""AdamW on one vector of all parameters, at a rate that rises and falls.

An optimizer of many small arrays is slow, and which entries decay is one more vector.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from nasjax.core.types import Array

# XLA's CPU loops over vectors of other lengths are 8 times slower.
_BLOCK = 1024
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


def ravel(params: Any) -> tuple[Array, Callable[[Array], Any]]:
    """The vector of a tree, filled up with zeros to whole blocks, and the way back."""
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    vector, unravel = ravel_pytree((params, jnp.zeros(-size % _BLOCK)))
    return vector, lambda trained: unravel(trained)[0]


def decayed(params: Any, *, norms: bool) -> Array:
    """1 where an entry of the vector decays: in kernels, embeddings and, if `norms`,
    the scales of norms; 0 in biases."""
    kept = ("bias",) if norms else ("bias", "scale")

    def mark(path: Any, leaf: Array) -> Array:
        return jnp.full(leaf.shape, float(path[-1].key not in kept), leaf.dtype)

    return ravel(jax.tree_util.tree_map_with_path(mark, params))[0]


def rate(number: Array, peak: float, warmup: int, total: int) -> Array:
    """Of step 0, 1, ...: up to the peak in `warmup` steps, to 0 after `total`."""
    rising = (number + 1) / warmup
    falling = (total - number) / max(total - warmup, 1)
    return peak * jnp.clip(jnp.minimum(rising, falling), 0, 1)


def step(
    number: Array,
    vector: Array,
    slope: Array,
    moments: tuple[Array, Array],
    *,
    rate: Array,
    decay: Array,
) -> tuple[Array, tuple[Array, Array]]:
    """The vector and the moments after a step (Loshchilov and Hutter, 2019).

    Args:
      number: of the step, from 1.
      vector: of the parameters.
      slope: of the loss.
      moments: first and second.
      rate: of the step.
      decay: weight decay of each entry, `[]` or like the vector.
    """
    first = _BETAS[0] * moments[0] + (1 - _BETAS[0]) * slope
    second = _BETAS[1] * moments[1] + (1 - _BETAS[1]) * slope * slope
    corrected = [
        moment / (1 - beta ** number.astype(jnp.float32))
        for beta, moment in zip(_BETAS, (first, second), strict=True)
    ]
    update = corrected[0] / (jnp.sqrt(corrected[1]) + _EPSILON)
    return vector - rate * (update + decay * vector), (first, second)
