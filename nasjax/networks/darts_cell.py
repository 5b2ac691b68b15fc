"""A discrete cell of the DARTS space (Liu et al., 2019), as it is trained from scratch.

Every intermediate node is the sum of two operations on earlier states; the output
concatenates the nodes. Unlike in the supernet, batch normalisation has a trained scale
and bias and pools stand bare. Edges that read states known at the same time and apply
the same convolution are computed together, on a leading axis.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nasjax.core import formulation
from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, depthwise, pooling
from nasjax.networks import operations as ops

NUM_INPUTS = 2
"""States 0 and 1 are the preprocessed outputs of cells k-2 and k-1."""


@dataclasses.dataclass(frozen=True)
class DartsCell:
    """One cell of the stack.

    Attributes:
      edges: (operation, state it reads), two for each intermediate node.
      inputs: channels of cells k-2 and k-1.
      channels: C of every node; the output has one C a node.
      reduction: whether edges from the two inputs have stride 2.
      after_reduction: whether cell k-1 was a reduction, so that input k-2 has twice
        its height and width.
    """

    edges: tuple[tuple[str, int], ...]
    inputs: tuple[int, int]
    channels: int
    reduction: bool
    after_reduction: bool

    @property
    def num_steps(self) -> int:
        return len(self.edges) // 2

    def slots(self, name: str) -> list[int]:
        """Edges in the order in which parameters of operation `name` are stacked.

        By the state that they read, then by their place in `edges`. An operation that
        has parameters only where it is strided lists only those edges.
        """
        found = [e for e, (operation, _) in enumerate(self.edges) if operation == name]
        if name == ops.SKIP:
            found = [e for e in found if self.stride(e) == 2]
        return sorted(found, key=lambda e: self.edges[e][1])

    def stride(self, edge: int) -> int:
        """1 or 2."""
        return 2 if self.reduction and self.edges[edge][1] < NUM_INPUTS else 1


def parameter_shapes(cell: DartsCell) -> Tree:
    """Shape of every trained parameter, in the form of `initialization`.

    Operations have a leading axis, one entry an edge (`Cell.slots`).
    """
    c = cell.channels
    before, last = cell.inputs
    shapes: Tree = {
        "preprocess0": _reduction_shapes(before, c)
        if cell.after_reduction
        else {"conv": (before, c), "bn": norm_shapes(c)},
        "preprocess1": {"conv": (last, c), "bn": norm_shapes(c)},
    }
    operations: Tree = {}
    for name, conv in ops.CONVOLUTIONS.items():
        n, k = len(cell.slots(name)), conv.kernel_size
        if n:
            operations[name] = {}
        for stage in range(1, conv.stages + 1) if n else ():
            operations[name] |= {
                f"depthwise{stage}": (n, c, k, k),
                f"pointwise{stage}": (n, c, c),
                f"bn{stage}": norm_shapes(n, c),
            }
    if cell.slots(ops.SKIP):
        operations[ops.SKIP] = _reduction_shapes(len(cell.slots(ops.SKIP)), c, c)
    return shapes | {"operations": operations} if operations else shapes


def norm_shapes(*shape: int) -> Tree:
    """Scale and bias of a batch normalisation."""
    return {"scale": shape, "bias": shape}


def _reduction_shapes(*shape: int) -> Tree:
    *lead, inputs, outputs = shape
    half = outputs // 2
    return {
        "conv1": (*lead, inputs, outputs - half),
        "conv2": (*lead, inputs, half),
        "bn": norm_shapes(*lead, outputs),
    }


def apply(
    params: Tree,
    statistics: Tree,
    inputs: tuple[Array, Array],
    keep: Array | None = None,
    *,
    cell: DartsCell,
    train: bool,
) -> tuple[Array, Tree]:
    """Runs one cell.

    Args:
      params: as `parameter_shapes`.
      statistics: running moments at the paths of the normalisations.
      inputs: outputs of cells k-2 and k-1, `[C_in, H, W, N]`.
      keep: `[2 * num_steps, N]`, what an edge's output is multiplied by, 0 where its
        path is dropped; identities are never dropped. None: drop nothing.
      cell: description.
      train: see `batch_norm.normalize`.

    Returns:
      `[num_steps * C, H', W', N]` and the new statistics.
    """
    new: Tree = {}
    states = []
    for i, x in enumerate(inputs):
        name = f"preprocess{i}"
        y, new[name] = relu_conv_bn(params[name], statistics[name], x, train=train)
        states.append(formulation.materialize(y))
    pending = {
        name: _split(
            params["operations"][name], statistics["operations"][name], cell, name
        )
        for name in params.get("operations", {})
    }
    updated: dict[str, list[Tree]] = {name: [] for name in pending}
    outputs: dict[int, Array] = {}
    for step in range(cell.num_steps):
        ready = [0, 1] if step == 0 else [step + 1]
        edges = [e for e, (_, source) in enumerate(cell.edges) if source in ready]
        outputs |= _bare(states, edges, cell)
        for name, groups in pending.items():
            together = [e for e in cell.slots(name) if e in edges]
            if not together:
                continue
            x = jnp.stack([states[cell.edges[e][1]] for e in together])
            stride = cell.stride(together[0])
            weights, moments = groups.pop(0)
            y, moments = operate(
                weights, moments, x, name=name, stride=stride, train=train
            )
            updated[name].append(moments)
            outputs |= dict(zip(together, jnp.unstack(y), strict=True))
        terms = [_dropped(outputs[e], keep, e, cell) for e in (2 * step, 2 * step + 1)]
        states.append(formulation.materialize(terms[0] + terms[1]))
    if updated:
        new["operations"] = {
            name: jax.tree.map(lambda *parts: jnp.concatenate(parts), *groups)
            for name, groups in updated.items()
        }
    return jnp.concatenate(states[NUM_INPUTS:]), new


def relu_conv_bn(
    params: Tree,
    statistics: Tree,
    x: Array,
    *,
    train: bool,
    momentum: float = batch_norm.MOMENTUM,
) -> tuple[Array, Tree]:
    """ReLU, 1x1 convolution or factorized reduction, batch normalisation."""
    x = jax.nn.relu(x)
    if "conv" in params:
        y = convolution.pointwise(x, params["conv"])
    else:
        y = convolution.factorized_reduction(x, params["conv1"], params["conv2"])
    y, bn = batch_norm.normalize(
        y, params["bn"], statistics["bn"], train=train, momentum=momentum
    )
    return y, {"bn": bn}


def operate(
    params: Tree,
    statistics: Tree,
    x: Array,
    *,
    name: str,
    stride: int,
    train: bool,
    momentum: float = batch_norm.MOMENTUM,
) -> tuple[Array, Tree]:
    """One operation with parameters on G edges at once.

    Args:
      params: `[G, ...]`.
      statistics: `[G, C]`.
      x: `[G, C, H, W, N]`, what each edge reads.
      name: in `operations.CONVOLUTIONS`, or `skip_connect` at stride 2.
      stride: 1 or 2.
      train: see `batch_norm.normalize`.
      momentum: see `batch_norm.update`.

    Returns:
      `[G, C, H / stride, W / stride, N]` and the new statistics.
    """
    if name == ops.SKIP:
        return relu_conv_bn(params, statistics, x, train=train, momentum=momentum)
    conv, new = ops.CONVOLUTIONS[name], {}
    for stage in range(1, conv.stages + 1):
        x = depthwise.depthwise(
            jax.nn.relu(x),
            params[f"depthwise{stage}"][:, None],
            stride=stride if stage == 1 else 1,
            dilation=conv.dilation,
        )[:, 0]
        x = convolution.pointwise(x, params[f"pointwise{stage}"])
        bn = f"bn{stage}"
        x, new[bn] = batch_norm.normalize(
            x, params[bn], statistics[bn], train=train, momentum=momentum
        )
    return x, new


def _split(params: Tree, statistics: Tree, cell: DartsCell, name: str) -> list[Any]:
    """(params, statistics) of the edges computed together, in order."""
    sources = [max(cell.edges[e][1], 1) for e in cell.slots(name)]
    sizes = [sources.count(source) for source in dict.fromkeys(sources)]
    leaves, structure = jax.tree.flatten((params, statistics))
    # lax.split, because its transpose is one concatenation, not a sum of pads
    columns = [lax.split(leaf, sizes) for leaf in leaves]
    return [
        jax.tree.unflatten(structure, parts) for parts in zip(*columns, strict=True)
    ]


def _bare(
    states: Sequence[Array], edges: list[int], cell: DartsCell
) -> dict[int, Array]:
    """Outputs of the edges whose operation has no parameters; one pool a source."""
    found: dict[int, Array] = {}
    pooled: dict[tuple[str, int], Array] = {}
    for e in edges:
        name, source = cell.edges[e]
        x, stride = states[source], cell.stride(e)
        if name in ops.POOLS:
            if (name, source) not in pooled:
                pool = pooling.max_pool if name == ops.MAX_POOL else pooling.avg_pool
                pooled[name, source] = pool(x, stride=stride)
            found[e] = pooled[name, source]
        elif name == ops.NONE:
            found[e] = jnp.zeros_like(x[:, ::stride, ::stride])
        elif name == ops.SKIP and stride == 1:
            found[e] = x
    return found


def _dropped(y: Array, keep: Array | None, edge: int, cell: DartsCell) -> Array:
    is_identity = cell.edges[edge][0] == ops.SKIP and cell.stride(edge) == 1
    if keep is None or is_identity:
        return y
    return y * keep[edge][None, None, None]
