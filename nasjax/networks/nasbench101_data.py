"""Networks of NAS-Bench-101 cells in a small skeleton, the cell being data.

One compiled program trains any of the 423,624 cells: a stem, one module, batch
normalisation and ReLU, global average pooling, a linear layer. The module computes what
a module of `networks.nasbench101` does. All vertices are C channels wide and zero
beyond the channels that the official rule gives them, because scale and shift of their
normalisations are masked.

Each vertex and each projection runs its own operation only, forward and backward:
`lax.switch` sits inside a function with its own derivative. (Under vmap over cells a
switch becomes a select and all operations run: map over cells with `lax.map` or one
call each.)

A vertex has a 3x3 kernel, of which a 1x1 convolution uses the centre tap. Feature maps
are `[C, H, W, N]`.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, initialization, pooling
from nasjax.networks.nasbench201 import Network, space_to_depth
from nasjax.spaces import nasbench101
from nasjax.spaces.nasbench101_notation import OP_NAMES, OP_SPOTS

_CONV_1X1 = OP_NAMES.index("conv1x1-bn-relu")
_STACKED = ("projections", "vertices")
_AFFINE = ("scale", "bias")


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """What surrounds the module; the defaults are those of digits111.

    Attributes:
      channels: C of the stem and of the module.
      num_classes: K.
      image_shape: height, width and channels of an image.
      patch: 1: the stem is a 3x3 convolution. P > 1: patches of PxP pixels become
        channels (space-to-depth) and the stem is a 1x1 convolution.
      normalize_head: batch normalisation and ReLU before the global pooling. Poolings
        add up unnormalised maps; without it cells of several of them may not train.
      momentum: weight of a batch in the running statistics.
    """

    channels: int = 16
    num_classes: int = 10
    image_shape: tuple[int, int, int] = (8, 8, 1)
    patch: int = 2
    normalize_head: bool = True
    momentum: float = 0.2


def network(skeleton: Skeleton) -> Network:
    """The network of a skeleton, a function of the cell's genes `[27]`.

    Vertices on no path from input to output count for nothing; of a cell without a
    path only the bias of the linear layer is left.
    """

    def init(key: Array, arch: Array) -> tuple[Tree, Tree]:
        shapes = _shapes(skeleton)
        drawn = initialization.truncated_normal_fan_in(key, shapes)
        params = drawn | {
            name: jax.tree.map(lambda *rows: jnp.stack(rows), *drawn[name].values())
            for name in _STACKED
        }
        params["vertices"]["conv"] *= _widening(arch, skeleton.channels)
        norms = {name: part["bn"] for name, part in params.items() if "bn" in part}
        return params, {
            name: {"bn": batch_norm.initial_statistics(bn["scale"].shape, jnp.float32)}
            for name, bn in norms.items()
        }

    def apply(  # type: ignore[no-untyped-def]
        params, statistics, arch, images, *, train
    ):
        bn = functools.partial(_normalize, train=train, momentum=skeleton.momentum)
        new: Tree = {}
        x = _stem(images, params["stem"]["conv"], skeleton.patch)
        x, new["stem"] = bn(x, params["stem"], statistics["stem"])
        x, moved = module(
            jax.nn.relu(x),
            arch,
            params,
            statistics,
            train=train,
            momentum=skeleton.momentum,
        )
        new |= moved
        if skeleton.normalize_head:
            x, new["head"] = bn(x, params["head"], statistics["head"])
            x = jax.nn.relu(x)
        head = params["classifier"]
        return head["kernel"].T @ x.mean((1, 2)) + head["bias"][:, None], new

    return Network(init, apply)


def count_parameters(arch: Any, skeleton: Skeleton) -> Array:
    """int32 `[]`, trainable parameters that the network of one cell `[27]` uses."""
    channels = skeleton.channels
    around = {k: v for k, v in _shapes(skeleton).items() if k not in _STACKED}
    cell = nasbench101.module_parameters(jnp.asarray(arch), channels, channels)
    return cell + initialization.count(around)


class Unit(NamedTuple):
    """Result `[C, H, W, N]` of one operation, and the moments `[C]` that normalised it.

    Where nothing is normalised they are 0 and 1; gradients do not flow through them.
    """

    y: Array
    mean: Array
    var: Array


def module(
    x: Array,
    arch: Array,
    params: Tree,
    statistics: Tree,
    *,
    train: bool,
    momentum: float,
) -> tuple[Array, Tree]:
    """One module.

    Args:
      x: `[C, H, W, N]`.
      arch: int32 `[27]`.
      params: of `projections` (`conv` `[6, C, C]`) into vertices 1..5 and the output
        and of `vertices` (`conv` `[5, 3, 3, C, C]`) 1..5; each has `bn`, `scale` and
        `bias` `[6 or 5, C]`.
      statistics: `mean` and `var` of the same.
      train: normalise with the moments of the batch.
      momentum: weight of a batch in the running statistics.

    Returns:
      The output `[C, H, W, N]`, and the updated statistics if `train`; those of
      operations and channels that the cell lacks mean nothing.
    """
    width = x.shape[0]
    plan = nasbench101.module(arch, width)
    within = plan.channels[1:, None] > np.arange(width)[None]  # [5, C]
    limits = {
        "projections": jnp.concatenate([within, jnp.ones((1, width), bool)]),
        "vertices": within,
    }
    units: dict[str, list[Unit]] = {name: [] for name in _STACKED}

    def add(name: str, op: Array, inputs: Array) -> Array:
        k, part, old = len(units[name]), params[name], statistics[name]["bn"]
        affine = [jnp.where(limits[name][k], part["bn"][p][k], 0) for p in _AFFINE]
        if train:
            done = unit(op, inputs, part["conv"][k], *affine)
        else:
            running = batch_norm.Moments(old["mean"][k], old["var"][k])
            scale, bias = affine
            y = _evaluate_unit(op, inputs, part["conv"][k], scale, bias, running)
            done = Unit(y, *running)
        units[name].append(done)
        return done.y

    values: list[Array] = []
    for k in range(OP_SPOTS):
        total = add("projections", plan.edges[0, k + 1] - 1, x)
        for source, value in enumerate(values, start=1):
            passes = jnp.where(plan.edges[source, k + 1], within[k], False)
            total += batch_norm.per_channel(passes.astype(x.dtype)) * value
        values.append(add("vertices", plan.operations[k], total))
    projected = add("projections", plan.to_output[0] - 1, x)
    joined = concatenate(tuple(values), *_places(plan, within, x.dtype))
    if train:
        statistics = {
            name: {"bn": _updated(statistics[name]["bn"], units[name], x, momentum)}
            for name in _STACKED
        }
    return joined + projected, {name: statistics[name] for name in _STACKED}


@jax.custom_vjp
def unit(op: Array, x: Array, kernel: Array, scale: Array, bias: Array) -> Unit:
    """One vertex or projection in training mode: only the operation `op` is computed.

    Convolutions are followed by normalisation and ReLU; channels with scale and bias
    zero come out as zero.

    Args:
      op: int32 `[]`, an index of `OP_NAMES`; -1: zeros.
      x: `[C, H, W, N]`.
      kernel: `[3, 3, C, C]`, or `[C, C]` of a projection, which is none but a 1x1
        convolution.
      scale: of the normalisation, `[C]`.
      bias: of the normalisation, `[C]`.
    """
    return _unit_forward(op, x, kernel, scale, bias)[0]


def _unit_forward(
    op: Array, x: Array, kernel: Array, scale: Array, bias: Array
) -> tuple[Unit, tuple[Array, ...]]:
    def plain(y: Array) -> tuple[Array, ...]:
        zero = jnp.zeros_like(scale)
        return y, y, zero, zero + 1

    def normalized(z: Array) -> tuple[Array, ...]:
        stats = batch_norm.moments(z)
        return _normalize_relu(z, stats, scale, bias), z, *stats

    y, z, mean, var = lax.switch(
        op + 1, _branches(kernel, normalized, plain), x, kernel
    )
    return Unit(y, mean, var), (op, x, kernel, scale, bias, z, mean, var)


def _unit_backward(residuals, cotangents):  # type: ignore[no-untyped-def]
    op, x, kernel, scale, bias, z, mean, var = residuals
    inverse = lax.rsqrt(var + batch_norm.EPSILON)
    per_channel = batch_norm.per_channel

    def nothing(g: Array, x: Array, z: Array) -> tuple[Array, ...]:
        return jnp.zeros_like(x), *map(jnp.zeros_like, (kernel, scale, bias))

    def before_normalization(g: Array, z: Array) -> tuple[Array, Array, Array]:
        unscaled = (z - per_channel(mean)) * per_channel(inverse)
        alive = unscaled * per_channel(scale) + per_channel(bias) > 0
        g = jnp.where(alive, g, 0)
        along, level = (g * unscaled).mean((1, 2, 3)), g.mean((1, 2, 3))
        dz = g - per_channel(level) - unscaled * per_channel(along)
        count = math.prod(z.shape[1:])
        return per_channel(scale * inverse) * dz, along * count, level * count

    def conv1x1(g: Array, x: Array, z: Array) -> tuple[Array, ...]:
        dz, dscale, dbias = before_normalization(g, z)
        _, pull = jax.vjp(lambda x, w: convolution.pointwise(x, _centre(w)), x, kernel)
        return *pull(dz), dscale, dbias

    def conv3x3(g: Array, x: Array, z: Array) -> tuple[Array, ...]:
        dz, dscale, dbias = before_normalization(g, z)
        _, pull = jax.vjp(convolution.small3x3, x, kernel)
        return *pull(dz), dscale, dbias

    def max_pool(g: Array, x: Array, z: Array) -> tuple[Array, ...]:
        (dx,) = jax.vjp(pooling.max_pool, x)[1](g)
        return dx, *nothing(g, x, z)[1:]

    branches = [nothing, conv1x1]
    if kernel.ndim == 4:
        branches += [conv3x3, max_pool]
    return None, *lax.switch(op + 1, branches, cotangents.y, x, z)


unit.defvjp(_unit_forward, _unit_backward)


def _evaluate_unit(
    op: Array,
    x: Array,
    kernel: Array,
    scale: Array,
    bias: Array,
    running: batch_norm.Moments,
) -> Array:
    def normalized(z: Array) -> Array:
        return _normalize_relu(z, running, scale, bias)

    y: Array = lax.switch(op + 1, _branches(kernel, normalized, lambda y: y), x, kernel)
    return y


def _branches(kernel: Array, normalized: Any, plain: Any) -> list[Any]:
    """What -1, 0, ... compute of input and kernel, in the order of `OP_NAMES`."""
    branches = [
        lambda x, w: plain(jnp.zeros_like(x)),
        lambda x, w: normalized(convolution.pointwise(x, _centre(w))),
    ]
    if kernel.ndim == 4:
        branches += [
            lambda x, w: normalized(convolution.small3x3(x, w)),
            lambda x, w: plain(pooling.max_pool(x)),
        ]
    return branches


def _centre(kernel: Array) -> Array:
    return kernel if kernel.ndim == 2 else kernel[1, 1]


def _normalize_relu(
    z: Array, stats: batch_norm.Moments, scale: Array, bias: Array
) -> Array:
    scale, shift = map(batch_norm.per_channel, batch_norm.affine(stats, scale, bias))
    return jax.nn.relu(z * scale + shift)


@jax.custom_vjp
def concatenate(values: tuple[Array, ...], places: Array, feeding: Array) -> Array:
    """The first channels of the feeding vertices, one after another, `[C, H, W, N]`.

    Args:
      values: of vertices 1..5, zero beyond the channels that each has.
      places: int32 `[5]`, where each begins; C where it does not feed the output.
      feeding: `[5, C]`, one for channels of a vertex that go to the output, else zero.
    """
    return _concatenate_forward(values, places, feeding)[0]


def _concatenate_forward(
    values: tuple[Array, ...], places: Array, feeding: Array
) -> tuple[Array, tuple[Array, Array]]:
    # In rising order the next vertex overwrites the zeros that end the last; what is
    # left out lands behind the result.
    width = values[0].shape[0]
    joined = jnp.zeros((2 * width, *values[0].shape[1:]), values[0].dtype)
    for k, value in enumerate(values):
        joined = lax.dynamic_update_slice_in_dim(joined, value, places[k], axis=0)
    return joined[:width], (places, feeding)


def _concatenate_backward(residuals, g):  # type: ignore[no-untyped-def]
    places, feeding = residuals
    width = g.shape[0]
    padded = jnp.concatenate([g, jnp.zeros_like(g)])
    parts = tuple(
        lax.dynamic_slice_in_dim(padded, places[k], width)
        * batch_norm.per_channel(feeding[k])
        for k in range(feeding.shape[0])
    )
    return parts, None, None


concatenate.defvjp(_concatenate_forward, _concatenate_backward)


def _places(plan: nasbench101.Module, within: Array, dtype: Any) -> tuple[Array, Array]:
    """`places` and `feeding` of `concatenate`."""
    feeds = plan.to_output[1:]
    taken = jnp.where(feeds, plan.channels[1:], 0)
    before = jnp.cumsum(taken) - taken
    places = jnp.where(feeds, before, within.shape[-1]).astype(jnp.int32)
    return places, (within & feeds[:, None]).astype(dtype)


def _updated(old: Tree, units: list[Unit], x: Array, momentum: float) -> Tree:
    batch = batch_norm.Moments(
        jnp.stack([done.mean for done in units]),
        jnp.stack([done.var for done in units]),
    )
    return batch_norm.update(old, batch, math.prod(x.shape[1:]), momentum=momentum)


def _normalize(  # type: ignore[no-untyped-def]
    x, params, statistics, *, train, momentum
):
    y, bn = batch_norm.normalize(
        x, params["bn"], statistics["bn"], train=train, momentum=momentum
    )
    return y, {"bn": bn}


def _stem(images: Array, kernel: Array, patch: int) -> Array:
    if patch == 1:
        return convolution.dense3x3(jnp.moveaxis(images, 2, 0), kernel)
    stem: Array = convolution.pointwise(space_to_depth(images, patch), kernel)
    return stem


def _shapes(skeleton: Skeleton) -> Tree:
    """Shapes in the form of `initialization`; slots of the module apart."""
    width, colours = skeleton.channels, skeleton.image_shape[-1]
    bn = {"scale": (width,), "bias": (width,)}
    patch = skeleton.patch
    stem = (3, 3, colours, width) if patch == 1 else (patch * patch * colours, width)
    projection = {"conv": (width, width), "bn": bn}
    vertex = {"conv": (3, 3, width, width), "bn": bn}
    head = {"head": {"bn": bn}} if skeleton.normalize_head else {}
    return {
        "stem": {"conv": stem, "bn": bn},
        "projections": {str(k): projection for k in range(OP_SPOTS + 1)},
        "vertices": {str(k): vertex for k in range(OP_SPOTS)},
        **head,
        "classifier": {
            "kernel": (width, skeleton.num_classes),
            "bias": (skeleton.num_classes,),
        },
    }


def _widening(arch: Array, width: int) -> Array:
    """`[5, 1, 1, 1, 1]`: from the fan-in of a whole kernel to that of each vertex."""
    plan = nasbench101.module(arch, width)
    taps = jnp.where(plan.operations == _CONV_1X1, 1, 9)
    fan_in = taps * jnp.maximum(plan.channels[1:], 1)
    return jnp.sqrt(9 * width / fan_in).reshape(-1, 1, 1, 1, 1)
