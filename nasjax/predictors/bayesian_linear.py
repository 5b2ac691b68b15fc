"""Bayesian linear regression from one singular value decomposition of the features.

    y = Theta m + noise,   m ~ N(0, I / alpha),   noise ~ N(0, 1 / beta)

(Bishop, 2006, section 3.3-3.5). With Theta = U S V^T everything is a sum over singular
values: the evidence of any (alpha, beta) costs D operations, and since Theta^T Theta,
whose condition number is the square of that of Theta, is never formed, float32 is
accurate to about 1e-6 where a Cholesky factor of it fails.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import linalg
from nasjax.core.types import Array, Key
from nasjax.predictors import scaling
from nasjax.predictors.predictor import (
    Features,
    Prediction,
    Predictor,
    assemble,
    check_choice,
)

VARIANTS = ("textbook", "released")
LOG_ALPHA = (-10.0, 10.0)
"""Where the logarithm of the precision of the prior is searched for."""
LOG_NOISE = (-20.0, 10.0)
"""Where log 1/beta is searched for: accuracies may differ by less than 0.001."""
RELEASED_LOG_NOISE = (-10.0, 10.0)
"""The box of the released code, noise of 0.0067 or more."""
_LOG_MAX_DETERMINANT = 709.782712893384
"""Logarithm of the largest float64."""


class Spectrum(NamedTuple):
    """All that the regression needs to know of the observations.

    Attributes:
      values: `[D]`, singular values of Theta; 0 beyond its rows.
      right: `[D, D]`, right singular vectors as columns.
      coordinates: `[D]`, U^T y.
      remainder: `[]`, squared norm of the part of y that no weights reach.
      num_rows: `[]`, number n of observations.
    """

    values: Array
    right: Array
    coordinates: Array
    remainder: Array
    num_rows: Array


class Posterior(struct.PyTreeNode):
    """Gaussian belief about the weights.

    Attributes:
      mean: `[D]`.
      root: `[D, D]`, root root^T is the covariance.
      log_alpha: `[]`, logarithm of the precision of the prior.
      log_noise: `[]`, log 1/beta, of the variance of the noise.
    """

    mean: Array
    root: Array
    log_alpha: Array
    log_noise: Array


def decompose(features: Array, targets: Array, mask: Array) -> Spectrum:
    """The singular value decomposition of the rows in the mask.

    Args:
      features: Theta `[P, D]`.
      targets: y `[P]`.
      mask: bool `[P]`.
    """
    capacity, num_features = features.shape
    theta = jnp.where(mask[:, None], features, 0)
    y = jnp.where(mask, targets, 0)
    # With fewer rows than features V must still span all directions: predictions
    # need the null space, and |theta|^2 - |V^T theta|^2 would cancel.
    wide = capacity < num_features
    left, values, right = linalg.svd(theta, full_matrices=wide)
    coordinates = left.T @ y
    remainder = jnp.sum(jnp.square(y - left @ coordinates))
    missing = num_features - values.shape[0]
    return Spectrum(
        jnp.pad(values, (0, missing)),
        right.T,
        jnp.pad(coordinates, (0, missing)),
        remainder,
        jnp.sum(mask).astype(theta.dtype),
    )


def log_determinant(spectrum: Spectrum, log_alpha: Array, log_noise: Array) -> Array:
    """log det(alpha I + beta Theta^T Theta)."""
    alpha, beta = jnp.exp(log_alpha), jnp.exp(-log_noise)
    return jnp.sum(jnp.log(alpha + beta * jnp.square(spectrum.values)))


def evidence(
    spectrum: Spectrum,
    log_alpha: Array,
    log_noise: Array,
    *,
    variant: str = "textbook",
) -> Array:
    """Log marginal likelihood of the targets (Bishop, eq. 3.86), in nats.

        D/2 log alpha + n/2 log beta - beta/2 |y - Theta m|^2 - alpha/2 m^T m
        - 1/2 log det A - n/2 log 2 pi,   A = alpha I + beta Theta^T Theta

    `variant="released"` is what the published searches maximised: the norm of the
    residual is not squared, and log det A is log(det A + 1e-10) in float64, which is
    infinite where det A overflows.

    Args:
      spectrum: of the observations.
      log_alpha: `[]`.
      log_noise: log 1/beta `[]`.
      variant: `"textbook"` or `"released"`.

    Raises:
      ConfigError: there is no such variant.
    """
    check_choice("variant of the evidence", variant, VARIANTS)
    alpha, beta = jnp.exp(log_alpha), jnp.exp(-log_noise)
    squares = jnp.square(spectrum.values)
    precisions = alpha + beta * squares
    log_det = log_determinant(spectrum, log_alpha, log_noise)
    # The share of each coordinate that the prior keeps out of the fit.
    shrinkage = alpha / precisions
    residual = spectrum.remainder + jnp.sum(
        jnp.square(shrinkage * spectrum.coordinates)
    )
    if variant == "released":
        residual = jnp.sqrt(residual)
        overflow = log_det > _LOG_MAX_DETERMINANT
        log_det = jnp.logaddexp(log_det, jnp.log(1e-10))
        log_det = jnp.where(overflow, jnp.inf, log_det)
    weights = beta * spectrum.values * spectrum.coordinates / precisions
    return 0.5 * (
        spectrum.values.shape[0] * log_alpha
        - spectrum.num_rows * log_noise
        - beta * residual
        - alpha * jnp.sum(jnp.square(weights))
        - log_det
        - spectrum.num_rows * jnp.log(2 * jnp.pi)
    )


def maximize(spectrum: Spectrum, *, variant: str = "textbook") -> tuple[Array, Array]:
    """The (log alpha, log 1/beta) of largest evidence, within `LOG_ALPHA`, `LOG_NOISE`.

    `variant="released"` maximises the released evidence, within `RELEASED_LOG_NOISE`,
    plus the density (not its logarithm, as in the released code) of N(0, 1) at
    log alpha and of N(-3, 1) at log 1/beta. The released code descends from one random
    point by a simplex; here the best of the whole box is found.

    Args:
      spectrum: of the observations.
      variant: `"textbook"` or `"released"`.

    Raises:
      ConfigError: there is no such variant.
    """
    check_choice("variant of the evidence", variant, VARIANTS)
    if variant == "released":
        return _maximize_released(spectrum)
    return _maximize_textbook(spectrum)


def posterior(spectrum: Spectrum, log_alpha: Array, log_noise: Array) -> Posterior:
    """The weights' distribution given the observations (Bishop, eq. 3.53-3.54)."""
    alpha, beta = jnp.exp(log_alpha), jnp.exp(-log_noise)
    precisions = alpha + beta * jnp.square(spectrum.values)
    filtered = beta * spectrum.values * spectrum.coordinates / precisions
    root = spectrum.right * jax.lax.rsqrt(precisions)[None]
    return Posterior(spectrum.right @ filtered, root, log_alpha, log_noise)


def predict(belief: Posterior, features: Array) -> tuple[Array, Array]:
    """Predictive mean and variance (Bishop, eq. 3.58-3.59).

    Args:
      belief: about the weights.
      features: `[M, D]`.

    Returns:
      mean `[M]` and variance `[M]`, that of the noise included.
    """
    mean = features @ belief.mean
    spread = jnp.sum(jnp.square(features @ belief.root), axis=1)
    return mean, jnp.exp(belief.log_noise) + spread


def fit(
    features: Array, targets: Array, mask: Array, *, variant: str = "textbook"
) -> Posterior:
    """The posterior at the precisions of largest evidence.

    Args:
      features: `[P, D]`.
      targets: `[P]`.
      mask: bool `[P]`.
      variant: of the evidence.

    Raises:
      ConfigError: there is no such variant.
    """
    spectrum = decompose(features, targets, mask)
    return posterior(spectrum, *maximize(spectrum, variant=variant))


class LinearState(struct.PyTreeNode):
    """A fitted `bayesian_linear` predictor.

    Attributes:
      inputs: moments of the features.
      outputs: moments of the targets.
      belief: about the weights of standardised features.
    """

    inputs: scaling.Scale
    outputs: scaling.Scale
    belief: Posterior


def bayesian_linear() -> Predictor:
    """Linear in the features; both sides are standardised, so there is no bias."""

    def fit_linear(
        key: Key, features: Features, targets: Array, mask: Array
    ) -> LinearState:
        inputs = scaling.measure(features, mask)
        outputs = scaling.measure(targets, mask)
        x = scaling.apply(inputs, features)
        y = scaling.apply(outputs, targets)
        return LinearState(inputs, outputs, fit(x, y, mask))

    def predict_linear(state: LinearState, features: Features) -> Prediction:
        mean, variance = predict(state.belief, scaling.apply(state.inputs, features))
        return scaling.undo(state.outputs, mean, jnp.sqrt(variance))

    return assemble(fit_linear, predict_linear)


def _maximize_textbook(spectrum: Spectrum) -> tuple[Array, Array]:
    """A search in one dimension: for a fixed ratio beta / alpha alpha has a formula.

    With rho = beta / alpha the evidence is, up to a constant,

        (n log alpha + n log rho - alpha q(rho) - sum log(1 + rho s^2)) / 2,
        q(rho) = rho (remainder + sum u^2 / (1 + rho s^2)),

    concave in log alpha with its maximum at alpha = n / q(rho).
    """
    squares = jnp.square(spectrum.values)
    energies = jnp.square(spectrum.coordinates)

    def best(log_ratio: Array) -> tuple[Array, Array]:
        """The largest evidence of one ratio, and its log alpha."""
        ratio = jnp.exp(log_ratio)
        q = ratio * (spectrum.remainder + jnp.sum(energies / (1 + ratio * squares)))
        tiny = jnp.finfo(q.dtype).tiny
        log_alpha = jnp.log(jnp.maximum(spectrum.num_rows, 1) / jnp.maximum(q, tiny))
        low = jnp.maximum(LOG_ALPHA[0], -LOG_NOISE[1] - log_ratio)
        high = jnp.minimum(LOG_ALPHA[1], -LOG_NOISE[0] - log_ratio)
        log_alpha = jnp.clip(log_alpha, low, high)
        fit = spectrum.num_rows * (log_alpha + log_ratio) - jnp.exp(log_alpha) * q
        return fit - jnp.sum(jnp.log1p(ratio * squares)), log_alpha

    lowest = -LOG_NOISE[1] - LOG_ALPHA[1]
    highest = -LOG_NOISE[0] - LOG_ALPHA[0]
    center = jnp.full((), (lowest + highest) / 2, squares.dtype)
    for reach, points in (((highest - lowest) / 2, 51), (1.0, 21), (0.1, 21)):
        ratios = center + jnp.linspace(-reach, reach, points, dtype=squares.dtype)
        ratios = jnp.clip(ratios, lowest, highest)
        values, log_alphas = jax.vmap(best)(ratios)
        index = jnp.argmax(values)
        center = ratios[index]
    log_alpha = log_alphas[index]
    return log_alpha, -(log_alpha + center)


def _maximize_released(spectrum: Spectrum) -> tuple[Array, Array]:
    """A grid over the box, twice refined around its best point."""
    dtype = spectrum.values.dtype

    def value(point: Array) -> Array:
        log_alpha, log_noise = point
        density = jnp.exp(-jnp.square(log_alpha) / 2)
        density += jnp.exp(-jnp.square(log_noise + 3) / 2)
        score = evidence(spectrum, log_alpha, log_noise, variant="released")
        score += density / jnp.sqrt(2 * jnp.pi)
        return jnp.where(jnp.isnan(score), -jnp.inf, score)

    low = jnp.asarray([LOG_ALPHA[0], RELEASED_LOG_NOISE[0]], dtype)[None]
    high = jnp.asarray([LOG_ALPHA[1], RELEASED_LOG_NOISE[1]], dtype)[None]
    center = jnp.zeros(2, dtype)
    for reach, points in ((10.0, 21), (1.0, 11), (0.2, 11)):
        steps = jnp.linspace(-reach, reach, points, dtype=dtype)
        offsets = jnp.stack(jnp.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        grid = jnp.clip(center[None] + offsets, low, high)
        center = grid[jnp.argmax(jax.vmap(value)(grid))]
    return center[0], center[1]
