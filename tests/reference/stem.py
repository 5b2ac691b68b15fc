"""Evaluation of the stems of DARTS with running statistics, on `[C, H, W, N]` maps."""

import numpy as np
from reference import convolution


def conv_bn(params, statistics, i, x, stride):
    y = convolution.dense(x, params[f"conv{i}"], stride=stride)
    scale, bias = params[f"bn{i}"]["scale"], params[f"bn{i}"]["bias"]
    mean, var = statistics[f"bn{i}"]["mean"], statistics[f"bn{i}"]["var"]
    for c in range(len(y)):
        y[c] = (y[c] - mean[c]) / np.sqrt(var[c] + 1e-5) * scale[c] + bias[c]
    return y


def imagenet(params, statistics, x, *, convolutions):
    """Two convolutions give the input of stride 4, a third one that of stride 8."""
    y = conv_bn(params, statistics, 1, x, 2)
    first = conv_bn(params, statistics, 2, np.maximum(y, 0), 2)
    if convolutions == 2:
        return first, first
    return first, conv_bn(params, statistics, 3, np.maximum(first, 0), 2)
