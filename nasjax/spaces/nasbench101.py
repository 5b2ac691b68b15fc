"""NAS-Bench-101 (Ying et al., 2019): cells of at most 7 vertices and 9 edges.

A gene vector has 27 int32 entries: 21 bits of the strict upper triangle of the 7 x 7
adjacency matrix row by row, 5 interior operations (0 conv1x1-bn-relu, 1
conv3x3-bn-relu, 2 maxpool3x3, -1 absent) and the number of vertices n. Vertex 0 is the
input, vertex n - 1 the output; what belongs to vertices from n on is 0 (bits) or -1
(operations). Vertices off every path from input to output may be there: they are
pruned before anything is counted, hashed or looked up.

Functions take one gene vector and work on scalars unrolled over vertices, so that
`vmap` turns every scalar into one contiguous vector.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core.sampling import first_valid, to_integers
from nasjax.core.types import Array, Graph, Key, SearchSpace
from nasjax.spaces import nasbench101_notation as notation
from nasjax.spaces.fingerprints import LANES, finish, mix, start
from nasjax.spaces.nasbench101_notation import (
    EDGES,
    MAX_EDGES,
    MAX_VERTICES,
    NUM_BITS,
    NUM_GENES,
    NUM_OPS,
    OP_NAMES,
    OP_SPOTS,
)

SIZE = 423_624
"""Unique valid cells (Ying et al., 2019, section 2)."""

INPUT, OUTPUT = 0, 4
"""Graph ids of the input and the output; operation o has id o + 1."""

_EDGE_INDEX = {edge: k for k, edge in enumerate(EDGES)}
_SOURCES = np.array([i for i, _ in EDGES])
_TARGETS = np.array([j for _, j in EDGES])
_KERNEL_SIZES = {"conv1x1-bn-relu": 1, "conv3x3-bn-relu": 3}
# Two rounds of refinement already tell all 423,624 cells apart (checked on the whole
# space, test_nasbench101_cells.py); the third is a margin for cells outside it.
ROUNDS = 3
# Draws of one call. Of sampled cells .73 are valid, so the fallback has probability
# 2e-7; mutants are valid less often where the parent already has nine edges.
_CANDIDATES = 12
_CHILDREN = 16


class _Pruned(NamedTuple):
    """Scalars of the pruned cell: `edges[i, j]`, `keep[v]`, `to_output[v]` bool."""

    edges: dict[tuple[int, int], Array]
    keep: list[Array]
    to_output: list[Array]
    connected: Array


def _rows(arch: Array) -> list[Array]:
    """Successors of vertices 0..5 as bit sets."""
    return [
        functools.reduce(
            jnp.bitwise_or,
            [arch[_EDGE_INDEX[i, j]] << j for j in range(i + 1, MAX_VERTICES)],
        )
        for i in range(MAX_VERTICES - 1)
    ]


def _prune(arch: Array) -> _Pruned:
    """Keeps the vertices that lie on a path from the input to the output."""
    rows, output = _rows(arch), arch[-1] - 1
    forward = jnp.int32(1)
    for v in range(MAX_VERTICES - 1):
        forward |= jnp.where((forward >> v) & 1 == 1, rows[v], 0)
    backward = jnp.int32(1) << output
    for v in reversed(range(MAX_VERTICES - 1)):
        backward |= jnp.where(rows[v] & backward != 0, 1 << v, 0)
    on_path = forward & backward
    keep = [(on_path >> v) & 1 == 1 for v in range(MAX_VERTICES)]
    edges = {
        (i, j): (arch[k] != 0) & keep[i] & keep[j] for k, (i, j) in enumerate(EDGES)
    }
    to_output = [
        (rows[v] >> output) & (on_path >> v) & 1 == 1 for v in range(MAX_VERTICES - 1)
    ]
    # Any vertex on a path brings the input and the output with it.
    return _Pruned(edges, keep, to_output, connected=on_path != 0)


def num_edges(arch: Array) -> Array:
    """int32 `[]`: edges that are left after pruning."""
    return _count_edges(_prune(arch))


def _count_edges(pruned: _Pruned) -> Array:
    edges = [edge.astype(jnp.int32) for edge in pruned.edges.values()]
    return functools.reduce(jnp.add, edges)


def _is_well_formed(arch: Array) -> Array:
    """Whether bits, operations and the number of vertices follow the encoding."""
    bits, ops, n = arch[:NUM_BITS], arch[NUM_BITS:-1], arch[-1]
    present = jnp.arange(OP_SPOTS) < n - 2
    ops_fit = jnp.where(present, (ops >= 0) & (ops < NUM_OPS), ops == -1)
    bits_fit = (bits == 0) | ((bits == 1) & (_TARGETS < n))
    return jnp.all(ops_fit) & jnp.all(bits_fit) & (n >= 2) & (n <= MAX_VERTICES)


def is_valid(arch: Array) -> Array:
    """The official rules: input and output connected, at most 9 edges once pruned."""
    pruned = _prune(arch)
    few_edges = _count_edges(pruned) <= MAX_EDGES
    return _is_well_formed(arch) & pruned.connected & few_edges


def prune(arch: Array) -> Array:
    """The same cell without the vertices that are on no path; they move to the end.

    A cell whose output is out of reach becomes the (invalid) cell of two vertices
    without an edge.
    """
    pruned = _prune(arch)
    keep = jnp.stack(pruned.keep) & pruned.connected
    place = jnp.where(keep, jnp.cumsum(keep) - 1, MAX_VERTICES)
    moves = (place[:, None] == jnp.arange(MAX_VERTICES)[None]).astype(jnp.int32)
    adjacency = moves.T @ to_graph(arch).adjacency.astype(jnp.int32) @ moves
    n = jnp.maximum(jnp.sum(keep), 2).astype(jnp.int32)
    ops = moves[1:-1, 1:-1].T @ (arch[NUM_BITS:-1] + 1) - 1
    ops = jnp.where(jnp.arange(OP_SPOTS) < n - 2, ops, -1)
    return jnp.concatenate([adjacency[_SOURCES, _TARGETS], ops, n[None]])


def fingerprint(arch: Array) -> Array:
    """uint32 `[2]`, equal for isomorphic pruned cells; zeros without any path.

    Has the equivalence classes of the official `module_hash` (neighbourhood
    refinement over in- and out-edges), but adds numbers where that sorts strings.
    """
    pruned, output = _prune(arch), arch[-1] - 1
    ones, zero = jnp.uint32(0xFFFFFFFF), jnp.uint32(0)
    keep = [jnp.where(kept, ones, zero) for kept in pruned.keep]
    edges = {edge: jnp.where(there, ones, zero) for edge, there in pruned.edges.items()}
    labels = [jnp.int32(INPUT)]
    for v in range(1, MAX_VERTICES):
        op = arch[NUM_BITS + v - 1] + 1 if v <= OP_SPOTS else OUTPUT
        labels.append(jnp.where(output == v, OUTPUT, op))
    lanes = []
    for lane in LANES:
        _, inward, outward = lane
        colours = [start(label, lane) for label in labels]
        for _ in range(ROUNDS):
            colours = [
                mix(
                    colours[v]
                    + jnp.uint32(inward)
                    * sum((edges[w, v] & colours[w] for w in range(v)), zero)
                    + jnp.uint32(outward)
                    * sum(
                        (edges[v, w] & colours[w] for w in range(v + 1, MAX_VERTICES)),
                        zero,
                    )
                )
                for v in range(MAX_VERTICES)
            ]
        total = sum((keep[v] & mix(colours[v]) for v in range(MAX_VERTICES)), zero)
        lanes.append(jnp.where(pruned.connected, total, zero))
    return finish(jnp.stack(lanes))


def trainable_parameters(arch: Array) -> Array:
    """int32 `[]`: parameters of the benchmark's CIFAR-10 network of the cell.

    Stem of 128 channels, three stacks of three cells that double the channels on
    entering the second and third, dense layer to 10 classes; convolutions without
    bias, batch normalisation with scale and offset. The channels of vertices that
    feed the output are concatenated there; every other vertex is as wide as its
    widest successor; the input is projected by 1 x 1 convolutions.
    """
    pruned = _prune(arch)
    total: Array = jnp.int32(_convolution(3, 3, 128) + 512 * 10 + 10)
    # (cells, input channels, output channels)
    stacks = [(3, 128, 128), (1, 128, 256), (2, 256, 256), (1, 256, 512), (2, 512, 512)]
    for count, c_in, c_out in stacks:
        total += count * _module_parameters(arch, pruned, c_in, c_out)
    return total


def module_parameters(arch: Array, c_in: int, c_out: int) -> Array:
    """int32 `[]`: parameters of one module that turns `c_in` channels into `c_out`."""
    return _module_parameters(arch, _prune(arch), c_in, c_out)


def _module_parameters(arch: Array, pruned: _Pruned, c_in: int, c_out: int) -> Array:
    channels = _vertex_channels(pruned, c_out)
    cell = jnp.where(pruned.to_output[0], _convolution(1, c_in, c_out), 0)
    for v in range(1, MAX_VERTICES - 1):
        c, op = channels[v], arch[NUM_BITS + v - 1]
        cell += jnp.where(pruned.edges[0, v], _convolution(1, c_in, c), 0)
        for name, kernel in _KERNEL_SIZES.items():
            is_op = pruned.keep[v] & (op == OP_NAMES.index(name))
            cell += jnp.where(is_op, _convolution(kernel, c, c), 0)
    return cell


def _convolution(kernel: int, c_in: Any, c_out: Any) -> Any:
    return kernel * kernel * c_in * c_out + 2 * c_out


class Module(NamedTuple):
    """The pruned cell as a module of a network; vertices keep their numbers.

    Attributes:
      operations: int32 `[5]`, of vertices 1..5 (index of `OP_NAMES`); -1 where there is
        no interior vertex or it is on no path from input to output.
      edges: bool `[6, 6]`, from i to j, among the input and interior vertices.
      to_output: bool `[6]`: the same to the output.
      channels: int32 `[6]`, by the official rule; 0 for the input and what is pruned.
    """

    operations: Array
    edges: Array
    to_output: Array
    channels: Array


def module(arch: Array, c_out: int) -> Module:
    """The module of `c_out` channels that the cell stands for.

    The vertices that feed the output share its channels, the first of them get one
    more each where the division leaves a remainder; every other one is as wide as the
    widest vertex that it feeds. A cell without a path from input to output has no
    edges.
    """
    pruned = _prune(arch)
    vertex = np.arange(MAX_VERTICES - 1)
    inside = jnp.stack(pruned.keep[:-1]) & (vertex > 0) & (vertex < arch[-1] - 1)
    none: Array = jnp.bool_(False)
    spots = range(MAX_VERTICES - 1)
    edges = jnp.stack(
        [jnp.stack([pruned.edges.get((i, j), none) for j in spots]) for i in spots]
    )
    return Module(
        operations=jnp.where(inside[1:], arch[NUM_BITS:-1], -1),
        edges=edges & inside[None],
        to_output=jnp.stack(pruned.to_output),
        channels=jnp.where(inside, jnp.stack(_vertex_channels(pruned, c_out)), 0),
    )


def _vertex_channels(pruned: _Pruned, c_out: int) -> list[Array]:
    """Channels of vertices 0..5 (index 0 unused, 0 where a vertex is pruned)."""
    feeds = [edge.astype(jnp.int32) for edge in pruned.to_output]
    share = jnp.maximum(functools.reduce(jnp.add, feeds[1:]), 1)
    channels = [jnp.int32(0)] * (MAX_VERTICES - 1)
    before = jnp.int32(0)
    for v in range(1, MAX_VERTICES - 1):
        # The remainder goes to the first of them, one channel each.
        channels[v] = c_out // share + (before < c_out % share)
        before += feeds[v]
    for v in reversed(range(1, MAX_VERTICES - 1)):
        widest = jnp.int32(0)
        for w in range(v + 1, MAX_VERTICES - 1):
            there = jnp.where(pruned.edges[v, w], channels[w], 0)
            widest = jnp.maximum(widest, there)
        channels[v] = jnp.where(pruned.to_output[v], channels[v], widest)
    return channels


def to_graph(arch: Array) -> Graph:
    """The cell as written: int32 adjacency `[7, 7]`, ops `[7]`; `prune` it first
    where only the network counts.

    Operation ids: 0 input, 1 conv1x1, 2 conv3x3, 3 maxpool3x3, 4 output, -1 padding.
    """
    n = arch[-1]
    adjacency = jnp.zeros((MAX_VERTICES, MAX_VERTICES), jnp.int32)
    adjacency = adjacency.at[_SOURCES, _TARGETS].set(arch[:NUM_BITS])
    vertex = jnp.arange(MAX_VERTICES)
    ops = jnp.concatenate([jnp.zeros(1, jnp.int32), arch[NUM_BITS:-1] + 1])
    ops = jnp.concatenate([ops, jnp.full(1, OUTPUT, jnp.int32)])
    ops = jnp.where(vertex == n - 1, OUTPUT, jnp.where(vertex < n, ops, -1))
    return Graph(adjacency, ops.astype(jnp.int32), n)


def from_graph(graph: Graph) -> Array:
    """The gene vector of a dense graph with the ids of `to_graph`."""
    interior = jnp.arange(OP_SPOTS) < graph.num_nodes - 2
    ops = jnp.where(interior, graph.ops[1:-1] - 1, -1)
    bits = graph.adjacency[_SOURCES, _TARGETS]
    genes = [bits, ops, jnp.reshape(graph.num_nodes, 1)]
    return jnp.concatenate([gene.astype(jnp.int32) for gene in genes])


def sample(key: Key) -> Array:
    """Seven vertices, every edge with probability 1/2, operations uniform, until valid.

    The published rejection sampler with at most 12 draws, .73 of which are valid; a
    fixed cell (input, conv3x3, output) stands in where none is.
    """
    uniform = jax.random.uniform(key, (_CANDIDATES, NUM_BITS + OP_SPOTS))
    bits = to_integers(uniform[:, :NUM_BITS], 2)
    ops = to_integers(uniform[:, NUM_BITS:], NUM_OPS)
    n = jnp.full((_CANDIDATES, 1), MAX_VERTICES, jnp.int32)
    candidates = jnp.concatenate([bits, ops, n], axis=1)
    fallback = jnp.asarray(notation.SMALL_CELL)
    return first_valid(candidates, jax.vmap(is_valid)(candidates), fallback)


UNIT_SIZES = (2,) * NUM_BITS + (NUM_OPS,) * OP_SPOTS


def decode(unit: Array) -> Array:
    """The cell of seven vertices of a point `[26]`: 21 edges, then 5 operations.

    Repair: a cell without a path from input to output gets the edge between them; of
    one with more than nine edges on paths the last edges (in the order of the genes)
    that are not the only way to the output are taken away, one after another, until at
    most nine are left. Every valid cell of seven vertices comes from a bin of its own
    without repair, and so every class of the space from at least one.
    """
    bits = to_integers(unit[:NUM_BITS], 2)
    ops = to_integers(unit[NUM_BITS:], NUM_OPS)
    n = jnp.full(1, MAX_VERTICES, jnp.int32)
    arch = jnp.concatenate([bits, ops, n])
    direct = jnp.arange(NUM_GENES) == _EDGE_INDEX[0, MAX_VERTICES - 1]
    arch = jnp.where(direct & ~_prune(arch).connected, 1, arch)

    def thin(step: Array, arch: Array) -> Array:
        without = jnp.where(jnp.arange(NUM_GENES) == NUM_BITS - 1 - step, 0, arch)
        spare = _prune(without).connected & (num_edges(arch) > MAX_EDGES)
        return jnp.where(spare, without, arch)

    thinned: Array = jax.lax.fori_loop(0, NUM_BITS, thin, arch)
    return thinned


def widen(arch: Array, blank: Array | int) -> Array:
    """The same cell on seven vertices: the output is the last one.

    Args:
      arch: int32 `[27]`.
      blank: operations of new vertices, which have no edges: int `[]` or `[5]`.
    """
    output = arch[-1] - 1
    adjacency = to_graph(arch).adjacency
    into_output = adjacency[:, output]
    vertex = jnp.arange(MAX_VERTICES)
    inside = jnp.where((vertex == output)[None, :], 0, adjacency)
    is_last = (vertex == MAX_VERTICES - 1)[None, :]
    adjacency = jnp.where(is_last, into_output[:, None], inside)
    ops = arch[NUM_BITS:-1]
    ops = jnp.where(ops < 0, blank, ops)
    n = jnp.full(1, MAX_VERTICES, jnp.int32)
    return jnp.concatenate([adjacency[_SOURCES, _TARGETS], ops, n])


def mutate(key: Key, arch: Array) -> Array:
    """Flips each edge with probability 1/21 and changes each operation with 1/5.

    The published mutation: one expected change of either kind, redrawn until the
    cell is valid; here also until something changes. A cell of fewer than seven
    vertices is first written on seven, so that it can grow. The parent itself comes
    back where none of 16 draws is valid.
    """
    uniform = jax.random.uniform(key, (_CHILDREN + 1, NUM_BITS + 2 * OP_SPOTS))
    wide = widen(arch, to_integers(uniform[-1, :OP_SPOTS], NUM_OPS))
    flip, where, step = jnp.split(uniform[:-1], [NUM_BITS, NUM_BITS + OP_SPOTS], axis=1)
    flips, moved = flip < 1 / NUM_BITS, where < 1 / OP_SPOTS
    bits, ops = wide[None, :NUM_BITS], wide[None, NUM_BITS:-1]
    other = (ops + 1 + to_integers(step, NUM_OPS - 1)) % NUM_OPS
    children = jnp.concatenate(
        [
            jnp.where(flips, 1 - bits, bits),
            jnp.where(moved, other, ops),
            jnp.full((_CHILDREN, 1), MAX_VERTICES, jnp.int32),
        ],
        axis=1,
    )
    changed = jnp.any(flips, axis=1) | jnp.any(moved, axis=1)
    return first_valid(children, changed & jax.vmap(is_valid)(children), arch)


def neighbors(arch: Array) -> tuple[Array, Array]:
    """All 21 single edge flips, then the 10 other operations of the 5 spots.

    Returns:
      archs int32 `[31, 27]` and mask bool `[31]`: valid and another cell than `arch`
      (a flip of an edge that pruning removes anyway is none).
    """
    bits, ops = arch[:NUM_BITS], arch[NUM_BITS:-1]
    eye = jnp.eye(NUM_BITS, dtype=jnp.int32)
    flipped = jnp.tile(arch, (NUM_BITS, 1)).at[:, :NUM_BITS].set(bits[None] ^ eye)
    spots = np.repeat(np.arange(OP_SPOTS), NUM_OPS - 1)
    steps = np.tile(np.arange(1, NUM_OPS), OP_SPOTS)
    present = ops[spots] >= 0
    other = jnp.where(present, (ops[spots] + steps) % NUM_OPS, -1)
    changed = jnp.tile(arch, (len(spots), 1))
    changed = changed.at[np.arange(len(spots)), NUM_BITS + spots].set(other)
    archs = jnp.concatenate([flipped, changed])
    differs = jnp.any(jax.vmap(fingerprint)(archs) != fingerprint(arch)[None], axis=1)
    return archs, jax.vmap(is_valid)(archs) & differs


@functools.cache
def make() -> SearchSpace:
    """The space; 423,624 unique cells."""
    return SearchSpace(
        name="nasbench101",
        num_genes=NUM_GENES,
        op_names=OP_NAMES,
        size=SIZE,
        sample=sample,
        mutate=mutate,
        neighbors=neighbors,
        is_valid=is_valid,
        to_graph=to_graph,
        fingerprint=fingerprint,
        format_arch=notation.format_arch,
        parse_arch=notation.parse_arch,
        graph_op_names=("input", *OP_NAMES, "output"),
        gene_ranges=((0, 1),) * NUM_BITS + ((-1, 2),) * OP_SPOTS + ((2, 7),),
        decode=decode,
        unit_sizes=UNIT_SIZES,
    )
