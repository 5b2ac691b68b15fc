"""Noise models: what a training adds to the mean curve of its architecture.

A model is a pytree with `sample(key, curve [T]) -> noise [T]`, in the unit of the
curves it was fitted to (accuracies in [0, 1], losses in nats); the noisy curve is
`curve + noise`. The models of the thesis are fitted to residuals, real minus
reconstructed training curves.
"""

from collections.abc import Callable
from typing import Protocol

from numpy.typing import ArrayLike

from nasjax.core import registry
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate.noise import epoch_std, gkde, sliding_window


class NoiseModel(Protocol):
    """What `sample` of every noise model takes and returns."""

    def sample(self, key: Key, curve: Array) -> Array:
        """Noise `[T]` of one training whose mean curve is `curve` `[T]`."""


NOISE_MODELS: dict[str, Callable[[Key, ArrayLike, ArrayLike], NoiseModel]] = {
    "gkde": lambda key, curves, residuals: gkde.fit(residuals),
    "std": lambda key, curves, residuals: epoch_std.fit(residuals),
    "window": sliding_window.fit,
}
"""The thesis' models by name; `seeds.fit` needs several seeds instead."""


def fit(name: str, key: Key, curves: ArrayLike, residuals: ArrayLike) -> NoiseModel:
    """Fits a model of the registry.

    Args:
      name: `"gkde"`, `"std"` or `"window"`.
      key: of the training of `"window"`.
      curves: `[N, T]`, reconstructed (de-noised) training curves.
      residuals: `[N, T]`, real minus reconstructed curves.

    Raises:
      ConfigError: there is no such model.
      DataError: the residuals are no finite matrix, or not of the curves' shape.
    """
    return registry.find("noise model", NOISE_MODELS, name)(key, curves, residuals)
