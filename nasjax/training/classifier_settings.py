"""Settings of the training of one image classifier, and the optimizer they mean.

jax is loaded to make an optimizer, not to know the defaults: a command line lists them
at once.
"""

import dataclasses
from typing import TYPE_CHECKING

from nasjax.core import errors

if TYPE_CHECKING:
    import optax

OPTIMIZERS = ("sgd", "rmsprop")
SCHEDULES = ("cosine", "cosine_by_epoch", "exponential", "constant")


@dataclasses.dataclass(frozen=True)
class ClassifierSettings:
    """The defaults are those of DARTS' evaluation on CIFAR-10 (Liu et al., 2019).

    Attributes:
      epochs: T; the schedule and the dropping of paths go by it.
      batch_size: B.
      optimizer: "sgd", or "rmsprop" with TensorFlow's semantics.
      learning_rate: at the first step.
      schedule: "cosine" to 0 by step, "cosine_by_epoch", "exponential" (a factor of
        `rate_decay` after every epoch) or "constant".
      rate_decay: see `schedule`.
      momentum: of either optimizer.
      nesterov: of SGD.
      square_decay: of RMSProp's mean square.
      epsilon: of RMSProp, inside the root.
      weight_decay: L2, on all parameters.
      clip: largest global norm of the gradient, before weight decay; 0 for none.
      label_smoothing: share of the target that is spread over all classes.
      auxiliary_weight: of the loss of the auxiliary head, where the network has one.
      drop_path: probability of dropping a path; grows from 0, linear in the epoch.
      augment: whether the data set's crop and flip are on.
      cutout: whether the data set's cutout is on.
      train_sample: training images that are evaluated for the training values; 0: these
        are means over the batches of the epoch as they were trained on.
    """

    epochs: int = 600
    batch_size: int = 96
    optimizer: str = "sgd"
    learning_rate: float = 0.025
    schedule: str = "cosine_by_epoch"
    rate_decay: float = 0.97
    momentum: float = 0.9
    nesterov: bool = False
    square_decay: float = 0.9
    epsilon: float = 1.0
    weight_decay: float = 3e-4
    clip: float = 5.0
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.4
    drop_path: float = 0.2
    augment: bool = True
    cutout: bool = True
    train_sample: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise errors.unknown_name("optimizer", self.optimizer, OPTIMIZERS)
        if self.schedule not in SCHEDULES:
            raise errors.unknown_name("schedule", self.schedule, SCHEDULES)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("epochs", "batch_size"):
                fits, wanted = value >= 1, "at least 1"
            elif field.name in ("learning_rate", "rate_decay", "epsilon"):
                fits, wanted = value > 0, "above 0"
            elif field.name in ("momentum", "square_decay", "drop_path") or (
                field.name == "label_smoothing"
            ):
                fits, wanted = 0 <= value < 1, "in [0, 1)"
            else:
                fits = isinstance(value, str) or value >= 0
                wanted = "not negative"
            if not fits:
                raise errors.ConfigError(
                    f"training.{field.name}={value} must be {wanted}"
                )

    def transformation(self, steps_per_epoch: int) -> "optax.GradientTransformation":
        """The optimizer with its schedule."""
        from nasjax.training import optimizers

        schedule = self._schedule(steps_per_epoch)
        if self.optimizer == "rmsprop":
            return optimizers.rmsprop(
                schedule,
                decay=self.square_decay,
                momentum=self.momentum,
                epsilon=self.epsilon,
                weight_decay=self.weight_decay,
                clip=self.clip,
            )
        return optimizers.sgd(
            schedule,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            clip=self.clip,
            nesterov=self.nesterov,
        )

    def _schedule(self, steps_per_epoch: int) -> "optax.Schedule":
        from nasjax.training import optimizers

        rate = self.learning_rate
        if self.schedule == "cosine":
            return optimizers.cosine(rate, self.epochs * steps_per_epoch)
        if self.schedule == "cosine_by_epoch":
            return optimizers.by_epoch(
                optimizers.cosine(rate, self.epochs), steps_per_epoch
            )
        if self.schedule == "exponential":
            return optimizers.by_epoch(
                optimizers.exponential(rate, self.rate_decay), steps_per_epoch
            )
        return optimizers.constant(rate)
