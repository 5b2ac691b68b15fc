"""Exact Gaussian process regression (Rasmussen and Williams, 2006, chapter 2).

The kernel is a squared exponential of points, or one of distances (`kernels`), plus
noise. Rows outside the mask become independent observations of 0 with variance 1, which
changes neither the determinant nor any prediction.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree

from nasjax.core import errors, linalg
from nasjax.core.types import Array, Key
from nasjax.predictors import quasi_newton, scaling
from nasjax.predictors.kernels import (
    Distance,
    Distances,
    Hyperparameters,
    Inputs,
    Points,
)
from nasjax.predictors.predictor import (
    Features,
    Prediction,
    Predictor,
    assemble,
    check_positive,
)

_LENGTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Starting length scales, times the unit of the inputs."""
_NOISES = (1e-3, 1e-2, 1e-1, 1.0)
"""Starting noise variances, times the signal's."""
_SMALLEST_GAIN = 1e-3
"""Nats of the log likelihood that are worth no further evaluation."""
_SMALLEST_SIZE = 64
"""Rows below which a smaller program saves nothing."""
_BOUNDS = ((1e-2, 1e3), (1e-2, 1e3), (1e-4, 1e1))
"""Lowest and highest length, signal and noise of standardised data: less noise would
be lost in float32."""


class GaussianProcess(struct.PyTreeNode):
    """A process given its observations.

    Attributes:
      hyper: of the kernel.
      inputs: the P observed ones.
      mask: bool `[P]`.
      whitener: `[P, P]`, inverse of the lower Cholesky factor of the covariance of the
        observations.
      weights: `[P]`, the covariance's inverse times the targets.
      log_likelihood: `[]`, log marginal likelihood of the targets, in nats.
    """

    hyper: Hyperparameters
    inputs: Inputs
    mask: Array
    whitener: Array
    weights: Array
    log_likelihood: Array


class GpState(struct.PyTreeNode):
    """A fitted `gp` predictor.

    Attributes:
      inputs: moments of the features; 0 and 1 where it reads distances.
      outputs: moments of the targets.
      process: of standardised targets, and features unless it reads distances.
    """

    inputs: scaling.Scale
    outputs: scaling.Scale
    process: GaussianProcess


def condition(
    hyper: Hyperparameters, inputs: Inputs, targets: Array, mask: Array
) -> GaussianProcess:
    """The process given observations (Rasmussen and Williams, algorithm 2.1).

    Args:
      hyper: of the kernel.
      inputs: P of them.
      targets: `[P]`.
      mask: bool `[P]`.
    """
    y = jnp.where(mask, targets, 0)
    factor = linalg.cholesky(_covariance(hyper, inputs, mask))
    whitener = linalg.invert_lower(factor)
    white = whitener @ y
    log_likelihood = -0.5 * (
        white @ white
        + 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
        + jnp.sum(mask) * jnp.log(2 * jnp.pi)
    )
    weights = white @ whitener
    return GaussianProcess(hyper, inputs, mask, whitener, weights, log_likelihood)


@functools.partial(linalg.one_by_one, over=0)
def predict(process: GaussianProcess, features: Array) -> tuple[Array, Array]:
    """Predictive mean `[M]` and variance `[M]`, that of the noise included.

    Args:
      process: given its observations.
      features: `[M, D]`.
    """
    hyper = process.hyper

    def predict_from(size: int) -> tuple[Array, Array]:
        cross = process.inputs.first(size).cross(hyper, features)
        cross = jnp.where(process.mask[:size, None], cross, 0)
        explained = process.whitener[:size, :size] @ cross
        spread = jnp.exp(hyper.log_signal) - jnp.sum(jnp.square(explained), axis=0)
        variance = jnp.maximum(spread, 0) + jnp.exp(hyper.log_noise)
        return process.weights[:size] @ cross, variance

    predicted: tuple[Array, Array] = _by_size(process.mask, predict_from)
    return predicted


def likelihood_gradient(process: GaussianProcess) -> Hyperparameters:
    """Gradient of the log marginal likelihood (Rasmussen and Williams, eq. 5.9).

    1/2 tr((w w^T - K^-1) dK)
    """
    hyper, mask = process.hyper, process.mask
    outer = process.weights[:, None] * process.weights[None]
    slope = (outer - process.whitener.T @ process.whitener) / 2
    noise = jnp.exp(hyper.log_noise) * jnp.sum(jnp.where(mask, jnp.diag(slope), 0))
    both = mask[:, None] & mask[None]
    shares = jnp.where(both, slope * process.inputs.own(hyper), 0)
    lengths = process.inputs.length_slope(hyper, shares)
    return Hyperparameters(lengths, jnp.sum(shares), noise)


def maximize(
    inputs: Inputs, targets: Array, mask: Array, *, ard: bool = False, steps: int = 100
) -> Hyperparameters:
    """Hyper-parameters of large marginal likelihood, for standardised data.

    A grid over length scale and noise ratio, the signal variance in closed form; from
    its best point `quasi_newton.minimize`, until a step promises less than
    `_SMALLEST_GAIN`.

    Args:
      inputs: P of them; points are standardised.
      targets: `[P]`, standardised.
      mask: bool `[P]`; the later its last row, the more it costs.
      ard: one length scale a dimension of points (automatic relevance determination).
      steps: evaluations of the likelihood after the grid, at most.
    """
    start = _best_of_grid(inputs, targets, mask)
    if ard:
        lengths = jnp.broadcast_to(start.log_length, inputs.x.shape[1:])
        start = start._replace(log_length=lengths)
    vector, unravel = ravel_pytree(start)

    def bounds(side: int) -> Array:
        pairs = zip(start, _BOUNDS, strict=True)
        limits = [jnp.full_like(x, math.log(pair[side])) for x, pair in pairs]
        return ravel_pytree(Hyperparameters(*limits))[0]

    def evaluate(vector: Array) -> tuple[Array, Array]:
        hyper = unravel(vector)

        def first(size: int) -> tuple[Array, Array]:
            rows = inputs.first(size), targets[:size], mask[:size]
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


def gp(
    *, ard: bool = False, steps: int = 100, distance: Distance | None = None
) -> Predictor:
    """A Gaussian process on standardised features and targets.

    With a distance it compares features as they are, such as encodings by
    `encoders.distances`. (The published comparison of encodings has such a process;
    White et al., 2020.)

    The cost of a fit follows the number of observations, not the size of the buffer:
    the program holds one fit for the whole buffer and one for each half of it.

    Args:
      ard: one length scale a dimension (automatic relevance determination).
      steps: evaluations of the marginal likelihood after a grid, at most.
      distance: `(a [D], b [D]) -> []`; None: squared exponential of the features.

    Raises:
      ConfigError: `steps` is not above 0, or a distance has no dimensions for `ard`.
    """
    check_positive("GP", steps=steps)
    if ard and distance is not None:
        raise errors.ConfigError(
            "GP: ard=True needs dimensions, and a distance has one length scale; leave "
            "one of ard and distance out"
        )

    def read(x: Array, mask: Array) -> Inputs:
        if distance is None:
            return Points(x)
        return Distances.measure(distance, x, mask)

    @linalg.one_by_one
    def fit_observed(x: Array, y: Array, mask: Array) -> GaussianProcess:
        order = jnp.argsort(~mask, stable=True)
        x, y, mask = x[order], y[order], mask[order]
        inputs = read(x, mask)
        hyper = maximize(inputs, y, mask, ard=ard, steps=steps)

        def condition_first(size: int) -> tuple[Array, ...]:
            found = condition(hyper, inputs.first(size), y[:size], mask[:size])
            rest = (0, mask.shape[0] - size)
            whitener = jnp.pad(found.whitener, (rest, rest))
            return whitener, jnp.pad(found.weights, rest), found.log_likelihood

        return GaussianProcess(hyper, inputs, mask, *_by_size(mask, condition_first))

    def fit(key: Key, features: Features, targets: Array, mask: Array) -> GpState:
        inputs = scaling.measure_if(distance is None, features, mask)
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


def _covariance(hyper: Hyperparameters, inputs: Inputs, mask: Array) -> Array:
    """Covariance `[P, P]` of the observations; the identity outside the mask."""
    both = mask[:, None] & mask[None]
    noise = jnp.where(mask, jnp.exp(hyper.log_noise), 1)
    return jnp.where(both, inputs.own(hyper), 0) + jnp.diag(noise)


def _best_of_grid(inputs: Inputs, targets: Array, mask: Array) -> Hyperparameters:
    """The best start; with signal 1 the likelihood's own scale is y^T K^-1 y / n."""
    dtype = inputs.x.dtype
    count = jnp.maximum(jnp.sum(mask), 1).astype(dtype)
    lengths, noises = jnp.meshgrid(
        jnp.log(inputs.unit * jnp.asarray(_LENGTHS, dtype)),
        jnp.log(jnp.asarray(_NOISES, dtype)),
    )

    def profile(log_length: Array, log_noise: Array) -> tuple[Array, Array]:
        """Log likelihood at the best scale, up to a constant, and log of the scale."""
        hyper = Hyperparameters(log_length[None], jnp.zeros((), dtype), log_noise)

        def first(size: int) -> tuple[Array, Array]:
            rows = inputs.first(size), mask[:size]
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
