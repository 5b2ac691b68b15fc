"""A multilayer perceptron from the features of an architecture to its code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import dense
from nasjax.nasbench.surrogate import scaling as matrices
from nasjax.nasbench.surrogate.scaling import Scaler


class MLP(struct.PyTreeNode):
    """A fitted regressor.

    Attributes:
      layers: kernels and biases.
      scaler: of the features `[D]`.
      mean: `[k]`, of the codes.
      scale: `[]`, one for all codes, so that small codes stay unimportant.
      losses: `[epochs]`, mean squared error in training, in units of `scale`.
    """

    layers: dense.Layers
    scaler: Scaler
    mean: Array
    scale: Array
    losses: Array

    def predict(self, x: Array) -> Array:
        """Features `[D]` to codes `[k]`; a missing feature (NaN) counts as its mean."""
        inputs = jnp.nan_to_num(self.scaler.apply(x), nan=0.0)
        hidden = dense.apply(self.layers, inputs, jax.nn.relu)
        return hidden * self.scale + self.mean


def fit(
    key: Key,
    features: ArrayLike,
    codes: ArrayLike,
    *,
    hidden: tuple[int, ...] = (64, 64),
    epochs: int = 100,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
) -> MLP:
    """Trains by Adam on the mean squared error, in one compiled call.

    Released code: hidden layers keep their random weights and only the first and last
    are trained, for 20 epochs, on raw features. Here: all layers, standardised.
    A `jax.vmap` over keys trains an ensemble.

    Args:
      key: of the initial weights and the order of the rows.
      features: `[N, D]`; NaN where a value is missing.
      codes: `[N, k]`.
      hidden: widths of the hidden layers.
      epochs: passes over the rows.
      batch_size: rows of one step.
      learning_rate: at the start; it falls to 0 along a cosine.

    Raises:
      DataError: features are infinite, codes not finite, or their N differ.
      ConfigError: a size is not positive.
    """
    x = matrices.check(features, "features", missing=True)
    y = matrices.check(codes, "codes", shape=(len(x), *np.shape(codes)[1:]))
    for name, size in {"epochs": epochs, "batch_size": batch_size}.items():
        if size < 1:
            raise errors.ConfigError(f"{name} must be at least 1, not {size}")
    scaler, inputs = matrices.standardize(x)
    inputs = jnp.nan_to_num(inputs, nan=0.0)
    mean, scale = y.mean(axis=0), float(y.std(axis=0).max()) or 1.0
    layers, losses = _train(
        key,
        inputs,
        jnp.asarray((y - mean) / scale),
        hidden=tuple(hidden),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    return MLP(layers, scaler, jnp.asarray(mean), jnp.asarray(scale), losses)


@functools.partial(
    jax.jit, static_argnames=("hidden", "epochs", "batch_size", "learning_rate")
)
def _train(
    key: Key,
    x: Array,
    y: Array,
    *,
    hidden: tuple[int, ...],
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> tuple[dense.Layers, Array]:
    key_init, key_train = jax.random.split(key)
    layers = dense.init(key_init, (x.shape[1], *hidden, y.shape[1]))

    def loss(key: Key, layers: dense.Layers, rows: tuple[Array, Array]) -> Array:
        return jnp.mean((dense.apply(layers, rows[0], jax.nn.relu) - rows[1]) ** 2)

    return dense.minimize(
        key_train,
        layers,
        loss,
        (x, y),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
