"""Batch normalisation of `[C, H, W, N]` maps written from its definition."""

import numpy as np


def normalize(x, *, scale=None, bias=None, epsilon=1e-5):
    """Every channel to mean 0 and variance 1 (nearly), then scaled and shifted."""
    y = np.empty_like(x)
    for c, values in enumerate(x):
        y[c] = (values - values.mean()) / np.sqrt(values.var() + epsilon)
        if scale is not None:
            y[c] = scale[c] * y[c] + bias[c]
    return y


def running(old_mean, old_var, x, *, momentum=0.1):
    """Exponential averages that take in one batch; the variance without bias."""
    mean = np.array([values.mean() for values in x])
    var = np.array([values.var(ddof=1) for values in x])
    keep = 1 - momentum
    return keep * old_mean + momentum * mean, keep * old_var + momentum * var
