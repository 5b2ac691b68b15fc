"""A NAS-Bench-201 network with one cell in plain numpy, `[N, H, W, C]`."""

import numpy as np

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def convolve(x, kernel):
    """Stride 1, padding k // 2; kernel `[k, k, C_in, C_out]`."""
    size, (height, width) = kernel.shape[0], x.shape[1:3]
    pad = size // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )


def average_pool(x):
    """3x3, padding not counted."""
    ones = np.ones_like(x[..., :1])
    kernel = np.ones((3, 3, 1, 1))
    total = np.concatenate(
        [convolve(x[..., c : c + 1], kernel) for c in range(x.shape[-1])], axis=-1
    )
    return total / convolve(ones, kernel)


def normalize(x, mean=None, var=None, epsilon=1e-5):
    if mean is None:
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(var + epsilon)


def cell(x, arch, kernels, moments=None):
    """`kernels` `[6, 3, 3, C, C]`; `moments` (mean, var) `[6, C]` or None for batch."""
    nodes = [x, 0, 0, 0]
    for k, (op, (source, target)) in enumerate(zip(arch, EDGES, strict=True)):
        value = nodes[source]
        own = () if moments is None else (moments[0][k], moments[1][k])
        if op == 0:
            value = np.zeros_like(x)
        elif op == 2:
            centre = kernels[k][1:2, 1:2]
            value = normalize(convolve(np.maximum(value, 0), centre), *own)
        elif op == 3:
            value = normalize(convolve(np.maximum(value, 0), kernels[k]), *own)
        elif op == 4:
            value = average_pool(value)
        nodes[target] = nodes[target] + value
    return nodes[3]
