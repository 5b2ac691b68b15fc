"""Masked operations: what is corrupted, and what predicting it costs (section 4.3)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import hashed_bits
from nasjax.core.types import Array, Key
from nasjax.encoders.cate.model import Inputs, PairModel, paired

MASKED = 0.8
"""Of the corrupted operations become [MASK], the others any operation."""
SMOOTHING = 0.1
"""Of the labels of the published code."""


class Labels(NamedTuple):
    """Of the positions of pairs.

    Attributes:
      ids: int32 `[2 N, B]`, of the operations before corruption.
      chosen: bool `[2 N, B]`, whether they are predicted.
    """

    ids: Array
    chosen: Array


class Terms(NamedTuple):
    """Sums `[]` over predicted operations.

    Attributes:
      loss: in nats.
      correct: how many are the most likely ones.
      labels: how many there are.
    """

    loss: Array
    correct: Array
    labels: Array


def corrupt(key: Key, model: PairModel, inputs: Inputs) -> tuple[Inputs, Labels]:
    """Inputs of 2 B graphs with corrupted tokens, and their labels.

    Each position, independently; "thesis": but no padding. "released": padding too, and
    id 0 is corrupted but not predicted.
    """
    settings, tokens = model.settings, inputs.tokens
    seeds = jax.random.bits(key, (3,), jnp.uint32)
    shape = tokens.shape
    chosen = hashed_bits.bernoulli(seeds[0], settings.corruption, shape) & inputs.real
    masked = hashed_bits.bernoulli(seeds[1], MASKED, shape)
    drawn = hashed_bits.integers(seeds[2], model.form.num_ops, shape)
    replaced = jnp.where(masked, model.tokens.mask, drawn)
    corrupted = inputs._replace(tokens=jnp.where(chosen, replaced, tokens))
    if settings.rules == "released":
        chosen = chosen & (tokens != model.tokens.pad)
    return corrupted, Labels(paired(tokens, axis=0), paired(chosen, axis=0))


def terms(model: PairModel, logits: Array, labels: Labels) -> Terms:
    """Of logits `[K, 2 N, B]`.

    "thesis": cross-entropy. "released": the divergence from a target of .9 on the
    label, 0 on id 0, and the rest shared by the others.
    """
    log_probs = jax.nn.log_softmax(logits, axis=0)
    count = logits.shape[0]
    target = jax.nn.one_hot(labels.ids, count, axis=0, dtype=logits.dtype)
    if model.settings.rules == "released":
        share = SMOOTHING / (count - 2)
        target = target * (1 - SMOOTHING - share) + share
        target = target.at[0].set(0)
    # x log x of the target itself, 0 at 0: nothing of it depends on the weights.
    entropy = jnp.where(
        target > 0, target * jnp.log(jnp.where(target > 0, target, 1)), 0
    )
    each = jnp.sum(entropy - target * log_probs, axis=0)
    chosen = labels.chosen
    correct = (jnp.argmax(logits, axis=0) == labels.ids) & chosen
    return Terms(
        jnp.sum(jnp.where(chosen, each, 0)),
        jnp.sum(correct, dtype=jnp.int32),
        jnp.sum(chosen, dtype=jnp.int32),
    )
