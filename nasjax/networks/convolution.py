"""Pointwise and 3x3 convolutions, and the factorized reduction."""

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.networks import formulation

Array = jax.Array


def pointwise(x: Array, kernel: Array) -> Array:
    """1x1 convolution: one matrix product over the channels of every pixel.

    Args:
      x: `[..., C_in, H, W, N]`.
      kernel: `[..., C_in, C_out]`, leading axes as in `x`.

    Returns:
      `[..., C_out, H, W, N]`.
    """
    flat = x.reshape(*x.shape[:-3], -1)
    y = jnp.matmul(kernel.swapaxes(-1, -2), flat)
    return y.reshape(*y.shape[:-1], *x.shape[-3:])


def dense3x3(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """3x3 convolution with padding 1.

    Args:
      x: `[C_in, H, W, N]`, H and W divisible by `stride`.
      kernel: `[3, 3, C_in, C_out]`.
      stride: 1 or 2.

    Returns:
      `[C_out, H / stride, W / stride, N]`.
    """
    if formulation.current() == formulation.LAX:
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(stride, stride),
            padding=[(1, 1), (1, 1)],
            dimension_numbers=("CHWN", "HWIO", "CHWN"),
        )
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps_h = [slice(i, i + height - stride + 1, stride) for i in range(3)]
    taps_w = [slice(j, j + width - stride + 1, stride) for j in range(3)]
    patches = [padded[:, rows, columns] for rows in taps_h for columns in taps_w]
    stacked = jnp.concatenate(patches)  # [9 C_in, H', W', N], taps outermost
    return pointwise(stacked, kernel.reshape(-1, kernel.shape[-1]))


def factorized_reduction(x: Array, kernel1: Array, kernel2: Array) -> Array:
    """Halves H and W without losing pixels (Liu et al., 2019).

    Two stride-2 pointwise convolutions, the second on the input shifted by one pixel
    in both directions, concatenated over channels. ReLU and batch normalisation are
    the caller's.

    Args:
      x: `[..., C_in, H, W, N]`, H and W even.
      kernel1: `[..., C_in, C_out - C_out // 2]`.
      kernel2: `[..., C_in, C_out // 2]`.

    Returns:
      `[..., C_out, H / 2, W / 2, N]`.
    """
    even = pointwise(x[..., ::2, ::2, :], kernel1)
    odd = pointwise(x[..., 1::2, 1::2, :], kernel2)
    return jnp.concatenate([even, odd], axis=-4)
