"""Minimisation within bounds by the BFGS method, one evaluation a step.

(Nocedal and Wright, 2006, algorithm 6.1.) A step that does not lower the value enough
is tried again, shorter; coordinates that their bounds hold back are left out. The
function appears once in the program, so that it is compiled once.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array

_DECREASE = 1e-4
"""Part of the decrease that the slope promises which a step must reach."""
_REACH = 1.0
"""Farthest move of a coordinate in one step."""
_SHORTEST = 1e-3
"""Part of a step below which nothing more is tried."""


class _Descent(NamedTuple):
    point: Array
    value: Array
    slope: Array
    inverse: Array  # approximation of the inverse Hessian [K, K]
    updates: Array
    direction: Array
    length: Array
    number: Array
    going: Array


def minimize(
    evaluate: Callable[[Array], tuple[Array, Array]],
    start: Array,
    low: Array,
    high: Array,
    *,
    steps: int,
    tolerance: float,
) -> Array:
    """The best point `[K]` found.

    Args:
      evaluate: `point [K] -> (value [], gradient [K])`; a value of NaN counts as too
        high.
      start: `[K]`, where to begin.
      low: `[K]`, lowest coordinates.
      high: `[K]`, highest coordinates.
      steps: at most so many evaluations.
      tolerance: the decrease of the value that is worth no step.
    """
    size = start.shape[0]
    eye = jnp.eye(size, dtype=start.dtype)
    zero = jnp.zeros((), start.dtype)
    begin = _Descent(
        point=start,
        value=jnp.full((), jnp.inf, start.dtype),
        slope=jnp.zeros_like(start),
        inverse=eye,
        updates=jnp.int32(0),
        direction=jnp.zeros_like(start),
        length=zero,
        number=jnp.int32(0),
        going=jnp.bool_(True),
    )

    def step(old: _Descent) -> _Descent:
        trial = jnp.clip(old.point + old.length * old.direction, low, high)
        value, slope = evaluate(trial)
        move, change = trial - old.point, slope - old.slope
        promised = old.slope @ move
        first = old.number == 0
        accepted = first | (value <= old.value + _DECREASE * promised)
        inverse, updates = _update(old, move, change, accepted & ~first, eye)
        held = ((trial <= low) & (slope > 0)) | ((trial >= high) & (slope < 0))
        free = jnp.where(held, 0, slope)
        direction = jnp.where(held, 0, -inverse @ free)
        gain = -free @ direction
        direction *= jnp.minimum(
            1, _REACH / jnp.maximum(jnp.max(jnp.abs(direction)), _REACH)
        )
        # Along the rejected step the value is about a parabola.
        bend = value - old.value - promised
        share = jnp.clip(-promised / (2 * bend), 0.1, 0.5)
        shorter = old.length * jnp.where(jnp.isfinite(share), share, 0.1)
        new = _Descent(
            trial,
            value,
            slope,
            inverse,
            updates,
            direction,
            zero + 1,
            zero,
            zero,
        )
        chosen: _Descent = jax.tree.map(
            lambda a, b: jnp.where(accepted, a, b), new, old._replace(length=shorter)
        )
        going = jnp.where(accepted, gain > 2 * tolerance, shorter > _SHORTEST)
        return chosen._replace(number=old.number + 1, going=going)

    def goes_on(state: _Descent) -> Array:
        return state.going & (state.number < steps)

    return lax.while_loop(goes_on, step, begin).point


def _update(
    old: _Descent, move: Array, change: Array, moved: Array, eye: Array
) -> tuple[Array, Array]:
    """The inverse Hessian after a move (eq. 6.17, 6.20), and how often it changed."""
    curvature = move @ change
    length = jnp.sqrt((move @ move) * (change @ change))
    useful = moved & (curvature > 1e-6 * length)
    curvature = jnp.where(useful, curvature, 1)
    scale = curvature / jnp.where(useful, change @ change, 1)
    before = jnp.where(old.updates == 0, scale * eye, old.inverse)
    turn = eye - jnp.outer(move, change) / curvature
    after = turn @ before @ turn.T + jnp.outer(move, move) / curvature
    inverse = jnp.where(useful, after, old.inverse)
    return inverse, old.updates + useful.astype(jnp.int32)
