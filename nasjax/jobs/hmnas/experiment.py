"""A configuration made concrete: data, network and settings of all stages."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from nasjax import data
from nasjax.core import errors
from nasjax.core import settings as core_settings
from nasjax.jobs import config_door
from nasjax.jobs.hmnas.settings import Run
from nasjax.supernet import pipeline, spec
from nasjax.supernet.settings import Finetuning


class Experiment(NamedTuple):
    """A configuration made concrete: data, network and settings of all stages."""

    config: dict[str, Any]
    folder: pathlib.Path
    dataset: data.Dataset
    tuning_dataset: data.Dataset
    net: spec.SupernetSpec
    settings: Run

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def batch_size(self) -> int:
        return self.settings.batch_size

    def check(self) -> None:
        """Raises `ConfigError` where a later stage would refuse the batch size."""
        pipeline.check(
            self.seed,
            self.dataset,
            self.settings,
            batch_size=self.batch_size,
            tuning_dataset=self.tuning_dataset,
        )


def read(config: dict[str, Any], folder: pathlib.Path) -> Experiment:
    """Makes a configuration concrete.

    Raises:
      ConfigError: a section, key or value does not fit; the message names it.
      DataError: the data set cannot be read.
    """
    run, largest = config_door.read(Run, config), pipeline.LARGEST_SEED
    if not 0 <= run.seed <= largest:
        raise errors.ConfigError(f"seed={run.seed} must be in 0..{largest}")
    dataset = data.load(**run.data)
    net = network(run.supernet, dataset.num_classes, dataset.image_shape)
    tuning = _tuning_dataset(run.data, run.finetuning, dataset)
    return Experiment(config, folder, dataset, tuning, net, run)


def network(
    section: Mapping[str, Any], num_classes: int, image_shape: tuple[int, int, int]
) -> spec.SupernetSpec:
    """The network of a configuration's section "supernet" on a data set.

    `reductions=(-1,)` stands for DARTS' rule.
    """
    values = {**section, "num_classes": num_classes, "image_shape": image_shape}
    if list(values.get("reductions", ())) == [-1]:
        values["reductions"] = spec.default_reductions(section["num_cells"])
    return core_settings.read(spec.SupernetSpec, "supernet", values)


def _tuning_dataset(
    section: Mapping[str, Any], s: Finetuning, dataset: data.Dataset
) -> data.Dataset:
    """The data set, or the one with more classes that fine-tuning asks for."""
    if s.num_classes in (0, dataset.num_classes):
        return dataset
    if "num_classes" not in section and dataset.name != "synthetic":
        raise errors.ConfigError(
            f"finetuning.num_classes={s.num_classes}: the data set {dataset.name!r} "
            f"always has {dataset.num_classes} classes; set it to 0"
        )
    return data.load(**{**section, "num_classes": s.num_classes})
