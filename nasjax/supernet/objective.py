"""The one differentiated function of all three stages.

Its arguments are effective quantities: weights and mixing coefficients after softmaxes
and masks. Supernet training, masking and fine-tuning chain it with their own small
maps, so a process compiles a single forward and backward pass of the network.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core.types import Array, Tree
from nasjax.supernet import network, spec


class Gradients(NamedTuple):
    """What one training batch returns.

    Attributes:
      loss: `[]`, mean cross-entropy in nats.
      correct: `[]`, number of images classified correctly.
      params: gradient of the loss in the effective weights.
      mixing: `[A, E, O]`, gradient in the mixing coefficients.
      statistics: BN running moments after the batch.
    """

    loss: Array
    correct: Array
    params: Tree
    mixing: Array
    statistics: Tree


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Cross-entropy of each image `[N]` in nats."""
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probs, labels[:, None], axis=1)[:, 0]


def loss(
    params: Tree,
    mixing: Array,
    statistics: Tree,
    images: Array,
    labels: Array,
    *,
    net: spec.SupernetSpec,
) -> tuple[Array, tuple[Array, Tree]]:
    """Mean training loss with batch statistics, and (correct, new statistics)."""
    logits, new = network.apply(params, statistics, mixing, images, net=net, train=True)
    correct = (logits.argmax(-1) == labels).sum()
    return cross_entropy(logits, labels).mean(), (correct, new)


@functools.partial(jax.jit, static_argnames="net")
def gradients(
    params: Tree,
    mixing: Array,
    statistics: Tree,
    images: Array,
    labels: Array,
    *,
    net: spec.SupernetSpec,
) -> Gradients:
    """Loss of one batch and its gradients in weights and mixing coefficients.

    Args:
      params: effective weights.
      mixing: `[A, E, O]`.
      statistics: BN running moments.
      images: `[N, H, W, C]`, standardised.
      labels: int `[N]`.
      net: description of the network (static).
    """
    differentiate = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (value, (correct, new)), (d_params, d_mixing) = differentiate(
        params, mixing, statistics, images, labels, net=net
    )
    return Gradients(value, correct, d_params, d_mixing, new)


@functools.partial(jax.jit, static_argnames="net")
def evaluate(
    params: Tree,
    mixing: Array,
    statistics: Tree,
    images: Array,
    labels: Array,
    weights: Array,
    *,
    net: spec.SupernetSpec,
) -> tuple[Array, Array]:
    """Summed loss and number of correct images, with running BN statistics.

    Args:
      weights: `[N]`, 0 for padding images.
      params: see `gradients`; so are the others.
    """
    logits, _ = network.apply(params, statistics, mixing, images, net=net, train=False)
    correct = (logits.argmax(-1) == labels).astype(weights.dtype)
    return (cross_entropy(logits, labels) * weights).sum(), (correct * weights).sum()
