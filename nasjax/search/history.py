"""What a run has evaluated, and its second opinion from another benchmark."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import errors
from nasjax.core.partials import as_partial
from nasjax.core.types import LAST, Array, Evaluation

SPLITS = ("valid", "test")


class History(struct.PyTreeNode):
    """All evaluations of one run in the order in which they were told.

    Sizes: H = steps x Q slots, G genes. Trials put an axis in front of every field.

    Attributes:
      archs: int32 `[H, G]`.
      epochs: int32 `[H]`, as asked for; `LAST`: to the end.
      mask: bool `[H]`, False where a slot was not used or is beyond the budget.
      valid: float32 `[H]`, what the search saw: -inf where masked or without a score.
      test: float32 `[H]`, NaN where masked or not recorded.
      seconds: float32 `[H]`, (simulated) seconds spent when the evaluation is complete,
        trainings one after another; NaN from where a cost is not recorded.
      trial: int32 `[H]`, name of the training.
      trained: int32 `[H]`, how many of its epochs were paid before; 0: it is new. Files
        of trials that do not have it are of searches that continued none.
    """

    archs: Array
    epochs: Array
    mask: Array
    valid: Array
    test: Array
    seconds: Array
    trial: Array
    trained: Array


def epochs_spent(history: History, last_epoch: int) -> Array:
    """int32 `[H]`, epochs that were trained by the end of each evaluation.

    What `budget_epochs` limits: a continued training costs its further epochs, and
    slots that do not count cost nothing.

    Args:
      history: of one run or of trials.
      last_epoch: how many epochs `LAST` stands for.
    """
    target = jnp.where(jnp.asarray(history.epochs) == LAST, last_epoch, history.epochs)
    spent = jnp.where(history.mask, target - history.trained, 0)
    return jnp.cumsum(spent, axis=-1)


def rescore(
    history: History,
    evaluate: Callable[[Array, Any], Evaluation],
    *,
    split: str = "test",
) -> History:
    """The same run with the test scores of another benchmark.

        table = nasbench.load(file, data_set="cifar10", schedule=200)
        rescore(history, jax.tree_util.Partial(TabularBenchmark.mean, table))

    `valid`, by which incumbents are chosen, stays what the search saw, and so does the
    clock.

    Args:
      history: of one run or of trials.
      evaluate: `(arch [G], epoch []) -> Evaluation`; the epoch is always `LAST`.
      split: which of its scores becomes `test`: "test" or "valid".

    Raises:
      ConfigError: there is no such split.
    """
    if split not in SPLITS:
        raise errors.unknown_name("split", split, SPLITS)
    archs = jnp.asarray(history.archs)
    flat = archs.reshape(-1, archs.shape[-1])
    scores = _score(as_partial(evaluate), flat, split).reshape(archs.shape[:-1])
    return history.replace(test=jnp.where(history.mask, scores, jnp.nan))


# One jitted function, for then the curves of all evaluations are never made.
def _score_all(evaluate: Any, archs: Array, split: str) -> Array:
    def score(arch: Array) -> Array:
        found: Array = getattr(evaluate(arch, jnp.int32(LAST)), split)
        return found

    return jax.vmap(score)(archs)


_score = jax.jit(_score_all, static_argnames="split")
