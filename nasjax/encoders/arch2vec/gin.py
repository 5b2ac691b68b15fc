"""Graph isomorphism network on dense padded graphs (thesis, equation 3.2).

    H <- MLP((1 + eps) H + A~ H)

where a layer of the MLP is linear, batch normalisation, ReLU, and A~ = A + A^T. The
directed network keeps the two directions apart,

    H <- MLP((1 + eps) H W + A^T H W_in + A H W_out),

which tells graphs apart that A~ merges. On NAS-Bench-101 A~ merges most: the 423,624
cells have 270,793 different embeddings, and 62.5 % of the cells share theirs with
another. A search over embeddings of the undirected network (the variants thesis and
released) cannot tell those apart, whatever it learns.

Parameters are nested dicts of arrays. Batch normalisation treats the B N nodes of a
batch alike, padding included, and keeps its running moments in a tree of its own.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Key
from nasjax.encoders import linear

Params = Any
Statistics = Any

EPSILON = 1e-5
MOMENTUM = 0.1
"""Weight of a new batch in the running moments, in which the variance is unbiased."""


class Sizes(NamedTuple):
    """Of the network.

    Attributes:
      num_ops: K.
      num_layers: L message-passing layers; the thesis counts the heads as the fifth.
      width: W of every layer.
      directed: keep incoming and outgoing edges apart.
    """

    num_ops: int
    num_layers: int = 4
    width: int = 128
    directed: bool = False


def init(key: Key, sizes: Sizes) -> tuple[Params, Statistics]:
    """Initial parameters, uniform in +-1/sqrt(inputs), and running moments."""
    layers, statistics = [], []
    for index, key_layer in enumerate(jax.random.split(key, sizes.num_layers)):
        inputs = sizes.width if index else sizes.num_ops
        keys = jax.random.split(key_layer, 4)
        layer = {
            "eps": jnp.zeros(()),
            "linear1": linear.init(keys[0], inputs, sizes.width),
            "inner": affine(sizes.width),
            "linear2": linear.init(keys[1], sizes.width, sizes.width),
            "outer": affine(sizes.width),
        }
        if sizes.directed:
            for name, key_way in (("in", keys[2]), ("out", keys[3])):
                layer[name] = linear.init(key_way, inputs, sizes.width)["kernel"]
        layers.append(layer)
        statistics.append({name: moments(sizes.width) for name in ("inner", "outer")})
    return layers, statistics


def apply(
    params: Params,
    statistics: Statistics,
    nodes: Array,
    adjacency: Array,
    *,
    train: bool,
) -> tuple[list[Array], Statistics]:
    """Node states of every layer.

    Args:
      params: of `init`.
      statistics: running moments.
      nodes: float `[B, N, K]`.
      adjacency: float `[B, N, N]`, directed.
      train: normalise by the moments of the batch and update the running ones.

    Returns:
      L arrays `[B, N, W]` and the new moments, the old ones unless in training.
    """
    shape = nodes.shape[:2]
    # Rows of a matrix: products of [B, N, W] and their slopes are a third slower.
    x, hidden, updated = nodes.reshape(-1, nodes.shape[-1]), [], []
    for layer, old in zip(params, statistics, strict=True):
        x = combine(layer, x, messages(layer, x, adjacency))
        x, new = update(layer, old, x, train=train)
        hidden.append(x.reshape(*shape, -1))
        updated.append(new)
    return hidden, updated


def messages(layer: Params, x: Array, adjacency: Array) -> list[Array]:
    """What the nodes receive: A~ x, or A^T x and A x; x is rows `[B N, V]`."""
    backward = jnp.swapaxes(adjacency, 1, 2)
    if "in" in layer:
        return [spread(backward, adjacency, x), spread(adjacency, backward, x)]
    both = adjacency + backward
    return [spread(both, both, x)]


def combine(layer: Params, x: Array, received: list[Array]) -> Array:
    """The first linear map `[R, W]` of rows `[R, V]` and their messages."""
    kernel: Array = layer["linear1"]["kernel"]
    bias: Array = layer["linear1"]["bias"]
    own = (1 + layer["eps"]) * x
    if "in" not in layer:
        combined: Array = linear.product(own + received[0], kernel)
    else:
        x = jnp.concatenate([own, *received], axis=1)
        kernels = [kernel, layer["in"], layer["out"]]
        combined = linear.product(x, jnp.concatenate(kernels))
    return combined + bias[None]


def update(
    layer: Params, statistics: Statistics, x: Array, *, train: bool
) -> tuple[Array, Statistics]:
    """The rest of a layer after `combine`, and its new moments."""
    x, inner = normalize(layer["inner"], statistics["inner"], x, train=train)
    x = linear.product(jax.nn.relu(x), layer["linear2"]["kernel"])
    x = x + layer["linear2"]["bias"][None]
    x, outer = normalize(layer["outer"], statistics["outer"], x, train=train)
    return jax.nn.relu(x), {"inner": inner, "outer": outer}


def gather(weights: Array, x: Array) -> Array:
    """Sums over j of `weights[b, i, j]` times row (b, j), `[B N, V]`."""
    nodes = x.reshape(*weights.shape[:2], -1)
    return (weights @ nodes).reshape(x.shape)


def normalize(
    params: Params, statistics: Statistics, x: Array, *, train: bool
) -> tuple[Array, Statistics]:
    """Batch normalisation of rows `[R, W]`."""
    mean, var = statistics["mean"], statistics["var"]
    if train:
        count = x.shape[0]
        mean = x.mean(0)
        var = jnp.maximum((x * x).mean(0) - mean * mean, 0)
        new = {"mean": mean, "var": var * (count / max(count - 1, 1))}
        statistics = {
            name: (1 - MOMENTUM) * statistics[name]
            + MOMENTUM * lax.stop_gradient(new[name])
            for name in new
        }
    scale = lax.rsqrt(var + EPSILON) * params["scale"]
    return x * scale[None] + (params["bias"] - mean * scale)[None], statistics


@jax.custom_vjp
def spread(weights: Array, turned: Array, x: Array) -> Array:
    """`gather(weights, x)`; `turned`, the transposes, are what its slope multiplies by.

    XLA's CPU products of many small transposed matrices are slow. There is no slope for
    the weights.
    """
    return gather(weights, x)


def _spread_forward(
    weights: Array, turned: Array, x: Array
) -> tuple[Array, tuple[Array, Array]]:
    return gather(weights, x), (weights, turned)


def _spread_slopes(
    saved: tuple[Array, Array], slope: Array
) -> tuple[None, None, Array]:
    return None, None, gather(saved[1], slope)


spread.defvjp(_spread_forward, _spread_slopes)


def affine(width: int) -> Params:
    """Scale and bias of a batch normalisation before training."""
    return {"scale": jnp.ones(width), "bias": jnp.zeros(width)}


def moments(width: int) -> Statistics:
    """Running moments of a batch normalisation before training."""
    return {"mean": jnp.zeros(width), "var": jnp.ones(width)}
