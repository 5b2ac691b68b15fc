"""NAS-Bench-101 from its rules with networkx and plain loops: matrices and names.

A cell is (matrix `[n, n]`, ops of the n - 2 interior vertices as 0 conv1x1, 1 conv3x3,
2 maxpool3x3).
"""

import networkx as nx
import numpy as np


def graph(matrix, ops):
    """The pruned labelled graph; empty if the output is out of reach."""
    n = len(matrix)
    full = nx.DiGraph()
    full.add_nodes_from(range(n))
    full.add_edges_from(zip(*np.nonzero(matrix), strict=True))
    labels = ["input", *(int(op) for op in ops), "output"]
    nx.set_node_attributes(full, dict(enumerate(labels)), "op")
    after = nx.descendants(full, 0) | {0}
    before = nx.ancestors(full, n - 1) | {n - 1}
    if n - 1 not in after:
        return nx.DiGraph()
    return full.subgraph(sorted(after & before)).copy()


def is_valid(matrix, ops):
    cell = graph(matrix, ops)
    return len(cell) > 0 and cell.number_of_edges() <= 9


def isomorphic(one, other):
    """Whether two graphs are the same cell."""

    def same(a, b):
        return a["op"] == b["op"]

    return nx.is_isomorphic(one, other, node_match=same)


def parameters(matrix, ops):
    """Trainable parameters of the network, counted layer by layer."""
    cell = graph(matrix, ops)
    order = sorted(cell)
    last = order[-1]

    def convolution(kernel, c_in, c_out):
        return kernel * kernel * c_in * c_out + 2 * c_out

    def widths(c_out):
        feeding = [v for v in order[1:-1] if cell.has_edge(v, last)]
        width = {}
        for i, v in enumerate(feeding):
            extra = i < c_out % len(feeding)
            width[v] = c_out // len(feeding) + extra
        for v in reversed(order[1:-1]):
            if v not in width:
                width[v] = max(width[w] for w in cell.successors(v))
        return width

    total, c_in = convolution(3, 3, 128), 128
    for c_out in (128, 256, 512):
        for _ in range(3):
            width = widths(c_out)
            for v in order[1:-1]:
                if cell.has_edge(order[0], v):
                    total += convolution(1, c_in, width[v])
                kernel = {0: 1, 1: 3}.get(cell.nodes[v]["op"])
                if kernel:
                    total += convolution(kernel, width[v], width[v])
            if cell.has_edge(order[0], last):
                total += convolution(1, c_in, c_out)
            c_in = c_out
    return total + 512 * 10 + 10


def random_cell(rng, max_vertices=7, density=0.5):
    """Any matrix above the diagonal, connected or not."""
    n = int(rng.integers(2, max_vertices + 1))
    matrix = np.triu(rng.random((n, n)) < density, 1).astype(int)
    return matrix, [int(op) for op in rng.integers(0, 3, n - 2)]


def permuted(rng, matrix, ops):
    """The same cell with its interior vertices in another topological order."""
    n = len(matrix)
    order = [0]
    left = set(range(1, n - 1))
    while left:
        ready = [v for v in left if not any(matrix[w, v] for w in left)]
        v = ready[rng.integers(len(ready))]
        order.append(v)
        left.remove(v)
    order.append(n - 1)
    return matrix[np.ix_(order, order)], [ops[v - 1] for v in order[1:-1]]


def valid_cells(rng, count):
    """Random valid cells of 2 to 7 vertices, as written."""
    cells = []
    while len(cells) < count:
        cell = random_cell(rng, max_vertices=int(rng.integers(2, 8)))
        if is_valid(*cell):
            cells.append(cell)
    return cells


def rewritten(rng, matrix, ops):
    """The cell pruned, its vertices in another order, dead ones at random places."""
    cell = graph(matrix, ops)
    matrix = nx.to_numpy_array(cell, dtype=int)
    names = [cell.nodes[v]["op"] for v in cell]
    matrix, ops = permuted(rng, matrix, names[1:-1])
    while len(matrix) < 7 and rng.random() < 0.7:
        # A new vertex is read by nobody, or reads nobody: on no path.
        place, reads = int(rng.integers(1, len(matrix))), rng.random() < 0.5
        matrix = np.insert(np.insert(matrix, place, 0, axis=0), place, 0, axis=1)
        if reads:
            matrix[:place, place] = rng.integers(0, 2, place)
        else:
            matrix[place, place + 1 :] = rng.integers(0, 2, len(matrix) - place - 1)
        ops = [*ops[: place - 1], int(rng.integers(3)), *ops[place - 1 :]]
    return matrix, ops
