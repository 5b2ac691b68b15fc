"""Pointwise and 3x3 convolutions, and the factorized reduction."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import formulation
from nasjax.core.types import Array


@jax.jit
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
    convolved: Array = pointwise(stacked, kernel.reshape(-1, kernel.shape[-1]))
    return convolved


def small3x3(x: Array, kernel: Array) -> Array:
    """3x3 convolution with padding 1 and stride 1, for maps that stay in the cache.

    On CPU a 4x4 map is one tile of Winograd's minimal filtering, 36 products instead
    of 144, and larger maps use `split3x3`; both copy less than `dense3x3`.

    Args:
      x: `[C_in, H, W, N]`.
      kernel: `[3, 3, C_in, C_out]`.

    Returns:
      `[C_out, H, W, N]`.
    """
    if formulation.current() == formulation.LAX:
        return dense3x3(x, kernel)
    return tile3x3(x, kernel) if x.shape[1:3] == (4, 4) else split3x3(x, kernel)


# Winograd's F(4x4, 3x3) (Lavin and Gray, 2016, section 4.2) in one dimension: how an
# input, a kernel and the products are transformed. The tile is 6 wide and the padding
# around the map is zero, so only the inner 4 columns of the input transform remain.
_INPUT = np.array(
    [
        [0, -5, 0, 1],
        [-4, -4, 1, 1],
        [4, -4, -1, 1],
        [-2, -1, 2, 1],
        [2, -1, -2, 1],
        [4, 0, -5, 0],
    ]
)
_KERNEL = (
    np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]])
    / 24
)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)


def tile3x3(x: Array, kernel: Array) -> Array:
    """`small3x3` of a 4x4 map: transform, 36 products of matrices, transform back.

    The transforms in both dimensions are one small matrix each, so that the gradient,
    their transposes, is as fast. Float32 errors are about ten times those of a sum of
    products.
    """
    c_in, _, _, number = x.shape
    c_out = kernel.shape[-1]
    to_tile, to_kernel, to_map = (
        jnp.asarray(np.kron(m, m), x.dtype) for m in (_INPUT, _KERNEL, _OUTPUT)
    )
    pixels = x.reshape(c_in, 16, number).swapaxes(0, 1).reshape(16, -1)
    tile = (to_tile @ pixels).reshape(36, c_in, number)
    kernels = (to_kernel @ kernel.reshape(9, -1)).reshape(36, c_in, c_out)
    products = jnp.matmul(kernels.swapaxes(1, 2), tile)
    result = (to_map @ products.reshape(36, -1)).reshape(16, c_out, number)
    return result.swapaxes(0, 1).reshape(c_out, 4, 4, number)


def split3x3(x: Array, kernel: Array) -> Array:
    """`small3x3` of any map: three rows of taps in, three columns out.

    The rows are stacked in the contraction and the columns in the output of one matrix
    product, followed by two shifted sums: 3 copies of the map instead of 9.
    """
    _, height, width, number = x.shape
    c_in, c_out = kernel.shape[2:]
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    rows = jnp.concatenate([padded[:, i : i + height] for i in range(3)])
    matrix = kernel.transpose(1, 3, 0, 2).reshape(3 * c_out, 3 * c_in)
    columns = matrix @ rows.reshape(3 * c_in, -1)
    columns = columns.reshape(3, c_out, height, width, number)
    edge = ((0, 0), (0, 0), (1, 1), (0, 0))
    left, right = jnp.pad(columns[0], edge), jnp.pad(columns[2], edge)
    return left[:, :, :width] + columns[1] + right[:, :, 2:]


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
