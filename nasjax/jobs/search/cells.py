"""The best architectures of a search: named, drawn, and handed to whole trainings.

Figure 3.7, and where the errors of tables 3.4 and 3.5 come from: a search trains small
networks for few epochs; what a cell is worth is found by training the whole network.
"""

import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nasjax import spaces
from nasjax.core import progress
from nasjax.core.types import SearchSpace
from nasjax.experiments.search_scores import SPLITS, Scores
from nasjax.report import genotypes
from nasjax.spaces import darts

DARTS = ("darts", "darts_shared")
LABELS = {
    "random_search": "Random Search",
    "bananas": "BANANAS",
    "arch2vec_rl": "arch2vec-RL",
    "arch2vec_bo": "arch2vec-BO",
}
"""Rows of the tables by the name of an entry."""
MOST = 5
"""Architectures that are named for each algorithm."""
_TRAIN = "python launch/train_architecture.py --config=configs/train"
_TRAINED = ("nasbench101", "nasbench201", "nasbench_nlp")
"""Spaces with one training protocol, `configs/train/SPACE.py`."""

Found = Sequence[Mapping[str, Any]]


def found(space: SearchSpace, scores: Scores) -> list[dict[str, Any]]:
    """The architectures that trials ended with, the best one first.

    Isomorphic ones are one, and of writings with trainings of their own, as in
    NAS-Bench-201, the best stands for all. The validation score decides, never the test
    score; then how many trials ended there.

    Args:
      space: what was searched.
      scores: of all trials of an algorithm.

    Returns:
      At most `MOST`: `arch` in the official notation, `genes`, `valid` and `test`, and
      in how many of `num_trials` it was the last incumbent. Trials without a score do
      not count.
    """
    finals = {split: scores.final(split) for split in SPLITS}
    known = np.flatnonzero(np.isfinite([finals[split] for split in SPLITS]).any(axis=0))
    if not len(known):
        return []
    valid = np.nan_to_num(finals["valid"][known], nan=-np.inf)
    known = known[np.argsort(-valid, kind="stable")]  # of a group the first is taken
    archs = np.asarray(scores.best)[known]
    prints = np.asarray(jax.jit(jax.vmap(space.fingerprint))(archs))
    _, first, counts = np.unique(prints, axis=0, return_index=True, return_counts=True)
    valid = np.nan_to_num(finals["valid"][known[first]], nan=-np.inf)
    order = np.lexsort((first, -counts, -valid))[:MOST]
    return [
        {
            "arch": space.format_arch(archs[first[place]]),
            "genes": archs[first[place]].tolist(),
            **{split: float(finals[split][known[first[place]]]) for split in SPLITS},
            "trials": int(counts[place]),
            "num_trials": len(scores.best),
        }
        for place in order
    ]


def show(space: str, outcome: Mapping[str, Any], trials: pathlib.Path) -> None:
    """Prints the best architecture of every algorithm and what can be done with it."""
    for name, row in outcome["algorithms"].items():
        if row["found"]:
            best = row["found"][0]
            progress.echo(f"{name}: {best['arch']}, {_how_often(best)}")
            if space in DARTS:
                for command in outcome["commands"].get(name, ()):
                    progress.echo(f"  {command}")
    progress.echo(
        f"in your own code: nasjax.spaces.make({space!r}).parse_arch(STRING) gives "
        f"genes; all evaluations: nasjax.core.arrays.load({str(trials)!r}); commands "
        "that train the cells: result.json"
    )


def _how_often(best: Mapping[str, Any]) -> str:
    if best["num_trials"] == 1:
        return "the best of one search"
    return f"where {best['trials']} of {best['num_trials']} searches end"


def commands(space: str, best: Mapping[str, str]) -> dict[str, list[str]]:
    """By algorithm the commands that train its best cell as its space is published.

    Args:
      space: DARTS' cells are trained on CIFAR-10 and ImageNet; a space without a
        protocol in `configs/train` has none.
      best: by algorithm an architecture in the official notation.
    """
    if space in DARTS:
        return {name: _darts_commands(name, arch) for name, arch in best.items()}
    if space not in _TRAINED:
        return {}
    return {
        name: [
            f"{_TRAIN}/{space}.py --config.data.dir=PATH "
            f"--config.arch={shlex.quote(arch)} --workdir=runs/{name}_cell"
        ]
        for name, arch in best.items()
    }


def _darts_commands(name: str, arch: str) -> list[str]:
    given = f'--config.label="{LABELS.get(name, name)}" --config.arch="{arch}"'
    return [
        f"{_TRAIN}/darts_cifar10.py --config.data.dir=PATH "
        f'--config.seeds="(0,1,2,3,4)" {given} --workdir=runs/{name}_cifar10',
        f"{_TRAIN}/darts_imagenet.py --config.data.dir=PATH {given} "
        f"--workdir=runs/{name}_imagenet",
    ]


def draw(
    space: str, cells_of: Mapping[str, Found], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Draws the best cell of every algorithm.

    Args:
      space: DARTS' cells are drawn as in figure 3.7, `best_ALGORITHM/cell_NAME`; those
        of other spaces below one another in `best_cells`.
      cells_of: by algorithm what `found` returned.
      folder: of the figures.

    Returns:
      The files.
    """
    from nasjax.report import cell_walks, cells  # here: they load matplotlib

    best = {name: rows[0] for name, rows in cells_of.items() if rows}
    if not best:
        return []
    if space not in DARTS:
        walks = {
            f"{LABELS.get(name, name)} ({_how_often(row)})": cell_walks.Walk(
                [_drawn(space, row["genes"])], []
            )
            for name, row in best.items()
        }
        return cell_walks.draw_walks(walks, folder / "best_cells")
    files: list[pathlib.Path] = []
    for name, row in best.items():
        for label, cell in genotype(row["genes"])["cells"].items():
            for kind in ("svg", "png"):
                path = folder / f"best_{name}" / f"cell_{label}.{kind}"
                title = f"{LABELS.get(name, name)}, {label} cell"
                files.append(cells.draw_cell(cell, path, title=title))
    return files


def _drawn(space: str, genes: Sequence[int]) -> Any:
    """One cell as a graph whose nodes are operations."""
    from nasjax.report import cell_walks

    made = spaces.make(space)
    assert made.to_graph is not None  # every registered space has one
    graph = jax.device_get(jax.jit(made.to_graph)(np.asarray(genes, np.int32)))
    count = int(graph.num_nodes)
    labels = [_short(made.graph_op_names[op]) for op in graph.ops[:count]]
    matrix = np.triu(graph.adjacency[:count, :count] != 0, 1)
    return cell_walks.DrawnCell(matrix, labels)


def _short(name: str) -> str:
    """`nor_conv_3x3` as 3x3, `avg_pool_3x3` as pool: what fits a box."""
    if "pool" in name:
        return "pool"
    size = re.search(r"\dx\d", name)
    return size[0] if size else name.split("_")[0][:8]


def genotype(arch: Any) -> dict[str, Any]:
    """A gene vector `[32]`, or `[16]` of a shared cell, as the report reads it."""
    every = np.asarray(arch).reshape(-1, darts.NUM_STEPS, 2, 2).tolist()
    names = ("normal", "reduce") if len(every) == 2 else ("shared",)
    return {
        "format": genotypes.FORMAT,
        "operations": list(darts.OP_NAMES),
        "cells": dict(zip(names, map(_cell, every), strict=True)),
    }


def _cell(steps: list[list[tuple[int, int]]]) -> dict[str, Any]:
    """One cell of `(operation, input)` pairs; steps are nodes 2, 3, ..."""
    edges = [
        {
            "source": source,
            "target": 2 + step,
            "weight": 1.0,
            "operations": [{"name": darts.OP_NAMES[op], "weight": 1.0}],
        }
        for step, pairs in enumerate(steps)
        for op, source in pairs
    ]
    return {
        "inputs": ["c_{k-2}", "c_{k-1}"],
        "num_nodes": 3 + len(steps),
        "edges": edges,
        "concat": list(range(2, 2 + len(steps))),
        "weighted": False,
    }
