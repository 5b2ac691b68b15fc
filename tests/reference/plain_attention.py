"""Pre-norm Transformer blocks, plainly: one sequence `[N, D]`, loops over heads."""

import numpy as np


def layer_norm(x, norm):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]


def linear(x, params):
    return x @ params["kernel"] + params["bias"]


def softmax_where(scores, mask, uniform):
    """Rows of weights; a row without a key is even over all columns, or nothing."""
    weights = np.zeros_like(scores)
    for i, row in enumerate(scores):
        if mask[i].any():
            raised = np.where(mask[i], np.exp(row - row[mask[i]].max()), 0)
            weights[i] = raised / raised.sum()
        elif uniform:
            weights[i] = 1 / len(row)
    return weights


def heads(x, layer, mask, num_heads, uniform):
    """Attention weights `[H, N, N]` of normal states, and what is read `[N, D]`."""
    queries, keys, values = np.split(linear(x, layer["qkv"]), 3, axis=-1)
    size = x.shape[-1] // num_heads
    found, read = [], []
    for head in range(num_heads):
        own = slice(head * size, (head + 1) * size)
        scores = queries[:, own] @ keys[:, own].T / np.sqrt(size)
        allowed = mask[head if len(mask) > 1 else 0]
        found.append(softmax_where(scores, allowed, uniform))
        read.append(found[-1] @ values[:, own])
    return np.stack(found), np.concatenate(read, axis=-1)


def stack(params, x, mask, num_heads, uniform=False):
    """States `[N, D]` after all layers and the last norm; mask `[H or 1, N, N]`."""
    count = len(params["layers"]["qkv"]["bias"])
    for index in range(count):
        layer = {
            name: {part: np.asarray(leaf[index]) for part, leaf in parts.items()}
            for name, parts in params["layers"].items()
        }
        normal = layer_norm(x, layer["attention_norm"])
        _, read = heads(normal, layer, mask, num_heads, uniform)
        x = x + linear(read, layer["attention_out"])
        inner = linear(layer_norm(x, layer["hidden_norm"]), layer["hidden"])
        x = x + linear(np.maximum(inner, 0), layer["hidden_out"])
    return layer_norm(x, params["norm"])
