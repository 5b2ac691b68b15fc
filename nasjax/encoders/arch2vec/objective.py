"""What arch2vec minimises: reconstruction and divergence of a batch of graphs."""

import jax
import jax.numpy as jnp

from nasjax.core.types import Array
from nasjax.encoders.arch2vec.decoder import Logits, pairs
from nasjax.encoders.autoencoder.interface import Terms, divergence
from nasjax.encoders.graph_inputs import GraphInputs


def negative_elbo(
    inputs: GraphInputs,
    logits: Logits,
    mean: Array,
    log_sigma: Array,
    *,
    kl_weight: float,
) -> Terms:
    """Minus equation 3.5 of a graph, its mean over the batch.

    Sums over nodes and over the pairs i < j, which hold every edge; the thesis also
    multiplies over i >= j, where a symmetric sigma(z_i z_j) cannot follow a triangular
    matrix. Padding has no operation unless the decoder has a label for it.

    Args:
      inputs: the graphs.
      logits: of the decoder.
      mean: `[B, N, D]`.
      log_sigma: `[B, N, D]`.
      kl_weight: of the divergence; 1 in the thesis, 0 without it.
    """
    nodes = inputs.nodes
    if logits.ops.shape[-1] > nodes.shape[-1]:
        nodes = jnp.concatenate([nodes, 1 - inputs.real[..., None]], axis=-1)
    ops = -jnp.sum(nodes * jax.nn.log_softmax(logits.ops), axis=(1, 2))
    edges = _cross_entropy(logits.edges, upper(inputs.adjacency)).sum(1)
    kl = jnp.mean(divergence(mean, log_sigma).sum(1)) if kl_weight else jnp.float32(0)
    return Terms(ops.mean(), edges.mean(), kl_weight * kl)


def released(
    inputs: GraphInputs, logits: Logits, mean: Array, log_sigma: Array
) -> Terms:
    """The loss of the published code.

    A sigmoid for each operation, also on padding; means over all entries, of which
    those on and below the diagonal are 0; the divergence, already a mean over nodes, is
    divided by the number of nodes of the batch once more.
    """
    ops = _cross_entropy(logits.ops, inputs.nodes).mean()
    edges = _cross_entropy(logits.edges, upper(inputs.adjacency)).sum()
    kl = divergence(mean, log_sigma).mean()
    count = inputs.nodes.shape[0] * inputs.nodes.shape[1]
    return Terms(ops, edges / (count * inputs.nodes.shape[1]), kl / count)


def upper(adjacency: Array) -> Array:
    """The strict upper triangle `[B, E]` of `[B, N, N]`."""
    sources, targets = pairs(adjacency.shape[-1])
    return adjacency[:, sources, targets]


def _cross_entropy(logits: Array, truth: Array) -> Array:
    """Of a sigmoid, entry by entry."""
    return jax.nn.softplus(logits) - truth * logits
