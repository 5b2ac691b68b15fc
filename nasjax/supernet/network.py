"""The supernet as a pure function of effective weights and mixing coefficients.

Supernet training, masking and fine-tuning all evaluate this one function; what differs
(softmaxes, masks, optimizers) is small and lives in their own modules. Variables are
plain nested dicts: `params` are trained, `statistics` are the BN running moments.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution
from nasjax.supernet import cell, spec


def init_params(key: Array, net: spec.SupernetSpec, dtype: Any = jnp.float32) -> Tree:
    """Draws every kernel from U(-1, 1) / sqrt(fan_in), PyTorch's default.

    BN scales start at one, BN biases at zero, the classifier's bias like its kernel.
    Each leaf's key depends on its path only, so adding an operation leaves the others'
    initial values alone.
    """
    shapes = spec.parameter_shapes(net)
    fan_in_classifier = shapes["classifier"]["kernel"][0]

    def draw(path: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
        names = [entry.key for entry in path]
        if names[-1] == "scale":
            return jnp.ones(shape, dtype)
        if names[-1] == "bias" and names[0] != "classifier":
            return jnp.zeros(shape, dtype)
        fan_in = fan_in_classifier if names[-1] == "bias" else _fan_in(names[-1], shape)
        bound = 1.0 / math.sqrt(fan_in)
        leaf_key = jax.random.fold_in(key, _path_number("/".join(names)))
        # One compilation a power of two and not a shape; the numbers are the same,
        # because each depends on its position only.
        size = math.prod(shape)
        padded = (1 << (size - 1).bit_length(),)
        numbers: Any = jax.random.uniform(leaf_key, padded, dtype, -bound, bound)
        if not isinstance(numbers, jax.core.Tracer):
            numbers = np.asarray(numbers)  # cut on the host, without compiling
        return jnp.asarray(numbers[:size].reshape(shape))

    params: Tree = jax.tree_util.tree_map_with_path(draw, shapes, is_leaf=_is_shape)
    return params


def init_statistics(net: spec.SupernetSpec, dtype: Any = jnp.float32) -> Tree:
    """Running mean 0 and variance 1 of every BN."""
    statistics: Tree = jax.tree.map(
        lambda shape: batch_norm.initial_statistics(shape, dtype),
        spec.statistics_shapes(net),
        is_leaf=_is_shape,
    )
    return statistics


def with_affine(params: Tree, net: spec.SupernetSpec) -> Tree:
    """Adds the BN scales (one) and biases (zero) that an affine `net` has in addition.

    The network's output does not change.
    """
    flat = jax.tree_util.tree_flatten_with_path(params)[0]
    existing = {jax.tree_util.keystr(path): value for path, value in flat}

    def fill(path: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
        old: Array | None = existing.get(jax.tree_util.keystr(path))
        if old is not None:
            return old
        make = jnp.ones if path[-1].key == "scale" else jnp.zeros
        made: Array = make(shape, params["classifier"]["kernel"].dtype)
        return made

    shapes = spec.parameter_shapes(net)
    filled: Tree = jax.tree_util.tree_map_with_path(fill, shapes, is_leaf=_is_shape)
    return filled


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple)


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    if name.startswith("depthwise"):
        return shape[-1] * shape[-2]
    return math.prod(shape[:3]) if len(shape) == 4 else shape[-2]


def _path_number(path: str) -> int:
    """A stable 31-bit number of a parameter's path (FNV-1a)."""
    value = 2166136261
    for byte in path.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value >> 1


def apply(
    params: Tree,
    statistics: Tree,
    mixing: Array,
    images: Array,
    *,
    net: spec.SupernetSpec,
    train: bool,
) -> tuple[Array, Tree]:
    """Logits of a batch.

    Args:
      params: effective weights (masks already multiplied in).
      statistics: BN running moments.
      mixing: `[A, E, O]`, edge times operation weight of each of the A sets of
        architecture parameters (`layout.Supernet.arch_names`).
      images: `[N, H, W, C]`, standardised.
      net: description of the network.
      train: see `cell.apply`.

    Returns:
      Logits `[N, num_classes]` and the new statistics (unchanged in evaluation).
    """
    x = images.transpose(3, 1, 2, 0)
    before, last, stem = _stem(params["stem"], statistics["stem"], x, net, train)
    new: Tree = {"stem": stem, "cells": {}}
    for k, description in enumerate(net.cells):
        y, new["cells"][str(k)] = cell.apply(
            params["cells"][str(k)],
            statistics["cells"][str(k)],
            mixing[net.arch_index(k)],
            (before, last),
            net=net,
            cell=description,
            train=train,
        )
        before, last = last, y
    pooled = last.mean((1, 2))
    classifier = params["classifier"]
    logits = pooled.T @ classifier["kernel"] + classifier["bias"][None]
    return logits, new


def _stem(
    params: Tree, statistics: Tree, x: Array, net: spec.SupernetSpec, train: bool
) -> tuple[Array, Array, Tree]:
    """Conv-BN ("cifar") or the ImageNet stems of DARTS; returns inputs of cell 0."""
    new: Tree = {}

    def conv_bn(i: int, x: Array, stride: int) -> Array:
        y = convolution.dense3x3(x, params[f"conv{i}"], stride=stride)
        y, new[f"bn{i}"] = cell.normalized(y, statistics, params, f"bn{i}", train)
        return y

    if net.stem == "cifar":
        y = conv_bn(1, x, net.stem_stride)
        return y, y, new
    y = conv_bn(2, jax.nn.relu(conv_bn(1, x, 2)), 2)
    if net.stem == "imagenet4":
        return y, y, new
    return y, conv_bn(3, jax.nn.relu(y), 2), new
