"""Forward pass of one supernet cell (section "Supernet Design", eq. 2.1 and 2.2).

    x_i = sum_j b_ij sum_o a_ijo o(x_j)

The caller hands in the product `b_ij * a_ijo` as one array, so the cell knows nothing
of softmaxes or masks. Edges that leave the same node are computed together: ReLU and
pooling once a source, every convolution as one batched product over the edges. An
operation's output enters the sum through the scale and shift of its last BN, so the
mixture is one pass over the feature maps.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.networks import batch_norm, convolution, depthwise, formulation, pooling
from nasjax.networks import operations as ops
from nasjax.supernet import layout

Array = jax.Array
Tree = dict[str, Any]


class Term(NamedTuple):
    """One operation on the edges of a group: `scale * feature + shift`.

    Attributes:
      feature: `[S, E, C, H, W, N]`, or with an edge axis of 1 where all edges of a
        source share it.
      scale: `[S, E, C]` or with an edge axis of 1.
      shift: like `scale`.
    """

    feature: Array
    scale: Array
    shift: Array


def apply(
    params: Tree,
    statistics: Tree,
    mixing: Array,
    inputs: tuple[Array, Array],
    *,
    net: layout.Supernet,
    cell: layout.Cell,
    train: bool,
) -> tuple[Array, Tree]:
    """Runs one cell.

    Args:
      params: the cell's entry of `layout.parameter_shapes`.
      statistics: the cell's entry of `layout.statistics_shapes`, running moments.
      mixing: `[E, O]`, edge weight times operation weight (masks included).
      inputs: outputs of cells k-2 and k-1, `[C_in, H, W, N]`.
      net: description of the whole network.
      cell: description of this cell.
      train: normalise with batch moments and update the running ones, or normalise
        with the running ones.

    Returns:
      The concatenated nodes `[num_steps * C, H', W', N]` and the new statistics.
    """
    new: Tree = {"operations": {}}
    sources = []
    for i, x in enumerate(inputs):
        name = f"preprocess{i}"
        y, new[name] = _preprocess(params[name], statistics[name], x, train)
        sources.append(formulation.materialize(y))
    nodes: list[Any] = [None] * net.num_steps
    group_moments = []
    group_params = _split_edges(params["operations"], net)
    running = statistics["operations"]
    # Running moments are read in evaluation only; training updates them all at the end.
    group_running = _split_edges({} if train else running, net)
    group_mixing = _split_edges(mixing, net)
    for step, group in enumerate(net.groups):
        x = jnp.stack([sources[s] for s in group.sources])
        terms, used = _operations(
            group_params[step],
            group_running[step],
            x,
            names=net.operations,
            stride=2 if cell.reduction and 0 in group.sources else 1,
            train=train,
        )
        group_moments.append(_on_every_edge(used, len(group.targets)))
        partial = formulation.materialize(_mix(terms, group_mixing[step]))
        for target, contribution in zip(
            group.targets, jnp.unstack(partial), strict=True
        ):
            old = nodes[target]
            nodes[target] = contribution if old is None else old + contribution
        sources.append(formulation.materialize(nodes[step]))
    if train:
        count = math.prod(sources[-1].shape[1:])  # H' W' N, of every operation
        new["operations"] = _update(running, _join_edges(group_moments), count)
    else:
        new["operations"] = running
    return jnp.concatenate(sources[layout.NUM_INPUTS :]), new


def _split_edges(tree: Any, net: layout.Supernet) -> list[Any]:
    """Arrays `[E_all, ...]` to one tree of `[S, E, ...]` for each group of edges.

    Arrays of the factorized reduction have strided edges only, those of the first
    group; later groups get none.
    """
    sizes = [len(group.sources) * len(group.targets) for group in net.groups]

    def split(x: Array) -> list[Array]:
        # lax.split, because its transpose is one concatenation, not a sum of pads
        parts = lax.split(x, sizes) if x.shape[0] == sum(sizes) else [x]
        return [
            part.reshape(len(group.sources), -1, *part.shape[1:])
            for group, part in zip(net.groups, parts, strict=False)
        ]

    leaves, structure = jax.tree.flatten(tree)
    columns = [split(leaf) for leaf in leaves]
    return [
        jax.tree.unflatten(
            structure, [parts[g] if g < len(parts) else None for parts in columns]
        )
        for g in range(len(net.groups))
    ]


def _on_every_edge(moments: Tree, num_edges: int) -> Tree:
    """`[S, E or 1, C]` to `[S, E, C]`: a pool has one map for all edges of a source."""

    def widen(m: Array) -> Array:
        return jnp.broadcast_to(m, (m.shape[0], num_edges, m.shape[2]))

    return jax.tree.map(widen, moments)


def _join_edges(groups: list[Tree]) -> Tree:
    """Moments of all groups back into one edge axis."""
    names = groups[0].keys()
    return {
        name: jax.tree.map(
            lambda *parts: jnp.concatenate(
                [part.reshape(-1, part.shape[-1]) for part in parts]
            ),
            *[group[name] for group in groups if name in group],
        )
        for name in names
    }


def _normalize(
    x: Array, statistics: Tree, params: Tree, name: str, train: bool
) -> tuple[Array, Array, Tree]:
    """Scale and shift of one BN and the moments behind them, as `{"mean", "var"}`."""
    gamma = params.get(name, {}).get("scale")
    beta = params.get(name, {}).get("bias")
    if train:
        return _normalize_batch(x, gamma, beta)
    running = statistics[name]
    used = batch_norm.Moments(running["mean"], running["var"])
    return *batch_norm.affine(used, gamma, beta), running


# What every operation of a group does to a map of the same shape is a jitted function:
# it is traced, differentiated and lowered once a shape, and XLA inlines it.
@jax.jit
def _normalize_batch(
    x: Array, gamma: Array | None, beta: Array | None
) -> tuple[Array, Array, Tree]:
    batch = batch_norm.moments(x)
    return *batch_norm.affine(batch, gamma, beta), batch._asdict()


@functools.partial(jax.jit, static_argnums=2)
def _update(running: Tree, batch: Tree, count: int) -> Tree:
    """New running moments of any tree of BNs from the moments of one batch."""
    return jax.tree.map(
        lambda old, new: batch_norm.update(old, batch_norm.Moments(**new), count),
        running,
        batch,
        is_leaf=lambda tree: "mean" in tree,
    )


@jax.jit
def _scale_shift(x: Array, scale: Array, shift: Array) -> Array:
    return batch_norm.per_channel(scale) * x + batch_norm.per_channel(shift)


@jax.jit
def _activate(x: Array, scale: Array, shift: Array) -> Array:
    return jax.nn.relu(_scale_shift(x, scale, shift))


def normalized(
    x: Array, statistics: Tree, params: Tree, name: str, train: bool
) -> tuple[Array, Tree]:
    """BN `name` applied to `x`, and its new running statistics."""
    scale, shift, used = _normalize(x, statistics, params, name, train)
    if train:
        used = _update(statistics[name], used, math.prod(x.shape[-3:]))
    return _scale_shift(x, scale, shift), used


def _preprocess(
    params: Tree, statistics: Tree, x: Array, train: bool
) -> tuple[Array, Tree]:
    """ReLU-Conv1x1-BN, with a factorized reduction after a reduction cell."""
    x = jax.nn.relu(x)
    if "conv" in params:
        y = convolution.pointwise(x, params["conv"])
    else:
        y = convolution.factorized_reduction(x, params["conv1"], params["conv2"])
    y, updated = normalized(y, statistics, params, "bn", train)
    return y, {"bn": updated}


def _operations(
    params: Tree,
    statistics: Tree,
    x: Array,
    *,
    names: tuple[str, ...],
    stride: int,
    train: bool,
) -> tuple[list[Term | None], Tree]:
    """All operations on the edges of a group; `x` is `[S, C, H, W, N]`.

    Returns their terms and the moments behind each BN.
    """
    activated = jax.nn.relu(x)
    terms: list[Term | None] = []
    used: Tree = {}
    for name in names:
        p, s = params.get(name, {}), statistics.get(name, {})
        if name in ops.CONVOLUTIONS:
            conv = ops.CONVOLUTIONS[name]
            term, new = _separable(p, s, activated, conv, stride, train)
        elif name in ops.POOLS:
            term, new = _pool(p, s, x, name, stride, train)
        elif name == ops.SKIP and stride == 2:
            y = convolution.factorized_reduction(
                _per_edge(activated, p["conv1"].shape[1]), p["conv1"], p["conv2"]
            )
            scale, shift, bn = _normalize(y, s, p, "bn", train)
            term, new = Term(y, scale, shift), {"bn": bn}
        elif name == ops.SKIP:
            one = jnp.ones((x.shape[0], 1, x.shape[1]), x.dtype)
            term, new = Term(x[:, None], one, jnp.zeros_like(one)), {}
        else:  # `none` contributes nothing
            term, new = None, {}
        terms.append(term)
        if new:
            used[name] = new
    return terms, used


def _per_edge(x: Array, num_edges: int) -> Array:
    return jnp.broadcast_to(x[:, None], (x.shape[0], num_edges, *x.shape[1:]))


def _separable(
    params: Tree,
    statistics: Tree,
    activated: Array,
    conv: ops.ConvOperation,
    stride: int,
    train: bool,
) -> tuple[Term, Tree]:
    """One or two depthwise-pointwise-BN stages on every edge of a group."""
    used: Tree = {}
    y = activated
    for stage in range(1, conv.stages + 1):
        kernel = params[f"depthwise{stage}"]
        s, e, c = kernel.shape[:3]
        if stage == 1:
            y = depthwise.depthwise(y, kernel, stride=stride, dilation=conv.dilation)
        else:
            single = kernel.reshape(s * e, 1, *kernel.shape[2:])
            y = y.reshape(s * e, c, *y.shape[3:])
            y = depthwise.depthwise(y, single, dilation=conv.dilation)
            y = y.reshape(s, e, c, *y.shape[3:])
        y = convolution.pointwise(y, params[f"pointwise{stage}"])
        bn = f"bn{stage}"
        scale, shift, used[bn] = _normalize(y, statistics, params, bn, train)
        if stage < conv.stages:
            y = _activate(y, scale, shift)
    return Term(y, scale, shift), used


def _pool(
    params: Tree, statistics: Tree, x: Array, name: str, stride: int, train: bool
) -> tuple[Term, Tree]:
    """Pooling once a source; BN statistics are kept for every edge."""
    pool = pooling.max_pool if name == ops.MAX_POOL else pooling.avg_pool
    feature = pool(x, stride=stride)[:, None]
    scale, shift, bn = _normalize(feature, statistics, params, "bn", train)
    return Term(feature, scale, shift), {"bn": bn}


def _mix(terms: list[Term | None], mixing: Array) -> Array:
    """Weighted sum over sources and operations: `[E, C, H, W, N]`."""
    total: Any = 0.0
    shifts: Any = 0.0
    weights = jnp.unstack(mixing, axis=-1)
    for o, term in enumerate(terms):
        if term is None:
            continue
        feature, shift = _weigh(term, weights[o])
        total, shifts = total + feature, shifts + shift
    return total + batch_norm.per_channel(shifts)


@jax.jit
def _weigh(term: Term, weight: Array) -> tuple[Array, Array]:
    """One operation's part of the sum; `weight` is `[S, E]`."""
    weight = weight[..., None]
    feature = _combine(term.feature, weight * term.scale)
    return feature, (weight * term.shift).sum(0)


@jax.custom_vjp
def _combine(feature: Array, scale: Array) -> Array:
    """Sum over sources of `scale` `[S, E, C]` times `feature` `[S, E or 1, ...]`."""
    weight = batch_norm.per_channel(scale)
    return functools.reduce(
        jnp.add, (weight[s] * feature[s] for s in range(len(weight)))
    )


def _combine_fwd(feature: Array, scale: Array) -> tuple[Array, tuple[Array, Array]]:
    return _combine(feature, scale), (feature, scale)


def _combine_bwd(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    feature, scale = saved
    weight = batch_norm.per_channel(scale)
    if feature.shape[1] == scale.shape[1]:
        d_feature = weight * g[None]
    else:  # one map for all edges: adding edge by edge is several times faster than
        # the reduction that differentiation would write
        d_feature = functools.reduce(
            jnp.add, (weight[:, e] * g[None, e] for e in range(len(g)))
        )[:, None]
    return d_feature, (feature * g[None]).sum((-3, -2, -1))


_combine.defvjp(_combine_fwd, _combine_bwd)
