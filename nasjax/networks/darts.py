"""The evaluation network of the DARTS space (Liu et al., 2019).

A stem, a stack of cells that reduces at 1/3 and 2/3 of its depth, global average
pooling and a linear layer; while training, an auxiliary classifier after the second
reduction, and paths of a cell that are dropped image by image. One genotype gives the
network of CIFAR or, with the other stem, of ImageNet in the mobile setting.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, formulation
from nasjax.core.types import Array, Tree
from nasjax.networks import (
    batch_norm,
    convolution,
    darts_auxiliary,
    darts_cell,
    initialization,
)
from nasjax.networks.classifier import Classifier, Outputs
from nasjax.spaces import darts as space

STEM_MULTIPLIER = 3
STEM_STRIDES = {"cifar": 1, "imagenet": 8}


def network(
    arch: Any,
    *,
    num_cells: int = 20,
    channels: int = 36,
    num_classes: int = 10,
    auxiliary: bool = True,
    stem: str = "cifar",
    image_shape: tuple[int, int, int] = (32, 32, 3),
) -> Classifier:
    """The network of one genotype.

    `apply` drops paths where it trains and `drop_path` is not the number 0: the output
    of every edge but identities is zero for an image with that probability, and is
    divided by the probability of keeping it otherwise. It then needs a `key`.

    Args:
      arch: gene vector int32 `[32]`, `[16]` where one cell is both, or the text of a
        genotype (`spaces.darts.parse_arch`); concrete. It may hold `none`.
      num_cells: L.
      channels: C of the first cell; doubled at each reduction. Even.
      num_classes: outputs of the classifiers.
      auxiliary: whether to train the auxiliary classifier.
      stem: "cifar" (3x3 convolution to 3C channels) or "imagenet" (three of stride 2).
      image_shape: height, width and channels of an image.

    Raises:
      UnknownArchitecture: the genes are not a genotype.
      ConfigError: unknown stem, a size out of range, images that cannot be halved as
        often as needed, or a map that the auxiliary classifier cannot read; from
        `apply`, paths are to be dropped without a key.
    """
    _check(num_cells, channels, num_classes, auxiliary, stem, image_shape)
    stack = cells(arch, num_cells=num_cells, channels=channels, stem=stem)
    shapes = parameter_shapes(
        stack,
        num_classes=num_classes,
        auxiliary=auxiliary,
        stem=stem,
        image_channels=image_shape[-1],
    )

    def init(key: Array) -> tuple[Tree, Tree]:
        params = initialization.uniform_fan_in(key, shapes)
        return params, initialization.statistics(shapes)

    def apply(  # type: ignore[no-untyped-def]
        params, statistics, images, *, train, key=None, drop_path=0.0
    ):
        x = images.transpose(3, 1, 2, 0)
        keep = _keep(key, drop_path, stack, x) if train else [None] * num_cells
        new: Tree = {"cells": {}}
        before, last, new["stem"] = _stem(
            params["stem"], statistics["stem"], x, stem=stem, train=train
        )
        side = None
        if auxiliary:
            new["auxiliary"] = statistics["auxiliary"]
        for k, cell in enumerate(stack):
            y, new["cells"][str(k)] = darts_cell.apply(
                params["cells"][str(k)],
                statistics["cells"][str(k)],
                (before, last),
                keep[k],
                cell=cell,
                train=train,
            )
            before, last = last, y
            if auxiliary and train and k == reductions(num_cells)[-1]:
                side, new["auxiliary"] = darts_auxiliary.apply(
                    params["auxiliary"], statistics["auxiliary"], last, stem=stem
                )
        head = params["classifier"]
        logits = last.mean((1, 2)).T @ head["kernel"] + head["bias"][None]
        return Outputs(logits, side), new

    return Classifier(init, apply)


def reductions(num_cells: int) -> tuple[int, ...]:
    """Positions of the reduction cells."""
    return tuple(sorted({num_cells // 3, 2 * num_cells // 3}))


def cells(
    arch: Any, *, num_cells: int, channels: int, stem: str
) -> tuple[darts_cell.DartsCell, ...]:
    """The stack of cells; errors as in `network`."""
    normal, reduce = _edges(arch)
    width = STEM_MULTIPLIER * channels if stem == "cifar" else channels
    before, last = width, width
    after_reduction = stem == "imagenet"  # its two outputs differ by a stride of 2
    stack = []
    for k in range(num_cells):
        reduction = k in reductions(num_cells)
        channels = 2 * channels if reduction else channels
        cell = darts_cell.DartsCell(
            edges=reduce if reduction else normal,
            inputs=(before, last),
            channels=channels,
            reduction=reduction,
            after_reduction=after_reduction,
        )
        stack.append(cell)
        before, last = last, cell.num_steps * channels
        after_reduction = reduction
    return tuple(stack)


def parameter_shapes(
    stack: tuple[darts_cell.DartsCell, ...],
    *,
    num_classes: int,
    auxiliary: bool,
    stem: str,
    image_channels: int,
) -> Tree:
    """Shape of every trained parameter, in the form of `initialization`."""
    last = stack[-1].num_steps * stack[-1].channels
    shapes = {
        "stem": _stem_shapes(stack[0], stem, image_channels),
        "cells": {
            str(k): darts_cell.parameter_shapes(cell) for k, cell in enumerate(stack)
        },
        "classifier": {"kernel": (last, num_classes), "bias": (num_classes,)},
    }
    if auxiliary:
        cell = stack[reductions(len(stack))[-1]]
        read = cell.num_steps * cell.channels
        shapes["auxiliary"] = darts_auxiliary.parameter_shapes(
            read, num_classes=num_classes, stem=stem
        )
    return shapes


def _edges(arch: Any) -> tuple[tuple[tuple[str, int], ...], ...]:
    """(operation, state) of the normal and of the reduction cell."""
    if isinstance(arch, str):
        arch = space.parse_arch(arch, none=True)
    genes = np.asarray(arch)
    names = (*space.OP_NAMES, "none")
    fits = genes.shape in ((space.CELL_GENES,), (2 * space.CELL_GENES,))
    if not fits or not space.is_valid(jnp.asarray(genes), num_ops=len(names)):
        raise errors.UnknownArchitecture(
            f"{genes.tolist()} is no genotype: 16 or 32 genes, (operation, state) for "
            f"each of two edges of four steps, operations 0..{len(names) - 1}, two "
            "different earlier states a step"
        )
    pairs = [(names[op], state) for op, state in genes.reshape(-1, 2).tolist()]
    return tuple(pairs[:8]), tuple(pairs[-8:])


def _check(
    num_cells: int,
    channels: int,
    num_classes: int,
    auxiliary: bool,
    stem: str,
    image_shape: tuple[int, int, int],
) -> None:
    if stem not in STEM_STRIDES:
        raise errors.unknown_name("stem", stem, STEM_STRIDES)
    for name, value in {"num_cells": num_cells, "num_classes": num_classes}.items():
        if value < 1:
            raise errors.ConfigError(f"{name}={value} must be at least 1")
    if channels < 2 or channels % 2:
        raise errors.ConfigError(
            f"channels={channels} must be even: a factorized reduction halves it"
        )
    height, width, _ = image_shape
    stride = STEM_STRIDES[stem] * 2 ** len(reductions(num_cells))
    if height % stride or width % stride:
        raise errors.ConfigError(
            f"images of {height}x{width} do not survive the stem {stem!r} and "
            f"{len(reductions(num_cells))} reductions: use sides divisible by {stride}"
        )
    if auxiliary:
        darts_auxiliary.check_size((height // stride, width // stride), stem, stride)


def _stem_shapes(first: darts_cell.DartsCell, stem: str, image_channels: int) -> Tree:
    if stem == "cifar":
        widths = [image_channels, first.inputs[0]]
    else:
        c = first.inputs[0]
        widths = [image_channels, c // 2, c, c]
    shapes: Tree = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        shapes[f"conv{i}"] = (3, 3, inputs, outputs)
        shapes[f"bn{i}"] = darts_cell.norm_shapes(outputs)
    return shapes


def _keep(
    key: Array | None, drop_path: Any, stack: tuple[darts_cell.DartsCell, ...], x: Array
) -> Any:
    """Factor of every edge's output, `[2 * num_steps, N]` for each cell, or Nones."""
    if isinstance(drop_path, int | float) and drop_path == 0:
        return [None] * len(stack)
    if key is None:
        raise errors.ConfigError(
            f"drop_path={drop_path}: dropping paths while training needs a key"
        )
    probability = 1 - drop_path
    shape = (len(stack), len(stack[0].edges), x.shape[-1])
    kept = jax.random.uniform(key, shape) < probability
    return jnp.unstack(kept.astype(x.dtype) / probability)


def _stem(
    params: Tree, statistics: Tree, x: Array, *, stem: str, train: bool
) -> tuple[Array, Array, Tree]:
    """What stands for cells -2 and -1, and the new statistics."""
    new: Tree = {}

    def conv_bn(i: int, x: Array, stride: int) -> Array:
        y = convolution.dense3x3(x, params[f"conv{i}"], stride=stride)
        bn = f"bn{i}"
        y, new[bn] = batch_norm.normalize(y, params[bn], statistics[bn], train=train)
        # Stored once: each of nine taps would compute what it reads anew.
        return formulation.materialize(y)

    if stem == "cifar":
        y = conv_bn(1, x, 1)
        return y, y, new
    y = conv_bn(2, jax.nn.relu(conv_bn(1, x, 2)), 2)
    return y, conv_bn(3, jax.nn.relu(y), 2), new
