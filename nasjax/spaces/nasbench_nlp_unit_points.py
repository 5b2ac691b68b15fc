"""Points of the unit cube as recipes of NAS-Bench-NLP, before pruning.

The coordinates: how many hidden states there are (3 bins); the nodes that are h_new_0
to h_new_2 (a bin a node); then of each node its operation (the seven, and linear of
three inputs as an eighth) and three inputs (a bin a vertex before it). A number counts,
modulo how many there are, the vertices that may be read and are not read yet, so every
point gives nodes that follow the rules.
"""

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.sampling import to_integers
from nasjax.core.types import Array
from nasjax.spaces.nasbench_nlp_changes import RecipeGenes
from nasjax.spaces.nasbench_nlp_recipes import (
    LINEAR,
    MAX_HIDDEN,
    MAX_INPUT,
    MAX_STEPS,
    MIN_INPUTS,
    NUM_BASE,
    NUM_OPS,
)

_LINEAR_3 = NUM_OPS
"""Bin of a linear node of three inputs."""
_NUM_INPUTS = np.array([*MIN_INPUTS, 3])
_START = 1 + MAX_HIDDEN


def unit_sizes(num_nodes: int) -> tuple[int, ...]:
    """Bins of the `4 + 4 num_nodes` coordinates."""
    nodes = [(NUM_OPS + 1, *(NUM_BASE + i,) * MAX_INPUT) for i in range(num_nodes)]
    states = (MAX_HIDDEN, *(num_nodes,) * MAX_HIDDEN)
    return states + tuple(size for node in nodes for size in node)


def decode(unit: Array, num_nodes: int, *, repaired: bool) -> RecipeGenes:
    """The recipe of a point, with nodes that nothing needs.

    Args:
      unit: float `[4 + 4 num_nodes]` in the unit cube.
      num_nodes: nodes, the four base vertices not counted.
      repaired: x and the previous hidden states are certainly needed: node 0 is linear
        in x and the states, which are at most two, and the node of h_new_0 reads it.
    """
    bins = to_integers(jnp.asarray(unit), np.array(unit_sizes(num_nodes)))
    num_hidden = 1 + bins[0]
    if repaired:
        num_hidden = jnp.minimum(num_hidden, 2)
    states = _distinct(bins[1:_START], jnp.int32(num_nodes))
    nodes = bins[_START:].reshape(num_nodes, 1 + MAX_INPUT)
    ops, inputs = jax.vmap(_node, in_axes=(0, 0, None))(
        nodes, jnp.arange(num_nodes), num_hidden
    )
    if repaired:
        ops, inputs = _connect(ops, inputs, states[0], num_hidden)
    blank = MAX_STEPS - num_nodes
    named = jnp.arange(MAX_HIDDEN) < num_hidden
    return RecipeGenes(
        jnp.pad(ops, (0, blank), constant_values=-1),
        jnp.pad(inputs, ((0, blank), (0, 0)), constant_values=-1),
        jnp.where(named, NUM_BASE + states, -1),
    )


def _node(bins: Array, i: Array, num_hidden: Array) -> tuple[Array, Array]:
    """Operation and inputs `[3]` of node i."""
    known = num_hidden + i  # what other operations may read; linear ones also x
    kind = bins[0]
    enough = jnp.where(kind == _LINEAR_3, known + 1, known)
    possible = jnp.asarray(_NUM_INPUTS)[kind] <= enough
    kind = jnp.where((kind == LINEAR) | possible, kind, LINEAR)
    is_linear = (kind == LINEAR) | (kind == _LINEAR_3)
    # The vertices that may be read in their order: x, h_prev, nodes.
    chosen = _distinct(bins[1:], known + is_linear) + ~is_linear
    vertices = jnp.where(chosen <= num_hidden, chosen, chosen - num_hidden + 3)
    given = jnp.arange(MAX_INPUT) < jnp.asarray(_NUM_INPUTS)[kind]
    return jnp.where(is_linear, LINEAR, kind), jnp.where(given, vertices, -1)


def _distinct(numbers: Array, size: Array) -> Array:
    """Three different numbers below `size`; the last ones mean nothing if it is less.

    Each counts, modulo how many there are, those that are not taken.
    """
    first = numbers[0] % size
    second = numbers[1] % jnp.maximum(size - 1, 1)
    second += second >= first
    low, high = jnp.minimum(first, second), jnp.maximum(first, second)
    third = numbers[2] % jnp.maximum(size - 2, 1)
    third += third >= low
    third += third >= high
    return jnp.stack([first, second, third])


def _connect(
    ops: Array, inputs: Array, state: Array, num_hidden: Array
) -> tuple[Array, Array]:
    """Node 0 reads x and the states, and the node `state` reads node 0."""
    node = jnp.arange(len(ops))
    slot = jnp.arange(MAX_INPUT)
    sources = jnp.where(slot <= num_hidden, slot, -1)
    reads = jnp.any(inputs == NUM_BASE, axis=1)
    rewired = (node == state) & (state > 0) & ~reads
    inputs = jnp.where(rewired[:, None] & (slot == 0)[None], NUM_BASE, inputs)
    first = node == 0
    inputs = jnp.where(first[:, None], sources[None], inputs)
    return jnp.where(first, LINEAR, ops), inputs
