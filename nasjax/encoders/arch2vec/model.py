"""arch2vec and its baselines as bundles of pure functions (thesis, section 3.3)."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.encoders import graph_inputs, linear, random_bits
from nasjax.encoders.arch2vec import decoder, gcn, gin, message_passing, objective
from nasjax.encoders.arch2vec.decoder import Logits
from nasjax.encoders.autoencoder.interface import Posterior, Terms, Weights
from nasjax.encoders.graph_inputs import GraphInputs, GraphSpec


class Settings(NamedTuple):
    """Of a model and what it is trained for.

    Attributes:
      encoder: "gin" or "gcn".
      directed: the GIN keeps incoming and outgoing edges apart.
      messages: of the GIN: "dense", products with padded adjacency matrices, or
        "jraph", sums over edges. Same parameters and results; dense is faster on CPU.
      decoder: "inner_product" or "joint".
      objective: "elbo" or "released".
      kl_weight: of the divergence in the ELBO; at 0 there is no latent noise either.
      dropout: of the latent vectors in training.
      width: of the encoder's layers.
      num_layers: of the GIN, without the heads.
      latent: D, latent numbers of a node.
      decoder_width: of the joint decoder.
      points: where graphs are generated from: "scaled", N(0, I) fitted to the posterior
        means of the training set as in the thesis, or "prior", N(0, I) as it is.
    """

    encoder: str = "gin"
    directed: bool = False
    messages: str = "dense"
    decoder: str = "inner_product"
    objective: str = "elbo"
    kl_weight: float = 1.0
    dropout: float = 0.0
    width: int = 128
    num_layers: int = 4
    latent: int = 16
    decoder_width: int = 256
    points: str = "scaled"


SMALL_KL = 1 / 32
"""The weight to which the published loss amounts at its batch size of 32. With weight 1
the best encoder of equation 3.5 ignores the cell: an inner product of noisy latent
vectors costs more than it tells."""

VARIANTS: Mapping[str, Settings] = {
    "thesis": Settings(kl_weight=SMALL_KL),
    "released": Settings(objective="released", dropout=0.3),
    "improved": Settings(directed=True, decoder="joint", kl_weight=0.3, points="prior"),
    "without_kl": Settings(kl_weight=0.0),
    "gae": Settings(encoder="gcn", kl_weight=0.0),
    "vgae": Settings(encoder="gcn", kl_weight=SMALL_KL),
}
"""The rows of table 3.1. thesis: the equations. released: the published code, which
trains as an autoencoder without noise after its first epoch. improved: directed edges,
a decoder that sees the whole graph, a weight of the divergence chosen on NAS-Bench-201
with which the posteriors fill the prior, and points from that prior. The others are the
baselines, by the equations."""


class AutoencoderSpec(NamedTuple):
    """Pure functions of one variant on the graphs of one space.

    Attributes:
      form: of the graphs.
      settings: what it was made from.
      init: `(key) -> Weights`.
      encode: `(weights, inputs, train) -> (Posterior, statistics)`; `train` is static.
      decode: `(weights, z [B, N, D]) -> Logits`.
      loss: `(key, weights, inputs, train, warmth) -> (Terms, (Posterior, statistics))`;
        without `train` there is no noise, no dropout, and running moments normalise.
        `warmth` `[]` multiplies the divergence.
    """

    form: GraphSpec
    settings: Settings
    init: Callable[[Key], Weights]
    encode: Callable[[Weights, GraphInputs, bool], tuple[Posterior, Any]]
    decode: Callable[[Weights, Array], Logits]
    loss: Callable[..., tuple[Terms, tuple[Posterior, Any]]]

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """N and D: every node has latent numbers of its own."""
        return self.form.num_nodes, self.settings.latent


@functools.cache
def make(space: str, settings: Settings) -> AutoencoderSpec:
    """A model for a space of `graph_inputs.SPECS`.

    Raises:
      ConfigError: there is no such space or setting.
    """
    form = graph_inputs.spec(space)
    _check(settings)
    return AutoencoderSpec(
        form,
        settings,
        functools.partial(_init, form, settings),
        functools.partial(_encode, settings),
        functools.partial(_decode, form, settings),
        functools.partial(_loss, form, settings),
    )


def variant(name: str, **changes: Any) -> Settings:
    """The settings of a variant, some of them changed.

    Raises:
      ConfigError: there is no such variant or setting.
    """
    if name not in VARIANTS:
        raise errors.unknown_name("variant of arch2vec", name, VARIANTS)
    for key in changes:
        if key not in Settings._fields:
            raise errors.unknown_name("setting of arch2vec", key, Settings._fields)
    return VARIANTS[name]._replace(**changes)


def embed(model: AutoencoderSpec, weights: Weights, inputs: GraphInputs) -> Array:
    """The search embedding `[B, D]`: the mean over nodes of the posterior means.

    The thesis sums; at one number of nodes the two differ by a factor.
    """
    return model.encode(weights, inputs, False)[0].mean.mean(1)


def _check(settings: Settings) -> None:
    for field, known in _CHOICES.items():
        if getattr(settings, field) not in known:
            raise errors.unknown_name(
                f"{field} of arch2vec", getattr(settings, field), known
            )
    sizes = ("width", "num_layers", "latent", "decoder_width")
    if min(getattr(settings, size) for size in sizes) < 1:
        raise errors.ConfigError(f"{', '.join(sizes)} must be at least 1: {settings}")
    if not 0 <= settings.dropout < 1 or settings.kl_weight < 0:
        raise errors.ConfigError(
            f"dropout = {settings.dropout} must be in [0, 1), kl_weight = "
            f"{settings.kl_weight} at least 0"
        )


_CHOICES = {
    "encoder": ("gin", "gcn"),
    "messages": ("dense", "jraph"),
    "decoder": ("inner_product", "joint"),
    "objective": ("elbo", "released"),
    "points": ("scaled", "prior"),
}


def _init(form: GraphSpec, settings: Settings, key: Key) -> Weights:
    keys = jax.random.split(key, 4)
    directed = settings.directed
    sizes = gin.Sizes(form.num_ops, settings.num_layers, settings.width, directed)
    network = gin if settings.encoder == "gin" else gcn
    encoder, statistics = network.init(keys[0], sizes)
    heads = {
        name: linear.init(key_head, settings.width, settings.latent)
        for name, key_head in (("mean", keys[1]), ("log_sigma", keys[2]))
    }
    if settings.decoder == "joint":
        width = settings.decoder_width
        return Weights(
            encoder,
            heads,
            decoder.init_joint(keys[3], form, settings.latent, width),
            statistics,
        )
    params = decoder.init_inner_product(keys[3], form, settings.latent)
    return Weights(encoder, heads, params, statistics)


def _encode(
    settings: Settings, weights: Weights, inputs: GraphInputs, train: bool
) -> tuple[Posterior, Any]:
    given = (weights.encoder, weights.statistics, inputs.nodes, inputs.adjacency)
    if settings.encoder == "gin":
        layers = message_passing if settings.messages == "jraph" else gin
        hidden, statistics = layers.apply(*given, train=train)
        x = hidden[-1]
    else:
        x, statistics = gcn.apply(*given, train=train)
    # Both heads are one product.
    heads = [weights.heads[name] for name in ("mean", "log_sigma")]
    kernel = jnp.concatenate([head["kernel"] for head in heads], axis=1)
    bias = jnp.concatenate([head["bias"] for head in heads])
    moments = linear.product(x.reshape(-1, x.shape[-1]), kernel) + bias[None]
    mean, log_sigma = jnp.split(moments.reshape(*x.shape[:2], -1), 2, axis=-1)
    return Posterior(mean, log_sigma), statistics


def _decode(form: GraphSpec, settings: Settings, weights: Weights, z: Array) -> Logits:
    if settings.decoder == "joint":
        return decoder.joint(weights.decoder, form, z)
    return decoder.inner_product(weights.decoder, form, z)


def _loss(
    form: GraphSpec,
    settings: Settings,
    key: Key,
    weights: Weights,
    inputs: GraphInputs,
    train: bool,
    warmth: Array | float = 1.0,
) -> tuple[Terms, tuple[Posterior, Any]]:
    posterior, statistics = _encode(settings, weights, inputs, train)
    mean, log_sigma = posterior
    z = mean
    key_noise, key_dropout = jax.random.split(key)
    if train and settings.kl_weight:
        z = z + jnp.exp(log_sigma) * random_bits.normal(key_noise, z.shape).astype(
            z.dtype
        )
    if train and settings.dropout:
        kept = random_bits.bernoulli(key_dropout, 1 - settings.dropout, z.shape)
        z = jnp.where(kept, z / (1 - settings.dropout), 0)
    logits = _decode(form, settings, weights, z)
    if settings.objective == "released":
        terms = objective.released(inputs, logits, mean, log_sigma)
    else:
        terms = objective.negative_elbo(
            inputs, logits, mean, log_sigma, kl_weight=settings.kl_weight
        )
    terms = terms._replace(kl=warmth * terms.kl)
    return terms, (posterior, statistics)
