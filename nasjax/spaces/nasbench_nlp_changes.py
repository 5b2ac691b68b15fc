"""Single changes of a NAS-Bench-NLP recipe: what mutation and neighbours are made of.

NAS-Bench-x11 changes an operation or an edge and leaves "adding/removing nodes" and
hidden states to do; they are here too, so that every cell can be reached.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nasjax.core.types import Array
from nasjax.spaces.nasbench_nlp_recipes import (
    LINEAR,
    MAX_HIDDEN,
    MAX_INPUT,
    MAX_STEPS,
    NUM_BASE,
    SUM,
)

OPERATION, INPUT, HIDDEN, WIDTH, INSERT, BYPASS = range(6)
NUM_KINDS = 6
NUM_INSERTED = LINEAR + 1
"""Operations that an inserted node may have: activations, sum, product, linear."""


class RecipeGenes(NamedTuple):
    """Genes by their role.

    Attributes:
      ops: int32 `[15]`.
      inputs: int32 `[15, 3]`, vertices.
      hidden: int32 `[3]`, vertices.
    """

    ops: Array
    inputs: Array
    hidden: Array


class Change(NamedTuple):
    """One change, int32 fields `[]`; each kind uses some of them.

    Attributes:
      kind: OPERATION: node `node` takes the next but `choice` operation of as many
        inputs. INPUT: its input `slot` becomes `vertex`. HIDDEN: h_new_`slot` becomes
        node `node`. WIDTH: a linear node drops input `slot` of three or gains
        `vertex`. INSERT: a new node of operation `choice` (second input `vertex`)
        between `node` and its input `slot`. BYPASS: readers of `node` read its input
        `slot` instead.
      node: 0..14.
      slot: 0..2.
      choice: see `kind`.
      vertex: 0..18.
    """

    kind: Array
    node: Array
    slot: Array
    choice: Array
    vertex: Array


def apply(recipe: RecipeGenes, change: Change) -> RecipeGenes:
    """The changed recipe; it may be invalid, or leave nodes that nothing needs."""
    functions = (_operation, _input, _hidden, _width, _insert, _bypass)
    result = recipe
    for kind, function in enumerate(functions):
        changed = function(recipe, change)
        take = change.kind == kind
        result = RecipeGenes(
            *(
                jnp.where(take, new, old)
                for new, old in zip(changed, result, strict=True)
            )
        )
    return result


def _count(recipe: RecipeGenes, change: Change) -> Array:
    """Number of inputs of the node."""
    return jnp.sum(recipe.inputs[change.node] >= 0)


def _operation(recipe: RecipeGenes, change: Change) -> RecipeGenes:
    op, count = recipe.ops[change.node], _count(recipe, change)
    # Operations of one input are 0..2, of two 3..5, of three 5..6.
    first = jnp.where(count == 1, 0, jnp.where(count == 2, SUM, LINEAR))
    size = jnp.where(count == 3, 2, 3)
    op = first + (op - first + change.choice) % size
    return recipe._replace(ops=recipe.ops.at[change.node].set(op))


def _input(recipe: RecipeGenes, change: Change) -> RecipeGenes:
    used = change.slot < _count(recipe, change)
    vertex = jnp.where(used, change.vertex, -1)
    inputs = recipe.inputs.at[change.node, change.slot].set(vertex)
    return recipe._replace(inputs=inputs)


def _hidden(recipe: RecipeGenes, change: Change) -> RecipeGenes:
    used = recipe.hidden[change.slot] >= 0
    vertex = jnp.where(used, NUM_BASE + change.node, -1)
    return recipe._replace(hidden=recipe.hidden.at[change.slot].set(vertex))


def _width(recipe: RecipeGenes, change: Change) -> RecipeGenes:
    row = recipe.inputs[change.node]
    slot = jnp.arange(MAX_INPUT)
    following = jnp.concatenate([row[1:], jnp.full(1, -1, row.dtype)])
    narrow = jnp.where(slot < change.slot, row, following)
    wide = jnp.where(slot == MAX_INPUT - 1, change.vertex, row)
    row = jnp.where(_count(recipe, change) == MAX_INPUT, narrow, wide)
    linear = recipe.ops[change.node] == LINEAR
    row = jnp.where(linear, row, recipe.inputs[change.node])
    return recipe._replace(inputs=recipe.inputs.at[change.node].set(row))


def _insert(recipe: RecipeGenes, change: Change) -> RecipeGenes:
    """Invalid (no operation at the end) where all 15 slots are taken."""
    step, at = jnp.arange(MAX_STEPS), change.node

    def moved(vertex: Array) -> Array:
        return vertex + (vertex >= NUM_BASE + at)

    origin = jnp.where(step > at, step - 1, step)
    ops = jnp.where(step == at, change.choice, recipe.ops[origin])
    inputs = moved(recipe.inputs[origin])
    old = recipe.inputs[at, change.slot]
    second = jnp.where(change.choice < SUM, -1, change.vertex)
    absent = jnp.full((), -1, inputs.dtype)
    inputs = inputs.at[at].set(jnp.stack([old, second, absent]))
    # Past the last slot the write is dropped.
    reader = inputs.at[at + 1, change.slot].set(NUM_BASE + at, mode="drop")
    fits = (old >= 0) & (recipe.ops[-1] < 0)
    return RecipeGenes(jnp.where(fits, ops, -1), reader, moved(recipe.hidden))


def _bypass(recipe: RecipeGenes, change: Change) -> RecipeGenes:
    vertex = NUM_BASE + change.node
    source = recipe.inputs[change.node, change.slot]
    return recipe._replace(
        inputs=jnp.where(recipe.inputs == vertex, source, recipe.inputs),
        hidden=jnp.where(recipe.hidden == vertex, source, recipe.hidden),
    )


@functools.cache
def table(max_steps: int) -> Change:
    """All changes of a recipe of at most `max_steps` nodes, fields `[M]`.

    Inserted nodes are activations only: those with a second input would be most of the
    table.
    """
    rows: list[tuple[int, int, int, int, int]] = []
    for node in range(max_steps):
        earlier = range(NUM_BASE + node)
        rows += [(OPERATION, node, 0, choice, 0) for choice in (1, 2)]
        rows += [(WIDTH, node, MAX_INPUT - 1, 0, vertex) for vertex in earlier]
        rows += [(WIDTH, node, slot, 0, 0) for slot in range(MAX_INPUT - 1)]
        rows += [(HIDDEN, node, slot, 0, 0) for slot in range(MAX_HIDDEN)]
        for slot in range(MAX_INPUT):
            rows += [(INPUT, node, slot, 0, vertex) for vertex in earlier]
            rows += [(INSERT, node, slot, choice, 0) for choice in range(SUM)]
            rows.append((BYPASS, node, slot, 0, 0))
    columns = np.array(rows, np.int32).T
    kind, node, slot, choice, vertex = columns
    return Change(kind, node, slot, choice, vertex)
