"""How much of a graph its posterior mean gives back."""

import functools

import jax

from nasjax.core.types import Array, Graph, Key
from nasjax.encoders import stored_graphs
from nasjax.encoders.arch2vec import decoder
from nasjax.encoders.arch2vec.model import AutoencoderSpec
from nasjax.encoders.autoencoder import reconstruction
from nasjax.encoders.autoencoder.interface import Weights
from nasjax.encoders.autoencoder.reconstruction import Reconstruction
from nasjax.encoders.stored_graphs import Graphs

__all__ = ["Reconstruction", "evaluate", "generate"]


def evaluate(
    model: AutoencoderSpec, weights: Weights, graphs: Graphs
) -> Reconstruction:
    """Decodes the posterior means of all graphs, without noise or dropout.

    Padding counts only where the decoder has a label for it.
    """
    decode = functools.partial(_decode_means, weights, model=model)
    padding = model.settings.decoder != "inner_product"
    return reconstruction.evaluate(decode, graphs, padding=padding)


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
def _decode_means(weights: Weights, graphs: Graphs, *, model: AutoencoderSpec) -> Graph:
    inputs = stored_graphs.inputs(model.form, graphs)
    mean = model.encode(weights, inputs, False)[0].mean
    return decoder.most_likely(model.form, model.decode(weights, mean))
