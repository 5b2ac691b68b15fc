"""`digits201`: the embedded benchmark, NAS-Bench-201's cells on noisy digits.

Every function that a cell of the space can compute was trained by us, 30 epochs, with
several seeds; `digits201_build` is how. The file is part of the package.
"""

import functools
import os
import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from nasjax.core import arrays, errors
from nasjax.data import noisy_digits
from nasjax.nasbench import lookup
from nasjax.nasbench.runs import Runs, to_device
from nasjax.nasbench.table import TabularBenchmark
from nasjax.networks import nasbench201 as networks
from nasjax.networks.nasbench201 import Skeleton
from nasjax.spaces import nasbench201_functions
from nasjax.training.short import Recipe

FORM = "nasjax.digits201/1"
FILE = pathlib.Path(__file__).with_name("digits201.safetensors")

EPOCHS = 30
BATCH = 64
RECIPE = Recipe(learning_rate=0.4, momentum=0.9, weight_decay=5e-4)
SKELETON = Skeleton(
    channels=16,
    num_stages=1,
    num_cells=1,
    image_shape=(8, 8, 1),
    patch=2,
    affine=False,
    momentum=0.2,
)
IMAGES = {
    "train": noisy_digits.NUM_TRAIN,
    "valid": noisy_digits.NUM_EVALUATED,
    "test": noisy_digits.NUM_EVALUATED,
}
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
      tree: compact curves `[F, S, E]` by the names of `training.short.Curves` and
        `seconds` float32 `[F, S]`, of all F functions.
      seeds: names of the S seeds.
    """
    metadata = {
        "form": FORM,
        "seeds": [int(seed) for seed in seeds],
        "epochs": EPOCHS,
        "functions": nasbench201_functions.NUM_FUNCTIONS,
    }
    arrays.save(path, dict(tree), metadata=metadata)


def load(path: str | os.PathLike[str] = FILE) -> TabularBenchmark:
    """The benchmark; cells of one function share its trainings.

    Raises:
      DataError: the file is missing or of another kind.
    """
    metadata = arrays.load_metadata(path)
    if metadata.get("form") != FORM:
        raise errors.DataError(
            f"{path}: form {metadata.get('form')!r}, not {FORM!r}; build it again with "
            "this version"
        )
    stored = arrays.load(path)
    functions = nasbench201_functions.functions()
    curves = {}
    for split, number in IMAGES.items():
        accuracy = stored[f"{split}_correct"].astype(np.float32) / np.float32(number)
        curves[f"{split}_accuracy"] = Runs.build(accuracy)
        curves[f"{split}_loss"] = Runs.build(stored[f"{split}_loss"].astype(np.float32))
    archs = functions.representatives
    count = functools.partial(networks.count_parameters, skeleton=SKELETON)
    parameters = np.asarray(jax.vmap(count)(archs))
    return TabularBenchmark(
        index=lookup.GeneIndex(to_device(functions.of_code)),
        archs=to_device(archs.astype(np.int8)),
        curves=curves,
        seconds=Runs.build(stored["seconds"][..., None]),
        facts={"parameters": to_device(parameters)},
        space="nasbench201",
        data_set="digits",
        epochs=tuple(range(1, EPOCHS + 1)),
        metric="accuracy",
        seeds=tuple(metadata["seeds"]),
    )
