"""Encodings of cells by plain enumeration: networkx paths, dictionaries and loops.

Cells are (matrix, ops) in NAS-Bench-101, six operations in NAS-Bench-201, eight
(operation, state) pairs in DARTS and recipe dictionaries in NAS-Bench-NLP.
"""

import itertools

import networkx as nx
import numpy as np

EDGES_201 = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
OPS_101 = (1, 0, 2)  # conv3x3, conv1x1, pooling
PREFIX = "NetworkSelectorDatasetInfo:darts:"
NLP_OPS = (
    "in activation_sigm activation_tanh activation_leaky_relu elementwise_sum "
    "elementwise_prod linear blend"
).split()


def sequences(ops, lengths):
    """All sequences, short ones first; the first operation changes fastest."""
    return [
        tuple(reversed(sequence))
        for length in lengths
        for sequence in itertools.product(ops, repeat=length)
    ]


# --- paths ------------------------------------------------------------------------


def paths_101(matrix, ops):
    cell = nx.from_numpy_array(np.asarray(matrix), create_using=nx.DiGraph)
    found = nx.all_simple_paths(cell, 0, len(matrix) - 1)
    return [tuple(ops[v - 1] for v in path[1:-1]) for path in found]


def paths_201(ops):
    cell = nx.DiGraph()
    cell.add_nodes_from(range(4))
    for (i, j), op in zip(EDGES_201, ops, strict=True):
        if op != 0:
            cell.add_edge(i, j, op=int(op))
    found = nx.all_simple_edge_paths(cell, 0, 3)
    return [tuple(cell.edges[edge]["op"] for edge in path) for path in found]


def paths_darts(pairs):
    """(operations from the output back, input) of every path of one cell."""
    cell = nx.DiGraph()
    for k, (op, state) in enumerate(pairs):
        if op != 7:
            cell.add_edge(int(state), 2 + k // 2, op=int(op))
    for step in range(2, 6):
        cell.add_edge(step, "out")
    found = []
    for start in (0, 1):
        if start in cell:
            for path in nx.all_simple_edge_paths(cell, start, "out"):
                ops = [cell.edges[edge]["op"] for edge in path[:-1]]
                found.append((tuple(reversed(ops)), start))
    return found


def counts(found, known):
    """How often each known sequence was found."""
    return np.array([found.count(sequence) for sequence in known], float)


# --- adjacency --------------------------------------------------------------------


def wide_101(matrix, ops):
    """The cell on seven vertices: the output comes last, conv3x3 fills the gap."""
    n = len(matrix)
    place = [*range(n - 1), 6]
    wide = np.zeros((7, 7), int)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        wide[place[i], place[j]] = 1
    return wide, [*ops, *[1] * (7 - n)]


def adjacency_101(matrix, ops):
    """One-hot, categorical and continuous form."""
    wide, ops = wide_101(matrix, ops)
    bits = [wide[i][j] for i in range(7) for j in range(i + 1, 7)]
    values = [{0: 0.0, 1: 0.5, 2: 1.0}[op] for op in ops]
    present = [k for k, bit in enumerate(bits) if bit]
    slots = present + [0] * (21 - len(present))
    return bits + values, slots + values, bits + values + [sum(bits)]


def adjacency_darts(cells):
    """One-hot and categorical form of cells of (operation, state) pairs."""
    one_hot, categorical = [], []
    for pairs in cells:
        bits, edges = np.zeros((14, 7)), []
        for k, (op, state) in enumerate(pairs):
            edge = (0, 2, 5, 9)[k // 2] + state
            edges.append((edge, op))
            if op != 7:
                bits[edge, op] = 1
        one_hot += bits.ravel().tolist()
        edges.sort()
        categorical += [edge for edge, _ in edges] + [op for _, op in edges]
    return one_hot, categorical


# --- NAS-Bench-x11 ----------------------------------------------------------------


def columns_311(cells, names):
    """The configuration of two cells, by the names of its columns; constants 0."""
    row = dict.fromkeys(names, 0.0)
    row.update((name, -1.0) for name in names if ":edge_" in name)
    for cell, pairs in zip(("normal", "reduce"), cells, strict=True):
        for node in range(2, 6):
            chosen = pairs[2 * node - 4 : 2 * node - 2]
            first = sum(range(2, node))
            for op, state in chosen:
                row[f"{PREFIX}edge_{cell}_{first + state}"] = op
            if node > 2:
                known = list(itertools.combinations(range(node), 2))
                pair = tuple(sorted(state for _, state in chosen))
                row[f"{PREFIX}inputs_node_{cell}_{node}"] = known.index(pair)
    return [row[name] for name in names]


def compact(recipe):
    """Edges, operations and hidden states; a node waits at the end for its inputs."""
    waiting = list(recipe)
    while True:
        nodes = ["x", "h_prev_0", "h_prev_1", "h_prev_2"]
        for name in waiting:
            if any(vertex not in nodes for vertex in recipe[name]["input"]):
                break
            nodes.append(name)
        else:
            break
        waiting.remove(name)
        waiting.append(name)
    edges = [
        (nodes.index(vertex), nodes.index(name))
        for name in waiting
        for vertex in recipe[name]["input"]
    ]
    ops = [0] * 4 + [NLP_OPS.index(recipe[name]["op"]) for name in waiting]
    hidden = [nodes.index(name) for name in waiting if name.startswith("h_new")]
    return edges, ops, hidden


def features_nlp11(recipe):
    """185 numbers of a recipe of at most 12 vertices."""
    edges, ops, hidden = compact(recipe)
    last = len(ops) - 1
    matrix = np.zeros((13, 13))
    for i, j in edges:
        matrix[i, 12 if j == last else j] = 1
    wide = ops[:last] + [0] * (12 - last) + ops[last:]
    return [*matrix.ravel(), *wide, *hidden, *[0] * (3 - len(hidden))]
