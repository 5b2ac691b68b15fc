"""Learning curves as latent means of a variational autoencoder."""

import functools

import jax
import jax.numpy as jnp
from flax import struct
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.nasbench.surrogate import dense
from nasjax.nasbench.surrogate import scaling as matrices
from nasjax.nasbench.surrogate.scaling import Scaler

_activation = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)


class VAE(struct.PyTreeNode):
    """A fitted autoencoder of curves.

    Attributes:
      encoder: layers from a standardised curve `[T]` to mean and log-variance `[2z]`.
      decoder: layers from `[z]` to a standardised curve.
      scaler: of the curves `[T]`.
      losses: `[epochs]`, mean loss of a curve in training.
    """

    encoder: dense.Layers
    decoder: dense.Layers
    scaler: Scaler
    losses: Array

    @property
    def rank(self) -> int:
        """z, numbers in a code."""
        return self.decoder[0]["kernel"].shape[0]

    def compress(self, curve: Array) -> Array:
        """Curve `[T]` to the posterior mean `[z]`."""
        moments = dense.apply(self.encoder, self.scaler.apply(curve), _activation)
        return moments[: self.rank]

    def decompress(self, codes: Array) -> Array:
        """Latent `[z]` to the curve `[T]`."""
        return self.scaler.undo(dense.apply(self.decoder, codes, _activation))


def fit(
    key: Key,
    curves: ArrayLike,
    *,
    rank: int = 5,
    hidden: tuple[int, ...] = (32, 32),
    epochs: int = 600,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
) -> VAE:
    """Trains on squared error plus KL divergence, in one compiled call.

        loss(y) = |y - d(z)|^2 + KL(N(mu, sigma^2) || N(0, 1)),   z ~ N(mu, sigma^2)

    with (mu, log sigma^2) = c(y) and y standardised by epoch (Kingma, Welling, 2014).

    Released code: the hidden layers keep their random weights, batch normalisation
    uses the batch's statistics also in queries, and 10 epochs are trained. Here: all
    layers are trained, there is no batch normalisation, and 600 epochs, because with
    a thousand curves the second latent number comes into use only after 300.

    Args:
      key: of the initial weights, the order of the curves and the latent noise.
      curves: `[N, T]`, any metric in any unit.
      rank: z, numbers in a code.
      hidden: widths of the encoder's hidden layers; the decoder mirrors them.
      epochs: passes over the curves.
      batch_size: curves of one step.
      learning_rate: at the start; it falls to 0 along a cosine.

    Raises:
      DataError: the curves are no finite matrix.
      ConfigError: a size is not positive.
    """
    matrix = matrices.check(curves, "curves")
    sizes = {"rank": rank, "epochs": epochs, "batch_size": batch_size}
    for name, size in sizes.items():
        if size < 1:
            raise errors.ConfigError(f"{name} must be at least 1, not {size}")
    scaler, standardized = matrices.standardize(matrix)
    (encoder, decoder), losses = _train(
        key,
        standardized,
        rank=rank,
        hidden=tuple(hidden),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    return VAE(encoder, decoder, scaler, losses)


def negative_elbo(
    noise: Array, encoder: dense.Layers, decoder: dense.Layers, curve: Array
) -> Array:
    """The loss `[]` of a standardised curve `[T]` for latent noise `[z]`."""
    moments = dense.apply(encoder, curve, _activation)
    mean, log_variance = jnp.split(moments, 2)
    latent = mean + jnp.exp(log_variance / 2) * noise
    error = jnp.sum((dense.apply(decoder, latent, _activation) - curve) ** 2)
    divergence = jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance) / 2
    return error + divergence


@functools.partial(
    jax.jit,
    static_argnames=("rank", "hidden", "epochs", "batch_size", "learning_rate"),
)
def _train(
    key: Key,
    curves: Array,
    *,
    rank: int,
    hidden: tuple[int, ...],
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> tuple[tuple[dense.Layers, dense.Layers], Array]:
    key_encoder, key_decoder, key_train = jax.random.split(key, 3)
    length = curves.shape[1]
    encoder = dense.init(key_encoder, (length, *hidden, 2 * rank))
    decoder = dense.init(key_decoder, (rank, *hidden[::-1], length))

    def loss(key: Key, params: tuple[dense.Layers, dense.Layers], rows: Array) -> Array:
        noise = jax.random.normal(key, (rows.shape[0], rank), rows.dtype)
        each = jax.vmap(negative_elbo, (0, None, None, 0))
        return jnp.mean(each(noise, *params, rows))

    return dense.minimize(
        key_train,
        (encoder, decoder),
        loss,
        curves,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
