"""CATE as a bundle of pure functions (thesis, sections 4.2 and 4.3).

Equations 4.2 to 4.5 have no norm and no residual. Such a stack does not train at depth
12: after 150 steps of Adam (rate 1e-3, 128 NAS-Bench-101 cells each, no dropout) masked
operations cost 1.39 nats and .33 are right. With the pre-norm blocks of
`core.attention`, which the published code has, it is 1.04 nats and .48, and the first
slope of the embeddings is 170 times larger. All variants have these blocks.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import attention, hashed_bits
from nasjax.core.attention import Sizes
from nasjax.core.types import Array, Key
from nasjax.encoders.cate import forms, masks
from nasjax.encoders.cate import settings as settings_
from nasjax.encoders.cate.settings import Settings
from nasjax.encoders.graph_inputs import GraphSpec

Weights = Any
"""Nested dicts of arrays."""
Encode = Callable[..., Array]


class Inputs(NamedTuple):
    """What the encoder reads of B graphs.

    Attributes:
      tokens: int32 `[N, B]`.
      relations: what rows attend, see `masks.relations`.
      real: bool `[N, B]`, False where positions are padding.
    """

    tokens: Array
    relations: tuple[Array, ...]
    real: Array


class Tokens(NamedTuple):
    """Ids beyond those of operations.

    Attributes:
      mask: stands in for a corrupted operation.
      pad: stands behind the last node.
      size: ids there are.
    """

    mask: int
    pad: int
    size: int


class PairModel(NamedTuple):
    """Pure functions of one variant on the graphs of one space.

    Attributes:
      form: of the graphs.
      settings: what it was made from.
      tokens: ids of [MASK] and [PAD].
      init: `(key) -> weights`.
      encode: `(weights, inputs, key=None) -> states [D, N, B]`, twice as many numbers
        for "bi". A key draws dropout, here and in `logits`.
      logits: `(weights, inputs of 2 B graphs, key=None) -> [K, 2 N, B]`: of the
        operations of pairs, graph b and graph B + b together.
    """

    form: GraphSpec
    settings: Settings
    tokens: Tokens
    init: Callable[[Key], Weights]
    encode: Encode
    logits: Encode


@functools.cache
def make(space: str, settings: Settings) -> PairModel:
    """A model for a space of `forms.FORMS`.

    Raises:
      ConfigError: there is no such space, or a setting does not fit.
    """
    form = forms.find(space)
    settings_.check(settings)
    count = form.num_ops
    released = settings.rules == "released"
    tokens = Tokens(1, 0, count) if released else Tokens(count, count + 1, count + 2)
    return PairModel(
        form,
        settings,
        tokens,
        functools.partial(_init, form, settings, tokens),
        functools.partial(_encode, settings),
        functools.partial(_logits, settings),
    )


def read(model: PairModel, ops: Array, adjacency: Array) -> Inputs:
    """Inputs of graphs: ids `[B, N]`, -1 on padding, and adjacency `[B, N, N]`."""
    ids = ops.astype(jnp.int32).T
    tokens = jnp.where(ids < 0, model.tokens.pad, ids)
    released = model.settings.rules == "released"
    real = jnp.ones(ids.shape, bool) if released else ids >= 0
    return Inputs(tokens, masks.relations(model.settings, adjacency), real)


def embed(model: PairModel, weights: Weights, inputs: Inputs) -> Array:
    """Encodings of architectures, float32 `[B, D]`, or `[B, 2 D]` for "bi".

    The state of the output node; for "bi" behind it the mean state of the input nodes
    of the reversed graph.
    """
    return readout(model, model.encode(weights, inputs), inputs)


def readout(model: PairModel, states: Array, inputs: Inputs) -> Array:
    """What `embed` takes from states `[D, N, B]`."""
    settings = model.settings
    if settings.rules == "released":
        return states[:, -1].T
    last = last_node(inputs)[None]
    output = jnp.sum(jnp.where(last, states[: settings.width], 0), axis=1)
    if settings.direction == "uni":
        return output.T
    sources = forms.NUM_INPUTS[model.form.space]
    source = states[settings.width :, :sources].mean(1)
    return jnp.concatenate([output, source]).T


def last_node(inputs: Inputs) -> Array:
    """Bool `[N, B]`, True at the last node of each graph, its output."""
    behind = jnp.zeros_like(inputs.real[:1])
    return inputs.real & ~jnp.concatenate([inputs.real[1:], behind])


def _width(settings: Settings) -> int:
    """Of the cross-attention encoder."""
    return settings.width * (2 if settings.direction == "bi" else 1)


def _init(form: GraphSpec, settings: Settings, tokens: Tokens, key: Key) -> Weights:
    keys = jax.random.split(key, 6)
    width, heads = _width(settings), settings.num_heads
    encoder = Sizes(settings.num_layers, settings.width, heads, settings.hidden)
    cross = Sizes(settings.num_cross_layers, width, heads, settings.cross_hidden)

    def linear(key: Key, inputs: int, outputs: int) -> Weights:
        limit = (6 / (inputs + outputs)) ** 0.5
        shape = (inputs, outputs)
        kernel = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
        return {"kernel": kernel, "bias": jnp.zeros(outputs)}

    def table(key: Key, count: int, width: int) -> Array:
        drawn: Array = jax.random.normal(key, (count, width)) * width**-0.5
        return drawn

    return {
        "ops": table(keys[0], tokens.size, settings.width),
        "segments": table(keys[1], 2, width),
        "encoder": attention.init(keys[2], encoder),
        "cross": attention.init(keys[3], cross),
        "head": {
            "hidden": linear(keys[4], width, width),
            "logits": linear(keys[5], width, form.num_ops),
        },
    }


def _encode(
    settings: Settings, weights: Weights, inputs: Inputs, key: Key | None = None
) -> Array:
    count = len(weights["ops"])
    one_hot = jax.nn.one_hot(inputs.tokens, count, axis=0, dtype=weights["ops"].dtype)
    # A product: the slope of a look-up adds row by row.
    x = weights["ops"].T @ one_hot.reshape(count, -1) * settings.width**0.5
    x = x.reshape(-1, *inputs.tokens.shape)
    states = []
    for index, relation in enumerate(inputs.relations):
        own = None if key is None else jax.random.fold_in(key, index)
        states.append(_stack(settings, "encoder", weights, x, relation, own))
    return jnp.concatenate(states) if len(states) > 1 else states[0]


def _logits(
    settings: Settings, weights: Weights, inputs: Inputs, key: Key | None = None
) -> Array:
    keys = (None, None, None) if key is None else tuple(jax.random.split(key, 3))
    x = paired(_encode(settings, weights, inputs, keys[0]), axis=1)
    segments = weights["segments"].T * _width(settings) ** 0.5
    x = x + jnp.repeat(segments, x.shape[1] // 2, axis=1)[:, :, None]
    real = paired(inputs.real, axis=0)
    visible = (real[:, None] & real[None])[None]
    x = _stack(settings, "cross", weights, x, visible, keys[1])
    head = weights["head"]
    hidden = jnp.tanh(_linear(head["hidden"], x))
    if keys[2] is not None:
        seed = jax.random.bits(keys[2], (), jnp.uint32)
        hidden = hashed_bits.drop(seed, settings.dropout, hidden)
    return _linear(head["logits"], hidden)


def paired(x: Array, *, axis: int) -> Array:
    """Both graphs of each pair side by side: the last axis 2 B becomes B."""
    return jnp.concatenate(jnp.split(x, 2, axis=-1), axis=axis)


def _stack(
    settings: Settings,
    name: str,
    weights: Weights,
    x: Array,
    relation: Array,
    key: Key | None,
) -> Array:
    """A stack of blocks behind the dropout of what it reads."""
    if key is not None:
        key_input, key = jax.random.split(key)
        seed = jax.random.bits(key_input, (), jnp.uint32)
        x = hashed_bits.drop(seed, settings.dropout, x)
    return attention.apply(
        weights[name],
        x,
        masks.heads(relation, settings.num_heads),
        num_heads=settings.num_heads,
        key=key,
        dropout=settings.dropout,
        uniform=settings.rules == "released",
    )


def _linear(linear: Weights, x: Array) -> Array:
    """`[out, N, B]` of `[in, N, B]`."""
    rows: Array = linear["kernel"].T @ x.reshape(x.shape[0], -1)
    rows += linear["bias"][:, None]
    return rows.reshape(-1, *x.shape[1:])
