"""NAS-Bench-NLP (Klyuchnikov et al., 2022): recurrent cells given by recipes.

A gene vector has 63 int32 entries: 15 nodes of (operation, input, input, input), then
the vertices that are the new hidden states h_new_0..2; -1 stands for absent. Vertices
are numbered x 0, h_prev_0..2 1 to 3 and 4 + i for node i; a node reads earlier vertices
only, its inputs come first and the nodes of a recipe fill the first slots. Operations:
sigmoid 0, tanh 1, leaky ReLU 2, sum 3, product 4, linear 5 (two or three inputs), blend
6 (`a * b + (1 - a) * c`).

`max_nodes` counts vertices with the four base ones, as NAS-Bench-x11 does: 12 there, 19
for everything that can be read.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.sampling import first_valid, to_integers
from nasjax.core.types import Array, Graph, Key, SearchSpace
from nasjax.spaces import fingerprints
from nasjax.spaces import nasbench_nlp_changes as changes
from nasjax.spaces import nasbench_nlp_recipes as recipes
from nasjax.spaces import nasbench_nlp_unit_points as unit_points
from nasjax.spaces.nasbench_nlp_changes import Change, RecipeGenes
from nasjax.spaces.nasbench_nlp_recipes import (
    BLEND,
    LINEAR,
    MAX_HIDDEN,
    MAX_INPUT,
    MAX_STEPS,
    NUM_GENES,
    NUM_OPS,
    PROD,
    SUM,
)
from nasjax.spaces.nasbench_nlp_recipes import NUM_BASE as NUM_BASE
from nasjax.spaces.nasbench_nlp_recipes import OP_NAMES as OP_NAMES

MAX_NODES = NUM_BASE + MAX_STEPS
GRAPH_OP_NAMES = ("base", *OP_NAMES)
"""Ids of `to_graph`: x and the previous hidden states 0, operation o has id o + 1."""

_MIN_INPUTS = np.array(recipes.MIN_INPUTS)
_MAX_INPUTS = np.array(recipes.MAX_INPUTS)
# The published generator draws linear three times as often as the others, and two
# inputs of a linear node four times as often as three.
_OP_LOGITS = np.log(np.array([3.0, 1.0, 1.0, 1.0], np.float32))
_MAIN_OPS = np.array([LINEAR, BLEND, PROD, SUM])
_THREE_INPUTS = 0.2
# Two rounds tell 40,000 sampled recipes apart as well as fifteen do.
_ROUNDS = 5
_CANDIDATES = 16
_CHANGES = 32


def unpack(arch: Array) -> RecipeGenes:
    """Splits a gene vector."""
    arch = jnp.asarray(arch)
    nodes = arch[:-MAX_HIDDEN].reshape(MAX_STEPS, 1 + MAX_INPUT)
    return RecipeGenes(nodes[:, 0], nodes[:, 1:], arch[-MAX_HIDDEN:])


def pack(recipe: RecipeGenes) -> Array:
    """The inverse of `unpack`."""
    nodes = jnp.concatenate([recipe.ops[:, None], recipe.inputs], axis=1)
    return jnp.concatenate([nodes.reshape(-1), recipe.hidden]).astype(jnp.int32)


def num_steps(arch: Array) -> Array:
    """int32 `[]`: nodes of the recipe, base vertices not counted."""
    return jnp.sum(unpack(arch).ops >= 0).astype(jnp.int32)


def _bits(vertices: Array) -> Array:
    """Bit sets of vertices along the last axis; -1 adds nothing."""
    single = jnp.where(vertices >= 0, 1 << jnp.maximum(vertices, 0), 0)
    return functools.reduce(
        jnp.bitwise_or, [single[..., k] for k in range(vertices.shape[-1])]
    )


def _needed(recipe: RecipeGenes) -> Array:
    """Bit set of the vertices from which a hidden state is reached."""
    reads, needed = _bits(recipe.inputs), _bits(recipe.hidden)
    for i in reversed(range(MAX_STEPS)):
        needed |= jnp.where((needed >> (NUM_BASE + i)) & 1 == 1, reads[i], 0)
    return needed


def is_valid(arch: Array, *, max_nodes: int = MAX_NODES) -> Array:
    """Whether the genes are a recipe of at most `max_nodes` vertices.

    Every node has the inputs its operation takes, different and earlier ones, x only in
    linear nodes; the hidden states are different nodes, and they need every node, x and
    exactly their own previous values.
    """
    recipe = unpack(arch)
    ops, inputs, hidden = recipe
    step = jnp.arange(MAX_STEPS)
    n = jnp.sum(ops >= 0)
    present = step < n
    given = inputs >= 0
    count = jnp.sum(given, axis=1)
    known = jnp.clip(ops, 0, NUM_OPS - 1)
    takes = count >= jnp.asarray(_MIN_INPUTS)[known]
    takes &= count <= jnp.asarray(_MAX_INPUTS)[known]
    leading = given == (jnp.arange(MAX_INPUT)[None] < count[:, None])
    earlier = jnp.all(inputs < NUM_BASE + step[:, None], axis=1)
    same = (inputs[:, :, None] == inputs[:, None, :]) & given[:, :, None]
    differ = ~jnp.any(same & ~jnp.eye(MAX_INPUT, dtype=bool)[None], axis=(1, 2))
    x_is_linear = ~jnp.any(inputs == 0, axis=1) | (ops == LINEAR)
    node_fits = (ops >= 0) & (ops < NUM_OPS) & takes & jnp.all(leading, axis=1)
    node_fits &= earlier & differ & x_is_linear
    node_fits = jnp.where(
        present, node_fits, (ops == -1) & jnp.all(inputs == -1, axis=1)
    )
    num_hidden = jnp.sum(hidden >= 0)
    is_state = (hidden >= NUM_BASE) & (hidden < NUM_BASE + n)
    named = jnp.arange(MAX_HIDDEN) < num_hidden
    distinct = jax.lax.population_count(_bits(hidden)) == num_hidden
    expected = ((1 << n) - 1) << NUM_BASE | ((2 << num_hidden) - 1)
    return (
        jnp.all(node_fits)
        & jnp.all(jnp.where(named, is_state, hidden == -1))
        & (num_hidden >= 1)
        & distinct
        & (n + NUM_BASE <= max_nodes)
        & (_needed(recipe) == expected)
    )


def prune(arch: Array) -> Array:
    """The same cell without nodes that no hidden state needs."""
    recipe = unpack(arch)
    needed = _needed(recipe) >> (NUM_BASE + jnp.arange(MAX_STEPS)) & 1 == 1
    kept = needed & (recipe.ops >= 0)
    place = jnp.cumsum(kept) - 1
    step = jnp.arange(MAX_STEPS)
    moves = kept[None, :] & (place[None, :] == step[:, None])
    order = jnp.sum(jnp.where(moves, step[None, :], 0), axis=1)
    there = step < jnp.sum(kept)
    vertices = jnp.concatenate([jnp.arange(NUM_BASE), NUM_BASE + place])

    def moved(vertex: Array) -> Array:
        return jnp.where(vertex < 0, -1, vertices[vertex])

    return pack(
        RecipeGenes(
            jnp.where(there, recipe.ops[order], -1),
            jnp.where(there[:, None], moved(recipe.inputs[order]), -1),
            moved(recipe.hidden),
        )
    )


class _Noise(NamedTuple):
    """Uniform numbers of one draw, from which everything else follows."""

    num_hidden: Array
    state: Array
    activation: Array
    third: Array
    op: Array
    inputs: Array


def _noise(key: Key, num_nodes: int) -> _Noise:
    num_ops = len(_MAIN_OPS)
    block = jax.random.uniform(key, (num_nodes + 1, 3 + num_ops + MAX_NODES))
    rows = block[:num_nodes]
    return _Noise(
        num_hidden=block[-1, 0],
        state=rows[:, 0],
        activation=rows[:, 1],
        third=rows[:, 2],
        op=rows[:, 3 : 3 + num_ops],
        inputs=rows[:, 3 + num_ops :],
    )


def _draw_node(
    noise: _Noise, i: Array, num_hidden: Array, ops: Array
) -> tuple[Array, Array]:
    """Operation and inputs `[3]` of node i that does not have to be an activation."""
    vertex = jnp.arange(MAX_NODES)
    is_state = (vertex >= 1) & (vertex <= num_hidden)
    is_node = (vertex >= NUM_BASE) & (vertex < NUM_BASE + i)
    vertex_ops = jnp.concatenate([jnp.full(NUM_BASE, -1, jnp.int32), ops])
    for_others = is_state | is_node
    for_linear = is_state | (is_node & (vertex_ops < SUM)) | (vertex == 0)
    takes = jnp.asarray(_MIN_INPUTS[_MAIN_OPS])
    possible = (jnp.sum(for_others) >= takes) | (_MAIN_OPS == LINEAR)
    # The largest of log p + Gumbel noise is a draw from p.
    gumbel = -jnp.log(-jnp.log(noise.op[i]))
    scores = jnp.where(possible, jnp.asarray(_OP_LOGITS) + gumbel, -jnp.inf)
    op = jnp.asarray(_MAIN_OPS)[jnp.argmax(scores)]
    more = (noise.third[i] < _THREE_INPUTS).astype(jnp.int32)
    count = jnp.where(op == LINEAR, 2 + more, jnp.asarray(_MIN_INPUTS)[op])
    candidates = jnp.where(op == LINEAR, for_linear, for_others)
    score = jnp.where(candidates, noise.inputs[i], -1.0)
    best, chosen = jax.lax.top_k(score, MAX_INPUT)
    given = (jnp.arange(MAX_INPUT) < count) & (best >= 0)
    return op, jnp.where(given, chosen, -1)


def _draw(key: Key, num_nodes: int) -> tuple[Array, Array]:
    """One draw of the published generator and whether its rules keep it."""
    noise = _noise(key, num_nodes)
    num_hidden = 1 + to_integers(noise.num_hidden, MAX_HIDDEN)
    activations = to_integers(noise.activation, SUM)

    def add(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        ops, inputs = carry
        op, chosen = _draw_node(noise, i, num_hidden, ops)
        # A linear node is followed by an activation of it.
        forced = (i > 0) & (ops[i - 1] == LINEAR)
        previous = jnp.array([0, -1, -1]) + jnp.array([1, 0, 0]) * (NUM_BASE + i - 1)
        op = jnp.where(forced, activations[i], op)
        chosen = jnp.where(forced, previous, chosen)
        return ops.at[i].set(op), inputs.at[i].set(chosen)

    empty = jnp.full(MAX_STEPS, -1, jnp.int32)
    inputs = jnp.full((MAX_STEPS, MAX_INPUT), -1, jnp.int32)
    ops, inputs = jax.lax.fori_loop(0, num_nodes, add, (empty, inputs))
    # The rule that no hidden state reads a previous one itself, as a condition.
    reads = inputs[:num_nodes]
    direct = jnp.any((reads >= 1) & (reads < NUM_BASE), axis=1)
    best, states = jax.lax.top_k(noise.state - direct, MAX_HIDDEN)
    named = jnp.arange(MAX_HIDDEN) < num_hidden
    recipe = RecipeGenes(ops, inputs, jnp.where(named, states + NUM_BASE, -1))
    return prune(pack(recipe)), jnp.all((best >= 0) | ~named)


def sample(key: Key, *, max_nodes: int = MAX_NODES) -> Array:
    """The published generator, at most `max_nodes - 4` nodes before pruning.

    Linear nodes read x, states and activations and are followed by an activation; the
    other operations read states and any node. Hidden states (their number uniform in 1
    to 3) are uniform nodes that read no previous state themselves. A recipe that
    ignores x or a state is redrawn, at most 16 times; then the simple recurrent cell
    stands in.
    """
    keys = jax.random.split(key, _CANDIDATES)
    candidates, kept = jax.vmap(lambda k: _draw(k, max_nodes - NUM_BASE))(keys)
    valid = jax.vmap(functools.partial(is_valid, max_nodes=max_nodes))(candidates)
    return first_valid(candidates, kept & valid, jnp.asarray(recipes.SIMPLE_CELL))


def decode(unit: Array, *, max_nodes: int = MAX_NODES) -> Array:
    """The recipe of a point, see `nasbench_nlp_unit_points` for its coordinates.

    Nodes that no hidden state needs are dropped. Repair, where x or a previous state is
    then not needed: node 0 becomes linear in x and the states (two of them at most),
    and the node that is h_new_0 reads it. Every valid recipe comes from some bin.
    """
    nodes = max_nodes - NUM_BASE
    plain, repaired = (
        prune(pack(unit_points.decode(unit, nodes, repaired=again)))
        for again in (False, True)
    )
    return jnp.where(is_valid(plain, max_nodes=max_nodes), plain, repaired)


def mutate(key: Key, arch: Array, *, max_nodes: int = MAX_NODES) -> Array:
    """One change of a kind drawn uniformly, redrawn until the recipe is valid and new.

    The kinds: an operation, an input, a hidden state, the width of a linear node, a
    node inserted, a node bypassed; nodes that nothing needs any more are dropped. The
    parent itself comes back where none of 32 draws is valid.
    """
    recipe = unpack(arch)
    uniform = jax.random.uniform(key, (5, _CHANGES))
    kind = to_integers(uniform[0], changes.NUM_KINDS)
    node = to_integers(uniform[1], num_steps(arch))
    count = jnp.maximum(jnp.sum(recipe.inputs >= 0, axis=1)[node], 1)
    num_hidden = jnp.sum(recipe.hidden >= 0)
    slot = to_integers(uniform[2], jnp.where(kind == changes.HIDDEN, num_hidden, count))
    # A linear node of two inputs gains the third.
    gains = (kind == changes.WIDTH) & (count < MAX_INPUT)
    slot = jnp.where(gains, MAX_INPUT - 1, slot)
    of_insert = to_integers(uniform[3], changes.NUM_INSERTED)
    of_operation = 1 + to_integers(uniform[3], 2)
    choice = jnp.where(kind == changes.INSERT, of_insert, of_operation)
    vertex = to_integers(uniform[4], NUM_BASE + node)
    children = jax.vmap(_changed, in_axes=(None, 0))(
        arch, Change(kind, node, slot, choice, vertex)
    )
    valid = jax.vmap(functools.partial(is_valid, max_nodes=max_nodes))(children)
    new = jnp.any(children != arch[None], axis=1)
    return first_valid(children, valid & new, arch)


def _changed(arch: Array, change: Change) -> Array:
    return prune(pack(changes.apply(unpack(arch), change)))


def neighbors(arch: Array, *, max_nodes: int = MAX_NODES) -> tuple[Array, Array]:
    """All changes of `nasbench_nlp_changes.table`, pruned.

    Returns:
      archs int32 `[M, 63]` and mask bool `[M]`: valid and another cell than `arch`. M
      is 392 for 12 vertices and 945 for 19, most of them masked.
    """
    table = Change(*map(jnp.asarray, changes.table(max_nodes - NUM_BASE)))
    archs = jax.vmap(_changed, in_axes=(None, 0))(arch, table)
    valid = jax.vmap(functools.partial(is_valid, max_nodes=max_nodes))(archs)
    same = jnp.all(jax.vmap(fingerprint)(archs) == fingerprint(arch)[None], axis=1)
    return archs, valid & ~same


def fingerprint(arch: Array) -> Array:
    """uint32 `[2]`, equal for recipes that differ in the order of their nodes.

    The order of inputs counts in a blend only; x, previous and new hidden states keep
    their names. Neighbourhood refinement over in- and out-edges.
    """
    recipe = unpack(arch)
    return jnp.stack([_fingerprint_lane(recipe, lane) for lane in fingerprints.LANES])


def _fingerprint_lane(recipe: RecipeGenes, lane: tuple[int, int, int]) -> Array:
    ops, inputs, hidden = recipe
    vertex = jnp.arange(MAX_NODES)
    kinds = jnp.concatenate([jnp.arange(NUM_BASE), NUM_BASE + 1 + ops])
    is_state = vertex[:, None] == hidden[None]
    states = jnp.sum(jnp.where(is_state, np.arange(1, MAX_HIDDEN + 1)[None], 0), axis=1)
    role = jnp.where((ops == BLEND)[:, None], jnp.arange(1, MAX_INPUT + 1)[None], 0)
    tag = fingerprints.start(role, lane)
    # [node, slot, vertex]: which input is which vertex.
    reads = inputs[:, :, None] == vertex[None, None]
    inward, outward = jnp.uint32(lane[1]), jnp.uint32(lane[2])

    def refine(_: int, colours: Array) -> Array:
        message = fingerprints.mix(colours[inputs] + tag)
        message = jnp.where(inputs >= 0, message, 0).sum(axis=1, dtype=jnp.uint32)
        message = jnp.concatenate([jnp.zeros(NUM_BASE, jnp.uint32), message])
        reader = fingerprints.mix(colours[NUM_BASE:, None] + tag)[:, :, None]
        back = jnp.where(reads, reader, 0).sum(axis=(0, 1), dtype=jnp.uint32)
        return fingerprints.mix(colours + inward * message + outward * back)

    colours = fingerprints.start(kinds + 16 * states, lane)
    colours = jax.lax.fori_loop(0, _ROUNDS, refine, colours)
    real = jnp.concatenate([jnp.ones(NUM_BASE, bool), ops >= 0])
    total = jnp.where(real, fingerprints.mix(colours), 0).sum(dtype=jnp.uint32)
    return fingerprints.mix(total)


def to_graph(arch: Array) -> Graph:
    """Adjacency int32 `[19, 19]`, ops `[19]`, 4 + the number of nodes.

    Vertices 0 to 3 are x and h_prev_0..2, without edges where they are not read. The
    hidden states are genes only (`unpack(arch).hidden`).
    """
    ops, inputs, _ = unpack(arch)
    vertex = jnp.arange(MAX_NODES)
    reads = jnp.any(inputs[:, :, None] == vertex[None, None], axis=1)
    base = jnp.zeros((MAX_NODES, NUM_BASE), bool)
    adjacency = jnp.concatenate([base, reads.T], axis=1).astype(jnp.int32)
    ids = jnp.concatenate([jnp.zeros(NUM_BASE, jnp.int32), ops + 1])
    nodes = NUM_BASE + num_steps(arch)
    return Graph(adjacency, jnp.where(vertex < nodes, ids, -1), nodes)


@functools.cache
def make(*, max_nodes: int = 12) -> SearchSpace:
    """The space of recipes of at most `max_nodes` vertices, x and three states counted.

    Raises:
      ConfigError: `max_nodes` is not within 7 to 19.
    """
    smallest = NUM_BASE + MAX_HIDDEN
    if not smallest <= max_nodes <= MAX_NODES:
        raise errors.ConfigError(
            f"max_nodes of nasbench_nlp must be {smallest} to {MAX_NODES}, "
            f"not {max_nodes}"
        )
    nodes = [
        limits
        for i in range(MAX_STEPS)
        for limits in ((-1, NUM_OPS - 1), *((-1, NUM_BASE + i - 1),) * MAX_INPUT)
    ]
    return SearchSpace(
        name="nasbench_nlp",
        num_genes=NUM_GENES,
        op_names=OP_NAMES,
        size=None,
        sample=functools.partial(sample, max_nodes=max_nodes),
        mutate=functools.partial(mutate, max_nodes=max_nodes),
        neighbors=functools.partial(neighbors, max_nodes=max_nodes),
        is_valid=functools.partial(is_valid, max_nodes=max_nodes),
        to_graph=to_graph,
        fingerprint=fingerprint,
        format_arch=recipes.format_arch,
        parse_arch=recipes.parse_arch,
        graph_op_names=GRAPH_OP_NAMES,
        gene_ranges=(*nodes, *((-1, MAX_NODES - 1),) * MAX_HIDDEN),
        decode=functools.partial(decode, max_nodes=max_nodes),
        unit_sizes=unit_points.unit_sizes(max_nodes - NUM_BASE),
    )
