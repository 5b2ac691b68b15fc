"""Optimisers with PyTorch's semantics, and learning-rate schedules.

Weight decay is L2: it is added to the gradient before momentum or Adam's moments, as
`torch.optim` does and as the search literature's settings assume (not AdamW).
"""

import jax
import optax

Array = jax.Array


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
