"""The best DARTS cells of a search: drawn, and handed to whole trainings.

Figure 3.7, and where the errors of tables 3.4 and 3.5 come from: a search trains small
networks for few epochs; what a cell is worth is found by training the whole network.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasjax import spaces
from nasjax.report import genotypes
from nasjax.spaces import darts

SPACES = ("darts", "darts_shared")
LABELS = {
    "random_search": "Random Search",
    "bananas": "BANANAS",
    "arch2vec_rl": "arch2vec-RL",
    "arch2vec_bo": "arch2vec-BO",
}
"""Rows of the tables by the name of an entry."""
_TRAIN = "python launch/train_architecture.py --config=configs/train"


def commands(space: str, best: Mapping[str, str]) -> dict[str, list[str]]:
    """By algorithm the commands that train its best cell on CIFAR-10 and ImageNet.

    Args:
      space: other spaces than DARTS' have none.
      best: by algorithm a genotype in the notation of `darts.format_arch`.
    """
    if space not in SPACES:
        return {}
    return {name: _commands(name, arch) for name, arch in best.items()}


def _commands(name: str, arch: str) -> list[str]:
    given = f'--config.label="{LABELS.get(name, name)}" --config.arch="{arch}"'
    return [
        f"{_TRAIN}/darts_cifar10.py --config.data.dir=PATH "
        f'--config.seeds="(0,1,2,3,4)" {given} --workdir=runs/{name}_cifar10',
        f"{_TRAIN}/darts_imagenet.py --config.data.dir=PATH {given} "
        f"--workdir=runs/{name}_imagenet",
    ]


def draw(
    space: str, best: Mapping[str, str], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Draws the best cell of every algorithm: `best_ALGORITHM/cell_NAME`.

    Args:
      space: of other spaces than DARTS' nothing is drawn.
      best: as `commands`.
      folder: of the figures.

    Returns:
      The files.
    """
    from nasjax.report import cells  # here: it loads matplotlib

    files: list[pathlib.Path] = []
    if space not in SPACES:
        return files
    read = spaces.make(space).parse_arch
    for name, arch in best.items():
        for label, cell in genotype(read(arch))["cells"].items():
            for kind in ("svg", "png"):
                path = folder / f"best_{name}" / f"cell_{label}.{kind}"
                title = f"{LABELS.get(name, name)}, {label} cell"
                files.append(cells.draw_cell(cell, path, title=title))
    return files


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
