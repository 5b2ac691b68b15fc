"""NAS-Bench-201 / NATS-Bench topology space (Dong and Yang, 2020): 15,625 cells.

A gene vector has 6 int32 operations for the edges 0>1, 0>2, 1>2, 0>3, 1>3, 2>3 of a
cell of four nodes: none 0, skip_connect 1, nor_conv_1x1 2, nor_conv_3x3 3,
avg_pool_3x3 4. The official notation lists the edges in the same order:

    |nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|
"""

import functools
import itertools
import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.sampling import to_integers
from nasjax.core.types import Array, Graph, Key, SearchSpace
from nasjax.spaces import fingerprints, literals

OP_NAMES = (
    "none",
    "skip_connect",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "avg_pool_3x3",
)
NUM_OPS = len(OP_NAMES)
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NUM_GENES = len(EDGES)
SIZE: int = NUM_OPS**NUM_GENES
NUM_UNIQUE = 6_466
"""Cells that differ by the official unique string (Dong and Yang, 2020, section 3)."""

NONE, SKIP, CONV_1X1, CONV_3X3, AVG_POOL = range(NUM_OPS)
GRAPH_OP_NAMES = (
    "input",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "none",
    "output",
)

# arch2vec's graph (Yan et al., 2020): nodes are the six edges between input and output.
_GRAPH_EDGES = (
    *((0, 1), (0, 2), (0, 4), (1, 3), (1, 5)),
    *((2, 6), (3, 6), (4, 7), (5, 7), (6, 7)),
)
_GRAPH_OPS = np.array([GRAPH_OP_NAMES.index(name) for name in OP_NAMES], np.int32)
_GRAPH_GENES = np.array(
    [OP_NAMES.index(name) if name in OP_NAMES else -1 for name in GRAPH_OP_NAMES]
)
_PLACES = NUM_OPS ** np.arange(NUM_GENES - 1, -1, -1, dtype=np.int32)
_NUM_NODES = 3
_FORM = "write it as '|op~0|+|op~0|op~1|+|op~0|op~1|op~2|'"
_TERM = re.compile(r"([\w.-]+)~(\d)", re.ASCII)
_AROUND = re.compile(
    r"[\s\ufeff]*(?:Structure\(\s*4 nodes with \s*\)|(?:(?:np\.|numpy\.)?str_\()?"
    r"(?:''|\"\")\)?)?[\s,]*"
)
# The published tables list the cells in an order shuffled with this seed.
_OFFICIAL_SEED = 88


class Costs(NamedTuple):
    """Counts of one network: trainable `parameters` and `flops`, int32 `[]`.

    `flops` are multiply-accumulates of convolutions and the classifier (its bias
    counted, pooling not), as in the published tables.
    """

    parameters: Array
    flops: Array


def sample(key: Key) -> Array:
    """Six independent uniform operations."""
    # Eight numbers: the generator of a power of two compiles twice as fast.
    return to_integers(jax.random.uniform(key, (8,)), NUM_OPS)[:NUM_GENES]


UNIT_SIZES = (NUM_OPS,) * NUM_GENES


def decode(unit: Array) -> Array:
    """int32 `[6]` of a point of the unit cube `[6]`: five bins a gene, one a cell."""
    return to_integers(unit, NUM_OPS)


def _neighbor(arch: Array, index: Array) -> Array:
    """Neighbour 0..23: edge `index // 4` takes its next but `index % 4` operation."""
    edge, step = index // (NUM_OPS - 1), index % (NUM_OPS - 1) + 1
    changed = jnp.arange(NUM_GENES) == edge
    return jnp.where(changed, (arch + step) % NUM_OPS, arch)


def mutate(key: Key, arch: Array) -> Array:
    """Another operation on one edge, both uniform."""
    return _neighbor(
        arch, to_integers(jax.random.uniform(key), NUM_GENES * (NUM_OPS - 1))
    )


def neighbors(arch: Array) -> tuple[Array, Array]:
    """The 24 cells that differ in one operation: `[24, 6]` and a mask of ones."""
    count = NUM_GENES * (NUM_OPS - 1)
    archs = jax.vmap(_neighbor, in_axes=(None, 0))(arch, jnp.arange(count))
    return archs, jnp.ones(count, bool)


def is_valid(arch: Array) -> Array:
    """Whether all six genes are operations; also cells without any path are trained."""
    return jnp.all((arch >= 0) & (arch < NUM_OPS))


def is_connected(arch: Array) -> Array:
    """Whether operations other than none lead from the input to the output."""
    open_edge = [arch[k] != NONE for k in range(NUM_GENES)]
    node_1 = open_edge[0]
    node_2 = open_edge[1] | (node_1 & open_edge[2])
    return open_edge[3] | (node_1 & open_edge[4]) | (node_2 & open_edge[5])


def to_graph(arch: Array) -> Graph:
    """The 8-node graph of arch2vec with operations on nodes.

    Node 0 is the input, 1 to 6 are the edges in gene order, 7 is the output; ids as
    in `GRAPH_OP_NAMES`. The adjacency `[8, 8]` is the same for every cell.
    """
    adjacency = np.zeros((NUM_GENES + 2, NUM_GENES + 2), np.int32)
    adjacency[tuple(zip(*_GRAPH_EDGES, strict=True))] = 1
    ends = jnp.array([0, len(GRAPH_OP_NAMES) - 1], jnp.int32)
    ops = jnp.concatenate([ends[:1], jnp.asarray(_GRAPH_OPS)[arch], ends[1:]])
    return Graph(jnp.asarray(adjacency), ops, jnp.int32(NUM_GENES + 2))


def from_graph(graph: Graph) -> Array:
    """The inverse of `to_graph`: the operations of nodes 1 to 6, int32 `[6]`.

    The adjacency is not looked at; -1 where a node has no operation of the space.
    """
    ids = graph.ops[1:-1]
    # Padding (-1) reads the last id, the output, which is no operation either.
    return jnp.asarray(_GRAPH_GENES, jnp.int32)[ids]


def code(arch: Array) -> Array:
    """The genes as one number to base 5, int32 in [0, 15625)."""
    return jnp.sum(arch * _PLACES)


def index(arch: Array) -> Array:
    """The architecture index of the published tables, int32 in [0, 15625)."""
    return jnp.asarray(_official_order()[1])[code(arch)]


def from_index(index: Array) -> Array:
    """The cell that has this architecture index."""
    return jnp.asarray(_official_order()[0])[index] // _PLACES % NUM_OPS


def enumerate_cells() -> np.ndarray:
    """All cells int32 `[15625, 6]` in the order of the published tables."""
    return (_official_order()[0][:, None] // _PLACES % NUM_OPS).astype(np.int32)


@functools.cache
def _official_order() -> tuple[np.ndarray, np.ndarray]:
    """Codes in the order of the tables, and the place of each code."""
    order = list(range(SIZE))
    random.Random(_OFFICIAL_SEED).shuffle(order)
    codes = np.array(order, np.int32)
    return codes, np.argsort(codes).astype(np.int32)


def fingerprint(arch: Array) -> Array:
    """uint32 `[2]`, one of 6,466 values: cells of the same official unique string.

    The classes are the published ones. They contract skip connections and keep terms
    that are zero; and being texts, 430 of them (1,786 cells) merge one node used twice
    with two nodes of equal operations, which are different networks. Classes that do
    not are `nasbench201_functions.functions().of_code`.
    """
    number = jnp.asarray(_classes())[code(arch)]
    return jnp.stack([fingerprints.start(number, lane) for lane in fingerprints.LANES])


@functools.cache
def _classes() -> np.ndarray:
    """Class of each code, numbered by first appearance."""
    numbers: dict[str, int] = {}
    cells = itertools.product(range(NUM_OPS), repeat=NUM_GENES)
    classes = [numbers.setdefault(unique_string(cell), len(numbers)) for cell in cells]
    return np.array(classes, np.int32)


def unique_string(arch: Any) -> str:
    """The official description of what a cell computes.

    Node by node: none and whatever reads a zero node give `#`, skip_connect gives
    the text of its source, other operations wrap it; the sorted terms are joined.
    """
    text = ["0"]
    for node in (1, 2, 3):
        terms = []
        for op, (source, target) in zip(np.asarray(arch).tolist(), EDGES, strict=True):
            if target != node:
                continue
            if op == NONE or text[source] == "#":
                terms.append("#")
            elif op == SKIP:
                terms.append(text[source])
            else:
                terms.append(f"({text[source]})@{OP_NAMES[op]}")
        text.append("+".join(sorted(terms)))
    return text[-1]


def costs(
    arch: Array,
    *,
    num_classes: int = 10,
    image_size: int = 32,
    channels: int = 16,
    num_cells: int = 5,
) -> Costs:
    """Parameters and FLOPs of the benchmark's network in closed form.

    Args:
      arch: int32 `[6]`.
      num_classes: 10 (CIFAR-10), 100 (CIFAR-100) or 120 (ImageNet16-120).
      image_size: pixels a side, 32 or 16 (ImageNet16-120).
      channels: of the first of three stages; they double at each residual block.
      num_cells: cells in each stage.
    """
    parameters = _convolution(3, 3, channels)
    flops = 27 * channels * image_size**2
    cell_parameters, cell_flops = np.zeros(NUM_OPS, int), np.zeros(NUM_OPS, int)
    for stage in range(3):
        width, pixels = channels << stage, (image_size >> stage) ** 2
        for op, kernel in ((CONV_1X1, 1), (CONV_3X3, 3)):
            cell_parameters[op] += num_cells * _convolution(kernel, width, width)
            cell_flops[op] += num_cells * kernel**2 * width**2 * pixels
        if stage:
            # Residual block: two 3 x 3 convolutions, a shortcut without normalisation.
            weights = 9 * width * width // 2 + 9 * width**2 + width * width // 2
            parameters += weights + 4 * width
            flops += weights * pixels
    width = channels << 2
    classifier = width * num_classes + num_classes
    parameters += 2 * width + classifier
    flops += classifier
    return Costs(
        jnp.int32(parameters) + jnp.sum(jnp.asarray(cell_parameters, jnp.int32)[arch]),
        jnp.int32(flops) + jnp.sum(jnp.asarray(cell_flops, jnp.int32)[arch]),
    )


def _convolution(kernel: int, c_in: int, c_out: int) -> int:
    """Parameters of a convolution without bias and its batch normalisation."""
    return kernel * kernel * c_in * c_out + 2 * c_out


def format_arch(arch: Any) -> str:
    """The official architecture string."""
    ops = np.asarray(arch).tolist()
    nodes = []
    for node in (1, 2, 3):
        terms = [
            f"{OP_NAMES[op]}~{source}"
            for op, (source, target) in zip(ops, EDGES, strict=True)
            if target == node
        ]
        nodes.append(f"|{'|'.join(terms)}|")
    return "+".join(nodes)


def parse_arch(text: str) -> np.ndarray:
    """Gene vector int32 `[6]` of an official architecture string.

    Read, too, are `Structure(4 nodes with |...|)`, as the benchmark's code prints it,
    quotation marks, `np.str_` and a comma behind it, and the edges of a node in another
    order.

    Raises:
      UnknownArchitecture: the text is malformed or names an unknown operation.
    """
    begin, end = text.find("|"), text.rfind("|")
    nodes = [node.strip() for node in text[begin:end].strip("|").split("+")]
    around = _AROUND.fullmatch(text[: max(begin, 0)] + text[end + 1 :])
    if begin < 0 or around is None or len(text) > literals.MAX_CHARACTERS:
        raise errors.UnknownArchitecture(
            f"cannot read {literals.shown(text)} as a NAS-Bench-201 cell; {_FORM}"
        )
    if len(nodes) != _NUM_NODES:
        raise errors.UnknownArchitecture(
            f"{literals.shown(text)} has {len(nodes)} nodes with inputs; a "
            f"NAS-Bench-201 cell has {_NUM_NODES}: {_FORM}"
        )
    genes = np.zeros(NUM_GENES, np.int32)
    for number, node in enumerate(nodes, 1):
        edges = dict(_edges(number, node))
        if sorted(edges) != list(range(number)):
            raise errors.UnknownArchitecture(
                f"node {number} of the cell {literals.shown(text)} needs one edge from "
                f"each of the nodes 0 to {number - 1}; {_FORM}"
            )
        for source, operation in edges.items():
            genes[EDGES.index((source, number))] = operation
    return genes


def _edges(number: int, node: str) -> Iterator[tuple[int, int]]:
    """(source, operation) of each edge of a node."""
    seen = set()
    for term in node.strip("|").split("|"):
        match = _TERM.fullmatch(term.strip())
        if match is None or match[2] in seen:
            raise errors.UnknownArchitecture(
                f"an edge of node {number} of the cell is not written as operation~node"
                f", or is there twice; {_FORM}"
            )
        seen.add(match[2])
        name = match[1][:40]
        if name not in OP_NAMES:
            raise errors.UnknownArchitecture(
                f"unknown operation {name!r}{errors.suggest(name, OP_NAMES)} of node "
                f"{number}; known: {', '.join(OP_NAMES)}"
            )
        yield int(match[2]), OP_NAMES.index(name)


@functools.cache
def make() -> SearchSpace:
    """The space of 15,625 cells in 6,466 published classes."""
    return SearchSpace(
        name="nasbench201",
        num_genes=NUM_GENES,
        op_names=OP_NAMES,
        size=SIZE,
        sample=sample,
        mutate=mutate,
        neighbors=neighbors,
        is_valid=is_valid,
        to_graph=to_graph,
        fingerprint=fingerprint,
        format_arch=format_arch,
        parse_arch=parse_arch,
        graph_op_names=GRAPH_OP_NAMES,
        gene_ranges=((0, NUM_OPS - 1),) * NUM_GENES,
        decode=decode,
        unit_sizes=UNIT_SIZES,
    )
