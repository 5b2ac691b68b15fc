"""What is left of the supernet after masking: live operations and the genotype.

An operation lives if its mask, its edge's mask and its edge's source live; a node
without a live incoming operation is dead, and so is everything it feeds alone, in its
own cell and in later ones.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from nasjax.networks import operations as ops
from nasjax.supernet import masking, mixing, spec

FORMAT = "nasjax.genotype/1"


@dataclasses.dataclass(frozen=True)
class CellLiveness:
    """Which parts of one cell reach the logits.

    Attributes:
      operations: bool `[E, O]`.
      nodes: bool `[num_steps]`, intermediate nodes with a live input.
      inputs: the two preprocessed inputs that are fed and have a live outgoing
        operation.
      used: whether anything reads the cell's output.
    """

    operations: np.ndarray
    nodes: np.ndarray
    inputs: tuple[bool, bool]
    used: bool


def liveness(
    net: spec.SupernetSpec, masks: masking.Masks | None = None
) -> tuple[CellLiveness, ...]:
    """Live operations, nodes and inputs of every cell; all live without masks.

    Args:
      net: description of the network.
      masks: binary masks; their `weights` play no role here.
    """
    cells: list[CellLiveness] = []
    fed = [True, True]  # the stem stands for cells -2 and -1
    for k in range(net.num_cells):
        cells.append(_forward(net, k, masks, (fed[k], fed[k + 1])))
        fed.append(bool(cells[k].nodes.any()))
    used = [False] * net.num_cells
    used[-1] = True
    for k in reversed(range(net.num_cells)):
        if not used[k]:
            cells[k] = dataclasses.replace(
                cells[k],
                operations=np.zeros_like(cells[k].operations),
                nodes=np.zeros_like(cells[k].nodes),
                inputs=(False, False),
                used=False,
            )
        for distance, live in zip((2, 1), cells[k].inputs, strict=True):
            if live and k >= distance:
                used[k - distance] = True
    return tuple(cells)


def _forward(
    net: spec.SupernetSpec,
    k: int,
    masks: masking.Masks | None,
    fed: tuple[bool, bool],
) -> CellLiveness:
    live = np.ones((len(net.edges), len(net.operations)), bool)
    if masks is not None:
        a = net.arch_index(k)
        live &= np.asarray(masks.alpha[a]) > 0
        live &= (np.asarray(masks.beta[a]) > 0)[:, None]
    live[:, [name == ops.NONE for name in net.operations]] = False
    reached = np.zeros(spec.NUM_INPUTS + net.num_steps, bool)
    reached[: spec.NUM_INPUTS] = fed
    for e in sorted(range(len(net.edges)), key=lambda e: net.edges[e][1]):
        source, target = net.edges[e]
        live[e] &= reached[source]
        reached[target] |= live[e].any()
    inputs = tuple(
        bool(any(live[e].any() for e, (s, _) in enumerate(net.edges) if s == i))
        for i in range(spec.NUM_INPUTS)
    )
    return CellLiveness(live, reached[spec.NUM_INPUTS :], inputs, True)  # type: ignore[arg-type]


def dead_nodes(net: spec.SupernetSpec, masks: masking.Masks) -> list[str]:
    """Names of the intermediate nodes that masking left without any input."""
    return [
        f"cell {k} node {i}"
        for k, cell in enumerate(liveness(net, masks))
        for i in np.flatnonzero(~cell.nodes)
        if cell.used
    ]


def genotype(
    net: spec.SupernetSpec,
    arch: mixing.Arch,
    masks: masking.Masks,
    mode: str = mixing.MULTIPLY,
) -> dict[str, Any]:
    """The pruned architecture as JSON-ready data (figure 2.4).

    Edges and operations carry their normalised, masked mixing weights; only live ones
    are listed. Nodes 0 and 1 are the inputs, the last node concatenates `concat`.
    """
    operation = np.asarray(mixing.operation_weights(arch["alpha"], masks.alpha, mode))
    edge = np.asarray(mixing.edge_weights(arch["beta"], net, masks.beta, mode))
    live = liveness(net, masks)
    cells = {}
    for a, name in enumerate(net.arch_names):
        members = [k for k in range(net.num_cells) if net.arch_index(k) == a]
        if not members:
            continue
        alive = np.any([live[k].operations for k in members], axis=0)
        cells[name] = {
            "num_nodes": spec.NUM_INPUTS + net.num_steps + 1,
            "inputs": ["c_{k-2}", "c_{k-1}"],
            "edges": [
                {
                    "source": source,
                    "target": target,
                    "weight": float(edge[a, e]),
                    "operations": [
                        {"name": net.operations[o], "weight": float(operation[a, e, o])}
                        for o in np.flatnonzero(alive[e])
                    ],
                }
                for e, (source, target) in enumerate(net.edges)
                if alive[e].any()
            ],
            "concat": [spec.NUM_INPUTS + i for i in range(net.num_steps)],
        }
    return {"format": FORMAT, "operations": list(net.operations), "cells": cells}


def edge_importance(
    net: spec.SupernetSpec, arch: mixing.Arch
) -> dict[str, dict[str, float]]:
    """Softmax of beta on every edge before masking, by set and "source>target"."""
    weights = np.asarray(mixing.edge_weights(arch["beta"], net))
    return {
        name: {f"{s}>{t}": float(weights[a, e]) for e, (s, t) in enumerate(net.edges)}
        for a, name in enumerate(net.arch_names)
        if any(net.arch_index(k) == a for k in range(net.num_cells))
    }


def alive_summary(net: spec.SupernetSpec, masks: masking.Masks) -> dict[str, float]:
    """Fractions of live operations and edges, and of weights whose masks are one.

    Averages over the cells; an operation on a dead edge is not alive.
    """
    cells = liveness(net, masks)
    named = [o for o, name in enumerate(net.operations) if name != ops.NONE]
    operations = np.stack([cell.operations[:, named] for cell in cells])
    weights = jax.tree.leaves(masks.weights)
    kept = sum(float(w.sum()) for w in weights)
    return {
        "operations_alive": float(operations.mean()),
        "edges_alive": float(operations.any(-1).mean()),
        "weights_alive": kept / max(sum(w.size for w in weights), 1),
    }
