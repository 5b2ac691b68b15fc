"""What every performance predictor is: a fit and a prediction, both pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Key

Features = Any
"""An array `[P, D]`, or a tree of arrays that all have the leading axis P."""

VARIANTS = ("thesis", "released")


class Prediction(NamedTuple):
    """What is believed about one architecture, or about each of M.

    Attributes:
      mean: `[]` or `[M]`, in the unit of the targets.
      std: of the same shape and unit, noise of the targets included where the
        predictor models it.
    """

    mean: Array
    std: Array


class Predictor(NamedTuple):
    """A regression as two pure functions, so that a whole search is one program.

    Sizes are fixed and rows outside the mask count for nothing, so the observations
    of a search grow inside one preallocated buffer. Every fit starts afresh. Both
    functions work under jit, vmap and scan; predictions of many rows are cheapest
    asked for together.

    Attributes:
      fit: `(key, features [P, D], targets [P], mask [P]) -> state`.
      predict: `(state, features [D] or [M, D]) -> Prediction`, shaped `[]` or `[M]`.
    """

    fit: Callable[[Key, Features, Array, Array], Any]
    predict: Callable[[Any, Features], Prediction]


def assemble(
    fit: Callable[[Key, Features, Array, Array], Any],
    predict: Callable[[Any, Features], Prediction],
    *,
    rank: int = 1,
) -> Predictor:
    """The contract from functions that see clean data and many rows.

    Args:
      fit: as in `Predictor`; rows outside the mask arrive as 0, whatever the buffer
        holds there (a search writes scores of minus infinity).
      predict: `(state, features [M, ...]) -> Prediction` of shape `[M]`.
      rank: number of axes of the first leaf of one example.
    """

    def fit_clean(key: Key, features: Features, targets: Array, mask: Array) -> Any:
        def clean(leaf: Array) -> Array:
            rows = mask.reshape(mask.shape + (1,) * (leaf.ndim - 1))
            return jnp.where(rows, leaf, jnp.zeros_like(leaf))

        return fit(key, jax.tree.map(clean, features), clean(targets), mask)

    def predict_either(state: Any, features: Features) -> Prediction:
        if jax.tree.leaves(features)[0].ndim > rank:
            return predict(state, features)
        many = predict(state, jax.tree.map(lambda leaf: leaf[None], features))
        return Prediction(many.mean[0], many.std[0])

    return Predictor(fit_clean, predict_either)


def check_choice(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Raises the `ConfigError` of an option that takes one of a few names."""
    if name not in known:
        raise errors.unknown_name(kind, name, known)


def check_positive(predictor: str, **options: float) -> None:
    """Raises a `ConfigError` unless every option is above 0."""
    for name, value in options.items():
        if not value > 0:
            raise errors.ConfigError(
                f"{predictor}: {name} is {value}; it must be above 0"
            )
