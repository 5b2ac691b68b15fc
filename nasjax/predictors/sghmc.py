"""Stochastic gradient Hamiltonian Monte Carlo with adaptive burn-in.

Samples a density proportional to exp(-U) from noisy gradients of U (Chen et al.,
2014). During burn-in the mass of every coordinate follows a running average of its
squared gradient whose window adapts (Springenberg et al., 2016, eq. 8-10); afterwards
it is fixed, so that the chain samples from one density.
"""

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core.types import Array, Key

_EPSILON = 1e-16


class SghmcState(struct.PyTreeNode):
    """One chain.

    Attributes:
      position: `[W]`.
      velocity: `[W]`.
      window: tau `[W]`, number of gradients averaged over.
      gradient: g `[W]`, average of the gradient.
      square: v `[W]`, average of the squared gradient.
    """

    position: Array
    velocity: Array
    window: Array
    gradient: Array
    square: Array


def init(position: Array) -> SghmcState:
    """A chain at rest at `position` `[W]`."""
    ones, zeros = jnp.ones_like(position), jnp.zeros_like(position)
    return SghmcState(position, zeros, ones, zeros, ones)


def adapt(state: SghmcState, gradient: Array) -> SghmcState:
    """Takes one gradient of U `[W]` into the averages (eq. 9); for burn-in only.

    The newest gradient has the weight 1 / (tau + 1), not 1 / tau: at tau = 1 the
    average would be that one gradient, and a chance zero an infinite step.
    """
    share = jnp.square(state.gradient) / (state.square + _EPSILON)
    pull = 1 / (state.window + 1)
    return state.replace(
        window=state.window * (1 - jnp.minimum(share, 1)) + 1,
        gradient=state.gradient + pull * (gradient - state.gradient),
        square=state.square + pull * (jnp.square(gradient) - state.square),
    )


def step(
    key: Key, state: SghmcState, gradient: Array, *, rate: float, friction: float
) -> SghmcState:
    """Moves the chain by one step (eq. 10 with constant friction).

        v <- (1 - friction) v - rate^2 M grad U + N(0, 2 friction rate^2 M - rate^4)
        theta <- theta + v,      M = 1 / sqrt(average of (grad U)^2)

    Args:
      key: PRNG key of the noise.
      state: of the chain.
      gradient: of U at its position `[W]`, possibly of a minibatch.
      rate: epsilon, the step size.
      friction: in (0, 1), share of the velocity lost in a step.
    """
    inverse_mass = jax.lax.rsqrt(state.square + _EPSILON)
    variance = 2 * friction * rate**2 * inverse_mass - rate**4
    noise = jax.random.normal(key, gradient.shape, gradient.dtype)
    velocity = (
        (1 - friction) * state.velocity
        - rate**2 * inverse_mass * gradient
        + jnp.sqrt(jnp.maximum(variance, 0)) * noise
    )
    return state.replace(position=state.position + velocity, velocity=velocity)
