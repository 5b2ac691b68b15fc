"""A whole training of a small network as one compiled call.

For tables of many small architectures: the architecture is data, so one program trains
all of them, and an epoch costs no dispatch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from nasjax.core.types import Array
from nasjax.training import optimizers


@dataclasses.dataclass(frozen=True)
class SGDSettings:
    """Nesterov's SGD with a cosine schedule over all steps.

    Attributes:
      learning_rate: at the first step.
      momentum: of the gradient.
      weight_decay: on all parameters.
    """

    learning_rate: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 5e-4


class Split(NamedTuple):
    """Batches: `images` `[S, H, W, C, B]`, `labels` int32 `[S, B]`."""

    images: Array
    labels: Array


class ScannedCurves(NamedTuple):
    """One value at the end of each epoch, `[E]`.

    Losses are means over images in nats; `correct` counts are int32. Training values
    are those of the batches as they were trained on, with the network of that moment.
    """

    train_loss: Array
    train_correct: Array
    valid_loss: Array
    valid_correct: Array
    test_loss: Array
    test_correct: Array


def train(
    params: Any,
    statistics: Any,
    apply: Callable[..., tuple[Array, Any]],
    train_split: Split,
    valid_split: Split,
    test_split: Split,
    *,
    recipe: SGDSettings,
) -> ScannedCurves:
    """Trains and evaluates after each epoch; pure, to be jitted by the caller.

    Args:
      params: initial parameters.
      statistics: initial running statistics.
      apply: `(params, statistics, images, *, train) -> (logits [K, B], statistics)`.
      train_split: batches with a leading epoch axis, `[E, S, ...]`.
      valid_split: batches evaluated after each epoch.
      test_split: batches evaluated after each epoch.
      recipe: optimizer and schedule.
    """
    num_epochs, num_steps = train_split.labels.shape[:2]
    optimizer = optimizers.sgd(
        optimizers.cosine(recipe.learning_rate, num_epochs * num_steps),
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )

    def loss(params, statistics, batch):  # type: ignore[no-untyped-def]
        logits, statistics = apply(params, statistics, batch.images, train=True)
        total, correct = _score(logits, batch.labels)
        return total / batch.labels.shape[0], (statistics, correct)

    def step(state, batch):  # type: ignore[no-untyped-def]
        params, statistics, slots = state
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, (statistics, correct)), g = gradient(params, statistics, batch)
        updates, slots = optimizer.update(g, slots, params)
        params = optax.apply_updates(params, updates)
        return (params, statistics, slots), (value, correct)

    def epoch(state, batches):  # type: ignore[no-untyped-def]
        state, (losses, correct) = lax.scan(step, state, batches)
        params, statistics, _ = state
        valid_loss, valid_correct = _evaluate(apply, params, statistics, valid_split)
        test_loss, test_correct = _evaluate(apply, params, statistics, test_split)
        return state, ScannedCurves(
            train_loss=losses.mean(),
            train_correct=correct.sum(),
            valid_loss=valid_loss,
            valid_correct=valid_correct,
            test_loss=test_loss,
            test_correct=test_correct,
        )

    state = params, statistics, optimizer.init(params)
    curves: ScannedCurves = lax.scan(epoch, state, train_split)[1]
    return curves


def _evaluate(  # type: ignore[no-untyped-def]
    apply, params, statistics, split: Split
) -> tuple[Array, Array]:
    """Mean loss and number of correct answers."""

    def batch(totals, batch):  # type: ignore[no-untyped-def]
        logits, _ = apply(params, statistics, batch.images, train=False)
        loss, correct = _score(logits, batch.labels)
        return (totals[0] + loss, totals[1] + correct), None

    zero = jnp.zeros((), split.images.dtype), jnp.int32(0)
    (loss, correct), _ = lax.scan(batch, zero, split)
    return loss / split.labels.size, correct


def _score(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Summed cross-entropy and correct answers of logits `[K, B]`."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits.T, labels)
    return losses.sum(), (logits.argmax(0) == labels).sum(dtype=jnp.int32)
