"""Compressors of learning curves by name, and what they leave of a curve.

A compressor is a pytree with `compress(curve [T]) -> codes [k]` and
`decompress(codes [k]) -> curve [T]`.
"""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nasjax.core import registry
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import svd, vae


class Compressor(Protocol):
    """What every compressor does."""

    @property
    def rank(self) -> int:
        """k, numbers in a code."""

    def compress(self, curve: Array) -> Array:
        """Curve `[T]` to codes `[k]`."""

    def decompress(self, codes: Array) -> Array:
        """Codes `[k]` to the curve `[T]`."""


COMPRESSORS: dict[str, Callable[..., Compressor]] = {
    "svd": lambda key, curves, **options: svd.fit(curves, **options),
    "vae": vae.fit,
}
"""`(key, curves [N, T], **options) -> Compressor` by name."""


def fit(name: str, key: Key, curves: ArrayLike, **options: Any) -> Compressor:
    """Fits a compressor of the registry.

    Args:
      name: `"svd"` or `"vae"`.
      key: of the training of `"vae"`.
      curves: `[N, T]`, training curves.
      **options: of `svd.fit` or `vae.fit`.

    Raises:
      ConfigError: there is no such compressor, or an option is out of range.
      DataError: the curves are no finite matrix.
    """
    return registry.make("compressor", COMPRESSORS, name, (key, curves), options)


@jax.jit
def compress(compressor: Compressor, curves: Array) -> Array:
    """Codes `[N, k]` of curves `[N, T]`."""
    return jax.vmap(compressor.compress)(curves)


@jax.jit
def decompress(compressor: Compressor, codes: Array) -> Array:
    """Curves `[N, T]` of codes `[N, k]`."""
    return jax.vmap(compressor.decompress)(codes)


def reconstruct(compressor: Compressor, curves: ArrayLike) -> np.ndarray:
    """float64 `[N, T]`, curves `[N, T]` that were compressed and decompressed.

    The residuals that noise models are fitted to are `curves - reconstruct(...)`.
    """
    codes = compress(compressor, jnp.asarray(curves))
    return np.asarray(decompress(compressor, codes), np.float64)
