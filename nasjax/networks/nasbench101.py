"""The CIFAR network of a NAS-Bench-101 cell (Ying et al., 2019, section 2.2).

A stem, stacks of equal modules with a 2x2 max-pooling between two stacks that doubles
the channels, global average pooling, a linear layer. In a module

    input of v  = sum of the interior vertices that feed v (first channels of each)
                  + a projection of the module's input where an edge leads from it
    output      = concatenation of the vertices that feed it + a projection likewise

Projections are 1x1 convolutions; every convolution is followed by batch normalisation
and ReLU. All projections of a module read the same map, so they are one convolution
whose channels are shared out.
"""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, formulation
from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, initialization, pooling
from nasjax.networks.classifier import Classifier, Outputs
from nasjax.spaces import nasbench101_notation as notation

MOMENTUM = 1 - 0.997
"""Weight of a batch in the running statistics; TensorFlow counts the complement."""

MAX_POOL = notation.OP_NAMES.index("maxpool3x3")
KERNEL_SIZES = {
    notation.OP_NAMES.index("conv1x1-bn-relu"): 1,
    notation.OP_NAMES.index("conv3x3-bn-relu"): 3,
}


@dataclasses.dataclass(frozen=True)
class Module:
    """One module of the stack, pruned.

    Attributes:
      operations: of the interior vertices 1..n-2.
      sources: which interior vertices feed vertex 1..n-1, the output last.
      projected: vertices 1..n-1 that an edge from the input feeds.
      channels: of vertices 1..n-1.
      inputs: channels of the module's input.
    """

    operations: tuple[int, ...]
    sources: tuple[tuple[int, ...], ...]
    projected: tuple[int, ...]
    channels: tuple[int, ...]
    inputs: int


def network(
    arch: Any,
    *,
    num_classes: int = 10,
    stem_channels: int = 128,
    num_stacks: int = 3,
    num_modules: int = 3,
    image_shape: tuple[int, int, int] = (32, 32, 3),
) -> Classifier:
    """The network of one cell.

    Args:
      arch: gene vector int32 `[27]`, concrete; it is pruned first.
      num_classes: outputs of the linear layer.
      stem_channels: of the stem and the first stack; doubled from stack to stack.
      num_stacks: stacks.
      num_modules: modules of each stack.
      image_shape: height, width and channels of an image.

    Raises:
      UnknownArchitecture: the genes are malformed or join no input and output.
      ConfigError: a size is too small, or the images cannot be halved often enough.
    """
    _check_size(num_classes, num_stacks, num_modules, image_shape)
    stack = modules(arch, stem_channels, num_stacks, num_modules)
    shapes = parameter_shapes(stack, num_classes, stem_channels, image_shape[-1])

    def init(key: Array) -> tuple[Tree, Tree]:
        params = initialization.truncated_normal_fan_in(key, shapes)
        return params, initialization.statistics(shapes)

    def apply(  # type: ignore[no-untyped-def]
        params, statistics, images, *, train, key=None, drop_path=0.0
    ):
        del key, drop_path  # no paths are dropped in this space
        x = images.transpose(3, 1, 2, 0)
        x, stem = _conv_bn_relu(params["stem"], statistics["stem"], x, train=train)
        new: Tree = {"stem": stem, "modules": {}}
        for k, module in enumerate(stack):
            if k and k % num_modules == 0:
                x = _halve(x)
            x, new["modules"][str(k)] = _module(
                params["modules"][str(k)],
                statistics["modules"][str(k)],
                x,
                module=module,
                train=train,
            )
        head = params["classifier"]
        pooled = x.mean((1, 2))
        return Outputs(pooled.T @ head["kernel"] + head["bias"][None]), new

    return Classifier(init, apply)


def count_parameters(
    arch: Any,
    *,
    num_classes: int = 10,
    stem_channels: int = 128,
    num_stacks: int = 3,
    num_modules: int = 3,
    image_channels: int = 3,
) -> int:
    """Trained parameters of `network`; errors as there."""
    stack = modules(arch, stem_channels, num_stacks, num_modules)
    shapes = parameter_shapes(stack, num_classes, stem_channels, image_channels)
    return initialization.count(shapes)


def modules(
    arch: Any, stem_channels: int, num_stacks: int, num_modules: int
) -> tuple[Module, ...]:
    """All modules of the network, in order; errors as in `network`."""
    matrix, operations = _pruned(arch)
    result, inputs = [], stem_channels
    for stack, _ in itertools.product(range(num_stacks), range(num_modules)):
        outputs = stem_channels << stack
        result.append(_describe(matrix, operations, inputs, outputs))
        inputs = outputs
    if min(result[0].channels) < 1:
        raise errors.ConfigError(
            f"stem_channels={stem_channels} leaves a vertex without channels: "
            f"{len(result[0].sources[-1])} vertices share them"
        )
    return tuple(result)


def parameter_shapes(
    stack: tuple[Module, ...], num_classes: int, stem_channels: int, image_channels: int
) -> Tree:
    """Shape of every trained parameter, in the form of `initialization`."""
    last = stack[-1].channels[-1]
    return {
        "stem": _conv_shapes(3, image_channels, stem_channels),
        "modules": {str(k): _module_shapes(module) for k, module in enumerate(stack)},
        "classifier": {"kernel": (last, num_classes), "bias": (num_classes,)},
    }


def vertex_channels(matrix: np.ndarray, channels: int) -> tuple[int, ...]:
    """Channels of vertices 1..n-1 of a pruned cell whose output has `channels`.

    The vertices that feed the output share its channels; the first of them get one
    more where the division leaves a remainder. Every other one is as wide as the
    widest vertex that it feeds.
    """
    n = len(matrix)
    feeders = [v for v in range(1, n - 1) if matrix[v, n - 1]]
    widths = [0] * (n - 1) + [channels]
    for place, v in enumerate(feeders):
        widths[v] = channels // len(feeders) + (place < channels % len(feeders))
    for v in reversed(range(1, n - 1)):
        if v not in feeders:
            widths[v] = max(widths[w] for w in range(v + 1, n - 1) if matrix[v, w])
    return tuple(widths[1:])


def _pruned(arch: Any) -> tuple[np.ndarray, list[int]]:
    genes = np.asarray(arch)
    if genes.shape != (notation.NUM_GENES,):
        raise errors.UnknownArchitecture(
            f"a NAS-Bench-101 cell has {notation.NUM_GENES} genes, not an array of "
            f"shape {genes.shape}"
        )
    genes = notation.encode(*notation.decode(genes))  # refuses what is malformed
    matrix, operations = notation.pruned(*notation.decode(genes))
    if not len(matrix):
        raise errors.UnknownArchitecture(
            f"no path leads from the input to the output of {genes.tolist()}"
        )
    return matrix, operations


def _describe(
    matrix: np.ndarray, operations: list[int], inputs: int, outputs: int
) -> Module:
    n = len(matrix)
    return Module(
        operations=tuple(operations),
        sources=tuple(
            tuple(w for w in range(1, v) if matrix[w, v]) for v in range(1, n)
        ),
        projected=tuple(v for v in range(1, n) if matrix[0, v]),
        channels=vertex_channels(matrix, outputs),
        inputs=inputs,
    )


def _check_size(
    num_classes: int,
    num_stacks: int,
    num_modules: int,
    image_shape: tuple[int, int, int],
) -> None:
    sizes = {
        "num_classes": num_classes,
        "num_stacks": num_stacks,
        "num_modules": num_modules,
    }
    for name, value in sizes.items():
        if value < 1:
            raise errors.ConfigError(f"{name}={value} must be at least 1")
    height, width, _ = image_shape
    stride = 2 ** (num_stacks - 1)
    if height % stride or width % stride:
        raise errors.ConfigError(
            f"images of {height}x{width} cannot be halved between {num_stacks} "
            f"stacks: use sides divisible by {stride}, or fewer stacks"
        )


def _conv_shapes(size: int, inputs: int, outputs: int) -> Tree:
    kernel = (inputs, outputs) if size == 1 else (size, size, inputs, outputs)
    return {"conv": kernel, "bn": {"scale": (outputs,), "bias": (outputs,)}}


def _module_shapes(module: Module) -> Tree:
    """The joint projection, and the convolutions by vertex."""
    shapes = {
        f"vertex{v}": _conv_shapes(KERNEL_SIZES[op], channels, channels)
        for v, (op, channels) in enumerate(
            zip(module.operations, module.channels, strict=False), start=1
        )
        if op in KERNEL_SIZES
    }
    width = sum(module.channels[v - 1] for v in module.projected)
    # Pruning leaves the input an edge, so there is always a projection.
    return {"projection": _conv_shapes(1, module.inputs, width)} | shapes


def _conv_bn_relu(
    params: Tree, statistics: Tree, x: Array, *, train: bool
) -> tuple[Array, Tree]:
    if params["conv"].ndim == 2:
        y = convolution.pointwise(x, params["conv"])
    else:
        # Stored once: each of the nine taps would compute what it reads anew.
        y = convolution.dense3x3(formulation.materialize(x), params["conv"])
    y, bn = batch_norm.normalize(
        y, params["bn"], statistics["bn"], train=train, momentum=MOMENTUM
    )
    return jax.nn.relu(y), {"bn": bn}


def _module(
    params: Tree, statistics: Tree, x: Array, *, module: Module, train: bool
) -> tuple[Array, Tree]:
    """One module on `[C_in, H, W, N]`: `[C_out, H, W, N]` and new statistics."""
    new: Tree = {}
    projections, new["projection"] = _conv_bn_relu(
        params["projection"], statistics["projection"], x, train=train
    )
    widths = [module.channels[v - 1] for v in module.projected]
    parts = jnp.split(projections, np.cumsum(widths)[:-1])
    projected = dict(zip(module.projected, parts, strict=True))
    values: dict[int, Array] = {}
    for v, op in enumerate(module.operations, start=1):
        width = module.channels[v - 1]
        terms = [values[w][:width] for w in module.sources[v - 1]]
        terms += [projected[v]] if v in projected else []
        total = functools.reduce(jnp.add, terms)
        if op == MAX_POOL:
            values[v] = pooling.max_pool(formulation.materialize(total))
        else:
            name = f"vertex{v}"
            values[v], new[name] = _conv_bn_relu(
                params[name], statistics[name], total, train=train
            )
    output = len(module.channels)
    feeders = [values[w] for w in module.sources[-1]]
    if not feeders:
        return projected[output], new
    y = jnp.concatenate(feeders)
    return (y + projected[output] if output in projected else y), new


def _halve(x: Array) -> Array:
    """2x2 max-pooling with stride 2 of `[C, H, W, N]`."""
    corners = [x[:, i::2, j::2] for i, j in itertools.product(range(2), range(2))]
    return functools.reduce(jnp.maximum, corners)
