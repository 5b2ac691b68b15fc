"""`digits201`: the embedded benchmark, NAS-Bench-201's cells on noisy digits.

Every function that a cell can compute (`nasbench201_functions`) was trained by us, 30
epochs, with several seeds; `experiments.embedded_benchmarks` is how. The file is part
of the package. It holds each function's representative and parameters, and the function
of each cell, so that a query needs no network and no enumeration.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasjax.core import arrays, errors
from nasjax.nasbench import index
from nasjax.nasbench.runs import TrainingRuns, to_device
from nasjax.nasbench.table import TabularBenchmark
from nasjax.nasbench.trainings import CURVES, NUM_EPOCHS, Trainings
from nasjax.spaces import nasbench201

FORM = "nasjax.digits201/2"
NAME = "digits201.safetensors"
FILE = pathlib.Path(__file__).with_name(NAME)

IMAGES = {"train": 768, "valid": 1024, "test": 1024}
"""Images of an epoch, of the validation and of the test split."""


def save(
    path: str | os.PathLike[str],
    trainings: Trainings,
    facts: Mapping[str, np.ndarray],
) -> None:
    """Writes the benchmark's file.

    Args:
      path: of the file.
      trainings: of one group; seeds that lack a function's training are left out.
      facts: `parameters` `[F]` of the functions, and `function` `[15625]`, that of each
        cell's code.

    Raises:
      DataError: no seed is complete.
    """
    number = len(trainings.archs)
    counts = np.bincount(trainings.seed, minlength=1)
    seeds = np.flatnonzero(counts == number)
    if not seeds.size:
        raise errors.DataError(f"{path}: no seed is complete; let the build finish")
    # [F, S] places of the trainings
    places = np.zeros((number, len(seeds)), np.int64)
    column = np.full(len(counts), -1)
    column[seeds] = np.arange(len(seeds))
    kept = np.flatnonzero(column[trainings.seed] >= 0)
    places[trainings.row[kept], column[trainings.seed[kept]]] = kept
    tree = {name: values[places] for name, values in trainings.curves.items()}
    tree |= {
        "seconds": trainings.seconds[places],
        "archs": trainings.archs.astype(np.int8),
        "parameters": facts["parameters"].astype(np.int32),
        "function": facts["function"].astype(np.int16),
    }
    metadata = {
        "form": FORM,
        "seeds": seeds.tolist(),
        "epochs": NUM_EPOCHS,
        "functions": number,
    }
    arrays.save(path, tree, metadata=metadata)


def read(path: str | os.PathLike[str] = FILE) -> Trainings:
    """The trainings of a file.

    Raises:
      DataError: as `load`.
    """
    stored, seeds = _stored(path)
    number = len(stored["archs"])
    row, column = np.divmod(np.arange(number * len(seeds)), len(seeds))
    return Trainings(
        groups=("functions",),
        group=np.zeros(number, np.int8),
        place=np.arange(number, dtype=np.int32),
        archs=stored["archs"].astype(np.int32),
        row=row.astype(np.int32),
        seed=np.array(seeds, np.int16)[column],
        curves={name: stored[name].reshape(-1, NUM_EPOCHS) for name in CURVES},
        seconds=stored["seconds"].reshape(-1),
    )


def load(path: str | os.PathLike[str] = FILE) -> TabularBenchmark:
    """The benchmark; cells of one function share its trainings.

    Raises:
      DataError: the file is missing, damaged or of another kind.
    """
    stored, seeds = _stored(path)
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
        epochs=tuple(range(1, NUM_EPOCHS + 1)),
        metric="accuracy",
        seeds=seeds,
    )


def _stored(
    path: str | os.PathLike[str],
) -> tuple[Mapping[str, np.ndarray], tuple[int, ...]]:
    """The file's arrays, and its seeds."""
    metadata = arrays.load_metadata(path)
    if metadata.get("form") != FORM:
        raise errors.DataError(
            f"{path} is no {FORM} file (older ones gave 1,786 cells the curves of "
            "other networks); build it again with launch/nasbench_x11.py --mode=build"
        )
    stored = arrays.load(path)
    seeds = tuple(metadata["seeds"])
    _check(path, stored, len(seeds))
    return stored, seeds


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
            f"{split}_correct": (*runs, NUM_EPOCHS),
            f"{split}_loss": (*runs, NUM_EPOCHS),
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
