"""D-VAE as a bundle of pure functions (Zhang et al., 2019).

The encoder passes messages along the edges to the output and, as in the published
command for architectures, with other parameters against them to the input; both last
states become one, and two linear maps give the moments of the latent vector. No vertex
has a number, so isomorphic graphs have equal embeddings, and vertices from which no
path leads to the output are not seen.

`darts_shared` has two inputs. In place of the paper's virtual start vertex the second
follows the first: the edge is the same in all graphs, so it tells nothing, and what is
decoded is without it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Graph, Key
from nasjax.encoders import graph_inputs, linear, random_bits
from nasjax.encoders.autoencoder.interface import Posterior, Terms, Weights, divergence
from nasjax.encoders.dvae import asynchronous, decoder
from nasjax.encoders.graph_inputs import GraphInputs, GraphSpec


class Settings(NamedTuple):
    """Of a model and what it is trained for; the defaults are the paper's.

    Attributes:
      width: H, of the states.
      latent: D.
      bidirectional: messages also run against the edges.
      kl_weight: of the divergence.
    """

    width: int = 501
    latent: int = 56
    bidirectional: bool = True
    kl_weight: float = 0.005


VARIANTS: Mapping[str, Settings] = {
    "paper": Settings(),
    "cpu": Settings(width=128),
}
"""paper: the sizes of the paper. cpu: narrower states."""


class DVAESpec(NamedTuple):
    """Pure functions of one model on the graphs of one space.

    Attributes:
      form: of the graphs.
      settings: what it was made from.
      init: `(key) -> Weights`.
      encode: `(weights, inputs, train) -> (Posterior, statistics)`, moments `[B, D]`;
        nothing depends on `train`, and there are no statistics.
      decode: `(weights, z [B, D]) -> Graph`, the most likely choices.
      loss: `(key, weights, inputs, train, warmth) -> (Terms, (Posterior, statistics))`;
        without `train` there is no noise. `warmth` `[]` multiplies the divergence.
    """

    form: GraphSpec
    settings: Settings
    init: Callable[[Key], Weights]
    encode: Callable[[Weights, GraphInputs, bool], tuple[Posterior, Any]]
    decode: Callable[[Weights, Array], Graph]
    loss: Callable[..., tuple[Terms, tuple[Posterior, Any]]]

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of the latent numbers of a graph."""
        return (self.settings.latent,)


@functools.cache
def make(space: str, settings: Settings) -> DVAESpec:
    """A model for a space of `graph_inputs.SPECS`.

    Raises:
      ConfigError: there is no such space, or a setting does not fit.
    """
    form = graph_inputs.spec(space)
    if min(settings.width, settings.latent) < 1 or settings.kl_weight < 0:
        raise errors.ConfigError(
            f"width = {settings.width} and latent = {settings.latent} must be at least "
            f"1, kl_weight = {settings.kl_weight} at least 0"
        )
    return DVAESpec(
        form,
        settings,
        functools.partial(_init, form, settings),
        functools.partial(_encode, form, settings),
        functools.partial(_decode, form),
        functools.partial(_loss, form, settings),
    )


def variant(name: str, **changes: Any) -> Settings:
    """The settings of a variant, some of them changed.

    Raises:
      ConfigError: there is no such variant or setting.
    """
    if name not in VARIANTS:
        raise errors.unknown_name("variant of D-VAE", name, VARIANTS)
    for key in changes:
        if key not in Settings._fields:
            raise errors.unknown_name("setting of D-VAE", key, Settings._fields)
    return VARIANTS[name]._replace(**changes)


def embed(model: DVAESpec, weights: Weights, inputs: GraphInputs) -> Array:
    """The embedding `[B, D]`: the posterior mean."""
    return model.encode(weights, inputs, False)[0].mean


def _init(form: GraphSpec, settings: Settings, key: Key) -> Weights:
    keys = jax.random.split(key, 6)
    width, latent = settings.width, settings.latent
    encoder = {"forward": asynchronous.init(keys[0], form.num_ops, width)}
    if settings.bidirectional:
        encoder["backward"] = asynchronous.init(keys[1], form.num_ops, width)
        encoder["join"] = linear.init(keys[2], 2 * width, width)
    heads = {
        name: linear.init(key_head, width, latent)
        for name, key_head in (("mean", keys[3]), ("log_variance", keys[4]))
    }
    return Weights(
        encoder, heads, decoder.init(keys[5], form.num_ops, latent, width), {}
    )


def _encode(
    form: GraphSpec,
    settings: Settings,
    weights: Weights,
    inputs: GraphInputs,
    train: bool,
) -> tuple[Posterior, Any]:
    del train
    nodes, adjacency, real = _vertices_first(form, inputs)
    params = weights.encoder
    # The last real vertex is the output.
    last = real * (1 - jnp.concatenate([real[1:], jnp.zeros_like(real[:1])]))
    passed = _pass(params["forward"], nodes, jnp.swapaxes(adjacency, 0, 1))
    state = jnp.sum(last[..., None] * passed, axis=0)
    if settings.bidirectional:
        # From the last vertex to the first, along u <- v.
        turned = _pass(params["backward"], nodes[::-1], adjacency[::-1, ::-1])
        both = jnp.concatenate([state, turned[-1]], axis=1)
        state = linear.apply(params["join"], both)
    mean = linear.apply(weights.heads["mean"], state)
    log_sigma = linear.apply(weights.heads["log_variance"], state) / 2
    return Posterior(mean, log_sigma), weights.statistics


def _pass(params: Any, nodes: Array, edges: Array) -> Array:
    """States `[N, B, H]`; `edges[v, u]` for messages from u to v."""
    given = asynchronous.read_ops(params, nodes)
    nothing = jnp.zeros_like(given[0, :, : given.shape[2] // 3])
    return asynchronous.propagate(params, given, edges, nothing).states


def _decode(form: GraphSpec, weights: Weights, z: Array) -> Graph:
    graph = decoder.generate(
        weights.decoder, z, size=form.num_nodes, num_ops=form.num_ops
    )
    if not _has_two_inputs(form):
        return graph
    return graph._replace(adjacency=graph.adjacency.at[:, 0, 1].set(0))


def _loss(
    form: GraphSpec,
    settings: Settings,
    key: Key,
    weights: Weights,
    inputs: GraphInputs,
    train: bool,
    warmth: Array | float = 1.0,
) -> tuple[Terms, tuple[Posterior, Any]]:
    posterior, statistics = _encode(form, settings, weights, inputs, train)
    z, log_sigma = posterior
    if train:
        noise = random_bits.normal(key, z.shape).astype(z.dtype)
        z = z + jnp.exp(log_sigma) * noise
    ops, edges = decoder.likelihood(weights.decoder, z, *_vertices_first(form, inputs))
    kl = divergence(posterior.mean, log_sigma).mean()
    terms = Terms(ops.mean(), edges.mean(), warmth * settings.kl_weight * kl)
    return terms, (posterior, statistics)


def _vertices_first(form: GraphSpec, inputs: GraphInputs) -> tuple[Array, Array, Array]:
    """nodes `[N, B, K]`, adjacency `[N, N, B]` from u to v, real `[N, B]`."""
    adjacency = jnp.asarray(inputs.adjacency)
    if _has_two_inputs(form):
        adjacency = adjacency.at[:, 0, 1].set(1)
    return (
        jnp.swapaxes(inputs.nodes, 0, 1),
        jnp.moveaxis(adjacency, 0, 2),
        inputs.real.T,
    )


def _has_two_inputs(form: GraphSpec) -> bool:
    return form.space == "darts_shared"
