"""What the variational autoencoders of graphs have in common."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from flax import struct

from nasjax.core.types import Array, Key
from nasjax.encoders.graph_inputs import GraphInputs, GraphSpec


class Weights(struct.PyTreeNode):
    """Of a model.

    Attributes:
      encoder: parameters below the heads.
      heads: of the posterior's moments.
      decoder: parameters.
      statistics: running moments of the encoder's batch normalisation, if it has one.
    """

    encoder: Any
    heads: Any
    decoder: Any
    statistics: Any


class Posterior(NamedTuple):
    """q(Z | X, A): Gaussian moments, each `[B, ...]` over the model's latent shape."""

    mean: Array
    log_sigma: Array


class Terms(NamedTuple):
    """Parts of the loss `[]`, in nats.

    Attributes:
      ops: reconstruction of the operations.
      edges: reconstruction of the edges.
      kl: divergence of the posterior from N(0, I), with its weight.
    """

    ops: Array
    edges: Array
    kl: Array

    @property
    def total(self) -> Array:
        """What is minimised."""
        return self.ops + self.edges + self.kl


class Autoencoder(Protocol):
    """Pure functions of one model on the graphs of one space; hashable.

    Attributes:
      form: of the graphs.
      latent_shape: of the latent numbers of a graph.
      init: `(key) -> Weights`.
      encode: `(weights, inputs, train) -> (Posterior, statistics)`; `train` is static.
      loss: `(key, weights, inputs, train, warmth) -> (Terms, (Posterior, statistics))`;
        without `train` there is no noise. `warmth` `[]` multiplies the divergence.
    """

    @property
    def form(self) -> GraphSpec: ...

    @property
    def latent_shape(self) -> tuple[int, ...]: ...

    @property
    def init(self) -> Callable[[Key], Weights]: ...

    @property
    def encode(
        self,
    ) -> Callable[[Weights, GraphInputs, bool], tuple[Posterior, Any]]: ...

    @property
    def loss(self) -> Callable[..., tuple[Terms, tuple[Posterior, Any]]]: ...


def divergence(mean: Array, log_sigma: Array) -> Array:
    """KL(N(mu, sigma^2) || N(0, I)) over the last axis, `[..., D]` to `[...]`."""
    each = jnp.exp(2 * log_sigma) + mean * mean - 1 - 2 * log_sigma
    return each.sum(-1) / 2
