"""The supervised network of arch2vec and its searches, plainly."""

import math

import numpy as np
from reference import plain_latent


def embed(params, adjacency, ops, *, weights=None, moments=None, released=False):
    """Vectors `[B, D]` and moments of B graphs, node by node.

    Normalised by `moments`, or by those of the batch, where a graph counts by weight.
    """
    count, num_nodes = ops.shape
    kinds = params["layers"][0]["linear1"]["kernel"].shape[0]
    x = np.zeros((count, num_nodes, kinds))
    for graph in range(count):
        for node in range(num_nodes):
            if ops[graph, node] >= 0:
                x[graph, node, ops[graph, node]] = 1
    found = []
    for index, layer in enumerate(params["layers"]):
        summed = np.zeros_like(x)
        for graph in range(count):
            for i in range(num_nodes):
                summed[graph, i] = (1 + layer["eps"]) * x[graph, i]
                for j in range(num_nodes):
                    edge = adjacency[graph, i, j]
                    if not released:
                        edge = edge + adjacency[graph, j, i]
                    summed[graph, i] += edge * x[graph, j]
        used = {}
        x = summed
        for linear, norm in (("linear1", "inner"), ("linear2", "outer")):
            x = x @ layer[linear]["kernel"] + layer[linear]["bias"]
            used[norm] = moments[index][norm] if moments else measure(x, weights)
            scale = np.sqrt(used[norm]["var"] + 1e-5)
            x = (x - used[norm]["mean"]) / scale
            x = np.maximum(x * layer[norm]["scale"] + layer[norm]["bias"], 0)
        found.append(used)
    each = x @ params["head"]["kernel"] + params["head"]["bias"]
    return each.mean(axis=1), found


def measure(x, weights):
    """Moments of the nodes `[B, N, W]` of graphs with weights `[B]`."""
    share = np.repeat(weights / weights.sum() / x.shape[1], x.shape[1])
    rows = x.reshape(-1, x.shape[2])
    mean = (share[:, None] * rows).sum(axis=0)
    return {"mean": mean, "var": (share[:, None] * (rows - mean) ** 2).sum(axis=0)}


def joint_loss(params, graphs, reference, rows, actions, returns):
    """The policy's loss over an episode, its states embedded by `params`.

    Args:
      params: of `network` and `policy`.
      graphs: adjacency and operations of all candidates.
      reference: candidates whose moments normalise.
      rows: candidates before each step.
      actions: `[T, D]`.
      returns: `[T]`.
    """
    adjacency, ops = graphs
    _, moments = embed(
        params["network"],
        adjacency[reference],
        ops[reference],
        weights=np.ones(len(reference)),
    )
    states, _ = embed(params["network"], adjacency[rows], ops[rows], moments=moments)
    return plain_latent.policy_loss(params["policy"], states, actions, returns)


def unparenthesized_improvement(mean, variance, incumbent):
    """variance (u Phi(u) + phi(u)) with u = mean - incumbent / variance."""
    u = mean - incumbent / variance
    below = 0.5 * math.erfc(-u / math.sqrt(2))
    return variance * (u * below + math.exp(-u * u / 2) / math.sqrt(2 * math.pi))
