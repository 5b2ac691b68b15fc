"""Graph convolutions of the autoencoders GAE and VGAE (Kipf and Welling, 2016).

    H_l = ReLU(BN(A^ H_{l-1} W_l + b_l)),   H_0 = X
    mu = A^ H_L W_mu + b_mu,   log sigma = A^ H_L W_sigma + b_sigma
    A^ = D^-1/2 (A + A^T + I) D^-1/2

with D the degrees of A + A^T + I. The released arch2vec has no code for these baselines
of table 3.1. Depth, width and batch normalisation here are those of arch2vec, so that
only the aggregation differs: with the one hidden layer of the original, or without
normalisation, hardly a cell is reconstructed, where the thesis reports 98 %.
"""

import jax
import jax.numpy as jnp

from nasjax.core.types import Array, Key
from nasjax.encoders import linear
from nasjax.encoders.arch2vec import gin
from nasjax.encoders.arch2vec.gin import Params, Sizes, Statistics


def init(key: Key, sizes: Sizes) -> tuple[Params, Statistics]:
    """Initial parameters below the heads, kernels by Glorot's rule, and moments."""
    glorot = jax.nn.initializers.glorot_uniform()
    layers, statistics = [], []
    for index, key_layer in enumerate(jax.random.split(key, sizes.num_layers)):
        inputs = sizes.width if index else sizes.num_ops
        layers.append(
            {
                "kernel": glorot(key_layer, (inputs, sizes.width)),
                "bias": jnp.zeros(sizes.width),
                "outer": gin.affine(sizes.width),
            }
        )
        statistics.append(gin.moments(sizes.width))
    return layers, statistics


def propagation(adjacency: Array) -> Array:
    """A^ `[B, N, N]` of directed adjacency matrices `[B, N, N]`."""
    loops = jnp.eye(adjacency.shape[-1], dtype=adjacency.dtype)[None]
    both = adjacency + jnp.swapaxes(adjacency, 1, 2) + loops
    scale = jax.lax.rsqrt(both.sum(2))
    return scale[:, :, None] * both * scale[:, None, :]


def apply(
    params: Params,
    statistics: Statistics,
    nodes: Array,
    adjacency: Array,
    *,
    train: bool,
) -> tuple[Array, Statistics]:
    """What the heads read, A^ H_L `[B, N, W]`, and the new moments.

    Args:
      params: of `init`.
      statistics: running moments.
      nodes: float `[B, N, K]`.
      adjacency: float `[B, N, N]`, directed.
      train: normalise by the moments of the batch and update the running ones.
    """
    shape = nodes.shape[:2]
    weights = propagation(adjacency)
    x, updated = gin.spread(weights, weights, nodes.reshape(-1, nodes.shape[-1])), []
    for layer, old in zip(params, statistics, strict=True):
        x = linear.product(x, layer["kernel"]) + layer["bias"][None]
        x, new = gin.normalize(layer["outer"], old, x, train=train)
        x = gin.spread(weights, weights, jax.nn.relu(x))
        updated.append(new)
    return x.reshape(*shape, -1), updated
