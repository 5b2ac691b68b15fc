"""`digits201`: the embedded benchmark, NAS-Bench-201's cells on noisy digits.

Every function that a cell can compute (`nasbench201_functions`) was trained by us, 30
epochs, with several seeds; `experiments.embedded_benchmarks` is how. The file is part
of the package. It holds each function's representative and parameters, and the function
of each cell, so that a query needs no network and no enumeration.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.core import arrays, errors
from nasjax.nasbench import index
from nasjax.nasbench.runs import TrainingRuns, to_device
from nasjax.nasbench.table import TabularBenchmark
from nasjax.spaces import nasbench201

FORM = "nasjax.digits201/2"
NAME = "digits201.safetensors"
FILE = pathlib.Path(__file__).with_name(NAME)

EPOCHS = 30
IMAGES = {"train": 768, "valid": 1024, "test": 1024}
"""Images of an epoch, of the validation and of the test split."""


def compact(name: str, values: np.ndarray) -> np.ndarray:
    """A curve as it is stored: counts in uint16, losses in float16."""
    if name.endswith("_correct"):
        return values.astype(np.uint16)
    # A diverged training must not become a wrong finite number.
    return np.where(np.abs(values) < 6e4, values, np.nan).astype(np.float16)


def save(
    path: str | os.PathLike[str], tree: Mapping[str, np.ndarray], seeds: Sequence[int]
) -> None:
    """Writes the benchmark's file.

    Args:
      path: of the file.
      tree: of all F functions: compact curves `[F, S, E]` by the names of
        `training.scanned.ScannedCurves`, `seconds` float32 `[F, S]`, `archs` `[F, 6]`
        (a cell each), `parameters` `[F]`; and `function` `[15625]`, that of each
        cell's code.
      seeds: names of the S seeds.
    """
    kinds = {"archs": np.int8, "parameters": np.int32, "function": np.int16}
    tree = {
        name: values.astype(kinds.get(name, values.dtype))
        for name, values in tree.items()
    }
    metadata = {
        "form": FORM,
        "seeds": [int(seed) for seed in seeds],
        "epochs": EPOCHS,
        "functions": len(tree["archs"]),
    }
    arrays.save(path, tree, metadata=metadata)


def load(path: str | os.PathLike[str] = FILE) -> TabularBenchmark:
    """The benchmark; cells of one function share its trainings.

    Raises:
      DataError: the file is missing, damaged or of another kind.
    """
    metadata = arrays.load_metadata(path)
    if metadata.get("form") != FORM:
        raise errors.DataError(
            f"{path} is no {FORM} file (older ones gave 1,786 cells the curves of "
            "other networks); build it again with launch/nasbench_x11.py --mode=build"
        )
    stored = arrays.load(path)
    seeds = tuple(metadata["seeds"])
    _check(path, stored, len(seeds))
    curves = {}
    for split, number in IMAGES.items():
        accuracy = stored[f"{split}_correct"].astype(np.float32) / np.float32(number)
        curves[f"{split}_accuracy"] = TrainingRuns.build(accuracy)
        curves[f"{split}_loss"] = TrainingRuns.build(
            stored[f"{split}_loss"].astype(np.float32)
        )
    return TabularBenchmark(
        index=index.GeneIndex(to_device(stored["function"].astype(np.int32))),
        archs=to_device(stored["archs"]),
        curves=curves,
        seconds=TrainingRuns.build(stored["seconds"][..., None]),
        facts={"parameters": to_device(stored["parameters"])},
        space="nasbench201",
        data_set="digits",
        epochs=tuple(range(1, EPOCHS + 1)),
        metric="accuracy",
        seeds=seeds,
    )


def _check(path: Any, stored: Mapping[str, Any], num_seeds: int) -> None:
    """Raises `DataError` where an array is missing or not what `save` writes."""
    found = {name: np.shape(values) for name, values in stored.items()}
    functions = found.get("archs", ())[:1]
    runs = (*functions, num_seeds)
    shapes: dict[str, tuple[int, ...]] = {
        "archs": (*functions, nasbench201.NUM_GENES),
        "parameters": functions,
        "function": (nasbench201.SIZE,),
        "seconds": runs,
    }
    for split in IMAGES:
        shapes |= {
            f"{split}_correct": (*runs, EPOCHS),
            f"{split}_loss": (*runs, EPOCHS),
        }
    for name, shape in shapes.items():
        if found.get(name) != shape:
            raise errors.DataError(f"{path}: {name} is missing or not of shape {shape}")
    limits = {"archs": nasbench201.NUM_OPS, "function": functions[0]}
    for name, limit in limits.items():
        if not ((stored[name] >= 0) & (stored[name] < limit)).all():
            raise errors.DataError(
                f"{path}: {name} has values outside 0 to {limit - 1}"
            )
