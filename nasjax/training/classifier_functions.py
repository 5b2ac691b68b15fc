"""The compiled functions with which an image classifier is trained and measured."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from nasjax import data
from nasjax.core.types import Array
from nasjax.networks.classifier import Classifier, Params, Statistics
from nasjax.training.classifier_settings import ClassifierSettings

Network = Callable[[Any], Classifier]
"""An architecture's network; the architecture is an argument of compiled functions, so
a network whose operations are data compiles once for all of them. One that has to be
built anew for each architecture ignores the argument."""


class ClassifierFunctions(NamedTuple):
    """The compiled functions of a network and its settings.

    Attributes:
      optimizer: see `ClassifierSettings.optimizer`.
      update: `(variables, arch, batch, key, drop_path) -> variables`, where variables
        are params, statistics, optimizer and totals, which are given away.
      evaluate: `(params, statistics, arch, batch) -> (summed loss, correct images)`.
    """

    optimizer: optax.GradientTransformation
    update: Callable[..., Any]
    evaluate: Callable[..., tuple[Array, Array]]


@functools.lru_cache(maxsize=4)
def functions(
    network: Network, settings: ClassifierSettings, steps_per_epoch: int
) -> ClassifierFunctions:
    """The functions of a network; those used last are kept compiled."""
    optimizer = settings.transformation(steps_per_epoch)

    def loss(  # type: ignore[no-untyped-def]
        params, statistics, arch, batch, key, drop_path
    ):
        outputs, statistics = network(arch).apply(
            params,
            statistics,
            batch.images,
            train=True,
            key=key,
            drop_path=drop_path,
        )
        smooth = functools.partial(_smoothed, smoothing=settings.label_smoothing)
        total = smooth(outputs.logits, batch.labels).mean()
        if outputs.auxiliary is not None:
            auxiliary = smooth(outputs.auxiliary, batch.labels).mean()
            total += settings.auxiliary_weight * auxiliary
        plain, correct = _scores(outputs.logits, batch.labels)
        return total, (statistics, plain.mean(), correct.sum())

    def update(variables, arch, batch, key, drop_path):  # type: ignore[no-untyped-def]
        params, statistics, state, totals = variables
        gradient, (statistics, plain, correct) = jax.grad(loss, has_aux=True)(
            params, statistics, arch, batch, key, drop_path
        )
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        totals = totals.add(plain, correct, batch.labels.shape[0])
        return params, statistics, state, totals

    def evaluate(params, statistics, arch, batch):  # type: ignore[no-untyped-def]
        outputs, _ = network(arch).apply(params, statistics, batch.images, train=False)
        losses, correct = _scores(outputs.logits, batch.labels)
        return (losses * batch.weights).sum(), (correct * batch.weights).sum()

    # Without paths to drop their probability is a number that the network can see.
    static = () if settings.drop_path else ("drop_path",)
    return ClassifierFunctions(
        optimizer,
        jax.jit(update, donate_argnums=0, static_argnames=static),
        jax.jit(evaluate),
    )


def _smoothed(logits: Array, labels: Array, *, smoothing: float) -> Array:
    """Cross-entropy `[N]` with a share of the target spread over all classes."""
    losses, _ = _scores(logits, labels)
    if not smoothing:
        return losses
    everywhere = -jax.nn.log_softmax(logits).mean(axis=1)
    return (1 - smoothing) * losses + smoothing * everywhere


def _scores(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Cross-entropy in nats and whether it is right, of each image `[N]`."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses, logits.argmax(axis=1) == labels


def measure(
    functions: ClassifierFunctions,
    params: Params,
    statistics: Statistics,
    arch: Any,
    split: data.Split,
    batch_size: int,
) -> tuple[float, float]:
    """Mean loss and accuracy of a split, with the running statistics."""
    totals = [
        functions.evaluate(params, statistics, arch, batch)
        for batch in split.eval_batches(batch_size=batch_size)
    ]
    # Fetched at the end, so that the device is never waited for in between.
    loss, correct = (
        sum(map(float, column)) for column in zip(*jax.device_get(totals), strict=True)
    )
    return loss / len(split), correct / len(split)
