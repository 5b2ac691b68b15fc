"""A protocol: the data, network and settings that architectures are trained with."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasjax.core import errors, settings
from nasjax.training import image_networks
from nasjax.training.classifier_settings import ClassifierSettings
from nasjax.training.language_model_settings import LanguageModelSettings

TEXT_SPACES = ("nasbench_nlp",)
"""Spaces whose architectures are recurrent cells; the others classify images."""

SPACES = (*image_networks.BUILDERS, *TEXT_SPACES)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How the architectures of a space are trained; see `read`.

    Attributes:
      space: a name in `SPACES`.
      data: name and options of the data set (`data.load`) or text (`data.text.load`).
      network: options of the network (`image_networks.choose`).
      training: settings.
      train_fraction: part of the training images that is trained on; the rest is for
        validation. 1: all, and validation is on the images that the data set has for
        it, if any.
      split_seed: of that cut, which all trainings share.
      color_jitter: strengths of `data.color_jitter.jitter`, or () for none.
      label_epochs: over how many last epochs the validation score of a search is
        averaged.
    """

    space: str
    data: Mapping[str, Any]
    network: Mapping[str, Any]
    training: ClassifierSettings | LanguageModelSettings
    train_fraction: float = 1.0
    split_seed: int = 0
    color_jitter: tuple[float, ...] = ()
    label_epochs: int = 1

    @property
    def epochs(self) -> int:
        """T of a whole training."""
        if isinstance(self.training, LanguageModelSettings):
            return self.training.epochs
        return self.training.epochs


def read(config: Mapping[str, Any]) -> Protocol:
    """The protocol of a configuration, whose other keys do not matter.

    Raises:
      ConfigError: a key is missing, unknown or out of range.
    """
    for key in ("space", "data", "training"):
        if key not in config:
            raise errors.ConfigError(f"the configuration has no key {key!r}")
    space = config["space"]
    if space not in SPACES:
        raise errors.unknown_name("space that can be trained", space, SPACES)
    kind: Any = LanguageModelSettings if space in TEXT_SPACES else ClassifierSettings
    protocol = Protocol(
        space=space,
        data=dict(config["data"]),
        network=dict(config.get("network", {})),
        training=settings.read(kind, "training", config["training"]),
        train_fraction=config.get("train_fraction", 1.0),
        split_seed=config.get("split_seed", 0),
        color_jitter=tuple(config.get("color_jitter", ())),
        label_epochs=config.get("label_epochs", 1),
    )
    if "name" not in protocol.data:
        raise errors.ConfigError("the configuration has no key 'data.name'")
    if not 1 <= protocol.label_epochs <= protocol.epochs:
        raise errors.ConfigError(
            f"label_epochs={protocol.label_epochs} must be in 1..{protocol.epochs}, "
            "the epochs of a training"
        )
    return protocol
