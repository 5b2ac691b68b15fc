"""Forward pass of one supernet cell (section "Supernet Design", eq. 2.1 and 2.2).

    x_i = sum_j b_ij sum_o a_ijo o(x_j)

The caller hands in the product `b_ij * a_ijo` as one array, so the cell knows nothing
of softmaxes or masks. Edges that leave the same node are computed together: ReLU and
pooling once a source, every convolution as one batched product over the edges. An
operation's output enters the sum through the scale and shift of its last BN, so the
mixture is one pass over the feature maps. Operations come in families of F that are
computed as one (`families`); most are alone in theirs.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core import formulation
from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, depthwise, pooling
from nasjax.networks import operations as ops
from nasjax.supernet import families, spec


class Term(NamedTuple):
    """One family of F operations on the edges of a group: `scale * feature + shift`.

    Attributes:
      feature: `[S, E * F, C, H, W, N]`, or with an edge axis of 1 where all edges of a
        source share it (F = 1).
      scale: `[S, E * F, C]` or with an edge axis of 1.
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
    net: spec.SupernetSpec,
    cell: spec.CellSpec,
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
    joined = families.of(net.operations, sources[0].shape[1:3])
    running = statistics["operations"]
    columns = dict(zip(net.operations, jnp.unstack(mixing, axis=-1), strict=True))
    # Running moments are read in evaluation only; training updates them all at the end.
    group_params, group_running, group_mixing = (
        _split_edges(families.join(tree, joined), net)
        for tree in (params["operations"], {} if train else running, columns)
    )
    for step, group in enumerate(net.groups):
        x = jnp.stack([sources[s] for s in group.sources])
        terms, used = _operations(
            group_params[step],
            group_running[step],
            x,
            names=tuple(members[0] for members in joined),
            stride=2 if cell.reduction and 0 in group.sources else 1,
            train=train,
        )
        group_moments.append(_on_every_edge(used, len(group.targets)))
        mixed = _mix(terms, group_mixing[step], len(group.targets))
        partial = formulation.materialize(mixed)
        for target, contribution in zip(
            group.targets, jnp.unstack(partial), strict=True
        ):
            old = nodes[target]
            nodes[target] = contribution if old is None else lax.add(old, contribution)
        sources.append(formulation.materialize(nodes[step]))
    if train:
        count = math.prod(sources[-1].shape[1:])  # H' W' N, of every operation
        moments = families.part(_join_edges(group_moments), joined)
        new["operations"] = _update(running, moments, count)
    else:
        new["operations"] = running
    return jnp.concatenate(sources[spec.NUM_INPUTS :]), new


def _split_edges(tree: Any, net: spec.SupernetSpec) -> list[Any]:
    """Arrays `[E_all * F, ...]` to one tree of `[S, E * F, ...]` a group of edges.

    Arrays of the factorized reduction have strided edges only, those of the first
    group; later groups get none.
    """
    sizes = [len(group.sources) * len(group.targets) for group in net.groups]

    def split(x: Array) -> list[Array]:
        # lax.split, because its transpose is one concatenation, not a sum of pads
        members, rest = divmod(x.shape[0], sum(sizes))
        parts = [x] if rest else lax.split(x, [members * size for size in sizes])
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
    """`[S, 1, C]` to `[S, E, C]`: a pool has one map for all edges of a source."""

    def widen(m: Array) -> Array:
        if m.shape[1] > 1:
            return m
        return jnp.broadcast_to(m, (m.shape[0], num_edges, m.shape[2]))

    widened: Tree = jax.tree.map(widen, moments)
    return widened


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
        normalized: tuple[Array, Array, Tree] = _normalize_batch(x, gamma, beta)
        return normalized
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
    used = lax.stop_gradient(batch._asdict())  # running statistics have no gradient
    return *batch_norm.affine(batch, gamma, beta), used


@functools.partial(jax.jit, static_argnums=2)
def _update(running: Tree, batch: Tree, count: int) -> Tree:
    """New running moments of any tree of BNs from the moments of one batch.

    All have the same number of channels and are updated as one.
    """

    def is_bn(tree: Tree) -> bool:
        return "mean" in tree

    old, structure = jax.tree.flatten(running, is_leaf=is_bn)
    if not old:  # no operation has a BN
        return running
    rows = [bn["mean"].shape[:-1] for bn in old]
    sizes = [math.prod(shape) for shape in rows]

    def join(bns: list[Tree], name: str) -> Array:
        flat = [bn[name].reshape(-1, bn[name].shape[-1]) for bn in bns]
        return flat[0] if len(flat) == 1 else jnp.concatenate(flat)

    before, now = (
        {name: join(bns, name) for name in batch_norm.Moments._fields}
        for bns in (old, jax.tree.leaves(batch, is_leaf=is_bn))
    )
    after = batch_norm.update(before, batch_norm.Moments(**now), count)
    parts = {name: lax.split(values, sizes) for name, values in after.items()}
    new = [
        {name: part[i].reshape(*shape, -1) for name, part in parts.items()}
        for i, shape in enumerate(rows)
    ]
    updated: Tree = jax.tree.unflatten(structure, new)
    return updated


@jax.jit
def _scale_shift(x: Array, scale: Array, shift: Array) -> Array:
    return _spread(scale, x.shape) * x + _spread(shift, x.shape)


@jax.jit
def _activate(x: Array, scale: Array, shift: Array) -> Array:
    return jax.nn.relu(_spread(scale, x.shape) * x + _spread(shift, x.shape))


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    """`[..., C]` to `shape` `[..., C, H, W, N]`, in one operation."""
    return lax.broadcast_in_dim(values, shape, range(values.ndim))


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
) -> tuple[dict[str, Term], Tree]:
    """All operations on the edges of a group; `x` is `[S, C, H, W, N]`.

    Returns their terms and the moments behind each BN, by the names of families;
    `none` has no term.
    """
    activated = jax.nn.relu(x)
    terms: dict[str, Term] = {}
    used: Tree = {}
    for name in names:
        if name == ops.NONE:
            continue
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
        else:
            one = jnp.ones((x.shape[0], 1, x.shape[1]), x.dtype)
            term, new = Term(x[:, None], one, jnp.zeros_like(one)), {}
        terms[name] = term
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


def _mix(terms: dict[str, Term], mixing: Tree, num_edges: int) -> Array:
    """Weighted sum over sources and operations: `[E, C, H, W, N]`.

    `mixing` has the weights `[S, E * F]` of each family.
    """
    parts = [_weigh(term, mixing[name], num_edges) for name, term in terms.items()]
    total, shifts = (functools.reduce(lax.add, c) for c in zip(*parts, strict=True))
    mixed: Array = total + _spread(shifts, total.shape)
    return mixed


@functools.partial(jax.jit, static_argnums=2)
def _weigh(term: Term, weight: Array, num_edges: int) -> tuple[Array, Array]:
    """One term's part of the sum: over its sources and its operations."""
    members = weight.shape[1] // num_edges
    weight = weight[..., None]
    shifts = _terms(weight * term.shift, members)
    feature = _combine(term.feature, weight * term.scale, members)
    return feature, functools.reduce(lax.add, shifts)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _combine(feature: Array, scale: Array, members: int) -> Array:
    """Sum of `scale` `[S, E * F, C]` times `feature` `[S, E * F or 1, C, H, W, N]`.

    The sum is over sources and over the F members of a family: `[E, C, H, W, N]`.
    """
    pairs = zip(_terms(scale, members), _terms(feature, members), strict=True)
    products = (_spread(w, (len(w), *x.shape[1:])) * x for w, x in pairs)
    return functools.reduce(lax.add, products)


def _terms(x: Array, members: int) -> list[Array]:
    """Slices `[E, ...]` of `[S, E * F, ...]`."""
    if members > 1:
        x = x.reshape(len(x), -1, members, *x.shape[2:])
    elif len(x) == 1:
        return [lax.squeeze(x, (0,))]
    if members == 1:
        return [x[s] for s in range(len(x))]
    return [x[s, :, f] for s in range(len(x)) for f in range(members)]


def _combine_fwd(
    feature: Array, scale: Array, members: int
) -> tuple[Array, tuple[Array, Array]]:
    return _combine(feature, scale, members), (feature, scale)


def _combine_bwd(
    members: int, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    feature, scale = saved
    if members > 1:  # one cotangent for all members of an edge
        g = jnp.broadcast_to(g[:, None], (len(g), members, *g.shape[1:]))
        g = g.reshape(-1, *g.shape[2:])
    wide = (len(scale), *g.shape)
    if feature.shape[1] == scale.shape[1]:
        d_feature = _spread(scale, wide) * g[None]
    else:  # one map for all edges: adding edge by edge is several times faster than
        # the reduction that differentiation would write
        d_feature = functools.reduce(
            lax.add,
            (
                _spread(scale[:, e], (len(scale), *g.shape[1:])) * g[e : e + 1]
                for e in range(len(g))
            ),
        )[:, None]
    return d_feature, (feature * g[None]).sum((-3, -2, -1))


_combine.defvjp(_combine_fwd, _combine_bwd)
