"""What the three stages of HM-NAS share: their images, scores and gradient step.

Each stage turns its state into effective weights and mixing coefficients, asks
`objective.gradients` for the one compiled derivative, and sends the result back through
its own small map: a softmax, a straight-through mask, a fixed mask. On CPU the pieces
are compiled one by one, so the large one is shared by all stages; on accelerators each
stage's step is fused into one program.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from nasjax.core import errors, formulation
from nasjax.core.types import Array, Tree
from nasjax.data import Batch, Split
from nasjax.networks import batch_norm
from nasjax.supernet import objective, spec

State = TypeVar("State")
Step = Callable[[State, Array, Array], State]
"""`(state, images, labels) -> state`."""


@dataclasses.dataclass(frozen=True)
class Images:
    """The splits of one stage and how batches are drawn from them.

    Attributes:
      train: what the loss is minimised on.
      valid: what alpha and beta are trained on (supernet training only).
      test: what rows and summaries report.
      batch_size: images a step.
      seed: position in the data is a function of (seed, step).
      cutout: whether the data set's cutout is on.
    """

    train: Split
    test: Split
    batch_size: int
    seed: int
    valid: Split | None = None
    cutout: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of `train`."""
        return self.train.steps_per_epoch(self.batch_size)

    def check_batch_size(self) -> None:
        """Raises `ConfigError` unless a batch fits into every training split."""
        self.train.check_batch_size(self.batch_size)
        if self.valid is not None and len(self.valid) < self.batch_size:
            raise errors.ConfigError(
                f"batch_size={self.batch_size} is larger than the {len(self.valid)} "
                "images that train the architecture; lower it, or "
                "training.train_fraction"
            )

    def batches(self, start: int) -> Iterator[Batch]:
        return self.train.train_batches(
            batch_size=self.batch_size,
            seed=self.seed,
            start_step=start,
            cutout=self.cutout,
        )

    def valid_batches(self, start: int) -> Iterator[Batch]:
        assert self.valid is not None
        return self.valid.train_batches(
            batch_size=self.batch_size, seed=self.seed + 1, start_step=start
        )


def test_scores(
    params: Tree,
    statistics: Tree,
    coefficients: Array,
    images: Images,
    *,
    net: spec.SupernetSpec,
) -> dict[str, float]:
    """Accuracy in [0, 1] and mean loss in nats on the test split."""

    def evaluate(batch: Batch) -> tuple[Array, Array]:
        found: tuple[Array, Array] = objective.evaluate(
            params, coefficients, statistics, *batch, net=net
        )
        return found

    return scores(evaluate, images)


def scores(
    evaluate: Callable[[Batch], tuple[Array, Array]], images: Images
) -> dict[str, float]:
    """The same of any network: `evaluate` returns summed loss and correct images."""
    total_loss = total_correct = 0.0
    for batch in images.test.eval_batches(batch_size=images.batch_size):
        loss, correct = evaluate(batch)
        total_loss += float(loss)
        total_correct += float(correct)
    count = len(images.test)
    return {"test_accuracy": total_correct / count, "test_loss": total_loss / count}


def recalibrate(
    params: Tree,
    statistics: Tree,
    coefficients: Array,
    images: Images,
    num_batches: int,
    *,
    net: spec.SupernetSpec,
) -> Tree:
    """BN statistics of this network: mean of the moments of `num_batches` batches.

    The running moments that masking leaves behind belong to a network whose masks were
    still changing.
    """
    if num_batches == 0:
        return statistics
    total = zero = jax.tree.map(jnp.zeros_like, statistics)
    batches = dataclasses.replace(images, cutout=False).batches(0)
    for _ in range(num_batches):
        batch = next(batches)
        # From zero running moments one update leaves MOMENTUM times the batch's.
        new = objective.gradients(
            params, coefficients, zero, batch.images, batch.labels, net=net
        ).statistics
        total = jax.tree.map(jnp.add, total, new)
    scale = 1.0 / (batch_norm.MOMENTUM * num_batches)
    mean: Tree = jax.tree.map(lambda x: x * scale, total)
    return mean


def _compiled(function: Step[State]) -> Step[State]:
    """Compiles a whole step on accelerators; on CPU its parts are compiled already."""
    if formulation.current() == formulation.CPU:
        return function
    compiled: Step[State] = jax.jit(function, donate_argnums=0)
    return compiled


def gradient_step(
    prepare: Callable[[State], tuple[Tree, Array]],
    finish: Callable[[State, objective.Gradients, int], State],
    net: spec.SupernetSpec,
) -> Step[State]:
    """prepare(state) -> (params, mixing); gradients; finish(state, gradients, N)."""
    prepare, finish = jax.jit(prepare), jax.jit(finish, static_argnums=2)

    def step(state: Any, images: Array, labels: Array) -> Any:
        params, coefficients = prepare(state)
        gradients = objective.gradients(
            params, coefficients, state.statistics, images, labels, net=net
        )
        return finish(state, gradients, len(labels))

    return _compiled(step)
