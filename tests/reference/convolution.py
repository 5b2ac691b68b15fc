"""Convolutions of NAS cells as loops over pixels and taps, and their transposes.

Feature maps are `[C, H, W, N]`. All maps are bilinear, so the gradients are the same
loops with the roles exchanged.
"""

import numpy as np


def depthwise(x, kernel, *, stride=1, dilation=1):
    """y[c, h, w] = sum_ij K[c, i, j] x[c, s h + d i - p, s w + d j - p]."""
    y = np.zeros((len(x), x.shape[1] // stride, x.shape[2] // stride, x.shape[3]))
    for target, source, i, j in _taps(x, kernel.shape[-1], stride, dilation):
        y[:, *target] += kernel[:, i, j, None] * x[:, *source]
    return y


def depthwise_gradients(x, kernel, g, *, stride=1, dilation=1):
    """Gradients of `(depthwise(x, kernel) * g).sum()` in `x` and `kernel`."""
    dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
    for target, source, i, j in _taps(x, kernel.shape[-1], stride, dilation):
        dx[:, *source] += kernel[:, i, j, None] * g[:, *target]
        dkernel[:, i, j] += (x[:, *source] * g[:, *target]).sum(-1)
    return dx, dkernel


def dense(x, kernel, *, stride=1):
    """Convolution with a `[k, k, C_in, C_out]` kernel, padding (k - 1) / 2."""
    y = np.zeros(
        (kernel.shape[-1], x.shape[1] // stride, x.shape[2] // stride, x.shape[3])
    )
    for target, source, i, j in _taps(x, kernel.shape[0], stride, 1):
        y[:, *target] += kernel[i, j].T @ x[:, *source]
    return y


def dense_gradients(x, kernel, g, *, stride=1):
    """Gradients of `(dense(x, kernel) * g).sum()` in `x` and `kernel`."""
    dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
    for target, source, i, j in _taps(x, kernel.shape[0], stride, 1):
        dx[:, *source] += kernel[i, j] @ g[:, *target]
        dkernel[i, j] += x[:, *source] @ g[:, *target].T
    return dx, dkernel


def factorized_reduction(x, kernel1, kernel2):
    """Two 1x1 convolutions of stride 2, the second one pixel further right and down."""
    y = np.zeros(
        (
            kernel1.shape[-1] + kernel2.shape[-1],
            x.shape[1] // 2,
            x.shape[2] // 2,
            x.shape[3],
        )
    )
    for h, w in np.ndindex(y.shape[1:3]):
        y[:, h, w] = np.concatenate(
            [kernel1.T @ x[:, 2 * h, 2 * w], kernel2.T @ x[:, 2 * h + 1, 2 * w + 1]]
        )
    return y


def _taps(x, k, stride, dilation):
    """(output pixel, input pixel, tap row, tap column) of every product."""
    _, height, width, _ = x.shape
    pad = dilation * (k - 1) // 2
    for h, w in np.ndindex(height // stride, width // stride):
        for i, j in np.ndindex(k, k):
            row = stride * h + dilation * i - pad
            column = stride * w + dilation * j - pad
            if 0 <= row < height and 0 <= column < width:
                yield (h, w), (row, column), i, j
