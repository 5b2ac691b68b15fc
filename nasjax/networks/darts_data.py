"""Networks of the DARTS space (Liu et al., 2019) whose cells are data.

The operations and inputs of a normal and a reduction cell are integers that one
compiled program reads, so it trains any genotype. A cell is one `lax.scan` over its
eight edges, with a buffer of states and one derivative of its own: the forward pass
keeps the states only, and the backward pass visits the edges in reverse, computes each
once more and adds into a buffer of cotangents. Each edge thereby runs its own operation
only, forward and backward; differentiating a `lax.switch` would keep the residuals of
all operations. (Under vmap over genotypes a switch becomes a select and all run: map
over genotypes with `lax.map` or one call each.)

The numbers are those of `darts_cell` for the same genotype. Every edge has the slots of
two stages: a 5x5 depthwise kernel, whose outer ring counts as zero where the operation
is a 3x3 convolution, a pointwise kernel and a batch normalisation. A factorized
reduction is the first pointwise kernel, cut in two. Feature maps are `[C, H, W, N]`.

On small maps some operations coincide, up to the size of their initial kernels: where a
map of 4x4 is read, at either stride, both dilated convolutions; on a map of 2x2 also
both separable ones, while a dilated kernel is its centre tap and the two pools give the
mean and the maximum of the whole map.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import errors
from nasjax.core.types import Array, Tree
from nasjax.networks import (
    batch_norm,
    convolution,
    darts_cell,
    initialization,
    pooling,
)
from nasjax.networks import operations as ops
from nasjax.networks.nasbench201 import Network, space_to_depth
from nasjax.spaces import darts as space

NUM_EDGES = 2 * space.NUM_STEPS
_SIDE = 5
"""Of the slot of a depthwise kernel."""

# What an edge runs: 3x3 kernels are 5x5 kernels with a ring of zeros.
_BRANCHES = (ops.MAX_POOL, ops.AVG_POOL, ops.SKIP, "sep_conv_5x5", "dil_conv_5x5")
_NONE_BRANCH = len(_BRANCHES)
_BRANCH_OF_GENE = np.array([0, 1, 2, 3, 3, 4, 4, _NONE_BRANCH], np.int32)
_KERNEL_SIZE = np.array(
    [
        ops.CONVOLUTIONS[name].kernel_size if name in ops.CONVOLUTIONS else _SIDE
        for name in (*space.OP_NAMES, ops.NONE)
    ],
    np.int32,
)


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """What surrounds the two cells: a stem before, a linear classifier behind.

    The normal cell reads the stem's output twice; the reduction cell reads that and
    the normal cell's output, and halves height and width. Batch normalisation, ReLU,
    global average pooling and the linear layer follow; without a normalisation there,
    sums of pooled and skipped maps are too large for some genotypes to train.

    Attributes:
      channels: C of the stem and of the normal cell; the reduction cell has 2 C. Even.
      num_classes: K.
      image_shape: height, width and channels of an image.
      patch: P; patches of PxP pixels become channels (space-to-depth) before the stem.
      stem_kernel: 1 or 3, side of the stem's convolution.
      momentum: weight of a batch in the running statistics.
    """

    channels: int = 8
    num_classes: int = 10
    image_shape: tuple[int, int, int] = (8, 8, 1)
    patch: int = 2
    stem_kernel: int = 1
    momentum: float = batch_norm.MOMENTUM


def network(skeleton: Skeleton) -> Network:
    """The network of a skeleton, a function of the genotype.

    Genes are those of `spaces.darts`: int32 `[32]`, or `[16]` where one cell is both;
    `none` is understood. What they ask of `init` are only the bounds of the uniform
    initial kernels, PyTorch's default for the kernel size of each edge.

    Raises:
      ConfigError: a size of the skeleton is out of range.
    """
    _check(skeleton)
    shapes = parameter_shapes(skeleton)

    def init(key: Array, arch: Array) -> tuple[Tree, Tree]:
        params = initialization.uniform_fan_in(key, shapes)
        for name, genes in zip(_CELLS, _cells(arch), strict=True):
            edges = params[name]["edges"]
            for stage in (1, 2):
                kernel = f"depthwise{stage}"
                larger = _SIDE / jnp.asarray(_KERNEL_SIZE)[genes[:, 0]]
                edges[kernel] = edges[kernel] * larger[:, None, None, None]
                edges[kernel] = _ringed(edges[kernel], genes)
        return params, initialization.statistics(shapes)

    def apply(  # type: ignore[no-untyped-def]
        params, statistics, arch, images, *, train
    ):
        settings = {"train": train, "momentum": skeleton.momentum}
        new: Tree = {"stem": {}}
        x = _convolve(space_to_depth(images, skeleton.patch), params["stem"]["conv"])
        x, new["stem"]["bn"] = batch_norm.normalize(
            x, params["stem"]["bn"], statistics["stem"]["bn"], **settings
        )
        states = x, x
        for name, genes in zip(_CELLS, _cells(arch), strict=True):
            y, new[name] = cell(
                params[name],
                statistics[name],
                states,
                genes,
                reduction=name == "reduction",
                **settings,
            )
            states = states[1], y
        y, bn = batch_norm.normalize(
            y, params["head"]["bn"], statistics["head"]["bn"], **settings
        )
        new["head"], y = {"bn": bn}, jax.nn.relu(y)
        head = params["classifier"]
        return head["kernel"].T @ y.mean((1, 2)) + head["bias"][:, None], new

    return Network(init, apply)


_CELLS = ("normal", "reduction")


def _cells(arch: Array) -> tuple[Array, Array]:
    """(operation, state) `[8, 2]` of the normal and of the reduction cell."""
    genes = jnp.asarray(arch).reshape(-1, NUM_EDGES, 2)
    return genes[0], genes[-1]


def _check(skeleton: Skeleton) -> None:
    if skeleton.channels < 2 or skeleton.channels % 2:
        raise errors.ConfigError(
            f"channels={skeleton.channels} must be even: a factorized reduction "
            "halves it"
        )
    if skeleton.stem_kernel not in (1, 3):
        raise errors.ConfigError(
            f"stem_kernel={skeleton.stem_kernel} must be 1 or 3, the side of the "
            "stem's convolution"
        )
    height, width, _ = skeleton.image_shape
    multiple = 2 * skeleton.patch
    if skeleton.patch < 1 or height % multiple or width % multiple:
        raise errors.ConfigError(
            f"images of {height}x{width} cannot be cut into patches of "
            f"{skeleton.patch}x{skeleton.patch} and halved: choose patch so that both "
            "sides are multiples of 2 * patch"
        )


def parameter_shapes(skeleton: Skeleton) -> Tree:
    """Shape of every parameter, in the form of `initialization`, for any genotype."""
    c, side = skeleton.channels, skeleton.stem_kernel
    inputs = skeleton.image_shape[-1] * skeleton.patch**2
    lead = () if side == 1 else (side, side)
    return {
        "stem": {"conv": (*lead, inputs, c), "bn": darts_cell.norm_shapes(c)},
        "normal": cell_shapes((c, c), c),
        "reduction": cell_shapes((c, space.NUM_STEPS * c), 2 * c),
        "head": {"bn": darts_cell.norm_shapes(space.NUM_STEPS * 2 * c)},
        "classifier": {
            "kernel": (space.NUM_STEPS * 2 * c, skeleton.num_classes),
            "bias": (skeleton.num_classes,),
        },
    }


def cell_shapes(inputs: tuple[int, int], channels: int) -> Tree:
    """Shape of every parameter of one cell, in the form of `initialization`.

    Args:
      inputs: channels of cells k-2 and k-1.
      channels: C.
    """
    shapes: Tree = {
        f"preprocess{i}": {
            "conv": (read, channels),
            "bn": darts_cell.norm_shapes(channels),
        }
        for i, read in enumerate(inputs)
    }
    edges: Tree = {}
    for stage in (1, 2):
        edges |= {
            f"depthwise{stage}": (NUM_EDGES, channels, _SIDE, _SIDE),
            f"pointwise{stage}": (NUM_EDGES, channels, channels),
            f"bn{stage}": darts_cell.norm_shapes(NUM_EDGES, channels),
        }
    return shapes | {"edges": edges}


def count_parameters(arch: Any, skeleton: Skeleton) -> Array:
    """int32 `[]`, trainable parameters that the network of one genotype uses."""
    shapes = parameter_shapes(skeleton)
    fixed = [shapes["stem"], shapes["head"], shapes["classifier"]]
    total = jnp.int32(0)
    for name, genes in zip(_CELLS, _cells(arch), strict=True):
        fixed += [shapes[name]["preprocess0"], shapes[name]["preprocess1"]]
        c = shapes[name]["edges"]["pointwise1"][-1]
        by_op = [
            conv.stages * (conv.kernel_size**2 * c + c * c + 2 * c) if conv else 0
            for conv in map(ops.CONVOLUTIONS.get, (*space.OP_NAMES, ops.NONE))
        ]
        total += jnp.asarray(by_op, jnp.int32)[genes[:, 0]].sum()
        if name == "reduction":
            skips = genes[:, 0] == space.OP_NAMES.index(ops.SKIP)
            strided = genes[:, 1] < darts_cell.NUM_INPUTS
            total += (skips & strided).sum(dtype=jnp.int32) * (c * c + 2 * c)
    number: Array = total + sum(map(initialization.count, fixed))
    return number


def _convolve(x: Array, kernel: Array) -> Array:
    if kernel.ndim == 2:
        mixed: Array = convolution.pointwise(x, kernel)
        return mixed
    return convolution.dense3x3(x, kernel)


def _ringed(kernels: Array, genes: Array) -> Array:
    """Kernels `[8, C, 5, 5]` with zeros around those of 3x3 convolutions."""
    inner = np.pad(np.ones((_SIDE - 2, _SIDE - 2), bool), 1)
    whole = jnp.asarray(_KERNEL_SIZE)[genes[:, 0]] == _SIDE
    return jnp.where(whole[:, None, None, None] | inner[None, None], kernels, 0)


class _Cell(NamedTuple):
    """What a compiled cell depends on."""

    reduction: bool
    train: bool
    momentum: float


def cell(
    params: Tree,
    statistics: Tree,
    inputs: tuple[Array, Array],
    genes: Array,
    *,
    reduction: bool,
    train: bool,
    momentum: float = batch_norm.MOMENTUM,
) -> tuple[Array, Tree]:
    """One cell, as `darts_cell.apply` where cell k-1 was no reduction.

    Args:
      params: as `cell_shapes`.
      statistics: running moments at the paths of the normalisations; those that the
        genotype does not use stay as they are.
      inputs: outputs of cells k-2 and k-1, `[C_in, H, W, N]`.
      genes: int32 `[8, 2]`, (operation, state) of each edge.
      reduction: whether edges from the two inputs have stride 2.
      train: see `batch_norm.normalize`.
      momentum: see `batch_norm.update`.

    Returns:
      `[4 C, H', W', N]` and the new statistics.
    """
    states, new = [], {}
    for i, x in enumerate(inputs):
        name = f"preprocess{i}"
        y, new[name] = darts_cell.relu_conv_bn(
            params[name], statistics[name], x, train=train, momentum=momentum
        )
        states.append(y)
    edges = dict(params["edges"])
    for stage in (1, 2):
        edges[f"depthwise{stage}"] = _ringed(edges[f"depthwise{stage}"], genes)
    kind = _Cell(reduction, train, momentum)
    steps, new["edges"] = _steps(
        kind, genes, jnp.stack(states), edges, statistics["edges"]
    )
    return steps.reshape(-1, *steps.shape[2:]), new


# The states of a normal cell are one buffer `[6, C, H, W, N]`. Those of a reduction
# cell are two, because its inputs are larger than its steps: an edge has a state of
# each at hand and the operation knows which one it reads.
Buffers = tuple[Array, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _steps(
    kind: _Cell, genes: Array, inputs: Array, params: Tree, statistics: Tree
) -> tuple[Array, Tree]:
    """The four steps `[4, C, H', W', N]` of a cell, and the new statistics.

    Args:
      kind: static.
      genes: int32 `[8, 2]`.
      inputs: states 0 and 1, `[2, C, H, W, N]`.
      params: of the edges, `[8, ...]` each.
      statistics: of the edges.
    """
    return _forward(kind, genes, inputs, params, statistics)[0]


def _forward(
    kind: _Cell, genes: Array, inputs: Array, params: Tree, statistics: Tree
) -> tuple[tuple[Array, Tree], tuple[Any, ...]]:
    branches = _branches(kind)

    def edge(buffers, slot):  # type: ignore[no-untyped-def]
        place, gene, weights, moments = slot
        read = _read(buffers, gene[1])
        y, moments = lax.switch(_branch(kind, gene), branches, read, weights, moments)
        return _add(buffers, len(buffers) - 1, _slot(kind, place), y), moments

    slots = jnp.arange(NUM_EDGES), genes, params, statistics
    buffers, statistics_ = lax.scan(edge, _buffers(kind, inputs), slots)
    steps = buffers[-1][-space.NUM_STEPS :]
    return (steps, statistics_), (genes, buffers, params, statistics)


def _backward(kind, residuals, cotangents):  # type: ignore[no-untyped-def]
    genes, buffers, params, statistics = residuals
    of_steps, of_statistics = cotangents
    branches = [functools.partial(_pull, branch) for branch in _branches(kind)]

    def edge(sums, slot):  # type: ignore[no-untyped-def]
        place, gene, weights, moments, of_moments = slot
        g = lax.dynamic_index_in_dim(sums[-1], _slot(kind, place), keepdims=False)
        into, *of_slot = lax.switch(
            _branch(kind, gene),
            branches,
            (g, of_moments),
            _read(buffers, gene[1]),
            weights,
            moments,
        )
        for number, part in enumerate(into):
            sums = _add(sums, number, _indices(sums, gene[1])[number], part)
        return sums, tuple(of_slot)

    sums = jax.tree.map(jnp.zeros_like, buffers)
    sums = (*sums[:-1], sums[-1].at[-space.NUM_STEPS :].set(of_steps))
    slots = jnp.arange(NUM_EDGES), genes, params, statistics, of_statistics
    sums, of_slots = lax.scan(edge, sums, slots, reverse=True)
    return None, sums[0][: darts_cell.NUM_INPUTS], *of_slots


_steps.defvjp(_forward, _backward)


def _pull(  # type: ignore[no-untyped-def]
    branch, cotangents, *operands
):
    return jax.vjp(branch, *operands)[1](cotangents)


def _buffers(kind: _Cell, inputs: Array) -> Buffers:
    """All states of the cell; the steps are zero."""
    _, channels, height, width, number = inputs.shape
    stride = 2 if kind.reduction else 1
    shape = (space.NUM_STEPS, channels, height // stride, width // stride, number)
    steps = jnp.zeros(shape, inputs.dtype)
    return (inputs, steps) if kind.reduction else (jnp.concatenate([inputs, steps]),)


def _indices(buffers: Buffers, source: Array) -> tuple[Array, ...]:
    """Where state `source` is in each buffer; any place in those without it."""
    if len(buffers) == 1:
        return (source,)
    first = darts_cell.NUM_INPUTS
    return jnp.minimum(source, first - 1), jnp.maximum(source - first, 0)


def _read(buffers: Buffers, source: Array) -> tuple[Array, ...]:
    return tuple(
        lax.dynamic_index_in_dim(buffer, index, keepdims=False)
        for buffer, index in zip(buffers, _indices(buffers, source), strict=True)
    )


def _slot(kind: _Cell, place: Array) -> Array:
    """Where the step of edge `place` is in the last buffer."""
    return place // 2 + (0 if kind.reduction else darts_cell.NUM_INPUTS)


def _add(buffers: Buffers, number: int, index: Array, value: Array) -> Buffers:
    """The buffers after `value` was added to entry `index` of one of them."""
    old = lax.dynamic_index_in_dim(buffers[number], index, keepdims=False)
    new = lax.dynamic_update_index_in_dim(buffers[number], old + value, index, 0)
    return (*buffers[:number], new, *buffers[number + 1 :])


def _branch(kind: _Cell, gene: Array) -> Array:
    """Which of `_branches` an edge (operation, state) runs."""
    branch = jnp.asarray(_BRANCH_OF_GENE)[gene[0]]
    if not kind.reduction:
        return branch
    own = (gene[1] >= darts_cell.NUM_INPUTS) & (branch != _NONE_BRANCH)
    return branch + jnp.where(own, _NONE_BRANCH + 1, 0)


def _branches(kind: _Cell) -> list[Callable[..., tuple[Array, Tree]]]:
    """`(states, params, statistics) -> (y, statistics)` for each operation.

    The operations on the first buffer, `none`, and in a reduction cell the operations
    on the second.
    """
    run = functools.partial(_operate, train=kind.train, momentum=kind.momentum)
    stride = 2 if kind.reduction else 1
    first = [
        functools.partial(run, name=name, number=0, stride=stride) for name in _BRANCHES
    ]
    none = functools.partial(_nothing, stride=stride)
    if not kind.reduction:
        return [*first, none]
    second = [
        functools.partial(run, name=name, number=1, stride=1) for name in _BRANCHES
    ]
    return [*first, none, *second]


def _nothing(
    states: tuple[Array, ...], params: Tree, statistics: Tree, *, stride: int
) -> tuple[Array, Tree]:
    del params
    return jnp.zeros_like(states[0][:, ::stride, ::stride]), statistics


def _operate(
    states: tuple[Array, ...],
    params: Tree,
    statistics: Tree,
    *,
    name: str,
    number: int,
    stride: int,
    train: bool,
    momentum: float,
) -> tuple[Array, Tree]:
    """One operation on the state of buffer `number`."""
    x = states[number]
    if name == ops.MAX_POOL:
        return pooling.max_pool(x, stride=stride), statistics
    if name == ops.AVG_POOL:
        return pooling.avg_pool(x, stride=stride), statistics
    if name == ops.SKIP and stride == 1:
        return x, statistics
    if name == ops.SKIP:
        half = x.shape[0] - x.shape[0] // 2
        kernel = params["pointwise1"]
        reduction = {
            "conv1": kernel[:, :half],
            "conv2": kernel[:, half:],
            "bn": params["bn1"],
        }
        y, new = darts_cell.relu_conv_bn(
            reduction,
            {"bn": statistics["bn1"]},
            x,
            train=train,
            momentum=momentum,
        )
        return y, statistics | {"bn1": new["bn"]}
    alone = jax.tree.map(lambda a: a[None], (params, statistics, x))
    y, new = darts_cell.operate(
        *alone, name=name, stride=stride, train=train, momentum=momentum
    )
    return y[0], statistics | jax.tree.map(lambda a: a[0], new)
