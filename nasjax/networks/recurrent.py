"""The recurrent cells of NAS-Bench-NLP: what a recipe computes, and a layer of it.

A linear node is a sum of one linear map for each of its inputs plus one bias (so that
x, whose size is another in the first layer, can be among them), a blend of a, b and c
is `a * b + (1 - a) * c`, and leaky ReLU has slope .01. The new hidden state h_new_0 is
also the output (Klyuchnikov et al., 2022, section 3).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.spaces import nasbench_nlp_recipes as recipes

X = 0
"""The vertex of the input; the previous hidden state k is vertex 1 + k."""


class Node(NamedTuple):
    """Attributes:
    vertex: its number, from 4 on.
    op: operation id.
    inputs: vertices, in order.
    """

    vertex: int
    op: int
    inputs: tuple[int, ...]

    @property
    def is_linear(self) -> bool:
        return self.op == recipes.LINEAR

    @property
    def reads_x(self) -> bool:
        return X in self.inputs


class RecurrentCell(NamedTuple):
    """A recipe.

    Attributes:
      nodes: in an order in which they can be computed.
      hidden: vertices of the new hidden states.
    """

    nodes: tuple[Node, ...]
    hidden: tuple[int, ...]

    @property
    def linear(self) -> tuple[Node, ...]:
        """The nodes that have weights."""
        return tuple(node for node in self.nodes if node.is_linear)


class Linear(NamedTuple):
    """Weights of a linear node.

    Attributes:
      kernels: `[D_in, H]` for each input.
      bias: `[H]`.
    """

    kernels: tuple[Any, ...]
    bias: Any


Weights = dict[str, Linear]
"""By the number of the vertex, as text."""


def read(arch: Any) -> RecurrentCell:
    """The recipe of a gene vector.

    Args:
      arch: int `[63]`, concrete (a traced one has no shape of its own).

    Raises:
      UnknownArchitecture: the genes are no recipe of the space.
    """
    genes = np.asarray(arch)
    if genes.shape != (recipes.NUM_GENES,):
        raise errors.UnknownArchitecture(
            f"a recipe has {recipes.NUM_GENES} genes, not an array of {genes.shape}"
        )
    try:
        # The text round trip checks every rule of the space and keeps the order.
        genes = recipes.parse_arch(recipes.format_arch(genes))
    except IndexError as error:
        raise errors.UnknownArchitecture(
            f"a gene is no operation or vertex of a recipe: {genes.tolist()}"
        ) from error
    rows = genes[: -recipes.MAX_HIDDEN].reshape(recipes.MAX_STEPS, -1).tolist()
    nodes = tuple(
        Node(recipes.NUM_BASE + i, op, tuple(v for v in inputs if v >= 0))
        for i, (op, *inputs) in enumerate(rows)
        if op >= 0
    )
    hidden = genes[-recipes.MAX_HIDDEN :].tolist()
    return RecurrentCell(nodes, tuple(vertex for vertex in hidden if vertex >= 0))


def shapes(cell: RecurrentCell, input_size: int, hidden_size: int) -> Weights:
    """Shapes of the weights, tuples in place of the arrays."""

    def size(vertex: int) -> int:
        return input_size if vertex == X else hidden_size

    return {
        str(node.vertex): Linear(
            tuple((size(vertex), hidden_size) for vertex in node.inputs), (hidden_size,)
        )
        for node in cell.linear
    }


def step(
    cell: RecurrentCell,
    weights: Weights,
    projected: dict[int, Array],
    hidden: tuple[Array, ...],
) -> tuple[Array, ...]:
    """The new hidden states of one token.

    Args:
      cell: the recipe.
      weights: of its linear nodes.
      projected: what x adds to the linear nodes that read it, `[B, H]` by vertex (see
        `project`).
      hidden: the previous hidden states, `[B, H]` each.
    """
    values = {1 + k: state for k, state in enumerate(hidden)}
    for node in cell.nodes:
        if node.is_linear:
            linear = weights[str(node.vertex)]
            total = jnp.broadcast_to(linear.bias[None], hidden[0].shape)
            if node.reads_x:
                total = total + projected[node.vertex]
            for vertex, kernel in zip(node.inputs, linear.kernels, strict=True):
                if vertex != X:
                    total = total + values[vertex] @ kernel
            values[node.vertex] = total
        else:
            operands = [values[vertex] for vertex in node.inputs]
            values[node.vertex] = _OPERATIONS[node.op](*operands)
    return tuple(values[vertex] for vertex in cell.hidden)


_OPERATIONS: dict[int, Callable[..., Array]] = {
    recipes.OP_NAMES.index("activation_sigm"): jax.nn.sigmoid,
    recipes.OP_NAMES.index("activation_tanh"): jnp.tanh,
    recipes.OP_NAMES.index("activation_leaky_relu"): jax.nn.leaky_relu,
    recipes.SUM: jnp.add,
    recipes.PROD: jnp.multiply,
    recipes.BLEND: lambda a, b, c: a * b + (1 - a) * c,
}


def project(cell: RecurrentCell, weights: Weights, x: Array) -> dict[int, Array]:
    """What x `[T, B, D_in]` adds to each linear node that reads it, `[T, B, H]`.

    Outside the scan: one matrix product over all tokens instead of one each.
    """
    return {
        node.vertex: x @ weights[str(node.vertex)].kernels[node.inputs.index(X)]
        for node in cell.linear
        if node.reads_x
    }


def run(
    cell: RecurrentCell,
    weights: Weights,
    x: Array,
    hidden: tuple[Array, ...],
    *,
    length: Array | int | None = None,
) -> tuple[Array, tuple[Array, ...]]:
    """One layer over a piece of text.

    Args:
      cell: the recipe.
      weights: of its linear nodes.
      x: `[T, B, D_in]`.
      hidden: states before the first token, `[B, H]` each.
      length: how many of the T tokens there are; the others fill up. All by default.

    Returns:
      The outputs `[T, B, H]` (those past `length` mean nothing) and the states after
      token `length`.
    """
    steps = x.shape[0]
    there = jnp.arange(steps) < (steps if length is None else length)

    def advance(
        hidden: tuple[Array, ...], scanned: tuple[dict[int, Array], Array]
    ) -> tuple[tuple[Array, ...], Array]:
        projected, is_there = scanned
        new = step(cell, weights, projected, hidden)
        kept = tuple(
            jnp.where(is_there, after, before)
            for after, before in zip(new, hidden, strict=True)
        )
        return kept, kept[0]

    hidden, outputs = jax.lax.scan(advance, hidden, (project(cell, weights, x), there))
    return outputs, hidden


def drop_weights(
    key: Key, cell: RecurrentCell, weights: Weights, rate: float
) -> Weights:
    """DropConnect on the recurrent part (Merity et al., 2018, section 2).

    Every number of the maps between vectors of the hidden size, which are those that
    read anything but x, becomes 0 with probability `rate`, else grows by 1 / (1 -
    rate). One draw serves all tokens of a piece of text.
    """
    if not rate:
        return weights
    dropped = {}
    for node in cell.linear:
        kernels, bias = weights[str(node.vertex)]
        keys = jax.random.split(jax.random.fold_in(key, node.vertex), len(kernels))
        masked = tuple(
            kernel if vertex == X else dropout(key_kernel, kernel, rate, kernel.shape)
            for key_kernel, vertex, kernel in zip(
                keys, node.inputs, kernels, strict=True
            )
        )
        dropped[str(node.vertex)] = Linear(masked, bias)
    return dropped


def dropout(key: Key, x: Array, rate: float, shape: tuple[int, ...]) -> Array:
    """x times a mask of 0 (probability `rate`) and 1 / (1 - rate) of a given shape.

    A 1 in `shape` shares the mask along that axis: over time it is the locked dropout
    of Gal and Ghahramani (2016).
    """
    if not rate:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, shape)
    return x * jnp.where(kept, 1 / (1 - rate), 0).astype(x.dtype)
