"""D-VAE from its equations in plain numpy: one graph, one vertex, one edge at a time.

Parameters are the trees of the library, of arrays. A graph is (ops, adjacency): a list
of ids and a matrix, row = from, without padding.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def linear(params, x):
    return x @ params["kernel"] + params["bias"]


def gru(params, op, received):
    """The new state of a vertex."""
    width = len(received)
    x = params["input"]["kernel"][op] + params["input"]["bias"]
    h = linear(params["hidden"], received)
    part = [slice(i * width, (i + 1) * width) for i in range(3)]
    reset = sigmoid(x[part[0]] + h[part[0]])
    update = sigmoid(x[part[1]] + h[part[1]])
    new = np.tanh(x[part[2]] + reset * h[part[2]])
    return (1 - update) * new + update * received


def message(params, state):
    """Gate times map."""
    width = len(state)
    kernel, bias = params["message"]["kernel"], params["message"]["bias"]
    gate = sigmoid(state @ kernel[:, :width] + bias)
    return gate * (state @ kernel[:, width:])


def states(params, ops, adjacency, order):
    """Of all vertices, visited in an order in which predecessors come first."""
    width = params["message"]["bias"].shape[0]
    found = {}
    for v in order:
        received = np.zeros(width)
        for u in range(len(ops)):
            if adjacency[u, v]:
                received = received + message(params, found[u])
        found[v] = gru(params, ops[v], received)
    return found


def encode(encoder, heads, ops, adjacency):
    """Mean and log variance `[D]`."""
    last = len(ops) - 1
    state = states(encoder["forward"], ops, adjacency, range(last + 1))[last]
    if "backward" in encoder:
        turned = range(last, -1, -1)
        first = states(encoder["backward"], ops, adjacency.T, turned)[0]
        state = linear(encoder["join"], np.concatenate([state, first]))
    return linear(heads["mean"], state), linear(heads["log_variance"], state)


def mlp(params, x):
    return linear(params["out"], np.maximum(linear(params["hidden"], x), 0))


def likelihood(params, z, ops, adjacency):
    """-log p of the operations and of the edges, by the steps of the decoder."""
    unit = params["unit"]
    found = [gru(unit, ops[0], np.tanh(linear(params["start"], z)))]
    ops_cost = edges_cost = 0.0
    for v in range(1, len(ops)):
        logits = mlp(params["ops"], found[-1])
        ops_cost += np.log(np.exp(logits).sum()) - logits[ops[v]]
        chosen = []
        state = gru(unit, ops[v], np.zeros_like(found[0]))
        for u in range(v - 1, -1, -1):
            logit = mlp(params["edges"], np.concatenate([found[u], state]))[0]
            probability = sigmoid(logit)
            edges_cost -= np.log(probability if adjacency[u, v] else 1 - probability)
            if adjacency[u, v]:
                chosen.append(u)
                state = gru(unit, ops[v], sum(message(unit, found[w]) for w in chosen))
        found.append(state)
    return ops_cost, edges_cost


def divergence(mean, log_variance):
    return 0.5 * np.sum(np.exp(log_variance) + mean**2 - 1 - log_variance)


def generate(params, z, size, num_ops):
    """The most likely graph: ops and adjacency without padding."""
    unit = params["unit"]
    ops, found = [0], [gru(params["unit"], 0, np.tanh(linear(params["start"], z)))]
    adjacency = np.zeros((size, size), int)
    for v in range(1, size):
        op = int(np.argmax(mlp(params["ops"], found[-1])))
        if v == size - 1:
            op = num_ops - 1
        ops.append(op)
        state, received = gru(unit, op, np.zeros_like(found[0])), 0
        for u in range(v - 1, -1, -1):
            logit = mlp(params["edges"], np.concatenate([found[u], state]))[0]
            loose = op == num_ops - 1 and not adjacency[u].any()
            if logit > 0 or loose:
                adjacency[u, v] = 1
                received = received + message(unit, found[u])
                state = gru(unit, op, received)
        found.append(state)
        if op == num_ops - 1:
            break
    return ops, adjacency[: len(ops), : len(ops)]
