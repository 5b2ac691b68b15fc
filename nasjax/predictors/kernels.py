"""Covariances of a Gaussian process, from points or from distances between them.

    points      k(x, x') = signal exp(-1/2 sum_d ((x_d - x'_d) / length_d)^2)
    distances   k(x, x') = signal exp(-d(x, x') / length)

The second is positive definite for the distances of encodings (Hamming, Manhattan,
Euclidean, and sums of them): these are conditionally negative definite (Schoenberg,
1938).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core.types import Array

Distance = Callable[[Array, Array], Array]
"""`(a [D], b [D]) -> []`, 0 for equal vectors."""


class Hyperparameters(NamedTuple):
    """Logarithms of the kernel's parameters.

    Attributes:
      log_length: `[D]`, or `[1]` where all dimensions share one.
      log_signal: `[]`, of the variance of the function.
      log_noise: `[]`, of the variance of the noise.
    """

    log_length: Array
    log_signal: Array
    log_noise: Array


class Points(struct.PyTreeNode):
    """Inputs of the squared-exponential kernel.

    Attributes:
      x: `[P, D]`.
    """

    x: Array

    @property
    def unit(self) -> float:
        """A typical distance of standardised points."""
        size: int = self.x.shape[1]
        return float(size**0.5)

    def first(self, size: int) -> "Points":
        """The first rows."""
        return Points(self.x[:size])

    def own(self, hyper: Hyperparameters) -> Array:
        """Covariance `[P, P]` of the function at the inputs."""
        return squared_exponential(hyper, self.x, self.x)

    def cross(self, hyper: Hyperparameters, features: Array) -> Array:
        """Covariance `[P, M]` with the function at features `[M, D]`."""
        return squared_exponential(hyper, self.x, features)

    def length_slope(self, hyper: Hyperparameters, shares: Array) -> Array:
        """sum_ij shares_ij d log k_ij / d log length, `[D]` or `[1]`; shares `[P, P]`
        are symmetric.
        """
        x = self.x * jnp.exp(-hyper.log_length)[None]
        # sum_ij shares_ij (x_i - x_j)^2 / 2, since shares are symmetric.
        total = jnp.sum(shares, axis=1)
        spread = total @ jnp.square(x) - jnp.sum(x * (shares @ x), axis=0)
        if hyper.log_length.shape[0] == 1:
            spread = jnp.sum(spread, keepdims=True)
        return 2 * spread


class Distances(struct.PyTreeNode):
    """Inputs of the kernel of a distance.

    Attributes:
      x: `[P, D]`.
      between: `[P, P]`, distances in units of `scale`.
      scale: `[]`, mean distance of the observed inputs.
      distance: of two inputs.
    """

    x: Array
    between: Array
    scale: Array
    distance: Distance = struct.field(pytree_node=False)

    unit = 1.0

    @classmethod
    def measure(cls, distance: Distance, x: Array, mask: Array) -> "Distances":
        """Those of inputs `[P, D]`; the ones in the mask `[P]` set the unit."""
        between = _pairwise(distance, x, x)
        both = mask[:, None] & mask[None]
        total = jnp.sum(jnp.where(both, between, 0))
        count = jnp.sum(mask) * (jnp.sum(mask) - 1)
        scale = jnp.where(total > 0, total / jnp.maximum(count, 1), 1)
        return cls(x, between / scale, scale, distance)

    def first(self, size: int) -> "Distances":
        """The first rows."""
        return self.replace(x=self.x[:size], between=self.between[:size, :size])

    def own(self, hyper: Hyperparameters) -> Array:
        """Covariance `[P, P]` of the function at the inputs."""
        return _decay(hyper, self.between)

    def cross(self, hyper: Hyperparameters, features: Array) -> Array:
        """Covariance `[P, M]` with the function at features `[M, D]`."""
        between = _pairwise(self.distance, self.x, features) / self.scale
        return _decay(hyper, between)

    def length_slope(self, hyper: Hyperparameters, shares: Array) -> Array:
        """sum_ij shares_ij d log k_ij / d log length, `[1]`."""
        return jnp.sum(shares * self.between) * jnp.exp(-hyper.log_length)


Inputs = Points | Distances


def squared_exponential(hyper: Hyperparameters, a: Array, b: Array) -> Array:
    """Covariance `[M, P]` of the function at inputs `[M, D]` and `[P, D]`."""
    scaled_a = a * jnp.exp(-hyper.log_length)[None]
    scaled_b = b * jnp.exp(-hyper.log_length)[None]
    norms = jnp.sum(jnp.square(scaled_a), axis=1)[:, None]
    norms = norms + jnp.sum(jnp.square(scaled_b), axis=1)[None]
    distances = jnp.maximum(norms - 2 * scaled_a @ scaled_b.T, 0)
    return jnp.exp(hyper.log_signal - distances / 2)


def _decay(hyper: Hyperparameters, between: Array) -> Array:
    """Covariance at distances in units of the scale."""
    return jnp.exp(hyper.log_signal - between * jnp.exp(-hyper.log_length[0]))


def _pairwise(distance: Distance, a: Array, b: Array) -> Array:
    """`[M, P]` of inputs `[M, D]` and `[P, D]`."""
    return jax.vmap(jax.vmap(distance, (None, 0)), (0, None))(a, b)
