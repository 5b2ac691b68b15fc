"""Validity and uniqueness of decoded graphs with plain lists, loops and networkx.

A graph is (matrix as a list of rows, labels as a list of names); "" is no node.
"""

import hashlib
import math

import networkx as nx

NAMES = {
    "nasbench101": "input conv1x1 conv3x3 maxpool3x3 output".split(),
    "nasbench201": (
        "input nor_conv_1x1 nor_conv_3x3 avg_pool_3x3 skip_connect none output"
    ).split(),
    "darts_shared": (
        "c_k-2 c_k-1 none max_pool avg_pool skip sep3 sep5 dil3 dil5 output"
    ).split(),
}
EDGES_201 = {
    *((0, 1), (0, 2), (0, 4), (1, 3), (1, 5)),
    *((2, 6), (3, 6), (4, 7), (5, 7), (6, 7)),
}


def read(space, adjacency, ops):
    """(matrix, labels) of arrays."""
    names = [*NAMES[space], ""]
    return adjacency.tolist(), [names[op] for op in ops.tolist()]


def digraph(matrix, labels):
    graph = nx.DiGraph()
    for node, label in enumerate(labels):
        graph.add_node(node, op=label)
    for i, row in enumerate(matrix):
        graph.add_edges_from((i, j) for j, bit in enumerate(row) if bit)
    return graph


def prune(matrix, labels):
    """What lies on a path from the first node to the last; None if nothing does."""

    def reached(start, step):
        seen, frontier = {start}, [start]
        while frontier:
            node = frontier.pop()
            for other in range(len(matrix)):
                if step(node, other) and other not in seen:
                    seen.add(other)
                    frontier.append(other)
        return seen

    forward = reached(0, lambda i, j: matrix[i][j])
    backward = reached(len(matrix) - 1, lambda i, j: matrix[j][i])
    kept = sorted(forward & backward)
    if len(kept) < 2:
        return None
    return [[matrix[i][j] for j in kept] for i in kept], [labels[i] for i in kept]


def is_module(matrix, labels):
    """The official check of a NAS-Bench-101 model specification."""
    pruned = prune(matrix, labels)
    if pruned is None:
        return False
    matrix, labels = pruned
    if sum(map(sum, matrix)) > 9:
        return False
    if labels[0] != "input" or labels[-1] != "output":
        return False
    return all(label in NAMES["nasbench101"][1:4] for label in labels[1:-1])


def trim(matrix, labels):
    """Without trailing nodes that are absent or without any edge."""
    n = len(labels)
    while n and (labels[n - 1] == "" or not any(row[n - 1] for row in matrix[: n - 1])):
        n -= 1
    return [row[:n] for row in matrix[:n]], labels[:n]


def released(space, matrix, labels):
    names = NAMES[space]
    if space == "nasbench101":
        return is_module(matrix, labels)
    if space == "nasbench201":
        if labels[0] != "input" or labels[7] != "output":
            return False
        return all(labels[node] in names[1:6] for node in range(2, 7))
    if labels[:2] != names[:2] or labels[-1] != "output":
        return False
    if not all(label in names[2:10] for label in labels[2:-1]):
        return False
    for node in range(2, 10):
        before = 2 * (node // 2)
        if not any(matrix[other][node] for other in range(before)):
            return False
    return True


def is_upper_triangular(matrix):
    size = range(len(matrix))
    return all(matrix[i][j] in ((0, 1) if i < j else (0,)) for i in size for j in size)


def strict(space, matrix, labels):
    names = NAMES[space]
    if not is_upper_triangular(matrix):
        return False
    if space == "nasbench101":
        matrix, labels = trim(matrix, labels)
        if len(labels) < 2 or labels[0] != "input" or labels[-1] != "output":
            return False
        interior = all(label in names[1:4] for label in labels[1:-1])
        return interior and is_module(matrix, labels)
    edges = {(i, j) for i, row in enumerate(matrix) for j, bit in enumerate(row) if bit}
    if space == "nasbench201":
        ends = labels[0] == "input" and labels[7] == "output"
        legal = all(label in names[1:6] for label in labels[1:7])
        return ends and legal and edges == EDGES_201
    return meets_criteria(matrix, labels) and is_cell_of_darts(edges)


def meets_criteria(matrix, labels):
    """The six criteria of the thesis for the 11-node graph."""
    names = NAMES["darts_shared"]
    if labels[:2] != names[:2] or labels[10] != "output":
        return False
    if not all(label in names[2:10] for label in labels[2:10]):
        return False
    for node in range(2, 11):
        if not any(matrix[other][node] for other in range(11)):
            return False
    for node in range(10):
        if not any(matrix[node]):
            return False
    for first in (2, 4, 6, 8):
        sources = {
            other if other < 2 else other // 2 + 1
            for node in (first, first + 1)
            for other in range(first)
            if matrix[other][node]
        }
        if len(sources) != 2:
            return False
    return is_upper_triangular(matrix)


def is_cell_of_darts(edges):
    """Whether each operation reads one whole state and the output all operations."""
    states = [{0}, {1}, {2, 3}, {4, 5}, {6, 7}, {8, 9}]
    read = [{i for i, j in edges if j == node} for node in range(11)]
    if read[0] or read[1] or read[10] != set(range(2, 10)):
        return False
    for node in range(2, 10):
        if read[node] not in states[: node // 2 + 1]:
            return False
    return all(read[node] != read[node + 1] for node in (2, 4, 6, 8))


def class_of(space, matrix, labels):
    """A string that isomorphic cells of NAS-Bench-101 or one class of -201 share."""
    if space == "nasbench101":
        return module_hash(*prune(*trim(matrix, labels)))
    ops = labels[1:7]
    terms, order = ["0"], iter(ops)
    for node in (1, 2, 3):
        parts = []
        for source in range(node):
            op = next(order)
            if op == "none" or terms[source] == "#":
                parts.append("#")
            else:
                skip = op == "skip_connect"
                parts.append(terms[source] if skip else f"({terms[source]})@{op}")
        terms.append("+".join(sorted(parts)))
    return terms[3]


def module_hash(matrix, labels):
    """Refinement over in- and out-neighbours with md5, as many rounds as nodes."""

    def digest(*parts):
        return hashlib.md5(repr(parts).encode()).hexdigest()

    size = range(len(labels))
    colours = [
        digest(sum(matrix[i]), sum(row[i] for row in matrix), labels[i]) for i in size
    ]
    for _ in size:
        colours = [
            digest(
                sorted(colours[j] for j in size if matrix[j][i]),
                sorted(colours[j] for j in size if matrix[i][j]),
                colours[i],
            )
            for i in size
        ]
    return digest(sorted(colours))


def evaluate(space, graphs):
    """Counts and shares of many graphs (matrix, labels), in the fields' order."""
    passed = [graph for graph in graphs if released(space, *graph)]
    cells = [graph for graph in graphs if strict(space, *graph)]
    if space == "nasbench101":
        cells = [trim(*graph) for graph in cells]

    def share(keys):
        return len(set(keys)) / len(keys) if keys else math.nan

    return (
        len(passed),
        len(cells),
        len(passed) / len(graphs),
        len(cells) / len(graphs),
        share([repr(graph) for graph in passed]),
        share([repr(graph) for graph in cells]),
        share([class_of(space, *graph) for graph in cells]),
    )


def edit_distance(one, other, fixed=()):
    """Least number of node and edge edits between two networkx graphs, by search.

    Nodes are assigned one after the other, each to a node of `other` or to none; a
    branch ends where it costs as much as the best. `fixed` nodes keep their number.
    """
    nodes, targets = sorted(one), sorted(other)
    best = [len(nodes) + len(targets) + one.size() + other.size()]

    def cost_of(assigned, node, target):
        cost = 1
        if target is not None:
            cost = int(one.nodes[node]["op"] != other.nodes[target]["op"])
        for before, partner in assigned.items():
            for a, b, c, d in (
                (before, node, partner, target),
                (node, before, target, partner),
            ):
                there = c is not None and d is not None and other.has_edge(c, d)
                cost += one.has_edge(a, b) != there
        return cost

    def descend(assigned, spent):
        if spent >= best[0]:
            return
        used = {target for target in assigned.values() if target is not None}
        if len(assigned) == len(nodes):
            left = set(targets) - used
            edges = sum(1 for a, b in other.edges if a in left or b in left)
            best[0] = min(best[0], spent + len(left) + edges)
            return
        node = nodes[len(assigned)]
        if node in fixed:
            choices = [node]
        else:
            choices = [t for t in targets if t not in used and t not in fixed]
            choices.append(None)
        for target in choices:
            cost = cost_of(assigned, node, target)
            descend({**assigned, node: target}, spent + cost)

    descend({}, 0)
    return best[0]
