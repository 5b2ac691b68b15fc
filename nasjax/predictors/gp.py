"""Exact Gaussian process regression with a squared-exponential kernel.

    k(x, x') = signal exp(-1/2 sum_d ((x_d - x'_d) / length_d)^2),  plus noise

(Rasmussen and Williams, 2006, chapter 2). Rows outside the mask become independent
observations of 0 with variance 1, which changes neither the determinant nor any
prediction.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from nasjax.core import linalg
from nasjax.core.types import Array, Key
from nasjax.predictors import scaling
from nasjax.predictors.predictor import (
    Features,
    Prediction,
    Predictor,
    assemble,
    check_positive,
)

_LENGTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Starting length scales, times sqrt(D): the distance of standardised inputs."""
_NOISES = (1e-3, 1e-2, 1e-1, 1.0)
"""Starting noise variances, times the signal's."""


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


_BOUNDS = ((1e-2, 1e3), (1e-2, 1e3), (1e-4, 1e1))
"""Lowest and highest length, signal and noise of standardised data: less noise would
be lost in float32."""


class GaussianProcess(struct.PyTreeNode):
    """A process given its observations.

    Attributes:
      hyper: of the kernel.
      features: `[P, D]`, the observed inputs.
      mask: bool `[P]`.
      whitener: `[P, P]`, inverse of the lower Cholesky factor of the covariance of the
        observations.
      weights: `[P]`, the covariance's inverse times the targets.
      log_likelihood: `[]`, log marginal likelihood of the targets, in nats.
    """

    hyper: Hyperparameters
    features: Array
    mask: Array
    whitener: Array
    weights: Array
    log_likelihood: Array


class GpState(struct.PyTreeNode):
    """A fitted `gp` predictor.

    Attributes:
      inputs: moments of the features.
      outputs: moments of the targets.
      process: of standardised features and targets.
    """

    inputs: scaling.Scale
    outputs: scaling.Scale
    process: GaussianProcess


def kernel(hyper: Hyperparameters, a: Array, b: Array) -> Array:
    """Covariance `[M, P]` of the function at inputs `[M, D]` and `[P, D]`."""
    scaled_a = a * jnp.exp(-hyper.log_length)[None]
    scaled_b = b * jnp.exp(-hyper.log_length)[None]
    norms = jnp.sum(jnp.square(scaled_a), axis=1)[:, None]
    norms = norms + jnp.sum(jnp.square(scaled_b), axis=1)[None]
    distances = jnp.maximum(norms - 2 * scaled_a @ scaled_b.T, 0)
    return jnp.exp(hyper.log_signal - distances / 2)


def condition(
    hyper: Hyperparameters, features: Array, targets: Array, mask: Array
) -> GaussianProcess:
    """The process given observations (Rasmussen and Williams, algorithm 2.1).

    Args:
      hyper: of the kernel.
      features: `[P, D]`.
      targets: `[P]`.
      mask: bool `[P]`.
    """
    y = jnp.where(mask, targets, 0)
    factor = linalg.cholesky(_covariance(hyper, features, mask))
    whitener = linalg.invert_lower(factor)
    white = whitener @ y
    log_likelihood = -0.5 * (
        white @ white
        + 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
        + jnp.sum(mask) * jnp.log(2 * jnp.pi)
    )
    weights = white @ whitener
    return GaussianProcess(hyper, features, mask, whitener, weights, log_likelihood)


def predict(process: GaussianProcess, features: Array) -> tuple[Array, Array]:
    """Predictive mean `[M]` and variance `[M]`, that of the noise included.

    Args:
      process: given its observations.
      features: `[M, D]`.
    """
    hyper = process.hyper
    cross = kernel(hyper, process.features, features)
    cross = jnp.where(process.mask[:, None], cross, 0)
    explained = process.whitener @ cross
    spread = jnp.exp(hyper.log_signal) - jnp.sum(jnp.square(explained), axis=0)
    variance = jnp.maximum(spread, 0) + jnp.exp(hyper.log_noise)
    return process.weights @ cross, variance


def likelihood_gradient(process: GaussianProcess) -> Hyperparameters:
    """Gradient of the log marginal likelihood (Rasmussen and Williams, eq. 5.9).

    1/2 tr((w w^T - K^-1) dK) is the derivative of a sum that is linear in K, so the
    factorisation itself is never differentiated.
    """
    outer = process.weights[:, None] * process.weights[None]
    slope = (outer - process.whitener.T @ process.whitener) / 2

    def linear(hyper: Hyperparameters) -> Array:
        return jnp.sum(slope * _covariance(hyper, process.features, process.mask))

    return jax.grad(linear)(process.hyper)


def maximize(
    features: Array, targets: Array, mask: Array, *, ard: bool = False, steps: int = 100
) -> Hyperparameters:
    """Hyper-parameters of large marginal likelihood, for standardised data.

    A grid over length scale and noise ratio, the signal variance in closed form;
    from its best point Adam, the best step of which is kept.

    Args:
      features: `[P, D]`, standardised.
      targets: `[P]`, standardised.
      mask: bool `[P]`.
      ard: one length scale a dimension (automatic relevance determination).
      steps: of Adam.
    """
    start = _best_of_grid(features, targets, mask)
    if ard:
        lengths = jnp.broadcast_to(start.log_length, features.shape[1:])
        start = start._replace(log_length=lengths)
    optimizer = optax.adam(0.1)

    def step(
        carry: tuple[Hyperparameters, optax.OptState, Hyperparameters, Array], _: None
    ) -> tuple[tuple[Hyperparameters, optax.OptState, Hyperparameters, Array], None]:
        hyper, state, best, highest = carry
        process = condition(hyper, features, targets, mask)
        better = process.log_likelihood > highest
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), hyper, best)
        highest = jnp.where(better, process.log_likelihood, highest)
        descent = jax.tree.map(jnp.negative, likelihood_gradient(process))
        updates, state = optimizer.update(descent, state)
        hyper = _clip(optax.apply_updates(hyper, updates))
        return (hyper, state, best, highest), None

    lowest = jnp.full((), -jnp.inf, features.dtype)
    carry = (start, optimizer.init(start), start, lowest)
    return lax.scan(step, carry, None, length=steps)[0][2]


def gp(*, ard: bool = False, steps: int = 100) -> Predictor:
    """A Gaussian process on standardised features and targets.

    Args:
      ard: one length scale a dimension (automatic relevance determination).
      steps: of Adam on the marginal likelihood, after a grid.

    Raises:
      ConfigError: `steps` is not above 0.
    """
    check_positive("GP", steps=steps)

    def fit(key: Key, features: Features, targets: Array, mask: Array) -> GpState:
        inputs = scaling.measure(features, mask)
        outputs = scaling.measure(targets, mask)
        x, y = scaling.apply(inputs, features), scaling.apply(outputs, targets)
        hyper = maximize(x, y, mask, ard=ard, steps=steps)
        return GpState(inputs, outputs, condition(hyper, x, y, mask))

    def predict_targets(state: GpState, features: Features) -> Prediction:
        mean, variance = predict(state.process, scaling.apply(state.inputs, features))
        return scaling.undo(state.outputs, mean, jnp.sqrt(variance))

    return assemble(fit, predict_targets)


def _covariance(hyper: Hyperparameters, features: Array, mask: Array) -> Array:
    """Covariance `[P, P]` of the observations; the identity outside the mask."""
    both = mask[:, None] & mask[None]
    noise = jnp.where(mask, jnp.exp(hyper.log_noise), 1)
    return jnp.where(both, kernel(hyper, features, features), 0) + jnp.diag(noise)


def _best_of_grid(features: Array, targets: Array, mask: Array) -> Hyperparameters:
    """The best start; with signal 1 the likelihood's own scale is y^T K^-1 y / n."""
    dtype = features.dtype
    count = jnp.maximum(jnp.sum(mask), 1).astype(dtype)
    unit = features.shape[1] ** 0.5
    lengths, noises = jnp.meshgrid(
        jnp.log(unit * jnp.asarray(_LENGTHS, dtype)),
        jnp.log(jnp.asarray(_NOISES, dtype)),
    )

    def profile(log_length: Array, log_noise: Array) -> tuple[Array, Array]:
        """Log likelihood at the best scale, up to a constant, and log of the scale."""
        hyper = Hyperparameters(log_length[None], jnp.zeros((), dtype), log_noise)
        process = condition(hyper, features, targets, mask)
        energy = jnp.where(mask, targets, 0) @ process.weights
        log_scale = jnp.log(jnp.maximum(energy / count, 1e-6))
        log_det = -2 * jnp.sum(jnp.log(jnp.diagonal(process.whitener)))
        return -0.5 * (count * log_scale + log_det), log_scale

    values, scales = jax.vmap(profile)(lengths.ravel(), noises.ravel())
    best = jnp.argmax(jnp.where(jnp.isnan(values), -jnp.inf, values))
    scale = scales[best]
    log_noise = noises.ravel()[best] + scale
    return _clip(Hyperparameters(lengths.ravel()[best][None], scale, log_noise))


def _clip(hyper: Hyperparameters) -> Hyperparameters:
    pairs = zip(hyper, _BOUNDS, strict=True)
    clipped = [jnp.clip(x, math.log(low), math.log(high)) for x, (low, high) in pairs]
    return Hyperparameters(*clipped)
