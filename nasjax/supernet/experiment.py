"""A configuration made concrete: data, network and settings of all stages."""

import pathlib
from typing import Any, NamedTuple

import jax

from nasjax import data
from nasjax.core import errors
from nasjax.supernet import finetune_stage, settings, spec, stage, training_stage

# Uses of the seed: each gets its own stream.
INIT, GATES, CLASSIFIER, CONTROL = range(4)
DATA_SEEDS = {"supernet": 1, "masking": 3, "finetune": 4}


class Experiment(NamedTuple):
    """A configuration made concrete: data, network and settings of all stages."""

    config: dict[str, Any]
    folder: pathlib.Path
    dataset: data.Dataset
    tuning_dataset: data.Dataset
    net: spec.SupernetSpec
    training: settings.Training
    masking: settings.Masking
    finetuning: settings.Finetuning

    def key(self, use: int) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self.config["seed"]), use)

    def images(self, name: str) -> stage.Images:
        """The splits of the stage called `name`."""
        tuning = name == finetune_stage.NAME
        dataset = self.tuning_dataset if tuning else self.dataset
        train, valid = dataset.train, None
        if name == training_stage.NAME:
            fraction = self.training.train_fraction
            train, valid = dataset.split_train(fraction, self.config["seed"])
        return stage.Images(
            train=train,
            valid=valid,
            test=dataset.test,
            batch_size=self.config["batch_size"],
            seed=10 * self.config["seed"] + DATA_SEEDS[name],
            cutout=tuning and self.finetuning.cutout,
        )


def read(config: dict[str, Any], folder: pathlib.Path) -> Experiment:
    """Makes a configuration concrete.

    Raises:
      ConfigError: a section, key or value does not fit; the message names it.
      DataError: the data set cannot be read.
    """
    for section in ("data", "supernet", "training", "masking", "finetuning"):
        if section not in config:
            raise errors.ConfigError(f"the configuration has no section {section!r}")
    if not 0 <= config["seed"] < 2**27:
        raise errors.ConfigError(f"seed={config['seed']} must be in 0..{2**27 - 1}")
    training = settings.read(settings.Training, "training", config["training"])
    mask = settings.read(settings.Masking, "masking", config["masking"])
    finetuning = settings.read(settings.Finetuning, "finetuning", config["finetuning"])
    dataset = data.load(**config["data"])
    net = network(config["supernet"], dataset.num_classes, dataset.image_shape)
    tuning = _tuning_dataset(config, finetuning, dataset)
    return Experiment(config, folder, dataset, tuning, net, training, mask, finetuning)


def network(
    section: dict[str, Any], num_classes: int, image_shape: tuple[int, int, int]
) -> spec.SupernetSpec:
    """The network of a configuration's section "supernet" on a data set.

    `reductions=(-1,)` stands for DARTS' rule.
    """
    values = {**section, "num_classes": num_classes, "image_shape": image_shape}
    if list(values.get("reductions", ())) == [-1]:
        values["reductions"] = spec.default_reductions(section["num_cells"])
    return settings.read(spec.SupernetSpec, "supernet", values)


def _tuning_dataset(
    config: dict[str, Any], s: settings.Finetuning, dataset: data.Dataset
) -> data.Dataset:
    """The data set, or the one with more classes that fine-tuning asks for."""
    if s.num_classes in (0, dataset.num_classes):
        return dataset
    if "num_classes" not in config["data"] and dataset.name != "synthetic":
        raise errors.ConfigError(
            f"finetuning.num_classes={s.num_classes}: the data set {dataset.name!r} "
            f"always has {dataset.num_classes} classes; set it to 0"
        )
    return data.load(**{**config["data"], "num_classes": s.num_classes})
