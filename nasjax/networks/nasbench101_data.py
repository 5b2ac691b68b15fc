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
from jax import lax

from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, initialization, pooling
from nasjax.networks.nasbench201 import Network, space_to_depth
from nasjax.spaces import nasbench101
from nasjax.spaces.nasbench101_notation import OP_NAMES, OP_SPOTS

_CONV_1X1 = OP_NAMES.index("conv1x1-bn-relu")
_MAX_POOL = OP_NAMES.index("maxpool3x3")
_CONVOLUTIONS = (_CONV_1X1, OP_NAMES.index("conv3x3-bn-relu"))
_STACKED = ("projections", "vertices")
_per_channel = batch_norm.per_channel

Others = tuple[tuple[Array, ...], Array]
"""T maps `[C, H, W, N]` and the factors `[T, C]` of their channels."""


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


class Part(NamedTuple):
    """Parameters of the projections or of the vertices, one a row.

    Attributes:
      conv: `[6, C, C]` or `[5, 3, 3, C, C]`.
      scale: of the normalisation, `[6 or 5, C]`.
      bias: of the normalisation, `[6 or 5, C]`.
    """

    conv: Array
    scale: Array
    bias: Array


class Unit(NamedTuple):
    """Result `[C, H, W, N]` of one operation, and the moments `[C]` that normalised it.

    Where nothing is normalised they are 0 and 1, in channels that are not computed 0;
    gradients do not flow through them.
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
    within = jnp.arange(width)[None] < plan.channels[1:, None]  # [5, C]
    limits: dict[str, Array] = {
        "projections": jnp.concatenate([within, jnp.ones((1, width), bool)]),
        "vertices": within,
    }
    parts = {name: _masked(params[name], limits[name]) for name in _STACKED}
    units: dict[str, list[Unit]] = {name: [] for name in _STACKED}

    def add(
        name: str, op: Array, channels: Array | int, inputs: Array, others: Others
    ) -> Array:
        k, part = len(units[name]), parts[name]
        branch = _branch(op, channels, part.conv[k])
        if train:
            slot = [leaf[k] for leaf in part]
            done = unit(branch, inputs, *slot, others)
        else:
            old = statistics[name]["bn"]
            done = _evaluate_unit(branch, inputs, part, old, k, others)
        units[name].append(done)
        return done.y

    values: tuple[Array, ...] = ()
    none: Others = (), jnp.zeros((0, width), x.dtype)
    for k in range(OP_SPOTS):
        passes = (plan.edges[1 : k + 1, k + 1, None] & within[k][None]).astype(x.dtype)
        projection, channels = plan.edges[0, k + 1] - 1, plan.channels[k + 1]
        total = add("projections", projection, channels, x, (values, passes))
        values += (add("vertices", plan.operations[k], channels, total, none),)
    joined = concatenate(values, *_places(plan, within, x.dtype))
    whole = (joined,), jnp.ones((1, width), x.dtype)
    y = add("projections", plan.to_output[0] - 1, width, x, whole)
    if train:
        statistics = {
            name: {"bn": _updated(statistics[name]["bn"], units[name], x, momentum)}
            for name in _STACKED
        }
    return y, {name: statistics[name] for name in _STACKED}


@jax.custom_vjp
def unit(
    branch: Array, x: Array, kernel: Array, scale: Array, bias: Array, others: Others
) -> Unit:
    """One vertex or projection in training mode: only one operation is computed.

    Convolutions are followed by normalisation and ReLU; channels with scale and bias
    zero come out as zero. What else goes into a vertex is added here, because a
    projection that is not there would first be stored as zeros.

    Args:
      branch: int32 `[]`, from `_branch`.
      x: `[C, H, W, N]`.
      kernel: `[3, 3, C, C]`, or `[C, C]` of a projection, which is none but a 1x1
        convolution.
      scale: of the normalisation, `[C]`.
      bias: of the normalisation, `[C]`.
      others: maps that are added to the result, and the factors `[T, C]` of the
        channels of each, which are constants.
    """
    return _unit_forward(branch, x, kernel, scale, bias, others)[0]


def _unit_forward(
    branch: Array, x: Array, kernel: Array, scale: Array, bias: Array, others: Others
) -> tuple[Unit, tuple[Array, ...]]:
    def run(op: int, n: int, x: Array) -> tuple[Array, ...]:
        y = z = _raw(op, n, x, kernel)
        stats = batch_norm.Moments(jnp.zeros(n, x.dtype), jnp.ones(n, x.dtype))
        if op in _CONVOLUTIONS:
            stats = batch_norm.moments(z)
            factor, shift = batch_norm.affine(stats, scale[:n], bias[:n])
            y = jax.nn.relu(z * _per_channel(factor) + _per_channel(shift))
        y = _plus(y, others)
        return tuple(_widened(part, x.shape[0]) for part in (y, z, *stats))

    y, z, mean, var = _switch(branch, run, kernel, x)
    residuals = branch, x, kernel, scale, bias, z, mean, var, others[1]
    return Unit(y, mean, var), residuals


def _unit_backward(residuals, cotangents):  # type: ignore[no-untyped-def]
    branch, x, kernel, scale, bias, z, mean, var, factors = residuals
    inverse = lax.rsqrt(var + batch_norm.EPSILON)

    def before_normalization(n: int, g: Array, z: Array) -> tuple[Array, Array, Array]:
        unscaled = (z[:n] - _per_channel(mean[:n])) * _per_channel(inverse[:n])
        alive = unscaled * _per_channel(scale[:n]) + _per_channel(bias[:n]) > 0
        g = jnp.where(alive, g, 0)
        along, level = (g * unscaled).mean((1, 2, 3)), g.mean((1, 2, 3))
        dz = g - _per_channel(level) - unscaled * _per_channel(along)
        count = math.prod(z.shape[1:])
        return _per_channel((scale * inverse)[:n]) * dz, along * count, level * count

    def run(op: int, n: int, g: Array, x: Array, z: Array) -> tuple[Array, ...]:
        g, dscale, dbias = g[:n], jnp.zeros(n, g.dtype), jnp.zeros(n, g.dtype)
        if op in _CONVOLUTIONS:
            g, dscale, dbias = before_normalization(n, g, z)
        back = jax.vjp(functools.partial(_raw, op, n), x, kernel)[1](g)
        return *back, _widened(dscale, x.shape[0]), _widened(dbias, x.shape[0])

    back = _switch(branch, run, kernel, cotangents.y, x, z)
    to_others = tuple(_per_channel(factor) * cotangents.y for factor in factors)
    return None, *back, (to_others, None)


unit.defvjp(_unit_forward, _unit_backward)


def _evaluate_unit(
    branch: Array, x: Array, part: Part, running: Tree, k: int, others: Others
) -> Unit:
    """`unit` with slot `k` of the parameters and of the running statistics."""
    stats = batch_norm.Moments(running["mean"], running["var"])
    scale, shift = batch_norm.affine(stats, part.scale, part.bias)

    # Slots are taken apart inside the branches, where that costs no copies.
    def run(op: int, n: int, x: Array) -> Array:
        y = _raw(op, n, x, part.conv[k])
        if op in _CONVOLUTIONS:
            y = y * _per_channel(scale[k, :n]) + _per_channel(shift[k, :n])
            y = jax.nn.relu(y)
        return _widened(_plus(y, others), x.shape[0])

    y = _switch(branch, run, part.conv[k], x)
    return Unit(y, stats.mean[k], stats.var[k])


def _branch(op: Array, channels: Array | int, kernel: Array) -> Array:
    """Index of what `_switch` runs: an operation (-1: none) at a width."""
    ops, widths = _choices(kernel)
    return op + 1 + len(ops) * (channels <= widths[1])


def _switch(branch: Array, run: Any, kernel: Array, *operands: Array) -> Any:
    """`run(op, width, *operands)` of the chosen operation and width."""
    ops, widths = _choices(kernel)
    branches = [functools.partial(run, op, n) for n in widths for op in ops]
    return lax.switch(branch, branches, *operands)


def _choices(kernel: Array) -> tuple[list[int], tuple[int, int]]:
    """Operations of a projection or of a vertex, and the widths they run at.

    Where several vertices feed the output, as in .72 of the cells, no vertex has more
    than half of the channels, and only those are computed.
    """
    ops = [-1, _CONV_1X1] if kernel.ndim == 2 else [-1, *range(len(OP_NAMES))]
    width = kernel.shape[-1]
    return ops, (width, (width + 1) // 2)


def _raw(op: int, n: int, x: Array, kernel: Array) -> Array:
    """The first `n` channels of an operation before its normalisation."""
    y: Array
    if op == -1:
        y = jnp.zeros((n, *x.shape[1:]), x.dtype)
    elif kernel.ndim == 2:
        y = convolution.pointwise(x, kernel[:, :n])
    elif op == _CONV_1X1:
        y = convolution.pointwise(x[:n], kernel[1, 1, :n, :n])
    elif op == _MAX_POOL:
        y = pooling.max_pool(x[:n])
    else:
        y = convolution.small3x3(x[:n], kernel[..., :n, :n])
    return y


def _plus(y: Array, others: Others) -> Array:
    values, factors = others
    n = y.shape[0]
    for t, value in enumerate(values):
        y += _per_channel(factors[t, :n]) * value[:n]
    return y


def _widened(x: Array, width: int) -> Array:
    """With zeros in the channels that were not computed."""
    return jnp.pad(x, [(0, width - x.shape[0])] + [(0, 0)] * (x.ndim - 1))


def _masked(params: Tree, within: Array) -> Part:
    """Scale and bias are zero outside the channels of a vertex, and so the result."""
    affine = (jnp.where(within, params["bn"][name], 0) for name in ("scale", "bias"))
    return Part(params["conv"], *affine)


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
        lax.dynamic_slice_in_dim(padded, places[k], width) * _per_channel(feeding[k])
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
