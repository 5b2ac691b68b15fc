"""Exact Gaussian process regression with a squared-exponential kernel.

    k(x, x') = signal exp(-1/2 sum_d ((x_d - x'_d) / length_d)^2),  plus noise

(Rasmussen and Williams, 2006, chapter 2). Rows outside the mask become independent
observations of 0 with variance 1, which changes neither the determinant nor any
prediction.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree

from nasjax.core import linalg
from nasjax.core.types import Array, Key
from nasjax.predictors import quasi_newton, scaling
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
_SMALLEST_GAIN = 1e-3
"""Nats of the log likelihood that are worth no further evaluation."""
_SMALLEST_SIZE = 64
"""Rows below which a smaller program saves nothing."""


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


@functools.partial(linalg.one_by_one, over=0)
def predict(process: GaussianProcess, features: Array) -> tuple[Array, Array]:
    """Predictive mean `[M]` and variance `[M]`, that of the noise included.

    Args:
      process: given its observations.
      features: `[M, D]`.
    """
    hyper = process.hyper

    def predict_from(size: int) -> tuple[Array, Array]:
        cross = kernel(hyper, process.features[:size], features)
        cross = jnp.where(process.mask[:size, None], cross, 0)
        explained = process.whitener[:size, :size] @ cross
        spread = jnp.exp(hyper.log_signal) - jnp.sum(jnp.square(explained), axis=0)
        variance = jnp.maximum(spread, 0) + jnp.exp(hyper.log_noise)
        return process.weights[:size] @ cross, variance

    predicted: tuple[Array, Array] = _by_size(process.mask, predict_from)
    return predicted


def likelihood_gradient(process: GaussianProcess) -> Hyperparameters:
    """Gradient of the log marginal likelihood (Rasmussen and Williams, eq. 5.9).

    1/2 tr((w w^T - K^-1) dK),   dK / d log length_d = k ((x_d - x'_d) / length_d)^2
    """
    hyper, mask = process.hyper, process.mask
    outer = process.weights[:, None] * process.weights[None]
    slope = (outer - process.whitener.T @ process.whitener) / 2
    noise = jnp.exp(hyper.log_noise) * jnp.sum(jnp.where(mask, jnp.diag(slope), 0))
    both = mask[:, None] & mask[None]
    shares = slope * kernel(hyper, process.features, process.features)
    shares = jnp.where(both, shares, 0)
    x = process.features * jnp.exp(-hyper.log_length)[None]
    # sum_ij shares_ij (x_i - x_j)^2 / 2, since shares are symmetric.
    spread = jnp.sum(shares, axis=1) @ jnp.square(x) - jnp.sum(x * (shares @ x), axis=0)
    if hyper.log_length.shape[0] == 1:
        spread = jnp.sum(spread, keepdims=True)
    return Hyperparameters(2 * spread, jnp.sum(shares), noise)


def maximize(
    features: Array, targets: Array, mask: Array, *, ard: bool = False, steps: int = 100
) -> Hyperparameters:
    """Hyper-parameters of large marginal likelihood, for standardised data.

    A grid over length scale and noise ratio, the signal variance in closed form; from
    its best point `quasi_newton.minimize`, until a step promises less than
    `_SMALLEST_GAIN`.

    Args:
      features: `[P, D]`, standardised.
      targets: `[P]`, standardised.
      mask: bool `[P]`; the later its last row, the more it costs.
      ard: one length scale a dimension (automatic relevance determination).
      steps: evaluations of the likelihood after the grid, at most.
    """
    start = _best_of_grid(features, targets, mask)
    if ard:
        lengths = jnp.broadcast_to(start.log_length, features.shape[1:])
        start = start._replace(log_length=lengths)
    vector, unravel = ravel_pytree(start)

    def bounds(side: int) -> Array:
        pairs = zip(start, _BOUNDS, strict=True)
        limits = [jnp.full_like(x, math.log(pair[side])) for x, pair in pairs]
        return ravel_pytree(Hyperparameters(*limits))[0]

    def evaluate(vector: Array) -> tuple[Array, Array]:
        hyper = unravel(vector)

        def first(size: int) -> tuple[Array, Array]:
            rows = features[:size], targets[:size], mask[:size]
            process = condition(hyper, *rows)
            slope = ravel_pytree(likelihood_gradient(process))[0]
            return -process.log_likelihood, -slope

        found: tuple[Array, Array] = _by_size(mask, first)
        return found

    best: Hyperparameters = unravel(
        quasi_newton.minimize(
            evaluate,
            vector,
            bounds(0),
            bounds(1),
            steps=steps,
            tolerance=_SMALLEST_GAIN,
        )
    )
    return best


def gp(*, ard: bool = False, steps: int = 100) -> Predictor:
    """A Gaussian process on standardised features and targets.

    The cost of a fit follows the number of observations, not the size of the buffer:
    the program holds one fit for the whole buffer and one for each half of it.

    Args:
      ard: one length scale a dimension (automatic relevance determination).
      steps: evaluations of the marginal likelihood after a grid, at most.

    Raises:
      ConfigError: `steps` is not above 0.
    """
    check_positive("GP", steps=steps)

    @linalg.one_by_one
    def fit_observed(x: Array, y: Array, mask: Array) -> GaussianProcess:
        order = jnp.argsort(~mask, stable=True)
        x, y, mask = x[order], y[order], mask[order]
        hyper = maximize(x, y, mask, ard=ard, steps=steps)

        def condition_first(size: int) -> tuple[Array, ...]:
            found = condition(hyper, x[:size], y[:size], mask[:size])
            rest = (0, mask.shape[0] - size)
            whitener = jnp.pad(found.whitener, (rest, rest))
            return whitener, jnp.pad(found.weights, rest), found.log_likelihood

        return GaussianProcess(hyper, x, mask, *_by_size(mask, condition_first))

    def fit(key: Key, features: Features, targets: Array, mask: Array) -> GpState:
        inputs = scaling.measure(features, mask)
        outputs = scaling.measure(targets, mask)
        x, y = scaling.apply(inputs, features), scaling.apply(outputs, targets)
        return GpState(inputs, outputs, fit_observed(x, y, mask))

    def predict_targets(state: GpState, features: Features) -> Prediction:
        mean, variance = predict(state.process, scaling.apply(state.inputs, features))
        return scaling.undo(state.outputs, mean, jnp.sqrt(variance))

    return assemble(fit, predict_targets)


def _by_size(mask: Array, function: Callable[[int], Any]) -> Any:
    """`function(size)` for the smallest size that reaches the last row in the mask.

    The sizes are all rows and halves of them, down to `_SMALLEST_SIZE`.
    """
    capacity = mask.shape[0]
    sizes = [capacity]
    while sizes[-1] >= 2 * _SMALLEST_SIZE:
        sizes.append(-(-sizes[-1] // 2))
    sizes.reverse()
    if len(sizes) == 1:
        return function(capacity)
    extent = jnp.max(jnp.where(mask, jnp.arange(1, capacity + 1), 0))
    chosen = jnp.sum(extent > jnp.array(sizes[:-1])).astype(jnp.int32)
    return lax.switch(chosen, [functools.partial(function, size) for size in sizes])


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

        def first(size: int) -> tuple[Array, Array]:
            rows = features[:size], mask[:size]
            factor = linalg.cholesky(_covariance(hyper, *rows))
            y = jnp.where(rows[1], targets[:size], 0)
            white = linalg.solve_lower(factor, y)
            return white @ white, 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))

        energy, log_det = _by_size(mask, first)
        log_scale = jnp.log(jnp.maximum(energy / count, 1e-6))
        return -0.5 * (count * log_scale + log_det), log_scale

    pairs = lengths.ravel(), noises.ravel()
    values, scales = lax.map(lambda pair: profile(*pair), pairs)
    best = jnp.argmax(jnp.where(jnp.isnan(values), -jnp.inf, values))
    scale = scales[best]
    log_noise = noises.ravel()[best] + scale
    return _clip(Hyperparameters(lengths.ravel()[best][None], scale, log_noise))


def _clip(hyper: Hyperparameters) -> Hyperparameters:
    pairs = zip(hyper, _BOUNDS, strict=True)
    clipped = [jnp.clip(x, math.log(low), math.log(high)) for x, (low, high) in pairs]
    return Hyperparameters(*clipped)
