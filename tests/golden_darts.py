"""Weights of the golden DARTS files as the parameter and statistics trees of nasjax.

The files hold one array a layer and edge: HWIO kernels, depthwise ones `(k, k, 1, C)`.
Nasjax stacks the edges of a cell and orders them by source.
"""

import numpy as np

from nasjax.networks import operations as ops
from nasjax.supernet import spec

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The operation axis of the files."""

EDGES = tuple((j, i) for i in range(2, 6) for j in range(i))
"""The edge axis of the files, by target."""


def feature_map(x):
    """NHWC to CHWN."""
    return x.transpose(3, 1, 2, 0)


def images(y):
    """CHWN to NHWC."""
    return np.asarray(y).transpose(3, 1, 2, 0)


def mixing(weights):
    """`[E, O]` operation weights of the files in nasjax's order of edges.

    DARTS has no edge level: it is one everywhere.
    """
    return weights[..., [EDGES.index(edge) for edge in spec.cell_edges(4)], :]


def unit(golden, prefix, *, section="weights", operation=None):
    """Parameters and statistics of one operation or preprocessing chain."""
    params, statistics = {}, {}
    start = f"{section}/{prefix}."
    for key, value in golden.items():
        if not key.startswith(start):
            continue
        layer, leaf = key.removeprefix(start).split(".")
        name = _layer_name(layer, operation)
        if leaf == "kernel":
            params[name] = kernel(value)
        elif leaf in ("mean", "var"):
            statistics.setdefault(name, {})[leaf] = value
        else:
            params.setdefault(name, {})[leaf] = value
    return params, statistics


def cell(golden, prefix, net, *, section="weights"):
    """Parameters and statistics of the cell called `prefix`."""
    params, statistics = {"operations": {}}, {"operations": {}}
    for name in ("preprocess0", "preprocess1"):
        params[name], statistics[name] = unit(
            golden, f"{prefix}.{name}", section=section
        )
    for operation in net.operations:
        units = [
            unit(
                golden,
                f"{prefix}.edge.{j}_{i}.{operation}",
                section=section,
                operation=operation,
            )
            for j, i in net.edges
        ]
        for tree, trees in zip(
            (params, statistics), zip(*units, strict=True), strict=True
        ):
            present = [t for t in trees if t]
            if present:
                tree["operations"][operation] = _stack(present)
    return params, statistics


def network(golden, net):
    """Parameters and statistics of the whole supernet."""
    stem, stem_statistics = unit(golden, "stem")
    cells = [cell(golden, f"cell.{k}", net) for k in range(net.num_cells)]
    params = {
        "stem": {"conv1": stem["conv"], "bn1": stem["bn"]},
        "cells": {str(k): params for k, (params, _) in enumerate(cells)},
        "classifier": {
            leaf: golden[f"weights/classifier.{leaf}"] for leaf in ("kernel", "bias")
        },
    }
    statistics = {
        "stem": {"bn1": stem_statistics["bn"]},
        "cells": {str(k): stats for k, (_, stats) in enumerate(cells)},
    }
    return params, statistics


def kernel(value):
    """A HWIO kernel in the form of `nasjax.networks`."""
    size, _, inputs, _ = value.shape
    if size == 1:
        return value[0, 0]
    if inputs == 1:  # depthwise: C, k, k (no dense kernel of the files has one input)
        return value[:, :, 0].transpose(2, 0, 1)
    return value


def _layer_name(layer, operation):
    if operation in ops.CONVOLUTIONS and not layer[-1].isdigit():
        return f"{layer}1"  # chains of one stage are not numbered in the files
    return layer.replace("_", "")


def _stack(trees):
    if isinstance(trees[0], dict):
        return {name: _stack([t[name] for t in trees]) for name in trees[0]}
    return np.stack(trees)
