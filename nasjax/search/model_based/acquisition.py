"""Acquisition functions: how much a prediction makes one want to look.

Elementwise in `mean` and `std`; higher is more wanted, and higher scores are better.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.predictors import Prediction

Acquire = Callable[[Key, Prediction, Array], Array]
"""`(key, prediction [M], incumbent []) -> scores [M]`; only their order counts."""

VARIANTS = ("thesis", "released")
_SMALLEST_STD = 1e-12
_LOG_ROOT_TWO_PI = 0.9189385332046727


def expected_improvement(
    mean: Array, std: Array, incumbent: Array | float, *, variant: str = "thesis"
) -> Array:
    """What is gained over the incumbent on average (Jones et al., 1998, eq. 15).

        E max(y - incumbent, 0) = std (u Phi(u) + phi(u))
        u = (mean - incumbent) / std

    Args:
      mean: of the score, any shape.
      std: of the score, same shape.
      incumbent: the score to improve on.
      variant: "released": the variance stands where the standard deviation belongs, as
        in the searches of arch2vec, whose incumbent was 0.95 or 1.0 throughout.

    Raises:
      ConfigError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of EI", variant, VARIANTS)
    scale = jnp.square(std) if variant == "released" else std
    scale = jnp.maximum(scale, _SMALLEST_STD)
    u = (mean - incumbent) / scale
    return scale * (u * ndtr(u) + _density(u))


def log_expected_improvement(
    mean: Array, std: Array, incumbent: Array | float
) -> Array:
    """Logarithm of `expected_improvement`, finite where that underflows.

    Below u = -10 the series 1 - |u| Mills(|u|) = 1/u^2 - 3/u^4 + 15/u^6 - ... is used
    (Ament et al., 2023, section 4.1, have the idea).
    """
    std = jnp.maximum(std, _SMALLEST_STD)
    u = (mean - incumbent) / std
    near = jnp.maximum(u, -10.0)
    direct = jnp.log(near * ndtr(near) + _density(near))
    far = 1 / jnp.square(jnp.minimum(u, -10.0))
    tail = jnp.log(far * (1 - far * (3 - far * (15 - far * 105))))
    tail -= jnp.square(u) / 2 + _LOG_ROOT_TWO_PI
    return jnp.log(std) + jnp.where(u > -10, direct, tail)


def upper_confidence_bound(mean: Array, std: Array, *, exploration: float) -> Array:
    """mean + exploration * std (Srinivas et al., 2010)."""
    return mean + exploration * std


def thompson_sample(key: Key, mean: Array, std: Array) -> Array:
    """One draw from N(mean, std^2), independently for every element.

    Independent Thompson sampling takes the highest draws (White et al., 2021, eq. 2).
    """
    return mean + std * jax.random.normal(key, mean.shape, mean.dtype)


def released_cate_score(mean: Array, std: Array) -> Array:
    """What the released CATE searches ranked by, up to its names.

        v (u Phi(u) + phi(u) + 1),   u = (mean - 1) / v,   v the variance

    Nearly the order of v: the variance stands where the standard deviation belongs, the
    incumbent is a perfect score, and the 1 is no part of the improvement.
    """
    v = jnp.maximum(jnp.square(std), _SMALLEST_STD)
    u = (mean - 1) / v
    return v * (u * ndtr(u) + _density(u) + 1)


def make(name: str, *, exploration: float = 0.5, variant: str = "thesis") -> Acquire:
    """The ranking of a search by one of `ACQUISITIONS`.

    Args:
      name: a key of `ACQUISITIONS`.
      exploration: standard deviations of the upper confidence bound.
      variant: of the expected improvement; "thesis" ranks by its logarithm, "released"
        by float32 values of the released formula, equal zeros in random order.

    Raises:
      ConfigError: there is no such function or variant.
    """
    if name not in ACQUISITIONS:
        raise errors.unknown_name("acquisition function", name, ACQUISITIONS)
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of EI", variant, VARIANTS)
    if name == "expected_improvement" and variant == "released":
        return _rank_by_released_improvement
    if name == "upper_confidence_bound":
        return partial(_rank_by_bound, exploration=exploration)
    return ACQUISITIONS[name]


def _rank_by_improvement(key: Key, prediction: Prediction, incumbent: Array) -> Array:
    del key
    return log_expected_improvement(prediction.mean, prediction.std, incumbent)


def _rank_by_released_improvement(
    key: Key, prediction: Prediction, incumbent: Array
) -> Array:
    mean, std = prediction
    scores = expected_improvement(mean, std, incumbent, variant="released")
    # The published runs met the cells in an order shuffled anew in every run.
    order = jax.random.uniform(key, scores.shape)
    return jnp.where(scores > 0, scores, -order)


def _rank_by_bound(
    key: Key, prediction: Prediction, incumbent: Array, *, exploration: float = 0.5
) -> Array:
    del key, incumbent
    return upper_confidence_bound(*prediction, exploration=exploration)


def _rank_by_sample(key: Key, prediction: Prediction, incumbent: Array) -> Array:
    del incumbent
    return thompson_sample(key, *prediction)


def _rank_by_mean(key: Key, prediction: Prediction, incumbent: Array) -> Array:
    del key, incumbent
    return prediction.mean


def _rank_as_released_cate(key: Key, prediction: Prediction, incumbent: Array) -> Array:
    del key, incumbent
    return released_cate_score(*prediction)


def _density(u: Array) -> Array:
    """phi(u), of the standard normal distribution."""
    return jnp.exp(-jnp.square(u) / 2 - _LOG_ROOT_TWO_PI)


ACQUISITIONS: Mapping[str, Acquire] = {
    "expected_improvement": _rank_by_improvement,
    "predicted_score": _rank_by_mean,
    "released_cate": _rank_as_released_cate,
    "thompson_sampling": _rank_by_sample,
    "upper_confidence_bound": _rank_by_bound,
}
"""How searches rank candidates, by name."""
