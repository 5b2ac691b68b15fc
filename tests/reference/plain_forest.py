"""Trees walked node by node: what the tables of masks must agree with."""

import math

import numpy as np


def goes_left(trees, node, x):
    """Whether an inner node (a number that spans all trees) sends x to the left."""
    kind = int(trees.kind[node])
    default_left = bool(kind & 2)
    if kind & 1:
        begin, end = trees.set_start[int(trees.threshold[node]) :][:2]
        members = trees.set_members[begin:end].tolist()
        if math.isnan(x):
            return default_left
        if math.isinf(x) or x < 0 and (trees.library == "xgboost" or x <= -1):
            return False
        return int(x) in members
    rule = kind >> 2
    if math.isnan(x):
        if rule == 2:
            return default_left
        x = 0.0
    if rule == 1 and abs(x) <= float(np.float32(1e-35)):
        return default_left
    return x <= trees.threshold[node]


def leaf(trees, tree, x):
    """The number, within its tree, of the leaf that the inputs `[D]` fall into."""
    if trees.num_leaves[tree] == 1:
        return 0
    first = int((trees.num_leaves[:tree] - 1).sum())
    node = 0
    while node >= 0:
        value = float(x[trees.feature[first + node]])
        side = trees.left if goes_left(trees, first + node, value) else trees.right
        node = int(side[first + node])
    return -1 - node


def predict(trees, xs):
    """float64 `[B]` for inputs `[B, D]`."""
    if trees.library == "xgboost":
        with np.errstate(over="ignore"):
            xs = np.asarray(xs, np.float32)
    starts = np.cumsum(trees.num_leaves) - trees.num_leaves
    return np.array(
        [
            trees.bias
            + math.fsum(
                trees.value[starts[t] + leaf(trees, t, x)]
                for t in range(trees.num_trees)
            )
            for x in xs
        ]
    )
