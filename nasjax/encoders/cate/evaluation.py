"""How well a pre-trained model predicts masked operations that it has not seen."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core.types import Array, Key
from nasjax.encoders.cate import model as models
from nasjax.encoders.cate import objective, training
from nasjax.encoders.cate.model import PairModel, Weights
from nasjax.encoders.cate.pretraining import Pretrained
from nasjax.encoders.cate.training import Data, TrainSettings

_CHUNK = 128
_ENDS = ("input", "output", "sum", "c_{k-2}", "c_{k-1}")
"""Nodes that are no choice: where they are follows from the edges."""


class Counts(NamedTuple):
    """Sums over predicted operations.

    Attributes:
      loss: `[]`, in nats.
      labels: int32 `[K]`, how many are of each operation.
      correct: int32 `[K]`, how many of these are the most likely ones.
    """

    loss: Array
    labels: Array
    correct: Array


def measure(key: Key, trained: Pretrained, *, num_pairs: int = 0) -> dict[str, float]:
    """Loss and accuracy on the held-out pairs, beside the most frequent operation.

    `guess` is the accuracy of always naming the most frequent operation of the training
    architectures. What `operations` says counts only nodes that were a choice: inputs,
    sums and outputs follow from the edges.

    Args:
      key: of pairs and corruption.
      trained: what is judged.
      num_pairs: how many pairs, up to a chunk; 0: all.
    """
    model, _, state, corpus = trained
    held_out = corpus.held_out
    found = count(
        key, model, trained.recipe, state.weights, held_out, num_pairs=num_pairs
    )
    ids = np.asarray(corpus.train.graphs.ops)
    frequent = np.bincount(ids[ids >= 0], minlength=model.form.num_ops)
    chosen = np.array([name not in _ENDS for name in model.form.op_names])
    labels, correct = np.asarray(found.labels), np.asarray(found.correct)

    def accuracy(of: np.ndarray) -> tuple[float, float]:
        total = max(int(labels[of].sum()), 1)
        guess = labels[np.argmax(np.where(of, frequent, -1))]
        return float(correct[of].sum() / total), float(guess / total)

    whole, guess = accuracy(np.ones_like(chosen))
    of_choices, guess_of_choices = accuracy(chosen)
    return {
        "loss": float(found.loss / max(labels.sum(), 1)),
        "accuracy": whole,
        "accuracy_guess": guess,
        "accuracy_operations": of_choices,
        "accuracy_operations_guess": guess_of_choices,
        "num_predicted": float(labels.sum()),
    }


def count(
    key: Key,
    model: PairModel,
    recipe: TrainSettings,
    weights: Weights,
    data: Data,
    *,
    num_pairs: int = 0,
) -> Counts:
    """Sums over pairs of some data, without dropout.

    Args:
      key: of pairs and corruption.
      model: of the weights.
      recipe: whose pairs are drawn.
      weights: what is judged.
      data: architectures with at least one pair.
      num_pairs: how many pairs, up to a chunk; 0: all.
    """
    total = len(data.places)
    size = min(num_pairs or total, total)
    chunk = min(_CHUNK, size)
    shape = (size // chunk, chunk)
    counted: Counts = _count(key, weights, data, model, recipe, shape)
    return counted


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _count(
    key: Key,
    weights: Weights,
    data: Data,
    model: PairModel,
    recipe: TrainSettings,
    shape: tuple[int, int],
) -> Counts:
    keys = jax.random.split(key, 3)
    order = jax.random.permutation(keys[0], len(data.places))[: shape[0] * shape[1]]
    batches = training.draw_pairs(keys[1], recipe, data)[:, order].reshape(2, *shape)
    batches = jnp.moveaxis(batches, 0, 1).reshape(shape[0], -1)

    def add(sums: Counts, xs: Any) -> tuple[Counts, None]:
        number, rows = xs
        graphs = jax.tree.map(lambda leaf: leaf[rows], data.graphs)
        inputs = models.read(model, graphs.ops, graphs.adjacency)
        own = jax.random.fold_in(keys[2], number)
        inputs, labels = objective.corrupt(own, model, inputs)
        logits = model.logits(weights, inputs)
        one_hot = jax.nn.one_hot(labels.ids, logits.shape[0], axis=0, dtype=jnp.int32)
        hits = one_hot * labels.chosen[None]
        right = jnp.argmax(logits, axis=0) == labels.ids
        found = Counts(
            objective.terms(model, logits, labels).loss,
            hits.sum((1, 2)),
            (hits * right[None]).sum((1, 2)),
        )
        return jax.tree.map(jnp.add, sums, found), None

    zeros = jnp.zeros(model.form.num_ops, jnp.int32)
    start = Counts(jnp.float32(0), zeros, zeros)
    return lax.scan(add, start, (jnp.arange(shape[0]), batches))[0]
