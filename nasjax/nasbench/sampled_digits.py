"""`digits111` and `digits311`: trainings of a sample of a large space, on noisy digits.

NAS-Bench-101's cells and DARTS' genotypes are too many to train; a file holds the
trainings of some of them, and a surrogate that is fitted to these answers for all
(chapter 5). `experiments.embedded_benchmarks` is how they were trained.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from nasjax import spaces
from nasjax.core import arrays, errors, read_guard
from nasjax.nasbench import index
from nasjax.nasbench.runs import TrainingRuns, to_device
from nasjax.nasbench.table import TabularBenchmark
from nasjax.nasbench.trainings import CURVES, NUM_EPOCHS, Trainings

FORM = "nasjax.sampled_digits/1"
_MAX_SEEDS = 8
"""A table has one bit of a byte for each."""


@dataclasses.dataclass(frozen=True)
class SampledDigits:
    """One benchmark's file of trainings.

    Attributes:
      name: of the benchmark.
      space: registry name of the search space.
      features: registry name of what the surrogate reads.
      num_evaluated: images of the validation and of the test split.
      num_train: images of an epoch.
    """

    name: str
    space: str
    features: str
    num_evaluated: int = 2048
    num_train: int = 768

    @property
    def file(self) -> pathlib.Path:
        """The one in the package."""
        return pathlib.Path(__file__).with_name(f"{self.name}.safetensors")

    @property
    def surrogate_file(self) -> pathlib.Path:
        """The package's surrogate of the whole space."""
        return pathlib.Path(__file__).with_name(f"{self.name}_surrogate.safetensors")

    def save(
        self,
        path: str | os.PathLike[str],
        trainings: Trainings,
        facts: Mapping[str, np.ndarray],
    ) -> None:
        """Writes the benchmark's file.

        Args:
          path: of the file.
          trainings: any number of each architecture, also none.
          facts: numbers of the N architectures by name, such as `parameters` `[N]`.

        Raises:
          DataError: there is no training.
        """
        if not trainings.row.size:
            raise errors.DataError(f"{path}: nothing is trained; let the build go on")
        tree = {
            "archs": trainings.archs.astype(np.int8),
            "group": trainings.group.astype(np.int8),
            "place": trainings.place.astype(np.int32),
            "row": trainings.row.astype(np.int32),
            "seed": trainings.seed.astype(np.int8),
            "seconds": trainings.seconds.astype(np.float32),
        }
        tree |= dict(trainings.curves)
        tree |= {f"facts.{name}": values for name, values in facts.items()}
        metadata = {
            "form": FORM,
            "name": self.name,
            "groups": list(trainings.groups),
            "epochs": NUM_EPOCHS,
        }
        arrays.save(path, tree, metadata=metadata)

    def read(self, path: str | os.PathLike[str] | None = None) -> Trainings:
        """The trainings of a file, by default of the package's.

        Raises:
          DataError: the file is missing, damaged or of another benchmark.
        """
        stored, groups = self._stored(self.file if path is None else path)
        return Trainings(
            groups=groups,
            group=stored["group"],
            place=stored["place"],
            archs=stored["archs"].astype(np.int32),
            row=stored["row"],
            seed=stored["seed"].astype(np.int16),
            curves={name: stored[name] for name in CURVES},
            seconds=stored["seconds"],
        )

    def load(self, path: str | os.PathLike[str] | None = None) -> TabularBenchmark:
        """The table of the architectures that are trained.

        Raises:
          DataError: as `read`.
        """
        path = self.file if path is None else path
        stored, groups = self._stored(path)
        rows, row = np.unique(stored["row"], return_inverse=True)
        names = tuple(np.unique(stored["seed"]).tolist())
        column = np.searchsorted(names, stored["seed"])

        def runs(values: np.ndarray) -> TrainingRuns:
            """Of values `[R, T]`; NaN where a seed lacks an architecture."""
            shape = (len(rows), len(names), values.shape[1])
            spread = np.full(shape, np.nan, np.float32)
            spread[row, column] = values
            return TrainingRuns.build(spread)

        curves = {}
        for split, images in self._images().items():
            counts = stored[f"{split}_correct"].astype(np.float32)
            curves[f"{split}_accuracy"] = runs(counts / np.float32(images))
            curves[f"{split}_loss"] = runs(stored[f"{split}_loss"])
        prefix = "facts."
        return TabularBenchmark(
            index=index.build(self.space, stored["archs"][rows]),
            archs=to_device(stored["archs"][rows]),
            curves=curves,
            seconds=runs(stored["seconds"][:, None]),
            facts={
                name.removeprefix(prefix): to_device(values[rows])
                for name, values in stored.items()
                if name.startswith(prefix)
            }
            | {"group": to_device(stored["group"][rows])},
            space=self.space,
            data_set="digits",
            epochs=tuple(range(1, NUM_EPOCHS + 1)),
            metric="accuracy",
            seeds=names,
            groups=groups,
        )

    def _images(self) -> dict[str, int]:
        evaluated = self.num_evaluated
        return {"train": self.num_train, "valid": evaluated, "test": evaluated}

    def _stored(
        self, path: str | os.PathLike[str]
    ) -> tuple[Mapping[str, np.ndarray], tuple[str, ...]]:
        """The file's arrays, and the names of its groups."""
        metadata = arrays.load_metadata(path)
        found = metadata.get("form"), metadata.get("name")
        if found != (FORM, self.name):
            raise errors.DataError(
                f"{path} holds no trainings of {self.name}; build it with "
                "launch/nasbench_x11.py --mode=build"
            )
        with read_guard.guard(path, "damaged", remedy="build it again"):
            stored, groups = arrays.load(path), tuple(metadata["groups"])
            self._check(path, stored, groups)
        return stored, groups

    def _check(
        self,
        path: str | os.PathLike[str],
        stored: Mapping[str, np.ndarray],
        groups: tuple[str, ...],
    ) -> None:
        """Raises `DataError` where an array is missing or not what `save` writes."""
        found = {name: np.shape(values) for name, values in stored.items()}
        number, runs = found.get("archs", ())[:1], found.get("row", ())
        genes = spaces.make(self.space).num_genes
        shapes: dict[str, tuple[int, ...]] = {
            "archs": (*number, genes),
            "group": number,
            "place": number,
            "row": runs,
            "seed": runs,
            "seconds": runs,
        }
        shapes |= {name: (*runs, NUM_EPOCHS) for name in CURVES}
        shapes |= {name: number for name in found if name.startswith("facts.")}
        if len(number) != 1 or len(runs) != 1 or 0 in (*number, *runs):
            raise errors.DataError(f"{path}: holds no trainings")
        for name, shape in shapes.items():
            if found.get(name) != shape:
                raise errors.DataError(
                    f"{path}: {name} is missing or not of shape {shape}"
                )
        limits = {"row": number[0], "group": len(groups)}
        for name, limit in limits.items():
            values = stored[name]
            if not ((values >= 0) & (values < limit)).all():
                raise errors.DataError(
                    f"{path}: {name} has values outside 0 to {limit - 1}"
                )
        if len(np.unique(stored["seed"])) > _MAX_SEEDS:
            raise errors.DataError(f"{path}: more than {_MAX_SEEDS} seeds")


DIGITS111 = SampledDigits("digits111", "nasbench101", "nasbench111_paths")
DIGITS311 = SampledDigits("digits311", "darts", "nasbench311_paths")
SAMPLED = {sampled.name: sampled for sampled in (DIGITS111, DIGITS311)}


def load(path: str | os.PathLike[str]) -> TabularBenchmark:
    """The table of a file of any of them.

    Raises:
      DataError: the file is missing, damaged or of another kind.
    """
    name = arrays.load_metadata(path).get("name")
    if not isinstance(name, str) or name not in SAMPLED:
        raise errors.DataError(f"{path} holds trainings of no benchmark that is known")
    return SAMPLED[name].load(path)
