"""Networks of single architectures in plain numpy, vertex by vertex, edge by edge.

Written from the papers on `[C, H, W, N]` maps in loops over pixels, for tiny sizes. The
parameter trees are those of `nasjax.networks`.
"""

import numpy as np
from reference import batch_norm, convolution, pooling


class Normalizer:
    """Batch normalisation in one of its two modes; collects the new statistics."""

    def __init__(self, *, train, momentum=0.1):
        self.train = train
        self.momentum = momentum

    def __call__(self, x, params, statistics):
        """Normalised map and new running moments."""
        mean, var = statistics["mean"], statistics["var"]
        scale, bias = params["scale"], params["bias"]
        if self.train:
            mean, var = batch_norm.running(mean, var, x, momentum=self.momentum)
            y = batch_norm.normalize(x, scale=scale, bias=bias)
        else:
            y = np.stack(
                [
                    (x[c] - mean[c]) / np.sqrt(var[c] + 1e-5) * scale[c] + bias[c]
                    for c in range(len(x))
                ]
            )
        return y, {"mean": mean, "var": var}


def relu(x):
    return np.maximum(x, 0)


def conv(x, kernel, *, stride=1):
    """1x1 or 3x3 convolution, by the kernel."""
    kernel = kernel[None, None] if kernel.ndim == 2 else kernel
    return convolution.dense(x, kernel, stride=stride)


def classify(params, x):
    """Global average pooling and a linear layer."""
    pooled = np.array(
        [[x[c, :, :, n].mean() for c in range(len(x))] for n in range(x.shape[-1])]
    )
    return pooled @ params["kernel"] + params["bias"]


# --- NAS-Bench-101 -----------------------------------------------------------------


def nasbench101(params, statistics, images, matrix, ops, *, num_modules, train):
    """Logits and new statistics; `ops` are 0 conv1x1, 1 conv3x3, 2 max-pooling."""
    norm = Normalizer(train=train, momentum=0.003)

    def layer(weights, moments, x):
        y, new = norm(conv(x, weights["conv"]), weights["bn"], moments["bn"])
        return relu(y), {"bn": new}

    x = images.transpose(3, 1, 2, 0)
    x, stem = layer(params["stem"], statistics["stem"], x)
    new = {"stem": stem, "modules": {}}
    channels = len(x)
    for k in range(len(params["modules"])):
        if k > 0 and k % num_modules == 0:
            channels *= 2
            x = halve(x)
        x, new["modules"][str(k)] = module(
            params["modules"][str(k)],
            statistics["modules"][str(k)],
            x,
            matrix,
            ops,
            channels,
            layer,
        )
    return classify(params["classifier"], x), new


def module(params, statistics, x, matrix, ops, channels, layer):
    n = len(matrix)
    feeders = [v for v in range(1, n - 1) if matrix[v][n - 1]]

    def width(v):
        if v == n - 1:
            return channels
        if v in feeders:
            rank = feeders.index(v)
            return len(range(rank, channels, len(feeders)))  # dealt out in turn
        return max(width(w) for w in range(v + 1, n - 1) if matrix[v][w])

    new = {}
    joint, new["projection"] = layer(params["projection"], statistics["projection"], x)
    projected, start = {}, 0
    for v in range(1, n):
        if matrix[0][v]:
            projected[v] = joint[start : start + width(v)]
            start += width(v)
    assert start == len(joint)
    values = {}
    for v in range(1, n - 1):
        total = np.zeros((width(v), *x.shape[1:]))
        for w in range(1, v):
            if matrix[w][v]:
                total += values[w][: width(v)]
        if v in projected:
            total += projected[v]
        if ops[v - 1] == 2:
            values[v] = pooling.max_pool(total)
            continue
        name = f"vertex{v}"
        assert params[name]["conv"].ndim == (2 if ops[v - 1] == 0 else 4)
        values[v], new[name] = layer(params[name], statistics[name], total)
    outputs = [values[v] for v in feeders]
    y = np.concatenate(outputs) if outputs else np.zeros((channels, *x.shape[1:]))
    return y + projected.get(n - 1, 0.0), new


def halve(x):
    c, height, width, number = x.shape
    y = np.empty((c, height // 2, width // 2, number))
    for h, w in np.ndindex(height // 2, width // 2):
        y[:, h, w] = x[:, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2].max((1, 2))
    return y


# --- DARTS -------------------------------------------------------------------------

DILATIONS = {"sep_conv_3x3": 1, "sep_conv_5x5": 1, "dil_conv_3x3": 2, "dil_conv_5x5": 2}


def darts(params, statistics, images, cells, *, imagenet, train, keep=None):
    """Logits, logits of the auxiliary classifier or None, new statistics.

    Args:
      cells: the genotype, eight (operation, state) pairs of the normal and of the
        reduction cell.
      keep: `[L, 8, N]`, factors of the edges' outputs, or None.
    """
    norm = Normalizer(train=train)
    number = len(params["cells"])
    reductions = {number // 3, 2 * number // 3}
    x = images.transpose(3, 1, 2, 0)
    new = {"cells": {}}
    before, last, new["stem"] = darts_stem(params, statistics, x, norm, imagenet)
    auxiliary = None
    for k in range(number):
        y, new["cells"][str(k)] = darts_cell(
            params["cells"][str(k)],
            statistics["cells"][str(k)],
            (before, last),
            cells[int(k in reductions)],
            norm,
            reduction=k in reductions,
            keep=None if keep is None else keep[k],
        )
        before, last = last, y
        if k == 2 * number // 3 and "auxiliary" in params:
            new["auxiliary"] = statistics["auxiliary"]
            if train:
                auxiliary, new["auxiliary"] = auxiliary_classifier(
                    params["auxiliary"], statistics["auxiliary"], y, norm, imagenet
                )
    return classify(params["classifier"], last), auxiliary, new


def darts_stem(params, statistics, x, norm, imagenet):
    weights, moments, new = params["stem"], statistics["stem"], {}

    def layer(i, x, stride):
        y = conv(x, weights[f"conv{i}"], stride=stride)
        y, new[f"bn{i}"] = norm(y, weights[f"bn{i}"], moments[f"bn{i}"])
        return y

    if not imagenet:
        y = layer(1, x, 1)
        return y, y, new
    first = layer(2, relu(layer(1, x, 2)), 2)
    return first, layer(3, relu(first), 2), new


def relu_conv_bn(params, statistics, x, norm):
    x = relu(x)
    if "conv" in params:
        y = conv(x, params["conv"])
    else:
        y = convolution.factorized_reduction(x, params["conv1"], params["conv2"])
    y, moments = norm(y, params["bn"], statistics["bn"])
    return y, {"bn": moments}


def darts_cell(params, statistics, inputs, edges, norm, *, reduction, keep):
    new, states = {}, []
    for i, x in enumerate(inputs):
        name = f"preprocess{i}"
        y, new[name] = relu_conv_bn(params[name], statistics[name], x, norm)
        states.append(y)
    collected = {}  # operation -> {slot: statistics}
    for step in range(len(edges) // 2):
        total = 0.0
        for e in (2 * step, 2 * step + 1):
            name, source = edges[e]
            stride = 2 if reduction and source < 2 else 1
            x = states[source]
            if name == "skip_connect" and stride == 1:
                total = total + x  # never dropped
                continue
            if name == "none":
                y = np.zeros_like(x[:, ::stride, ::stride])
            elif name == "max_pool_3x3":
                y = pooling.max_pool(x, stride=stride)
            elif name == "avg_pool_3x3":
                y = pooling.avg_pool(x, stride=stride)
            else:
                slot = slot_of(edges, e, reduction)
                weights, moments = (
                    pick(tree["operations"][name], slot)
                    for tree in (params, statistics)
                )
                y, moments = operation(weights, moments, x, name, stride, norm)
                collected.setdefault(name, {})[slot] = moments
            if keep is not None:
                y = y * keep[e]
            total = total + y
        states.append(total)
    if collected:
        new["operations"] = {
            name: stack([slots[i] for i in range(len(slots))])
            for name, slots in collected.items()
        }
    return np.concatenate(states[2:]), new


def slot_of(edges, edge, reduction):
    """Place of an edge among those of its operation: by state, then by number."""
    name = edges[edge][0]
    same = [
        (source, e)
        for e, (operation, source) in enumerate(edges)
        if operation == name and (name != "skip_connect" or (reduction and source < 2))
    ]
    return sorted(same).index((edges[edge][1], edge))


def operation(params, statistics, x, name, stride, norm):
    if name == "skip_connect":
        return relu_conv_bn(params, statistics, x, norm)
    new = {}
    for stage in (1, 2) if name.startswith("sep") else (1,):
        x = convolution.depthwise(
            relu(x),
            params[f"depthwise{stage}"],
            stride=stride if stage == 1 else 1,
            dilation=DILATIONS[name],
        )
        x = conv(x, params[f"pointwise{stage}"])
        bn = f"bn{stage}"
        x, new[bn] = norm(x, params[bn], statistics[bn])
    return x, new


def auxiliary_classifier(params, statistics, x, norm, imagenet):
    x, step, new = relu(x), 2 if imagenet else 3, {}
    pooled = np.empty((len(x), 2, 2, x.shape[-1]))
    for i, j in np.ndindex(2, 2):
        window = x[:, step * i : step * i + 5, step * j : step * j + 5]
        pooled[:, i, j] = window.mean((1, 2))
    y = conv(pooled, params["conv1"])
    y, new["bn1"] = norm(y, params["bn1"], statistics["bn1"])
    y = relu(y)
    y = sum(
        (params["conv2"][i, j].T @ y[:, i, j])[:, None, None]
        for i, j in np.ndindex(2, 2)
    )
    if not imagenet:
        y, new["bn2"] = norm(y, params["bn2"], statistics["bn2"])
    return classify(params["classifier"], relu(y)), new


def pick(tree, i):
    if isinstance(tree, dict):
        return {name: pick(entry, i) for name, entry in tree.items()}
    return tree[i]


def stack(trees):
    if isinstance(trees[0], dict):
        return {name: stack([tree[name] for tree in trees]) for name in trees[0]}
    return np.stack(trees)


def random_variables(rng, params, statistics):
    """Trees of these shapes far from initial values, float64."""

    def draw(name, leaf):
        shape = np.shape(leaf)
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, shape)
        return rng.normal(0.0, 0.5, shape)

    def walk(tree):
        return {
            name: walk(entry) if isinstance(entry, dict) else draw(name, entry)
            for name, entry in tree.items()
        }

    return walk(params), walk(statistics)
