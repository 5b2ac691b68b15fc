"""The encoder of arch2vec without pre-training: it learns together with a search.

Network and readout are those of arch2vec (thesis, equation 3.2 and section 3.3): a
graph isomorphism network, a linear head, and the mean over the nodes.

Batch normalisation is a pure function too. While it learns, a batch is normalised by
its own moments, and they are returned; whoever embeds afterwards passes the moments of
a reference batch at the weights that have been reached. No running moments lag behind
the weights, which matters where a search learns for a few steps only, and a vector
depends on its architecture, the weights and the reference, not on what else is in its
batch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.encoders import graph_inputs, linear
from nasjax.encoders.arch2vec import gin
from nasjax.encoders.graph_inputs import GraphSpec

Params = Any
Moments = Any

VARIANTS = ("thesis", "released")


class Network(NamedTuple):
    """An encoder as pure functions of its weights.

    Attributes:
      num_features: D.
      init: `(key) -> params`.
      embed_batch: `(params, archs int32 [B, G], weights [B]) -> (vectors [B, D],
        moments)`: normalised by the moments of the batch, in which an architecture
        counts by its weight.
      embed: `(params, moments, archs [B, G]) -> vectors [B, D]`, each architecture for
        itself.
    """

    num_features: int
    init: Callable[[Key], Params]
    embed_batch: Callable[[Params, Array, Array], tuple[Array, Moments]]
    embed: Callable[[Params, Moments, Array], Array]


@functools.cache
def network(
    space: str,
    *,
    width: int = 128,
    num_layers: int = 4,
    num_features: int = 16,
    variant: str = "thesis",
) -> Network:
    """The network of the supervised searches.

    Args:
      space: a key of `graph_inputs.SPECS`.
      width: of every layer.
      num_layers: message-passing layers; the thesis counts the head as the fifth.
      num_features: D.
      variant: "released": messages flow along A, where arch2vec and "thesis" have
        A + A^T.

    Raises:
      ConfigError: there is no such space or variant, or a size is below 1.
    """
    form = graph_inputs.spec(space)
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of the network", variant, VARIANTS)
    if min(width, num_layers, num_features) < 1:
        raise errors.ConfigError(
            f"width = {width}, num_layers = {num_layers} and num_features = "
            f"{num_features} must be at least 1"
        )
    released = variant == "released"

    def init(key: Key) -> Params:
        key_layers, key_head = jax.random.split(key)
        sizes = gin.Sizes(form.num_ops, num_layers, width)
        layers, _ = gin.init(key_layers, sizes)
        return {"layers": layers, "head": linear.init(key_head, width, num_features)}

    def embed_batch(
        params: Params, archs: Array, weights: Array
    ) -> tuple[Array, Moments]:
        share = weights / jnp.maximum(jnp.sum(weights), 1)
        nodes = jnp.repeat(share / form.num_nodes, form.num_nodes)
        return _apply(form, released, params, archs, None, nodes)

    def embed(params: Params, moments: Moments, archs: Array) -> Array:
        return _apply(form, released, params, archs, moments, None)[0]

    return Network(num_features, init, embed_batch, embed)


def _apply(
    form: GraphSpec,
    released: bool,
    params: Params,
    archs: Array,
    moments: Moments | None,
    share: Array | None,
) -> tuple[Array, Moments]:
    """Vectors `[B, D]` and the moments that normalised them.

    Args:
      form: of the graphs.
      released: messages flow along A only.
      params: of the network.
      archs: int32 `[B, G]`.
      moments: of every layer; None: those of the batch.
      share: `[B N]`, weight of each node in them, adding up to 1.
    """
    inputs = graph_inputs.read(form, archs)
    edges = inputs.adjacency
    edges = edges if released else edges + jnp.swapaxes(edges, 1, 2)
    x, used = inputs.nodes.reshape(-1, form.num_ops), []
    for index, layer in enumerate(params["layers"]):
        known = None if moments is None else moments[index]
        x = (1 + layer["eps"]) * x + gin.gather(edges, x)
        x = x @ layer["linear1"]["kernel"] + layer["linear1"]["bias"][None]
        x, inner = _normalize(layer["inner"], known and known["inner"], x, share)
        x = jax.nn.relu(x) @ layer["linear2"]["kernel"] + layer["linear2"]["bias"][None]
        x, outer = _normalize(layer["outer"], known and known["outer"], x, share)
        x = jax.nn.relu(x)
        used.append({"inner": inner, "outer": outer})
    # The head is linear: the mean of its outputs is its output of the mean.
    mean = x.reshape(archs.shape[0], form.num_nodes, -1).mean(1)
    return mean @ params["head"]["kernel"] + params["head"]["bias"][None], used


def _normalize(
    params: Params, moments: Moments | None, x: Array, share: Array | None
) -> tuple[Array, Moments]:
    """Batch normalisation of rows `[R, W]` by moments, or by those of the rows."""
    if moments is None:
        assert share is not None
        mean = share @ x
        moments = {"mean": mean, "var": share @ jnp.square(x - mean[None])}
    return gin.normalize(params, moments, x, train=False)[0], moments
