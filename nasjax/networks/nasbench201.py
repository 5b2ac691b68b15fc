"""Networks of the NAS-Bench-201 topology space (Dong and Yang, 2020).

The operations of a cell are data: one compiled program trains any of the 15,625 cells.
Each edge runs its own operation only, forward and backward, because `lax.switch` sits
inside a function with its own derivative; differentiating the switch itself would keep
the residuals of all five operations. (Under vmap over cells a switch becomes a select
and all five run: map over cells with `lax.map` or one call each.)

Parameters of a cell `[6, ...]`, one slot an edge: a 3x3 kernel, of which a 1x1
convolution uses the centre tap. Feature maps are `[C, H, W, N]`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, pooling
from nasjax.networks.classifier import Classifier, Outputs
from nasjax.spaces import nasbench201

_CONVOLUTIONS = (nasbench201.CONV_1X1, nasbench201.CONV_3X3)


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """What surrounds the cells; the defaults are the benchmark's.

    Attributes:
      channels: C of the first stage; they double from stage to stage.
      num_stages: stages, with a residual block of stride 2 between two of them.
      num_cells: cells of each stage.
      num_classes: K.
      image_shape: height, width and channels of an image.
      patch: 1: the stem is a 3x3 convolution. P > 1: patches of PxP pixels become
        channels (space-to-depth) and the stem is a 1x1 convolution.
      affine: whether the normalisation in cells has a scale and a shift.
      momentum: weight of a batch in the running statistics.
    """

    channels: int = 16
    num_stages: int = 3
    num_cells: int = 5
    num_classes: int = 10
    image_shape: tuple[int, int, int] = (32, 32, 3)
    patch: int = 1
    affine: bool = True
    momentum: float = batch_norm.MOMENTUM


class Network(NamedTuple):
    """A skeleton as pure functions of the cell's genes.

    Attributes:
      init: `(key, arch [6]) -> (params, statistics)`, the same shapes for every cell.
      apply: `(params, statistics, arch [6], images [H, W, C, N], *, train) -> (logits
        [K, N], statistics)`; images are batch last (`batch_last` of `[N, H, W, C]`).
    """

    init: Any
    apply: Any


def classifier(arch: Array, skeleton: Skeleton) -> Classifier:
    """One cell's network as every trainer of classifiers expects it."""
    net = network(skeleton)

    def apply(  # type: ignore[no-untyped-def]
        params, statistics, images, *, train, key=None, drop_path=0.0
    ):
        del key, drop_path  # no paths are dropped in this space
        logits, statistics = net.apply(
            params, statistics, arch, batch_last(images), train=train
        )
        return Outputs(logits.T), statistics

    return Classifier(lambda key: net.init(key, arch), apply)


def batch_last(images: Array) -> Array:
    """`[N, H, W, C]` to `[H, W, C, N]`."""
    return jnp.moveaxis(images, 0, -1)


def network(skeleton: Skeleton) -> Network:
    """The network of a skeleton, a function of the cell."""
    widths = [skeleton.channels << stage for stage in range(skeleton.num_stages)]

    def init(key: Array, arch: Array) -> tuple[Tree, Tree]:
        key_stem, key_head, *key_stages = jax.random.split(key, 2 + len(widths))
        params = {
            "stem": _init_stem(key_stem, skeleton),
            "head": _init_head(key_head, skeleton, widths[-1]),
        }
        statistics: Tree = {
            "stem": batch_norm.initial_statistics((widths[0],), jnp.float32),
            "head": batch_norm.initial_statistics((widths[-1],), jnp.float32),
        }
        for stage, (width, key_stage) in enumerate(
            zip(widths, key_stages, strict=True)
        ):
            key_cells, key_block = jax.random.split(key_stage)
            params[f"cells{stage}"] = _init_cells(key_cells, arch, skeleton, width)
            statistics[f"cells{stage}"] = batch_norm.initial_statistics(
                (skeleton.num_cells, nasbench201.NUM_GENES, width), jnp.float32
            )
            if stage:
                params[f"block{stage}"] = _init_block(key_block, width // 2, width)
                statistics[f"block{stage}"] = {
                    name: batch_norm.initial_statistics((width,), jnp.float32)
                    for name in ("bn1", "bn2")
                }
        return params, statistics

    def apply(  # type: ignore[no-untyped-def]
        params, statistics, arch, images, *, train
    ):
        bn = functools.partial(_normalize, train=train, momentum=skeleton.momentum)
        new: Tree = {}
        x = _stem(images, params["stem"]["kernel"], skeleton.patch)
        x, new["stem"] = bn(x, params["stem"], statistics["stem"])
        for stage in range(skeleton.num_stages):
            if stage:
                name = f"block{stage}"
                x, new[name] = _residual_block(x, params[name], statistics[name], bn)
            name = f"cells{stage}"
            one_cell = functools.partial(
                cell, train=train, affine=skeleton.affine, momentum=skeleton.momentum
            )
            if skeleton.num_cells == 1:
                first = jax.tree.map(lambda a: a[0], (params[name], statistics[name]))
                x, updated = one_cell(x, arch, *first)
                new[name] = jax.tree.map(lambda a: a[None], updated)
            else:
                x, new[name] = lax.scan(
                    functools.partial(_scan_cells, one_cell, arch),
                    x,
                    (params[name], statistics[name]),
                )
        x, new["head"] = bn(x, params["head"], statistics["head"])
        pooled = jax.nn.relu(x).mean((1, 2))
        head = params["head"]
        return head["kernel"].T @ pooled + head["bias"][:, None], new

    return Network(init, apply)


def _scan_cells(  # type: ignore[no-untyped-def]
    one_cell, arch, x, slot
):
    params, statistics = slot
    return one_cell(x, arch, params, statistics)


def count_parameters(arch: Any, skeleton: Skeleton) -> Array:
    """int32 `[]`, trainable parameters of the network of one cell `[6]`."""
    affine = 2 if skeleton.affine else 0
    total: Array = jnp.int32(0)
    for stage in range(skeleton.num_stages):
        width = skeleton.channels << stage
        by_op = [0, 0, width * (width + affine), width * (9 * width + affine), 0]
        cells: Array = jnp.asarray(by_op, jnp.int32)[arch].sum() * skeleton.num_cells
        total += cells
        if stage:
            total += 9 * width * width // 2 + 9 * width**2 + width * width // 2
            total += 4 * width
    kernel = 9 if skeleton.patch == 1 else skeleton.patch**2
    stem = kernel * skeleton.image_shape[-1] * skeleton.channels + 2 * skeleton.channels
    head = 2 * width + (width + 1) * skeleton.num_classes
    return total + stem + head


def cell(
    x: Array,
    arch: Array,
    params: Tree,
    statistics: Tree,
    *,
    train: bool,
    affine: bool,
    momentum: float = batch_norm.MOMENTUM,
) -> tuple[Array, Tree]:
    """One cell: every node is the sum of its edges (figure 1 of the paper).

    Args:
      x: `[C, H, W, N]`.
      arch: int32 `[6]`.
      params: `kernel` `[6, 3, 3, C, C]` and, if `affine`, `gamma`, `beta` `[6, C]`.
      statistics: `mean`, `var` `[6, C]`.
      train: normalise with the moments of the batch.
      affine: see `Skeleton`.
      momentum: see `Skeleton`.

    Returns:
      The last node `[C, H, W, N]`, and the updated statistics if `train`.
    """
    nodes = [x]
    moments = []
    for k, (source, target) in enumerate(nasbench201.EDGES):
        kernel, inputs = params["kernel"][k], nodes[source]
        if train:
            y, mean, var = edge(arch[k], inputs, kernel)
            moments.append({"mean": mean, "var": var})
        else:
            running = batch_norm.Moments(statistics["mean"][k], statistics["var"][k])
            y = _evaluate_edge(arch[k], inputs, kernel, running)
        if affine:
            is_conv = (arch[k] == _CONVOLUTIONS[0]) | (arch[k] == _CONVOLUTIONS[1])
            scale = jnp.where(is_conv, params["gamma"][k], 1.0)
            shift = jnp.where(is_conv, params["beta"][k], 0.0)
            y = y * batch_norm.per_channel(scale) + batch_norm.per_channel(shift)
        if target == len(nodes):
            nodes.append(y)
        else:
            nodes[target] += y
    if train:
        batch = jax.tree.map(lambda *rows: jnp.stack(rows), *moments)
        statistics = batch_norm.update(
            statistics,
            batch_norm.Moments(**batch),
            math.prod(x.shape[1:]),
            momentum=momentum,
        )
    return nodes[-1], statistics


@jax.custom_vjp
def edge(op: Array, x: Array, kernel: Array) -> tuple[Array, Array, Array]:
    """One edge in training mode: only the operation `op` is computed.

    Convolutions are ReLU-convolution-normalisation without scale and shift; pooling
    does not count padding.

    Args:
      op: int32 `[]`.
      x: `[C, H, W, N]`.
      kernel: `[3, 3, C, C]`.

    Returns:
      The result `[C, H, W, N]`, and the batch mean and variance `[C]` that normalised
      it (0 and 1 where nothing is normalised); gradients do not flow through those.
    """
    return _edge_forward(op, x, kernel)[0]


def _edge_forward(
    op: Array, x: Array, kernel: Array
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    channels = x.shape[0]

    def plain(value: Array) -> tuple[Array, ...]:
        unit = jnp.ones(channels, x.dtype)
        return value, jnp.zeros(channels, x.dtype), unit, unit

    def normalized(z: Array) -> tuple[Array, ...]:
        stats = batch_norm.moments(z)
        scale, shift = batch_norm.affine(stats)
        y = z * batch_norm.per_channel(scale) + batch_norm.per_channel(shift)
        return y, stats.mean, stats.var, scale

    branches = [
        lambda x, w: plain(jnp.zeros_like(x)),
        lambda x, w: plain(x),
        lambda x, w: normalized(convolution.pointwise(jax.nn.relu(x), w[1, 1])),
        lambda x, w: normalized(convolution.small3x3(jax.nn.relu(x), w)),
        lambda x, w: plain(pooling.avg_pool(x)),
    ]
    y, mean, var, scale = lax.switch(op, branches, x, kernel)
    return (y, mean, var), (op, x, kernel, y, scale)


def _edge_backward(residuals, cotangents):  # type: ignore[no-untyped-def]
    op, x, kernel, y, scale = residuals

    def plain(dx: Array) -> tuple[Array, Array]:
        return dx, jnp.zeros_like(kernel)

    def before_normalization(g: Array, y: Array) -> Array:
        mean = batch_norm.per_channel(g.mean((1, 2, 3)))
        along = batch_norm.per_channel((g * y).mean((1, 2, 3)))
        return batch_norm.per_channel(scale) * (g - mean - y * along)

    def conv1x1(g, x, w, y):  # type: ignore[no-untyped-def]
        dz = before_normalization(g, y)
        _, pull = jax.vjp(convolution.pointwise, jax.nn.relu(x), w[1, 1])
        dx, dw = pull(dz)
        return jnp.where(x > 0, dx, 0), jnp.zeros_like(w).at[1, 1].set(dw)

    def conv3x3(g, x, w, y):  # type: ignore[no-untyped-def]
        dz = before_normalization(g, y)
        _, pull = jax.vjp(convolution.small3x3, jax.nn.relu(x), w)
        dx, dw = pull(dz)
        return jnp.where(x > 0, dx, 0), dw

    def avg_pool(g, x, w, y):  # type: ignore[no-untyped-def]
        return plain(jax.vjp(pooling.avg_pool, x)[1](g)[0])

    branches = [
        lambda g, x, w, y: plain(jnp.zeros_like(g)),
        lambda g, x, w, y: plain(g),
        conv1x1,
        conv3x3,
        avg_pool,
    ]
    dx, dkernel = lax.switch(op, branches, cotangents[0], x, kernel, y)
    return None, dx, dkernel


edge.defvjp(_edge_forward, _edge_backward)


def _evaluate_edge(
    op: Array, x: Array, kernel: Array, running: batch_norm.Moments
) -> Array:
    scale, shift = (batch_norm.per_channel(v) for v in batch_norm.affine(running))
    branches = [
        lambda x, w: jnp.zeros_like(x),
        lambda x, w: x,
        lambda x, w: convolution.pointwise(jax.nn.relu(x), w[1, 1]) * scale + shift,
        lambda x, w: convolution.small3x3(jax.nn.relu(x), w) * scale + shift,
        lambda x, w: pooling.avg_pool(x),
    ]
    result: Array = lax.switch(op, branches, x, kernel)
    return result


def _normalize(  # type: ignore[no-untyped-def]
    x, params, statistics, *, train, momentum
):
    """Batch normalisation with scale and shift; also the updated statistics."""
    if train:
        stats = batch_norm.moments(x)
        count = math.prod(x.shape[1:])
        statistics = batch_norm.update(statistics, stats, count, momentum=momentum)
    else:
        stats = batch_norm.Moments(statistics["mean"], statistics["var"])
    scale, shift = batch_norm.affine(stats, params["gamma"], params["beta"])
    return x * batch_norm.per_channel(scale) + batch_norm.per_channel(shift), statistics


def _stem(images: Array, kernel: Array, patch: int) -> Array:
    if patch == 1:
        return convolution.dense3x3(jnp.moveaxis(images, 2, 0), kernel)
    stem: Array = convolution.pointwise(space_to_depth(images, patch), kernel)
    return stem


def space_to_depth(images: Array, patch: int) -> Array:
    """`[H, W, C, N]` to `[P P C, H / P, W / P, N]`: patches of PxP become channels."""
    height, width, channels, number = images.shape
    split = images.reshape(
        height // patch, patch, width // patch, patch, channels, number
    )
    moved = split.transpose(1, 3, 4, 0, 2, 5)
    return moved.reshape(-1, height // patch, width // patch, number)


def _residual_block(
    x: Array, params: Tree, statistics: Tree, bn: Callable[..., tuple[Array, Tree]]
) -> tuple[Array, Tree]:
    """Between stages: two 3x3 convolutions, and a pooled 1x1 shortcut."""
    new: Tree = {}
    y = convolution.dense3x3(jax.nn.relu(x), params["kernel1"], stride=2)
    y, new["bn1"] = bn(y, params["bn1"], statistics["bn1"])
    y = convolution.dense3x3(jax.nn.relu(y), params["kernel2"])
    y, new["bn2"] = bn(y, params["bn2"], statistics["bn2"])
    channels, height, width, number = x.shape
    pooled = x.reshape(channels, height // 2, 2, width // 2, 2, number).mean((2, 4))
    return y + convolution.pointwise(pooled, params["shortcut"]), new


def _he_normal(key: Array, shape: tuple[int, ...], fan_out: int) -> Array:
    return jax.random.normal(key, shape, jnp.float32) * math.sqrt(2 / fan_out)


def _affine_params(shape: tuple[int, ...]) -> Tree:
    return {"gamma": jnp.ones(shape), "beta": jnp.zeros(shape)}


def _init_stem(key: Array, skeleton: Skeleton) -> Tree:
    colours, patch, width = skeleton.image_shape[-1], skeleton.patch, skeleton.channels
    shape = (3, 3, colours, width) if patch == 1 else (patch * patch * colours, width)
    fan_out = (9 if patch == 1 else 1) * width
    return {"kernel": _he_normal(key, shape, fan_out), **_affine_params((width,))}


def _init_head(key: Array, skeleton: Skeleton, width: int) -> Tree:
    bound = 1 / math.sqrt(width)
    kernel = jax.random.uniform(
        key, (width, skeleton.num_classes), minval=-bound, maxval=bound
    )
    bias = jnp.zeros(skeleton.num_classes)
    return {"kernel": kernel, "bias": bias, **_affine_params((width,))}


def _init_cells(key: Array, arch: Array, skeleton: Skeleton, width: int) -> Tree:
    """Normal with variance 2 / fan_out of the convolution that the edge computes."""
    lead = (skeleton.num_cells, nasbench201.NUM_GENES)
    kernel = _he_normal(key, (*lead, 3, 3, width, width), 9 * width)
    larger = jnp.where(arch == nasbench201.CONV_1X1, 3.0, 1.0)
    params = {"kernel": kernel * larger.reshape(1, -1, 1, 1, 1, 1)}
    if skeleton.affine:
        params |= _affine_params((*lead, width))
    return params


def _init_block(key: Array, width_in: int, width: int) -> Tree:
    keys = jax.random.split(key, 3)
    return {
        "kernel1": _he_normal(keys[0], (3, 3, width_in, width), 9 * width),
        "kernel2": _he_normal(keys[1], (3, 3, width, width), 9 * width),
        "shortcut": _he_normal(keys[2], (width_in, width), width),
        "bn1": _affine_params((width,)),
        "bn2": _affine_params((width,)),
    }
