"""Adjacency encodings (White et al., 2020, section 3): the edges of a cell, as written.

    one-hot       a bit for every possible edge
    categorical   the numbers of the edges that are there, increasing
    continuous    a weight in [0, 1] for every possible edge, and how many to keep

each followed by the operations of the nodes. Where operations sit on edges
(NAS-Bench-201, DARTS) the one-hot form has a bit for every operation of an edge.

A function here takes the name of a space and returns a pure function of one gene
vector, which may be jitted and vmapped. Cells are not pruned first: edges off every
path count (`nasbench101.prune` takes them away).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array
from nasjax.spaces import darts, nasbench101, nasbench201, nasbench_nlp
from nasjax.spaces import nasbench101_notation as notation

Encoding = Callable[[Array], Array]
"""`arch int32 [G] -> float32 [D]`."""

# Published values of conv1x1, conv3x3 and maxpool3x3.
_OP_VALUES = np.array([0.0, 0.5, 1.0], np.float32)
_CONV_3X3 = notation.OP_NAMES.index("conv3x3-bn-relu")
# Node s of a DARTS cell has s + 2 possible inputs; edges are numbered node by node.
NUM_DARTS_EDGES = 14
"""Possible edges into the four steps of a DARTS cell."""
_FIRST_EDGE = np.array([0, 0, 2, 2, 5, 5, 9, 9])
_NLP_PAIRS = np.array(
    [
        (source, target)
        for target in range(nasbench_nlp.NUM_BASE, nasbench_nlp.MAX_NODES)
        for source in range(target)
    ]
)


def one_hot(space: str) -> Encoding:
    """The one-hot form.

    nasbench101: 21 bits and the 5 operations as 0 (conv1x1), .5 (conv3x3), 1 (pooling),
    26 numbers. nasbench201: 6 edges x 5 operations. darts, darts_shared: for each cell
    14 possible edges x 7 operations, `none` as no edge. nasbench_nlp: the 165 possible
    edges, 15 nodes x 7 operations, and for each hidden state which node it is, 315.

    Raises:
      ConfigError: the space has no such form.
    """
    return _of_space(space, "one-hot", _ONE_HOT)


def categorical(space: str) -> Encoding:
    """The categorical form.

    nasbench101: the numbers 0 to 20 of the edges in 21 slots, the rest 0, and the 5
    operations as in `one_hot`, 26 numbers. nasbench201: 6 operations. darts,
    darts_shared: for each cell the 8 edge numbers of 0 to 13 and their 8 operations.

    Released code and here: edge 0 cannot be told from an empty slot.

    Raises:
      ConfigError: the space has no such form.
    """
    return _of_space(space, "categorical", _CATEGORICAL)


def continuous(space: str) -> Encoding:
    """The continuous form of a discrete cell: its weights are 0 and 1.

    nasbench101: 21 weights, the 5 operations as in `one_hot` and the number of edges,
    27 numbers. Released code: the number of edges overwrites the first operation.
    nasbench201, darts, darts_shared: the weights of the operations of the edges, the
    numbers of `one_hot`; as every edge (nasbench201) or step (darts) keeps a fixed
    number of them, there is none to be said.

    Raises:
      ConfigError: the space has no such form.
    """
    return _of_space(space, "continuous", _CONTINUOUS)


def _of_space(space: str, form: str, known: dict[str, Encoding]) -> Encoding:
    if space not in known:
        raise errors.unknown_name(
            f"space of the {form} adjacency encoding", space, known
        )
    return known[space]


def widen(arch: Array) -> Array:
    """A NAS-Bench-101 cell on seven vertices: the output is moved to the last one,
    blank vertices get conv3x3 and no edges. int32 `[27]`.
    """
    return nasbench101.widen(arch, _CONV_3X3)


def _split(arch: Array) -> tuple[Array, Array]:
    """Bits int32 `[21]` and values of the operations float32 `[5]` of a wide cell."""
    wide = widen(arch)
    ops = wide[notation.NUM_BITS : -1]
    return wide[: notation.NUM_BITS], jnp.asarray(_OP_VALUES)[ops]


def _one_hot_101(arch: Array) -> Array:
    bits, ops = _split(arch)
    return jnp.concatenate([bits.astype(jnp.float32), ops])


def _categorical_101(arch: Array) -> Array:
    bits, ops = _split(arch)
    numbers = jnp.arange(notation.NUM_BITS)
    slot = jnp.where(bits == 1, jnp.cumsum(bits) - 1, notation.NUM_BITS)
    taken = (slot[None, :] == numbers[:, None]).astype(jnp.int32)
    return jnp.concatenate([(taken @ numbers).astype(jnp.float32), ops])


def _continuous_101(arch: Array) -> Array:
    bits, ops = _split(arch)
    weights = bits.astype(jnp.float32)
    return jnp.concatenate([weights, ops, jnp.sum(weights)[None]])


def _one_hot_201(arch: Array) -> Array:
    return jax.nn.one_hot(arch, nasbench201.NUM_OPS, dtype=jnp.float32).reshape(-1)


def _categorical_201(arch: Array) -> Array:
    return jnp.asarray(arch).astype(jnp.float32)


def darts_edges(arch: Array) -> tuple[Array, Array]:
    """Operations and edge numbers of the edges of each cell, both int32 `[C, 8]`.

    Edges 0-1 lead into the first step, 2-4 into the second, 5-8, 9-13; their order is
    that of the states they come from.
    """
    cells = jnp.asarray(arch).reshape(-1, 2 * darts.NUM_STEPS, 2)
    return cells[..., 0], cells[..., 1] + _FIRST_EDGE[None]


def _one_hot_darts(arch: Array) -> Array:
    ops, edges = darts_edges(arch)
    number = jnp.where(ops == darts.NONE, -1, edges * darts.NONE + ops)
    bits = jax.nn.one_hot(number, NUM_DARTS_EDGES * darts.NONE, dtype=jnp.float32)
    return jnp.max(bits, axis=1).reshape(-1)


def _categorical_darts(arch: Array) -> Array:
    ops, edges = darts_edges(arch)
    order = jnp.argsort(edges, axis=1)
    lists = [jnp.take_along_axis(values, order, axis=1) for values in (edges, ops)]
    return jnp.concatenate(lists, axis=1).astype(jnp.float32).reshape(-1)


def _one_hot_nlp(arch: Array) -> Array:
    recipe = nasbench_nlp.unpack(arch)
    adjacency = nasbench_nlp.to_graph(arch).adjacency
    steps = jnp.arange(len(recipe.ops))
    states = recipe.hidden[:, None] - nasbench_nlp.NUM_BASE == steps[None]
    parts = [
        adjacency[_NLP_PAIRS[:, 0], _NLP_PAIRS[:, 1]],
        jax.nn.one_hot(recipe.ops, len(nasbench_nlp.OP_NAMES)),
        states,
    ]
    return jnp.concatenate([part.astype(jnp.float32).reshape(-1) for part in parts])


_ONE_HOT: dict[str, Encoding] = {
    "nasbench101": _one_hot_101,
    "nasbench201": _one_hot_201,
    "darts": _one_hot_darts,
    "darts_shared": _one_hot_darts,
    "nasbench_nlp": _one_hot_nlp,
}
_CATEGORICAL: dict[str, Encoding] = {
    "nasbench101": _categorical_101,
    "nasbench201": _categorical_201,
    "darts": _categorical_darts,
    "darts_shared": _categorical_darts,
}
_CONTINUOUS: dict[str, Encoding] = {
    "nasbench101": _continuous_101,
    "nasbench201": _one_hot_201,
    "darts": _one_hot_darts,
    "darts_shared": _one_hot_darts,
}
