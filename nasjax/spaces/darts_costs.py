"""Parameters and multiply-accumulates of DARTS networks in closed form.

All counts add up over edges, so one small table for each network gives them by look-up.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array

_KERNELS = {3: 3, 4: 5, 5: 3, 6: 5}
_AVG_POOL, _SKIP, _FIRST_DILATED, _NUM_OPS = 1, 2, 5, 8


class Costs(NamedTuple):
    """Counts of one network for one image, int32 `[]`, without auxiliary head.

    Attributes:
      parameters: trainable parameters.
      macs: multiply-accumulates of the convolutions and the classifier.
      thop: what thop 0.1.1 reports, the unit in which CATE compares architectures:
        `macs`, 4 for each element of a batch normalisation, 1 for each output of an
        average pool, and the global pool.
    """

    parameters: Array
    macs: Array
    thop: Array


def costs(
    arch: Array,
    *,
    channels: int = 36,
    num_layers: int = 20,
    image_size: int = 32,
    num_classes: int = 10,
    stem: str = "cifar",
) -> Costs:
    """Counts of the evaluation network that stacks the cells of a genotype.

    Args:
      arch: int32 `[32]`, or `[16]` where one cell is both.
      channels: C of the first cell; doubled in the cells at 1/3 and 2/3 of the depth,
        which reduce the image.
      num_layers: number of cells.
      image_size: pixels a side.
      num_classes: outputs of the classifier.
      stem: "cifar" (3 x 3 convolution to 3C) or "imagenet" (three of stride 2).

    Raises:
      ConfigError: unknown stem, or a network whose counts need more than 31 bits.
    """
    base, edges = _tables(channels, num_layers, image_size, num_classes, stem)
    cells = arch.reshape(-1, 8, 2)
    cells = jnp.broadcast_to(cells, (2, 8, 2))
    from_input = (cells[..., 1] < 2).astype(jnp.int32)
    kind = jnp.arange(2)[:, None]
    # [2 cells, 8 edges, 3 counts]
    counts = jnp.asarray(edges)[kind, cells[..., 0], from_input]
    total = jnp.asarray(base) + jnp.sum(counts, axis=(0, 1))
    return Costs(total[0], total[1], total[2])


def _layer(
    kernel: int, c_in: int, c_out: int, size: int, groups: int = 1
) -> np.ndarray:
    """A convolution and its batch normalisation, `size` pixels a side after it."""
    counts: np.ndarray = _bare(kernel, c_in, c_out, size, groups) + _norm(c_out, size)
    return counts


def _bare(kernel: int, c_in: int, c_out: int, size: int, groups: int = 1) -> np.ndarray:
    weights = kernel * kernel * c_in * c_out // groups
    return np.array([weights, weights * size**2, weights * size**2])


def _norm(c: int, size: int) -> np.ndarray:
    return np.array([2 * c, 0, 4 * c * size**2])


def _operation(op: int, c: int, size: int, stride: int) -> np.ndarray:
    """One edge of C channels whose output has `size` pixels a side."""
    if op in _KERNELS:
        depthwise = _bare(_KERNELS[op], c, c, size, groups=c)
        repeats = 1 if op >= _FIRST_DILATED else 2
        counts: np.ndarray = repeats * (depthwise + _layer(1, c, c, size))
        return counts
    if op == _SKIP and stride == 2:
        return _layer(1, c, c, size)
    if op == _AVG_POOL:
        return np.array([0, 0, c * size**2])
    return np.zeros(3, int)


def _stem(stem: str, c: int, size: int) -> tuple[np.ndarray, int, int]:
    """Counts, channels and size after the stem."""
    if stem == "cifar":
        return _layer(3, 3, 3 * c, size), 3 * c, size
    if stem == "imagenet":
        first = _layer(3, 3, c // 2, size // 2) + _layer(3, c // 2, c, size // 4)
        return first + _layer(3, c, c, size // 8), c, size // 8
    raise errors.unknown_name("stem", stem, ("cifar", "imagenet"))


@functools.cache
def _tables(
    channels: int, num_layers: int, image_size: int, num_classes: int, stem: str
) -> tuple[np.ndarray, np.ndarray]:
    """Counts int32 `[3]` of the fixed parts, and of one edge of all cells of a kind.

    The second, `[2 kinds, 8 operations, 2, 3]`, tells edges that read an input state
    (index 1: stride 2 in reduction cells) from the others.
    """
    base, c_last, size = _stem(stem, channels, image_size)
    c_before, c = c_last, channels
    edges = np.zeros((2, _NUM_OPS, 2, 3), np.int64)
    for layer in range(num_layers):
        reduces = layer in (num_layers // 3, 2 * num_layers // 3)
        c = 2 * c if reduces else c
        # Both inputs are brought to C channels and to the size of the later one; a
        # 1 x 1 convolution and a factorized reduction count the same.
        base = base + _layer(1, c_before, c, size) + _layer(1, c_last, c, size)
        size = size // 2 if reduces else size
        for op in range(_NUM_OPS):
            for from_input in (0, 1):
                stride = 2 if reduces and from_input else 1
                edges[int(reduces), op, from_input] += _operation(op, c, size, stride)
        c_before, c_last = c_last, 4 * c
    pool = c_last * (1 if stem == "imagenet" else size**2 + 1)
    classifier = c_last * num_classes
    base = base + np.array([classifier + num_classes, classifier, classifier + pool])
    if np.any(base + 8 * edges.max(axis=(1, 2)).sum(axis=0) > np.iinfo(np.int32).max):
        raise errors.ConfigError(
            f"a DARTS network with channels={channels}, num_layers={num_layers}, "
            f"image_size={image_size} may count past 2^31; make it smaller"
        )
    return base.astype(np.int32), edges.astype(np.int32)
