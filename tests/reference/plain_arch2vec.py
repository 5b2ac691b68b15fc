"""arch2vec from its equations in plain numpy, node by node.

Parameters and moments are the trees of the library, of arrays.
"""

import numpy as np


def gin(layers, moments, nodes, adjacency, *, train):
    """Node states of every layer, and the running moments afterwards.

    A layer with kernels `in` and `out` keeps the directions apart.
    """
    x, hidden, updated = nodes, [], []
    for layer, old in zip(layers, moments, strict=True):
        x = first_map(layer, x, adjacency)
        x, inner = batch_norm(layer["inner"], old["inner"], x, train=train)
        x = np.maximum(x, 0) @ layer["linear2"]["kernel"] + layer["linear2"]["bias"]
        x, outer = batch_norm(layer["outer"], old["outer"], x, train=train)
        x = np.maximum(x, 0)
        hidden.append(x)
        updated.append({"inner": inner, "outer": outer})
    return hidden, updated


def first_map(layer, x, adjacency):
    kernel, bias = layer["linear1"]["kernel"], layer["linear1"]["bias"]
    y = np.zeros((*x.shape[:2], kernel.shape[1]))
    for b, i in np.ndindex(x.shape[:2]):
        before = sum(x[b, j] for j in range(x.shape[1]) if adjacency[b, j, i])
        after = sum(x[b, j] for j in range(x.shape[1]) if adjacency[b, i, j])
        own = (1 + layer["eps"]) * x[b, i]
        before, after = before + 0 * own, after + 0 * own
        if "in" in layer:
            y[b, i] = own @ kernel + before @ layer["in"] + after @ layer["out"]
        else:
            y[b, i] = (own + before + after) @ kernel
    return y + bias


def batch_norm(params, moments, x, *, train):
    rows = x.reshape(-1, x.shape[-1])
    if train:
        mean, var = rows.mean(0), rows.var(0)
        moments = {
            "mean": 0.9 * moments["mean"] + 0.1 * mean,
            "var": 0.9 * moments["var"] + 0.1 * rows.var(0, ddof=1),
        }
    else:
        mean, var = moments["mean"], moments["var"]
    y = (x - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]
    return y, moments


def gcn(layers, moments, nodes, adjacency, *, train):
    """A^ H_L and the running moments afterwards, with A^ entry by entry."""
    count, size = nodes.shape[:2]
    spread = np.zeros((count, size, size))
    for b in range(count):
        both = adjacency[b] + adjacency[b].T + np.eye(size)
        degree = both.sum(1)
        for i, j in np.ndindex(size, size):
            spread[b, i, j] = both[i, j] / np.sqrt(degree[i] * degree[j])
    x, updated = nodes, []
    for layer, old in zip(layers, moments, strict=True):
        x = np.einsum("bij,bjk->bik", spread, x) @ layer["kernel"] + layer["bias"]
        x, new = batch_norm(layer["outer"], old, x, train=train)
        x = np.maximum(x, 0)
        updated.append(new)
    return np.einsum("bij,bjk->bik", spread, x), updated


def affine(params, x):
    return x @ params["kernel"] + params["bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    y = np.exp(x - x.max(-1, keepdims=True))
    return y / y.sum(-1, keepdims=True)


def inner_product(params, z):
    """Logits of the operations, and of all pairs of nodes `[B, N, N]`."""
    return affine(params["ops"], z), np.einsum("bid,bjd->bij", z, z)


def joint(params, z, num_labels):
    """The same from one network of all latent numbers; pairs i < j row by row."""
    size = z.shape[1]
    x = z.reshape(len(z), -1)
    for name in ("hidden1", "hidden2"):
        x = np.maximum(affine(params[name], x), 0)
    x = affine(params["out"], x)
    ops = x[:, : size * num_labels].reshape(-1, size, num_labels)
    edges = np.zeros((len(z), size, size))
    place = size * num_labels
    for i in range(size):
        for j in range(i + 1, size):
            edges[:, i, j] = x[:, place]
            place += 1
    assert place == x.shape[1]
    return ops, edges


def divergence(mean, log_sigma):
    """KL from N(0, I) of each node, `[B, N]`."""
    var = np.exp(log_sigma) ** 2
    return -0.5 * np.sum(1 + np.log(var) - mean**2 - var, axis=-1)


def negative_elbo(nodes, adjacency, ops, edges, mean, log_sigma, *, kl_weight):
    """(operations, edges, divergence): minus log-likelihoods of graphs, averaged.

    With one label more than operations the last one stands for "no node".
    """
    count, size = nodes.shape[:2]
    probs, linked = softmax(ops), sigmoid(edges)
    of_ops = of_edges = 0.0
    for b, i in np.ndindex(count, size):
        if nodes[b, i].any():
            of_ops -= np.log(probs[b, i, np.argmax(nodes[b, i])])
        elif ops.shape[-1] > nodes.shape[-1]:
            of_ops -= np.log(probs[b, i, -1])
        for j in range(i + 1, size):
            there = adjacency[b, i, j]
            of_edges -= np.log(linked[b, i, j] if there else 1 - linked[b, i, j])
    kl = divergence(mean, log_sigma).sum(1).mean()
    return of_ops / count, of_edges / count, kl_weight * kl


def released(nodes, adjacency, ops, edges, mean, log_sigma):
    """(operations, edges, divergence) as the published code weighs them."""
    count, size = nodes.shape[:2]

    def cross_entropy(truth, logits):
        there, absent = np.logaddexp(0, -logits), np.logaddexp(0, logits)
        return truth * there + (1 - truth) * absent

    of_ops = cross_entropy(nodes, ops).mean()
    # Entries on and below the diagonal are 0, and count in the mean.
    upper = np.triu_indices(size, 1)
    pairs = [each[:, upper[0], upper[1]] for each in (adjacency, edges)]
    of_edges = cross_entropy(*pairs).sum() / (count * size * size)
    kl = divergence(mean, log_sigma).mean() / (count * size)
    return of_ops, of_edges, kl


def clip(slope, norm):
    """A list of arrays scaled down to a common norm."""
    total = np.sqrt(sum(np.sum(g**2) for g in slope))
    return [g * min(1, norm / total) for g in slope]


def adam(params, slope, first, second, step, *, rate):
    """The parameters after step number `step`, from 1, and the two moments."""
    first = [0.9 * m + 0.1 * g for m, g in zip(first, slope, strict=True)]
    second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, slope, strict=True)]
    moved = [
        p - rate * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        for p, m, v in zip(params, first, second, strict=True)
    ]
    return moved, first, second
