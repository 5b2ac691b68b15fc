"""Optimizers with PyTorch's or TensorFlow's semantics, and learning-rate schedules.

Weight decay is L2: it is added to the gradient before momentum or Adam's moments, as
`torch.optim` does and as the search literature's settings assume (not AdamW).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nasjax.core.types import Array


def sgd(
    schedule: optax.Schedule | float,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip: float = 0.0,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """SGD with momentum: m <- mu m + g + lambda w, w <- w - rate m.

    Args:
      schedule: learning rate, constant or by step.
      momentum: mu.
      weight_decay: lambda.
      clip: largest global norm of the gradient, before weight decay; 0 for none.
      nesterov: look ahead by one momentum step.
    """
    parts = [optax.clip_by_global_norm(clip)] if clip else []
    parts += [
        optax.add_decayed_weights(weight_decay),
        optax.trace(momentum, nesterov=nesterov),
        optax.scale_by_learning_rate(schedule),
    ]
    return optax.chain(*parts)


def adam(
    schedule: optax.Schedule | float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam on the gradient plus `weight_decay` times the parameter."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(beta1, beta2),
        optax.scale_by_learning_rate(schedule),
    )


class RMSPropState(NamedTuple):
    """Attributes:
    square: running mean of the squared gradient; starts at one.
    momentum: running sum of the steps.
    steps: int32 `[]`, how many were taken.
    """

    square: optax.Updates
    momentum: optax.Updates
    steps: Array


def rmsprop(
    schedule: optax.Schedule | float,
    *,
    decay: float = 0.9,
    momentum: float = 0.9,
    epsilon: float = 1.0,
    weight_decay: float = 0.0,
    clip: float = 0.0,
) -> optax.GradientTransformation:
    """RMSProp as TensorFlow 1 has it, which NAS-Bench-101 was trained with.

        s <- d s + (1 - d) g^2,  m <- mu m + rate g / sqrt(s + epsilon),  w <- w - m

    s starts at one, epsilon is inside the root and the momentum holds whole steps, so
    it remembers the rates that they were taken with; PyTorch differs in all three.

    Args:
      schedule: learning rate, constant or by step.
      decay: d.
      momentum: mu.
      epsilon: see above.
      weight_decay: L2, added to the gradient g.
      clip: largest global norm of the gradient, before weight decay; 0 for none.
    """

    def init(params: optax.Params) -> RMSPropState:
        ones, zeros = optax.tree.ones_like(params), optax.tree.zeros_like(params)
        return RMSPropState(ones, zeros, jnp.int32(0))

    def update(
        updates: optax.Updates, state: RMSPropState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, RMSPropState]:
        del params
        rate = schedule(state.steps) if callable(schedule) else schedule
        square = jax.tree.map(
            lambda s, g: decay * s + (1 - decay) * g**2, state.square, updates
        )
        moved = jax.tree.map(
            lambda m, g, s: momentum * m + rate * g / jnp.sqrt(s + epsilon),
            state.momentum,
            updates,
            square,
        )
        new = RMSPropState(square, moved, optax.safe_increment(state.steps))
        return jax.tree.map(jnp.negative, moved), new

    parts = [optax.clip_by_global_norm(clip)] if clip else []
    parts += [
        optax.add_decayed_weights(weight_decay),
        optax.GradientTransformation(init, update),
    ]
    return optax.chain(*parts)


def momentum_buffer(state: optax.OptState) -> optax.Params:
    """The buffer m of an `sgd` state, shaped like the parameters."""
    traces = [part for part in state if isinstance(part, optax.TraceState)]
    return traces[0].trace


def cosine(rate: float, steps: int) -> optax.Schedule:
    """From `rate` to 0 over `steps` along half a cosine (Loshchilov, Hutter, 2017)."""
    return optax.cosine_decay_schedule(rate, max(steps, 1))


def piecewise(rate: float, boundary: int, factor: float = 0.1) -> optax.Schedule:
    """`rate` before step `boundary`, `factor * rate` from there on."""
    return optax.piecewise_constant_schedule(rate, {boundary: factor})


def constant(rate: float) -> optax.Schedule:
    """`rate` at every step."""
    return optax.constant_schedule(rate)


def exponential(rate: float, factor: float = 0.97) -> optax.Schedule:
    """`rate * factor ** step`; `by_epoch` makes it one factor an epoch."""
    return optax.exponential_decay(rate, transition_steps=1, decay_rate=factor)


def by_epoch(schedule: optax.Schedule, steps_per_epoch: int) -> optax.Schedule:
    """The schedule as a function of the epoch that a step belongs to, from 0."""

    def rate(step: Any) -> Any:
        return schedule(step // steps_per_epoch)

    return rate
