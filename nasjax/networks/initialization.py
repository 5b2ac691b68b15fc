"""Initial weights of a whole network from one draw.

A program that draws every kernel apart compiles a generator for each of them, which
takes longer than the network itself. Here the kernels are consecutive pieces of one
long vector, cut on the host where the key is not traced.

Shapes are nested dicts whose leaves are tuples. `{"scale", "bias"}` is a batch
normalisation, `{"kernel", "bias"}` a linear layer, every other leaf a convolution:
`[..., C_in, C_out]` (pointwise), `[..., C, k, k]` (depthwise, name `depthwise*`) or
`[k, k, C_in, C_out]`.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm

Shape = tuple[int, ...]


def uniform_fan_in(key: Array, shapes: Tree) -> Tree:
    """PyTorch's default: kernels and biases from U(-1, 1) / sqrt(fan_in).

    Scales of batch normalisation start at one, their biases at zero.
    """

    def bound(layer: Tree, name: str) -> float:
        # The bias of a linear layer has the fan-in of its kernel.
        named = "kernel" if name == "bias" else name
        return 1.0 / math.sqrt(fan_in(named, layer[named]))

    leaves = list(_trained(shapes))
    total = sum(math.prod(layer[name]) for layer, name in leaves)
    numbers = jax.random.uniform(key, _padded(total), jnp.float32, -1.0, 1.0)
    pieces = _cut(numbers, [layer[name] for layer, name in leaves])
    bounds = itertools.starmap(bound, leaves)
    drawn = iter([b * piece for b, piece in zip(bounds, pieces, strict=True)])
    return _fill(shapes, lambda layer, name: next(drawn))


def truncated_normal_fan_in(key: Array, shapes: Tree) -> Tree:
    """What NAS-Bench-101 asks of TensorFlow: variance 1 / fan_in, cut at two sigmas.

    The kernels of linear layers are uniform with variance 2 / (fan_in + fan_out)
    (Glorot and Bengio, 2010) and their biases zero; batch normalisation as in
    `uniform_fan_in`.
    """
    key_convolutions, key_linear = jax.random.split(key)
    leaves = [(layer, name) for layer, name in _trained(shapes) if name != "bias"]
    convolutions = [layer[name] for layer, name in leaves if name != "kernel"]
    deviations = [
        # .8796 is the standard deviation of N(0, 1) cut at two
        1.0 / math.sqrt(fan_in(name, layer[name])) / 0.87962566103423978
        for layer, name in leaves
        if name != "kernel"
    ]
    total = sum(map(math.prod, convolutions))
    numbers = jax.random.truncated_normal(
        key_convolutions, -2.0, 2.0, _padded(total), jnp.float32
    )
    pieces = _cut(numbers, convolutions)
    drawn = iter([d * piece for d, piece in zip(deviations, pieces, strict=True)])

    linear = [layer["kernel"] for layer, name in leaves if name == "kernel"]
    total = sum(map(math.prod, linear))
    uniform = jax.random.uniform(key_linear, _padded(total), jnp.float32, -1.0, 1.0)
    kernels = iter(
        [
            math.sqrt(6.0 / sum(shape)) * piece
            for shape, piece in zip(linear, _cut(uniform, linear), strict=True)
        ]
    )

    def fill(layer: Tree, name: str) -> Any:
        if name == "bias":
            return jnp.zeros(layer[name], jnp.float32)
        return next(kernels if name == "kernel" else drawn)

    return _fill(shapes, fill)


def statistics(shapes: Tree) -> Tree:
    """Running mean 0 and variance 1 of every batch normalisation, at its path."""
    if _is_normalization(shapes):
        return batch_norm.initial_statistics(shapes["scale"], jnp.dtype("float32"))
    found = {
        name: statistics(entry)
        for name, entry in shapes.items()
        if isinstance(entry, dict)
    }
    return {name: tree for name, tree in found.items() if tree}


def count(shapes: Tree) -> int:
    """How many parameters the shapes hold."""
    leaves = jax.tree.leaves(shapes, is_leaf=lambda x: isinstance(x, tuple))
    return sum(map(math.prod, leaves))


def fan_in(name: str, shape: Shape) -> int:
    """Values that one output of a kernel reads."""
    if name.startswith("depthwise"):
        return shape[-1] * shape[-2]
    return math.prod(shape[:3]) if len(shape) == 4 else shape[-2]


def _is_normalization(entry: Tree) -> bool:
    return "scale" in entry


def _trained(shapes: Tree) -> Any:
    """(layer, name) of every leaf outside batch normalisation, in order."""
    for name, entry in shapes.items():
        if not isinstance(entry, dict):
            yield shapes, name
        elif not _is_normalization(entry):
            yield from _trained(entry)


def _fill(shapes: Tree, draw: Callable[[Tree, str], Any]) -> Tree:
    """Arrays of these shapes; `draw` is asked in the order of `_trained`."""
    if _is_normalization(shapes):
        scale = jnp.ones(shapes["scale"], jnp.float32)
        return {"scale": scale, "bias": jnp.zeros_like(scale)}
    return {
        name: _fill(entry, draw)
        if isinstance(entry, dict)
        else jnp.asarray(draw(shapes, name))
        for name, entry in shapes.items()
    }


def _padded(size: int) -> Shape:
    """The next power of two: few sizes compile, and a number keeps its value."""
    return (1 << max(size - 1, 0).bit_length(),)


def _cut(numbers: Any, shapes: list[Shape]) -> list[Any]:
    if not isinstance(numbers, jax.core.Tracer):
        numbers = np.asarray(numbers)
    ends = list(itertools.accumulate(map(math.prod, shapes)))
    starts = [0, *ends][: len(ends)]
    return [
        numbers[start:end].reshape(shape)
        for start, end, shape in zip(starts, ends, shapes, strict=True)
    ]
