"""How much of a graph its posterior mean gives back."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import batching
from nasjax.core.types import Array, Graph, Key
from nasjax.encoders.arch2vec import decoder, training
from nasjax.encoders.arch2vec.model import AutoencoderSpec, Weights
from nasjax.encoders.arch2vec.training import Graphs


class Reconstruction(NamedTuple):
    """Parts of what was decoded right, in [0, 1].

    Attributes:
      exact: graphs that are right as a whole: the thesis' reconstruction accuracy.
      elementwise: operations of real nodes and entries above the diagonal together.
      ops: operations of real nodes.
      edges: entries above the diagonal; the released code prints the last two.
    """

    exact: float
    elementwise: float
    ops: float
    edges: float


def evaluate(
    model: AutoencoderSpec, weights: Weights, graphs: Graphs
) -> Reconstruction:
    """Decodes the posterior means of all graphs, without noise or dropout.

    Padding counts only where the decoder has a label for it.
    """
    total = jnp.zeros(5, jnp.int32)
    for chunk, count in batching.iterate(graphs, training.CHUNK):
        total += _count(weights, chunk, jnp.int32(count), model=model)
    exact, ops, edges, nodes, size = (float(value) for value in total)
    num_edges = size * len(decoder.pairs(model.form.num_nodes)[0])
    return Reconstruction(
        exact=exact / size,
        elementwise=(ops + edges) / (nodes + num_edges),
        ops=ops / nodes,
        edges=edges / num_edges,
    )


def generate(
    key: Key, model: AutoencoderSpec, weights: Weights, moments: Array, count: int
) -> Graph:
    """Decoded random points, in the way of the thesis (section 3.6).

    Args:
      key: of the points.
      model: whose decoder it is.
      weights: of the model.
      moments: `[2, N, D]`, mean and standard deviation of the training means; points
        are N(0, I), scaled and shifted by them node by node.
      count: M.

    Returns:
      The most likely graphs with a leading axis M; they may be no cells of the space.
    """
    graphs: Graph = _generate(key, weights, moments, model=model, count=count)
    return graphs


@functools.partial(jax.jit, static_argnames=("model", "count"))
def _generate(
    key: Key, weights: Weights, moments: Array, *, model: AutoencoderSpec, count: int
) -> Graph:
    mean, std = moments[:, None]
    z = mean + std * jax.random.normal(key, (count, *moments.shape[1:]))
    return decoder.most_likely(model.form, model.decode(weights, z))


@functools.partial(jax.jit, static_argnames="model")
def _count(
    weights: Weights, graphs: Graphs, count: Array, *, model: AutoencoderSpec
) -> Array:
    """Right graphs, operations, edges; real nodes and graphs of the first `count`."""
    inputs = training.inputs(model.form, graphs)
    posterior, _ = model.encode(weights, inputs, False)
    decoded = decoder.most_likely(model.form, model.decode(weights, posterior.mean))
    there = jnp.arange(graphs.ops.shape[0]) < count
    real = (graphs.ops >= 0) & there[:, None]
    right_ops = decoded.ops == graphs.ops
    sources, targets = decoder.pairs(model.form.num_nodes)
    right_edges = (decoded.adjacency == graphs.adjacency)[:, sources, targets]
    counted = real if model.settings.decoder == "inner_product" else there[:, None]
    exact = jnp.all(right_ops | ~counted, axis=1) & jnp.all(right_edges, axis=1)
    sums = (
        jnp.sum(exact & there),
        jnp.sum(right_ops & real),
        jnp.sum(right_edges & there[:, None]),
        jnp.sum(real),
        count,
    )
    return jnp.stack([value.astype(jnp.int32) for value in sums])
