"""How far two encodings are apart, for processes that compare architectures.

A Gaussian process reads them by `predictors.make("gp", distance=...)`.

    one-hot       how many entries differ (edges and operations, or paths)
    categorical   how many entries differ
    counts        by how much they differ, in sum
    continuous    Euclidean (Yan, 2022, section 4.3)
"""

from collections.abc import Callable

import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array

Distance = Callable[[Array, Array], Array]
"""`(a [D], b [D]) -> []`, 0 for equal vectors."""

VARIANTS = ("thesis", "released")


def hamming(a: Array, b: Array) -> Array:
    """float `[]`: how many of the entries `[D]` differ."""
    return jnp.sum(a != b).astype(jnp.result_type(a, jnp.float32))


def manhattan(a: Array, b: Array) -> Array:
    """float `[]`: the sum of the absolute differences of the entries `[D]`."""
    return jnp.sum(jnp.abs(a - b))


def euclidean(a: Array, b: Array) -> Array:
    """float `[]`: the length of the difference of vectors `[D]`."""
    return jnp.sqrt(jnp.sum(jnp.square(a - b)))


def hamming_and_number(a: Array, b: Array) -> Array:
    """float `[]`: how many weights differ, and by how much the number to keep.

    Released code: the distance of continuous encodings of NAS-Bench-101, of
    vectors `[D]` whose last entry is the number of edges or paths.
    """
    return hamming(a[:-1], b[:-1]) + jnp.abs(a[-1] - b[-1])


def make(encoding: str, space: str, *, variant: str = "thesis") -> Distance:
    """The distance of an encoding.

    Args:
      encoding: a key of `encoders.ENCODINGS`.
      space: a key of `spaces.SPACES`.
      variant: "released" of the continuous forms of NAS-Bench-101:
        `hamming_and_number`.

    Raises:
      ConfigError: there is no such encoding or variant.
    """
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of a distance", variant, VARIANTS)
    if encoding not in _DISTANCES:
        raise errors.unknown_name("encoding with a distance", encoding, _DISTANCES)
    distance = _DISTANCES[encoding]
    if variant == "released" and distance is euclidean and space == "nasbench101":
        return hamming_and_number
    return distance


_DISTANCES: dict[str, Distance] = {
    "adjacency_one_hot": hamming,
    "adjacency_categorical": hamming,
    "adjacency_continuous": euclidean,
    "path_one_hot": hamming,
    "path_one_hot_truncated": hamming,
    "path_categorical": hamming,
    "path_categorical_truncated": hamming,
    "path_continuous": euclidean,
    "path_continuous_truncated": euclidean,
    "path_counts": manhattan,
}
