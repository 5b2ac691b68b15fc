"""3x3 max and average pooling with padding 1, as the NAS search spaces use them.

Average pooling does not count padding; max pooling pads with minus infinity, and a tie
goes to the first tap in row-major order, as in PyTorch.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import formulation
from nasjax.core.types import Array


def max_pool(x: Array, *, stride: int = 1) -> Array:
    """3x3 maximum of `x` `[..., H, W, N]`: `[..., H / stride, W / stride, N]`."""
    if formulation.current() == formulation.LAX:
        return _window(x, stride, -jnp.inf, lax.max)
    best: Array = _max(x, stride)
    return best


def avg_pool(x: Array, *, stride: int = 1) -> Array:
    """3x3 mean over real pixels of `x` `[..., H, W, N]`; shapes as in `max_pool`."""
    inverse = _inverse_counts(x.shape[-3], x.shape[-2], stride).astype(x.dtype)
    inverse = inverse.reshape((1,) * (x.ndim - 3) + inverse.shape)
    if formulation.current() == formulation.LAX:
        return _window(x, stride, 0.0, lax.add) * inverse
    total: Array = _sum(x, stride)
    return total * inverse


# Jitted, so that maps of one shape are traced and lowered once a network.
@functools.partial(jax.jit, static_argnums=1)
def _max(x: Array, stride: int) -> Array:
    best, winner = lax.stop_gradient(_first_maximum(x, stride))
    return _won(x, best, winner, stride)


@functools.partial(jax.jit, static_argnums=1)
def _sum(x: Array, stride: int) -> Array:
    return _sum_window(x, stride)


def _window(x: Array, stride: int, initial: float, reducer) -> Array:  # type: ignore[no-untyped-def]
    ones = (1,) * (x.ndim - 3)
    reduced: Array = lax.reduce_window(
        x,
        np.asarray(initial, x.dtype),
        reducer,
        (*ones, 3, 3, 1),
        (*ones, stride, stride, 1),
        [(0, 0)] * len(ones) + [(1, 1), (1, 1), (0, 0)],
    )
    return reduced


def _inverse_counts(height: int, width: int, stride: int) -> np.ndarray:
    def count(size: int) -> np.ndarray:
        position = np.arange(0, size, stride)
        return np.minimum(position + 1, size - 1) - np.maximum(position - 1, 0) + 1

    inverse: np.ndarray = 1.0 / (count(height)[:, None, None] * count(width)[:, None])
    return inverse


def _pad(x: Array, value: float) -> Array:
    widths = [(0, 0, 0)] * (x.ndim - 3) + [(1, 1, 0), (1, 1, 0), (0, 0, 0)]
    return lax.pad(x, np.asarray(value, x.dtype), widths)


def _tap(padded: Array, i: int, j: int, stride: int) -> Array:
    height, width = padded.shape[-3] - 2, padded.shape[-2] - 2
    rows = slice(i, i + height - stride + 1, stride)
    return padded[..., rows, slice(j, j + width - stride + 1, stride), :]


def _first_maximum(x: Array, stride: int) -> tuple[Array, Array]:
    """The maximum, and the index 0..8 of its first tap as int8."""
    padded = _pad(x, -np.inf)
    best = _tap(padded, 0, 0, stride)
    winner = jnp.zeros(best.shape, jnp.int8)
    for t in range(1, 9):
        value = _tap(padded, t // 3, t % 3, stride)
        winner = lax.select(value > best, lax.full_like(winner, t), winner)
        best = lax.max(best, value)
    return best, winner


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _won(x: Array, best: Array, winner: Array, stride: int) -> Array:
    """`best`, as the function of `x` that reads the taps `winner`."""
    del x, winner, stride
    return best


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _select(x: Array, winner: Array, stride: int) -> Array:
    """The tap that `winner` names; linear in `x`."""
    padded = _pad(x, 0.0)
    value = _tap(padded, 0, 0, stride)
    for t in range(1, 9):
        tap = _tap(padded, t // 3, t % 3, stride)
        value = lax.select(_equals(winner, t), tap, value)
    return value


def _equals(winner: Array, t: int) -> Array:
    return lax.eq(winner, lax.full_like(winner, t))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _scatter(g: Array, winner: Array, stride: int) -> Array:
    """Transpose of `_select`: each input pixel sums the windows that it won."""
    g, winner = _spread(g, stride, 0), _spread(winner, stride, -1)
    zero = jnp.zeros_like(g)
    g, winner = _pad(g, 0.0), _pad(winner, -1)
    terms = (
        lax.select(
            _equals(_tap(winner, 2 - t // 3, 2 - t % 3, 1), t),
            _tap(g, 2 - t // 3, 2 - t % 3, 1),
            zero,
        )
        for t in range(9)
    )
    return functools.reduce(lax.add, terms)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sum_window(x: Array, stride: int) -> Array:
    """Sum of the 3x3 window, columns first."""
    height, width = x.shape[-3], x.shape[-2]
    padded = _pad(x, 0.0)
    columns = [slice(j, j + width - stride + 1, stride) for j in range(3)]
    sums = functools.reduce(lax.add, (padded[..., c, :] for c in columns))
    rows = [slice(i, i + height - stride + 1, stride) for i in range(3)]
    return functools.reduce(lax.add, (sums[..., rows[i], :, :] for i in range(3)))


def _sum_window_transpose(g: Array, stride: int) -> Array:
    # Symmetric window: the transpose is the same sum over the spread cotangent.
    return _sum_window(_spread(g, stride, 0), 1)


def _spread(x: Array, stride: int, fill: int) -> Array:
    """Inserts `stride - 1` rows and columns of `fill` after each row and column."""
    if stride == 1:
        return x
    spread = (0, stride - 1, stride - 1)
    config = [(0, 0, 0)] * (x.ndim - 3) + [spread, spread, (0, 0, 0)]
    return lax.pad(x, jnp.asarray(fill, x.dtype), config)


def _won_bwd(stride, winner, g):  # type: ignore[no-untyped-def]
    return _scatter(g, winner, stride), None, None


def _select_bwd(stride, winner, g):  # type: ignore[no-untyped-def]
    return _scatter(g, winner, stride), None


def _scatter_bwd(stride, winner, u):  # type: ignore[no-untyped-def]
    return _select(u, winner, stride), None


_won.defvjp(lambda x, best, w, stride: (_won(x, best, w, stride), w), _won_bwd)
_select.defvjp(lambda x, w, stride: (_select(x, w, stride), w), _select_bwd)
_scatter.defvjp(lambda g, w, stride: (_scatter(g, w, stride), w), _scatter_bwd)
_sum_window.defvjp(
    lambda x, stride: (_sum_window(x, stride), None),
    lambda stride, _, g: (_sum_window_transpose(g, stride),),
)
