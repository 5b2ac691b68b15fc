"""3x3 pooling with padding 1 as loops over windows of `[C, H, W, N]` maps."""

import numpy as np


def max_pool(x, *, stride=1):
    """Maximum of the real pixels of each window."""
    return _reduce(x, stride, lambda window: window.max((1, 2)))


def avg_pool(x, *, stride=1):
    """Mean of the real pixels of each window."""
    return _reduce(x, stride, lambda window: window.mean((1, 2)))


def max_pool_gradient(x, g, *, stride=1):
    """Each window's cotangent goes to its first largest pixel, row by row."""
    dx = np.zeros_like(x)
    for target, rows, columns in _windows(x, stride):
        window = x[:, rows, columns]
        for c, n in np.ndindex(len(x), x.shape[-1]):
            first = np.unravel_index(window[c, ..., n].argmax(), window.shape[1:3])
            dx[c, rows.start + first[0], columns.start + first[1], n] += g[
                c, *target, n
            ]
    return dx


def avg_pool_gradient(x, g, *, stride=1):
    """Each window's cotangent is spread evenly over its real pixels."""
    dx = np.zeros_like(x)
    for target, rows, columns in _windows(x, stride):
        window = dx[:, rows, columns]  # a view
        window += g[:, None, None, *target] / (window.shape[1] * window.shape[2])
    return dx


def _reduce(x, stride, function):
    y = np.zeros((len(x), x.shape[1] // stride, x.shape[2] // stride, x.shape[3]))
    for target, rows, columns in _windows(x, stride):
        y[:, *target] = function(x[:, rows, columns])
    return y


def _windows(x, stride):
    for h, w in np.ndindex(x.shape[1] // stride, x.shape[2] // stride):
        rows = slice(max(stride * h - 1, 0), stride * h + 2)
        yield (h, w), rows, slice(max(stride * w - 1, 0), stride * w + 2)
