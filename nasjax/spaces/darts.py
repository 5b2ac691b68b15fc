"""The DARTS space (Liu et al., 2019): a normal and a reduction cell of four steps.

A gene vector is int32 `[2 cells, 4 steps, 2, (operation, input)]` flattened to 32
entries, the normal cell first; the shared-cell variant has one cell for both and 16
entries. Step i (0..3) adds the operations of two different earlier states; states 0
and 1 are the outputs of cells k-2 and k-1, state 2 + i is step i; the cell's output
concatenates the four steps. Operations: max_pool_3x3 0, avg_pool_3x3 1, skip_connect 2,
sep_conv_3x3 3, sep_conv_5x5 4, dil_conv_3x3 5, dil_conv_5x5 6 and, only where it is
asked for, none 7.
"""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.sampling import to_integers
from nasjax.core.types import Array, Graph, Key, SearchSpace
from nasjax.spaces import darts_notation, fingerprints, literals
from nasjax.spaces.darts_costs import Costs as Costs
from nasjax.spaces.darts_costs import costs as costs

OP_NAMES = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NONE = len(OP_NAMES)
"""The gene value of `none` in the variant that has it."""
NUM_STEPS = 4
CELL_GENES = NUM_STEPS * 2 * 2

GRAPH_OP_NAMES = ("c_{k-2}", "c_{k-1}", *OP_NAMES, "sum", "output")
"""Ids of the 15-node graph; `none` follows as 11."""
COMPACT_OP_NAMES = ("c_{k-2}", "c_{k-1}", "none", *OP_NAMES, "output")
"""Ids of the 11-node graph."""

_SUM, _OUTPUT, _GRAPH_NONE = 9, 10, 11
_STEP = np.repeat(np.arange(NUM_STEPS), 2)
# Node of each state, and of the two operations of each step, in the 15-node graph.
_STATE_NODE = np.array([0, 1, 4, 7, 10, 13])
_OP_NODE = np.array([[3 * step + 3, 3 * step + 2] for step in range(NUM_STEPS)])
# State that each node of the 11-node graph belongs to; the output is none.
_COMPACT_STATE = np.array([0, 1, *(_STEP + 2), -1])
_RELABELLINGS = np.array(list(itertools.permutations(range(NUM_STEPS))))


def _cells(arch: Array) -> Array:
    """`[C, 4, 2, 2]`."""
    return jnp.asarray(arch).reshape(-1, NUM_STEPS, 2, 2)


def sample(key: Key, *, num_cells: int = 2, num_ops: int = NONE) -> Array:
    """Uniform operations; two different inputs of each step, uniform."""
    uniform = jax.random.uniform(key, (4, num_cells, NUM_STEPS))
    states = np.arange(NUM_STEPS)[None] + 2
    ops = jnp.moveaxis(to_integers(uniform[:2], num_ops), 0, -1)
    first = to_integers(uniform[2], states)
    second = (first + 1 + to_integers(uniform[3], states - 1)) % states
    inputs = jnp.stack([first, second], axis=-1)
    return jnp.stack([ops, inputs], axis=-1).reshape(-1)


def unit_sizes(*, num_cells: int = 2, num_ops: int = NONE) -> tuple[int, ...]:
    """Bins of a point of the unit cube: cell by cell 8 operations, then 3 input pairs.

    The pairs of states that steps 1, 2 and 3 read (3, 6 and 10 of them); step 0 reads
    the two inputs of the cell.
    """
    pairs = (math.comb(step + 2, 2) for step in range(1, NUM_STEPS))
    return (*((num_ops,) * 8), *pairs) * num_cells


def decode(unit: Array, *, num_cells: int = 2, num_ops: int = NONE) -> Array:
    """The cells of a point `[11 C]`, see `unit_sizes`; a step's first input is smaller.

    Every pair of cells has one bin, up to the order of the two inputs of a step.
    """
    point = jnp.asarray(unit).reshape(num_cells, 8 + NUM_STEPS - 1)
    ops = to_integers(point[:, :8], num_ops).reshape(num_cells, NUM_STEPS, 2)
    inputs = [jnp.broadcast_to(jnp.arange(2), (num_cells, 2))]
    for step in range(1, NUM_STEPS):
        pairs = np.array([*itertools.combinations(range(step + 2), 2)], np.int32)
        which = to_integers(point[:, 7 + step], len(pairs))
        inputs.append(jnp.asarray(pairs)[which])
    genes = jnp.stack([ops, jnp.stack(inputs, axis=1)], axis=-1)
    return genes.reshape(-1).astype(jnp.int32)


@functools.cache
def _changes(num_cells: int, num_ops: int) -> tuple[np.ndarray, int]:
    """All single changes `[M, (gene, 1 if an input, choice)]`; operations first.

    Returns them with the number of those that change an operation.
    """
    rows = [
        (2 * (8 * cell + edge), 0, choice)
        for cell in range(num_cells)
        for edge in range(8)
        for choice in range(1, num_ops)
    ]
    num_op_changes = len(rows)
    # Step i has i states besides its own two inputs.
    rows += [
        (2 * (8 * cell + edge) + 1, 1, choice)
        for cell in range(num_cells)
        for edge in range(8)
        for choice in range(_STEP[edge])
    ]
    return np.array(rows, np.int32), num_op_changes


def _change(arch: Array, change: Array, num_ops: int) -> Array:
    """Applies one row of `_changes`."""
    arch = jnp.asarray(arch)
    gene, is_input, choice = change
    # The other input of the step: the two genes lie two apart.
    edge = gene // 2
    other = arch[2 * (edge ^ 1) + 1]
    low, high = jnp.minimum(arch[gene], other), jnp.maximum(arch[gene], other)
    # `choice` counts the states that are neither of the two inputs.
    state = choice + (choice >= low)
    state += state >= high
    value = jnp.where(is_input == 1, state, (arch[gene] + choice) % num_ops)
    return jnp.where(jnp.arange(len(arch)) == gene, value, arch)


def mutate(key: Key, arch: Array, *, num_ops: int = NONE) -> Array:
    """Changes one operation or one input, with probability 1/2 each.

    The two mutations of Real et al. (2019); which one of them is uniform.
    """
    changes, num_op_changes = _changes(len(arch) // CELL_GENES, num_ops)
    kind, which = jax.random.uniform(key, (2,))
    of_input = num_op_changes + to_integers(which, len(changes) - num_op_changes)
    row = jnp.where(kind < 0.5, to_integers(which, num_op_changes), of_input)
    return _change(arch, jnp.asarray(changes)[row], num_ops)


def neighbors(arch: Array, *, num_ops: int = NONE) -> tuple[Array, Array]:
    """All changes of one operation (48 a cell) or one input (12 a cell).

    Returns:
      archs int32 `[M, G]` and a mask of ones `[M]`; M is 120, or 60 for a shared cell.
    """
    changes, _ = _changes(len(arch) // CELL_GENES, num_ops)
    archs = jax.vmap(functools.partial(_change, num_ops=num_ops), in_axes=(None, 0))(
        arch, jnp.asarray(changes)
    )
    return archs, jnp.ones(len(changes), bool)


def is_valid(arch: Array, *, num_ops: int = NONE) -> Array:
    """Known operations; two different inputs of each step, both earlier states."""
    cells = _cells(arch)
    ops, inputs = cells[..., 0], cells[..., 1]
    states = jnp.arange(NUM_STEPS)[None, :, None] + 2
    ops_fit = (ops >= 0) & (ops < num_ops)
    inputs_fit = (inputs >= 0) & (inputs < states)
    differ = inputs[..., 0] != inputs[..., 1]
    return jnp.all(ops_fit & inputs_fit) & jnp.all(differ)


def fingerprint(arch: Array) -> Array:
    """uint32 `[2]`, equal if and only if both cells are isomorphic (to chance 2^-64).

    Neither the order of a step's two inputs nor the numbers of the steps matter: a sum
    over edges forgets the first, a sum over all 24 numberings the second.
    """
    cells = _cells(arch).reshape(-1, 8, 2)
    numberings = jnp.asarray(_RELABELLINGS)
    states = jnp.concatenate(
        [jnp.tile(jnp.arange(2), (len(_RELABELLINGS), 1)), numberings + 2], axis=1
    )
    targets = numberings[:, _STEP]
    lanes = []
    for lane in fingerprints.LANES:
        total = jnp.uint32(0)
        for cell in cells:
            sources = states[:, cell[:, 1]]
            edges = (targets * 8 + sources) * 8 + cell[None, :, 0]
            numbering = jnp.sum(fingerprints.start(edges, lane), axis=1)
            colour = jnp.sum(fingerprints.mix(numbering))
            total = fingerprints.mix(total * jnp.uint32(lane[2]) + colour)
        lanes.append(total)
    return jnp.stack(lanes)


def to_graph(arch: Array) -> Graph:
    """The 15-node graph of the thesis (figure 1.3) of each cell.

    Nodes: c_{k-2}, c_{k-1}, then for each step its second operation, its first
    operation and their sum, and the output, which reads the four sums.

    Returns:
      adjacency int32 `[2, 15, 15]`, ops `[2, 15]` (ids as in `GRAPH_OP_NAMES`),
      num_nodes `[2]`; without the leading axis for a shared cell.
    """
    return _per_cell(_graph_15, arch)


def to_compact_graph(arch: Array) -> Graph:
    """arch2vec's 11-node graph of each cell (Yan et al., 2020), ids `COMPACT_OP_NAMES`.

    Nodes: c_{k-2}, c_{k-1}, the eight operations step by step, the output. An operation
    that reads step i has edges from both operations of step i; the output reads all
    eight.
    """
    return _per_cell(_graph_11, arch)


def from_compact_graph(graph: Graph) -> Array:
    """The inverse of `to_compact_graph` for one cell: int32 `[16]`.

    An operation reads the state of its first predecessor. Where the graph is that of
    no cell the genes are invalid, or `to_compact_graph` of them differs from it.
    """
    first = jnp.argmax(graph.adjacency[:, 2:10] != 0, axis=0)
    ids = graph.ops[2:10]
    ops = jnp.where(ids == 2, NONE, ids - 3)
    genes = jnp.stack([ops, jnp.asarray(_COMPACT_STATE)[first]], axis=1)
    return genes.reshape(-1).astype(jnp.int32)


def _per_cell(build: Any, arch: Array) -> Graph:
    cells = _cells(arch).reshape(-1, 8, 2)
    graph: Graph = build(cells[0]) if len(cells) == 1 else jax.vmap(build)(cells)
    return graph


def _graph_15(edges: Array) -> Graph:
    nodes = jnp.asarray(_OP_NODE.reshape(-1))
    adjacency = np.zeros((15, 15), np.int32)
    adjacency[_OP_NODE, _STATE_NODE[2:, None]] = 1
    adjacency[_STATE_NODE[2:], 14] = 1
    sources = jnp.asarray(_STATE_NODE)[edges[:, 1]]
    ids = jnp.where(edges[:, 0] == NONE, _GRAPH_NONE, edges[:, 0] + 2)
    ops = np.full(15, _SUM, np.int32)
    ops[:2], ops[14] = (0, 1), _OUTPUT
    return Graph(
        jnp.asarray(adjacency).at[sources, nodes].set(1),
        jnp.asarray(ops).at[nodes].set(ids),
        jnp.int32(15),
    )


def _graph_11(edges: Array) -> Graph:
    step_of_node = jnp.asarray(np.array([-1, -1, *_STEP, -1]))
    node = jnp.arange(11)
    read = edges[:, 1]
    # Column of operation e: the input node itself or both operations of a step.
    reads = (node[:, None] == read[None]) & (read < 2)[None]
    reads |= step_of_node[:, None] == jnp.where(read < 2, -2, read - 2)[None]
    columns = [jnp.zeros((11, 2), bool), reads, (step_of_node >= 0)[:, None]]
    ids = jnp.where(edges[:, 0] == NONE, 2, edges[:, 0] + 3)
    ends = jnp.array([0, 1, 10], jnp.int32)
    return Graph(
        jnp.concatenate(columns, axis=1).astype(jnp.int32),
        jnp.concatenate([ends[:2], ids, ends[2:]]),
        jnp.int32(11),
    )


def format_arch(arch: Any) -> str:
    """The text of a `Genotype` of the DARTS code."""
    names = (*OP_NAMES, "none")
    cells = np.asarray(arch).reshape(-1, 8, 2).tolist()
    normal, reduce = (
        ", ".join(f"({names[op]!r}, {state})" for op, state in cell)
        for cell in (cells[0], cells[-1])
    )
    return (
        f"Genotype(normal=[{normal}], normal_concat=range(2, 6), "
        f"reduce=[{reduce}], reduce_concat=range(2, 6))"
    )


def parse_arch(text: str, *, shared: bool = False, none: bool = False) -> np.ndarray:
    """Gene vector int32 `[32]`, or `[16]` if `shared`, of a `Genotype` text.

    The text as programs print it, see `darts_notation`; nothing is evaluated.

    Raises:
      UnknownArchitecture: the text is malformed, an operation is unknown, a step reads
        one state twice or a later one, or the two cells of a shared one differ.
    """
    names = (*OP_NAMES, "none") if none else OP_NAMES
    genes = darts_notation.parse(text, names)
    if shared and not np.array_equal(genes[0], genes[1]):
        raise errors.UnknownArchitecture(
            "the shared-cell space needs equal normal and reduction cells; use the "
            f"space 'darts' for {literals.shown(text)}"
        )
    return genes[: 1 if shared else 2].reshape(-1)


@functools.cache
def make(*, shared: bool = False, none: bool = False) -> SearchSpace:
    """The space of normal and reduction cells.

    Args:
      shared: one cell serves as both (chapter 4 of the thesis); 16 genes.
      none: also offer the operation `none`.
    """
    num_ops, num_cells = len(OP_NAMES) + none, 1 if shared else 2
    pairs = math.prod(math.comb(step + 2, 2) for step in range(NUM_STEPS))
    edges = [((0, num_ops - 1), (0, step + 1)) for step in _STEP.tolist()]
    ranges = tuple(limits for edge in edges for limits in edge) * num_cells
    extra = ("none",) if none else ()
    return SearchSpace(
        name="darts_shared" if shared else "darts",
        num_genes=num_cells * CELL_GENES,
        op_names=OP_NAMES + extra,
        size=(pairs * num_ops**8) ** num_cells,
        sample=functools.partial(sample, num_cells=num_cells, num_ops=num_ops),
        mutate=functools.partial(mutate, num_ops=num_ops),
        neighbors=functools.partial(neighbors, num_ops=num_ops),
        is_valid=functools.partial(is_valid, num_ops=num_ops),
        to_graph=to_graph,
        fingerprint=fingerprint,
        format_arch=format_arch,
        parse_arch=functools.partial(parse_arch, shared=shared, none=none),
        graph_op_names=GRAPH_OP_NAMES + extra,
        gene_ranges=ranges,
        decode=functools.partial(decode, num_cells=num_cells, num_ops=num_ops),
        unit_sizes=unit_sizes(num_cells=num_cells, num_ops=num_ops),
    )
