"""From latent vectors of the nodes back to a labelled graph.

`inner_product` is the decoder of the thesis (equations 3.3 and 3.4). It has to give an
edge a probability above 1/2 between any two nodes that share a latent vector, so it
cannot reconstruct every cell. `joint` reads all latent vectors at once.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array, Graph, Key
from nasjax.encoders import linear
from nasjax.encoders.graph_inputs import GraphSpec

Params = Any


class Logits(NamedTuple):
    """Of B decoded graphs.

    Attributes:
      ops: `[B, N, K]`, or `[B, N, K + 1]` where the last is "no node".
      edges: `[B, N (N - 1) / 2]`, the strict upper triangle row by row.
    """

    ops: Array
    edges: Array


def pairs(num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """(from, to) of the edges in their order."""
    return np.triu_indices(num_nodes, 1)


def init_inner_product(key: Key, form: GraphSpec, latent: int) -> Params:
    """A linear map from a latent vector to the logits of the operations."""
    return {"ops": linear.init(key, latent, form.num_ops)}


def inner_product(params: Params, form: GraphSpec, z: Array) -> Logits:
    """z `[B, N, D]`; an edge's logit is the inner product of its ends."""
    sources, targets = pairs(form.num_nodes)
    ops = z @ params["ops"]["kernel"] + params["ops"]["bias"][None, None]
    # All products at once: gathering both ends of every pair is 8 times slower.
    return Logits(ops, (z @ jnp.swapaxes(z, 1, 2))[:, sources, targets])


def init_joint(key: Key, form: GraphSpec, latent: int, width: int) -> Params:
    """Two hidden layers of W units on all N D latent numbers."""
    count = form.num_nodes * (form.num_ops + form.padded)
    count += len(pairs(form.num_nodes)[0])
    keys = jax.random.split(key, 3)
    return {
        "hidden1": linear.init(keys[0], form.num_nodes * latent, width),
        "hidden2": linear.init(keys[1], width, width),
        "out": linear.init(keys[2], width, count),
    }


def joint(params: Params, form: GraphSpec, z: Array) -> Logits:
    """z `[B, N, D]`; every logit depends on all of it."""
    x = z.reshape(z.shape[0], -1)
    for name in ("hidden1", "hidden2"):
        x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"][None])
    x = x @ params["out"]["kernel"] + params["out"]["bias"][None]
    labels = form.num_ops + form.padded
    ops = x[:, : form.num_nodes * labels].reshape(-1, form.num_nodes, labels)
    return Logits(ops, x[:, form.num_nodes * labels :])


def most_likely(form: GraphSpec, logits: Logits) -> Graph:
    """The most likely graphs: the largest logit of each node, edges above 1/2.

    Returns:
      adjacency int32 `[B, N, N]`, ops `[B, N]` with -1 for "no node", num_nodes `[B]`.
      Nothing is repaired: the result may be no cell of the space.
    """
    size = form.num_nodes
    adjacency = jnp.zeros((logits.edges.shape[0], size, size), jnp.int32)
    sources, targets = pairs(size)
    adjacency = adjacency.at[:, sources, targets].set((logits.edges > 0).astype(int))
    ops = jnp.argmax(logits.ops, axis=-1).astype(jnp.int32)
    ops = jnp.where(ops == form.num_ops, -1, ops)
    return Graph(adjacency, ops, jnp.sum(ops >= 0, axis=1, dtype=jnp.int32))
