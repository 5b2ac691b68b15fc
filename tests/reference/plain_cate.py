"""CATE plainly: one graph or pair at a time, numpy, from the equations of chapter 4."""

import numpy as np
from reference import plain_attention


def closure(adjacency):
    """Algorithm 2."""
    reached = np.asarray(adjacency) > 0
    for k in range(len(reached)):
        for i in range(len(reached)):
            for j in range(len(reached)):
                reached[i, j] |= reached[i, k] & reached[k, j]
    return reached


def masks(adjacency, mask, direction, num_heads):
    """What each row attends, `[H, N, N]` a direction: itself and what it depends on."""
    direct, indirect = np.asarray(adjacency) > 0, closure(adjacency)
    half = num_heads // 2
    kinds = {
        "direct": [direct] * num_heads,
        "indirect": [indirect] * num_heads,
        "both": [direct] * half + [indirect] * half,
    }[mask]
    own = np.eye(len(direct), dtype=bool)
    ways = [np.stack([kind.T | own for kind in kinds])]
    if direction == "bi":
        ways.append(np.stack([kind | own for kind in kinds]))
    return ways


def states(weights, ops, adjacency, settings):
    """`[n, D]` of a graph without padding; `[n, 2 D]` for "bi"."""
    width = weights["ops"].shape[1]
    x = weights["ops"][ops] * np.sqrt(width)
    heads = settings.num_heads
    ways = masks(adjacency, settings.mask, settings.direction, heads)
    found = [plain_attention.stack(weights["encoder"], x, way, heads) for way in ways]
    return np.concatenate(found, axis=-1)


def encoding(weights, ops, adjacency, settings, num_inputs):
    found = states(weights, ops, adjacency, settings)
    width = weights["ops"].shape[1]
    if settings.direction == "uni":
        return found[-1]
    return np.concatenate([found[-1, :width], found[:num_inputs, width:].mean(0)])


def logits(weights, first, second, settings):
    """`[n + m, K]` of two graphs (ops, adjacency) without padding."""
    x, y = (states(weights, *graph, settings) for graph in (first, second))
    segments = weights["segments"] * np.sqrt(x.shape[1])
    joint = np.concatenate([x + segments[0], y + segments[1]])
    everything = np.ones((1, len(joint), len(joint)), bool)
    heads = settings.num_heads
    joint = plain_attention.stack(weights["cross"], joint, everything, heads)
    head = weights["head"]
    hidden = np.tanh(plain_attention.linear(joint, head["hidden"]))
    return plain_attention.linear(hidden, head["logits"])


def cross_entropy(logits, ids):
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities = raised / raised.sum(-1, keepdims=True)
    return -np.log(probabilities[np.arange(len(ids)), ids])


def adamw(params, slope, first, second, step, rate, decay):
    """Loshchilov and Hutter (2019), algorithm 2, with the usual betas."""
    first = 0.9 * first + 0.1 * slope
    second = 0.999 * second + 0.001 * slope**2
    corrected = first / (1 - 0.9**step), second / (1 - 0.999**step)
    update = corrected[0] / (np.sqrt(corrected[1]) + 1e-8) + decay * params
    return params - rate * update, first, second
