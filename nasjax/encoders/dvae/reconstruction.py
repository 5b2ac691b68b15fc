"""How much of a graph its posterior mean gives back, and graphs from the prior."""

import functools

import jax

from nasjax.core.types import Graph, Key
from nasjax.encoders import stored_graphs
from nasjax.encoders.autoencoder import reconstruction
from nasjax.encoders.autoencoder.interface import Weights
from nasjax.encoders.autoencoder.reconstruction import Reconstruction
from nasjax.encoders.dvae.model import DVAESpec
from nasjax.encoders.stored_graphs import Graphs


def evaluate(model: DVAESpec, weights: Weights, graphs: Graphs) -> Reconstruction:
    """Decodes the posterior means of all graphs by the most likely choices.

    A graph is right only if it also ends where it should. The paper decodes ten draws
    of ten latent vectors instead.
    """
    decode = functools.partial(_decode_means, weights, model=model)
    return reconstruction.evaluate(decode, graphs, padding=True)


def generate(key: Key, model: DVAESpec, weights: Weights, count: int) -> Graph:
    """The most likely graphs of points of the prior N(0, I).

    Args:
      key: of the points.
      model: whose decoder it is.
      weights: of the model.
      count: M.

    Returns:
      Graphs with a leading axis M; they may be no cells of the space.
    """
    graphs: Graph = _generate(key, weights, model=model, count=count)
    return graphs


@functools.partial(jax.jit, static_argnames=("model", "count"))
def _generate(key: Key, weights: Weights, *, model: DVAESpec, count: int) -> Graph:
    return model.decode(weights, jax.random.normal(key, (count, *model.latent_shape)))


@functools.partial(jax.jit, static_argnames="model")
def _decode_means(weights: Weights, graphs: Graphs, *, model: DVAESpec) -> Graph:
    inputs = stored_graphs.inputs(model.form, graphs)
    return model.decode(weights, model.encode(weights, inputs, False)[0].mean)
