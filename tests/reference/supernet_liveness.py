"""What lives in a masked supernet, by walking its graph of nodes as plain sets.

Vertices are the stem, node i of cell k, and the logits; an operation is an edge inside
a cell, a preprocessing an edge from every intermediate node of an earlier cell. Alive
is what lies on a path from the stem to the logits.
"""

STEM, LOGITS = "stem", "logits"


def graph(net, masks):
    """(start, end, name) of every edge that is not masked."""
    edges = []
    steps = range(2, 2 + net.num_steps)
    for k in range(net.num_cells):
        for i, producer in enumerate((k - 2, k - 1)):
            starts = [(producer, n) for n in steps] if producer >= 0 else [STEM]
            edges += [(start, (k, i), (k, "preprocess", i)) for start in starts]
        a = net.arch_index(k)
        for e, (source, target) in enumerate(net.edges):
            for o, operation in enumerate(net.operations):
                open_ = masks is None or masks.alpha[a, e, o] * masks.beta[a, e] > 0
                if open_ and operation != "none":
                    edges.append(((k, source), (k, target), (k, e, o)))
    return edges + [((net.num_cells - 1, n), LOGITS, ("logits",)) for n in steps]


def reach(start, edges):
    """Vertices that can be reached from `start` along (from, to) pairs."""
    seen, front = {start}, [start]
    while front:
        vertex = front.pop()
        for a, b in edges:
            if a == vertex and b not in seen:
                seen.add(b)
                front.append(b)
    return seen


def alive(net, masks):
    """Names of the edges and the vertices on a path from the stem to the logits."""
    edges = graph(net, masks)
    forward = reach(STEM, [(a, b) for a, b, _ in edges])
    backward = reach(LOGITS, [(b, a) for a, b, _ in edges])
    names = {name for a, b, name in edges if a in forward and b in backward}
    return names, forward & backward
