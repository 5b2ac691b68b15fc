"""Graph convolutions of the autoencoders GAE and VGAE (Kipf and Welling, 2016).

    H = ReLU(A^ X W + b),   mu = A^ H W_mu + b_mu,   log sigma = A^ H W_sigma + b_sigma
    A^ = D^-1/2 (A + A^T + I) D^-1/2

with D the degrees of A + A^T + I. The released arch2vec has no code for these baselines
of table 3.1; width and latent size here are arch2vec's.
"""

from typing import Any

import jax
import jax.numpy as jnp

from nasjax.core.types import Array, Key
from nasjax.encoders.arch2vec import gin

Params = Any


def init(key: Key, num_ops: int, *, width: int = 128) -> Params:
    """Of the layer below the heads: kernel `[K, W]` by Glorot's rule and a bias."""
    glorot = jax.nn.initializers.glorot_uniform()
    return {"kernel": glorot(key, (num_ops, width)), "bias": jnp.zeros(width)}


def propagation(adjacency: Array) -> Array:
    """A^ `[B, N, N]` of directed adjacency matrices `[B, N, N]`."""
    loops = jnp.eye(adjacency.shape[-1], dtype=adjacency.dtype)[None]
    both = adjacency + jnp.swapaxes(adjacency, 1, 2) + loops
    scale = jax.lax.rsqrt(both.sum(2))
    return scale[:, :, None] * both * scale[:, None, :]


def apply(params: Params, nodes: Array, weights: Array) -> Array:
    """What the heads read, A^ H `[B, N, W]`.

    Args:
      params: of `init`.
      nodes: float `[B, N, K]`.
      weights: A^ of `propagation`.
    """
    shape = nodes.shape[:2]
    x = gin.gather(weights, nodes.reshape(-1, nodes.shape[-1]))
    x = jax.nn.relu(x @ params["kernel"] + params["bias"][None])
    return gin.gather(weights, x).reshape(*shape, -1)
