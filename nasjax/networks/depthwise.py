"""Depthwise convolution of one or several kernels a feature map.

    y[g,e,c,h,w,n] = sum_ij K[g,e,c,i,j] x[g, c, s h + d i - p, s w + d j - p, n]

with stride s, dilation d and the symmetric zero padding p = d (k - 1) / 2 of PyTorch
(at stride 2 this is not XLA's "SAME"). Three formulations: XLA's convolution; a product
with the banded matrix of the kernel for small images; a sum of shifted copies for
larger ones, whose three bilinear maps are each other's derivatives.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import formulation
from nasjax.core.types import Array

BANDED_PIXELS = 64
"""Largest H * W whose banded matrix is cheaper than shifted sums (measured on CPU)."""


def depthwise(x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1) -> Array:
    """Depthwise convolution, E kernels applied to the same feature map.

    Args:
      x: `[G, C, H, W, N]`, G independent feature maps.
      kernel: `[G, E, C, k, k]`, k odd.
      stride: 1 or 2; H and W must be divisible by it.
      dilation: distance of neighbouring taps.

    Returns:
      `[G, E, C, H / stride, W / stride, N]`.
    """
    if formulation.current() == formulation.LAX:
        return _convolution(x, kernel, stride, dilation)
    height, width = x.shape[2:4]
    if not is_banded(height, width):
        return _shifted(x, kernel, stride, dilation)
    taps = _taps(height, width, kernel.shape[-1], stride, dilation, kernel.dtype)
    convolved: Array = _banded(x, kernel, taps)
    return convolved


def is_banded(height: int, width: int) -> bool:
    """Whether maps of this size are multiplied with the banded matrix of the kernel.

    There zeros around a kernel cost next to nothing.
    """
    return formulation.current() == formulation.CPU and height * width <= BANDED_PIXELS


def _convolution(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    g, e, c, k, _ = kernel.shape
    pad = dilation * (k - 1) // 2
    y = lax.conv_general_dilated(
        x.reshape(g * c, *x.shape[2:]),
        kernel.transpose(3, 4, 0, 2, 1).reshape(k, k, 1, g * c * e),
        window_strides=(stride, stride),
        padding=[(pad, pad), (pad, pad)],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("CHWN", "HWIO", "CHWN"),
        feature_group_count=g * c,
    )
    return y.reshape(g, c, e, *y.shape[1:]).swapaxes(1, 2)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _taps(
    height: int, width: int, k: int, stride: int, dilation: int, dtype: jnp.dtype
) -> Array:
    """0/1 array `[k*k, H', W', H*W]`: the input pixel each tap of an output reads.

    Comparisons of counters, not a constant: those of a three-cell network are 13 MB of
    program, which every start would hash and read.
    """
    pad = dilation * (k - 1) // 2

    def reads(size: int) -> Array:
        tap, out, source = (
            lax.broadcasted_iota(jnp.int32, (k, size // stride, size), axis)
            for axis in range(3)
        )
        return stride * out + dilation * tap - pad == source

    rows = reads(height)
    columns = rows if width == height else reads(width)
    taps = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]
    return taps.reshape(k * k, *taps.shape[2:4], -1).astype(dtype)


# The taps are an argument, so that equal shapes of any dilation are traced once.
@jax.jit
def _banded(x: Array, kernel: Array, taps: Array) -> Array:
    g, c, height, width, n = x.shape
    e, k = kernel.shape[1], kernel.shape[-1]
    matrix = kernel.swapaxes(1, 2).reshape(-1, k * k) @ taps.reshape(k * k, -1)
    matrix = matrix.reshape(g * c, -1, height * width)
    y = lax.batch_matmul(matrix, x.reshape(g * c, height * width, n))
    return y.reshape(g, c, e, *taps.shape[1:3], n).swapaxes(1, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _shifted(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    k = kernel.shape[-1]
    rows = _tap_slices(x.shape[2], stride, dilation, k)
    columns = _tap_slices(x.shape[3], stride, dilation, k)

    def sum_taps(padded: Array, kernel: Array) -> Array:
        weight = kernel[..., None, None, None]
        terms = (
            weight[:, :, :, i, j] * padded[:, None, :, rows[i], columns[j]]
            for i in range(k)
            for j in range(k)
        )
        return functools.reduce(jnp.add, terms)

    padded = _pad(x, dilation * (k - 1) // 2)
    return formulation.compute_apart(sum_taps, padded, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _shifted_input(g: Array, kernel: Array, stride: int, dilation: int) -> Array:
    """Transpose of `_shifted` in `x`: from `[G, E, C, H', W', N]` to `x`'s shape."""
    groups, e, c, out_h, out_w, n = g.shape
    if stride > 1:  # zeros between the rows and columns that were read
        spread = [(0, 0, 0)] * 3 + [(0, stride - 1, stride - 1)] * 2 + [(0, 0, 0)]
        g = lax.pad(g, jnp.zeros((), g.dtype), spread)
    flipped = kernel[..., ::-1, ::-1].reshape(groups * e, 1, c, *kernel.shape[3:])
    per_kernel = _shifted(g.reshape(groups * e, *g.shape[2:]), flipped, 1, dilation)
    per_kernel = per_kernel.reshape(groups, e, *per_kernel.shape[2:])
    return functools.reduce(jnp.add, (per_kernel[:, i] for i in range(e)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _shifted_kernel(x: Array, g: Array, stride: int, dilation: int, k: int) -> Array:
    """Transpose of `_shifted` in the kernel: `[G, E, C, k, k]`.

    For each column tap j the products of rows of `g` with rows of the shifted `x` are
    one matrix product over (W', N); the k row taps are bands of it. One channel at a
    time, in blocks of rows, keeps the operands in the cache.
    """
    groups, e, c, out_h, out_w, n = g.shape
    pad = dilation * (k - 1) // 2
    block = next(b for b in (8, 7, 6, 5, 4, 3, 2, 1) if out_h % b == 0)
    rows = stride * (block - 1) + 1 + 2 * pad
    offset = stride * np.arange(block)[:, None] + dilation * np.arange(k)
    band = (offset[..., None] == np.arange(rows)).astype(np.float32)  # [block, k, rows]
    columns = _tap_slices(x.shape[3], stride, dilation, k)

    def one_channel(operands: tuple[Array, Array]) -> Array:
        image, cotangent = operands  # [H + 2p, W + 2p, N], [E, H', W', N]

        def one_column(j: int) -> Array:
            taps = image[:, columns[j]].reshape(image.shape[0], out_w * n)
            products = (
                lax.dot_general(
                    cotangent[:, t : t + block].reshape(e * block, out_w * n),
                    taps[stride * t : stride * t + rows],
                    (((1,), (1,)), ((), ())),
                )
                for t in range(0, out_h, block)
            )
            return functools.reduce(jnp.add, products).reshape(e, block, rows)

        gram = jnp.stack([one_column(j) for j in range(k)], axis=-1)
        return jnp.einsum("ebrj,bir->eij", gram, jnp.asarray(band, gram.dtype))

    grads = lax.map(
        one_channel,
        (
            _pad(x, pad).reshape(groups * c, x.shape[2] + 2 * pad, -1, n),
            g.swapaxes(1, 2).reshape(groups * c, e, out_h, out_w, n),
        ),
    )
    blocks: Array = grads.reshape(groups, c, e, k, k).swapaxes(1, 2)
    return blocks


def _pad(x: Array, pad: int) -> Array:
    return jnp.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad), (0, 0)))


def _tap_slices(size: int, stride: int, dilation: int, k: int) -> list[slice]:
    """The part of a padded axis that each tap reads."""
    length = size - stride + 1
    return [slice(i * dilation, i * dilation + length, stride) for i in range(k)]


# The three maps are bilinear and closed under transposition, so derivatives of any
# order stay inside this file and never fall back to XLA's generic ones.
def _shifted_fwd(x, kernel, stride, dilation):  # type: ignore[no-untyped-def]
    return _shifted(x, kernel, stride, dilation), (x, kernel)


def _shifted_bwd(stride, dilation, saved, g):  # type: ignore[no-untyped-def]
    x, kernel = saved
    return (
        _shifted_input(g, kernel, stride, dilation),
        _shifted_kernel(x, g, stride, dilation, kernel.shape[-1]),
    )


def _shifted_input_fwd(g, kernel, stride, dilation):  # type: ignore[no-untyped-def]
    return _shifted_input(g, kernel, stride, dilation), (g, kernel)


def _shifted_input_bwd(stride, dilation, saved, u):  # type: ignore[no-untyped-def]
    g, kernel = saved
    return (
        _shifted(u, kernel, stride, dilation),
        _shifted_kernel(u, g, stride, dilation, kernel.shape[-1]),
    )


def _shifted_kernel_fwd(x, g, stride, dilation, k):  # type: ignore[no-untyped-def]
    return _shifted_kernel(x, g, stride, dilation, k), (x, g)


def _shifted_kernel_bwd(stride, dilation, k, saved, v):  # type: ignore[no-untyped-def]
    x, g = saved
    return (
        _shifted_input(g, v, stride, dilation),
        _shifted(x, v, stride, dilation),
    )


_shifted.defvjp(_shifted_fwd, _shifted_bwd)
_shifted_input.defvjp(_shifted_input_fwd, _shifted_input_bwd)
_shifted_kernel.defvjp(_shifted_kernel_fwd, _shifted_kernel_bwd)
