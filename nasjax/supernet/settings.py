"""Settings of the three stages; the defaults are the thesis' on CIFAR-10.

Where the thesis is silent the choice is DARTS' (Liu et al., 2019). jax is loaded when
values are checked, not to know the defaults: a command line lists them at once.
"""

import dataclasses
from typing import Any

from nasjax.core import errors

INTERLEAVES = ("step", "epoch")
SCHEDULES = ("cosine", "step")


@dataclasses.dataclass(frozen=True)
class Training:
    """Supernet training.

    Attributes:
      epochs: passes over the weights' part of the training set.
      warmup_epochs: of them, how many leave alpha and beta alone at the start.
      train_fraction: part of the training set for the weights; the rest is for alpha
        and beta.
      learning_rate: of the weights, SGD, falling to 0 along a cosine.
      momentum: of the weights.
      weight_decay: of the weights.
      clip: largest global norm of the weights' gradient; 0 for none.
      arch_learning_rate: of alpha and beta, Adam.
      arch_weight_decay: L2, added to the gradient.
      arch_beta1: Adam's first decay rate.
      order: "first", "exact" or "finite_differences" (second order).
      interleave: "step" updates alpha and beta before each weight step (algorithm 1);
        "epoch" trains the weights on their part first, then alpha and beta on theirs
        (the thesis' text).
      sigma: decay of the update probability, a name in `bilevel.DECAYS`.
      zero_after: fraction of the training after which the probability is 0.
    """

    epochs: int = 100
    warmup_epochs: int = 10
    train_fraction: float = 0.8
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    arch_learning_rate: float = 3e-4
    arch_weight_decay: float = 1e-3
    arch_beta1: float = 0.5
    order: str = "first"
    interleave: str = "step"
    sigma: str = "cosine"
    zero_after: float = 1.0

    def __post_init__(self) -> None:
        from nasjax.supernet import bilevel

        _choose("training.order", self.order, bilevel.ORDERS)
        _choose("training.interleave", self.interleave, INTERLEAVES)
        _choose("training.sigma", self.sigma, bilevel.DECAYS)
        _at_least("training.epochs", self.epochs, 1)
        _positive("training", self, "learning_rate", "arch_learning_rate")
        if self.warmup_epochs >= min(self.epochs, self.zero_after * self.epochs):
            raise errors.ConfigError(
                f"training.warmup_epochs={self.warmup_epochs} leaves no epoch in which "
                f"alpha and beta are trained (training.epochs={self.epochs}, "
                f"training.zero_after={self.zero_after})"
            )
        if not 0.0 < self.train_fraction < 1.0:
            raise errors.ConfigError(
                f"training.train_fraction={self.train_fraction} must lie between 0 and "
                "1: both the weights and the architecture need images"
            )


@dataclasses.dataclass(frozen=True)
class Masking:
    """Hierarchical masking.

    Attributes:
      epochs: passes over the whole training set.
      decay_epoch: from here on the learning rates are a tenth.
      weight_travel: how far Adam can move a weight's score before `decay_epoch`.
      arch_travel: the same for operations and edges; see `masking.rates`.
      threshold: tau.
      mode: "multiply" or "renormalize", see `mixing.coefficients`.
      recalibration_batches: batches that re-estimate the BN statistics of the masked
        network; 0 keeps the running ones.
    """

    epochs: int = 20
    decay_epoch: int = 10
    weight_travel: float = 0.391
    arch_travel: float = 0.0391
    threshold: float = 5e-3
    mode: str = "multiply"
    recalibration_batches: int = 50

    def __post_init__(self) -> None:
        from nasjax.supernet import masking, mixing

        _choose("masking.mode", self.mode, mixing.MODES)
        _at_least("masking.epochs", self.epochs, 1)
        _at_least("masking.decay_epoch", self.decay_epoch, 1)
        _at_least("masking.recalibration_batches", self.recalibration_batches, 0)
        _positive("masking", self, "weight_travel", "arch_travel")
        if self.threshold > masking.INITIAL_SCORE:
            raise errors.ConfigError(
                f"masking.threshold={self.threshold} is above the initial score "
                f"{masking.INITIAL_SCORE}: everything would be masked from the start"
            )


@dataclasses.dataclass(frozen=True)
class Finetuning:
    """Fine-tuning of the unmasked weights.

    Attributes:
      epochs: passes over the whole training set.
      learning_rate: SGD.
      schedule: "cosine" to 0, or "step": a tenth from `decay_epoch` on.
      decay_epoch: see `schedule`.
      momentum: of the weights.
      weight_decay: of the weights.
      clip: largest global norm of the gradient; 0 for none.
      cutout: whether the data set's cutout is on.
      affine: add a trained scale and bias to the BNs of cells, starting at 1 and 0.
      num_classes: fine-tune on the data set with this many classes, with a new dense
        classifier (ImageNet: search on 100, fine-tune on 1,000); 0: keep.
    """

    epochs: int = 200
    learning_rate: float = 0.025
    schedule: str = "cosine"
    decay_epoch: int = 30
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    cutout: bool = True
    affine: bool = False
    num_classes: int = 0

    def __post_init__(self) -> None:
        _choose("finetuning.schedule", self.schedule, SCHEDULES)
        _at_least("finetuning.epochs", self.epochs, 1)
        _positive("finetuning", self, "learning_rate")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of the whole of algorithm 1.

    Attributes:
      training: of the supernet.
      masking: of hierarchical masking.
      finetuning: of fine-tuning.
    """

    training: Training = dataclasses.field(default_factory=Training)
    masking: Masking = dataclasses.field(default_factory=Masking)
    finetuning: Finetuning = dataclasses.field(default_factory=Finetuning)


def _choose(name: str, value: str, known: Any) -> None:
    if value not in known:
        raise errors.unknown_name(name, value, known)


def _positive(section: str, values: Any, *names: str) -> None:
    for name in names:
        if not getattr(values, name) > 0:
            raise errors.ConfigError(
                f"{section}.{name}={getattr(values, name)} must be above 0"
            )


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise errors.ConfigError(f"{name}={value} must be at least {least}")
