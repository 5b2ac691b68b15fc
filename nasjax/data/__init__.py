"""Images to learn from: data sets by name, their augmentation and their batches.

For example:

    from nasjax import data

    digits = data.load("digits")
    print(len(digits.train), digits.num_classes)
"""

from collections.abc import Callable
from typing import Any

from nasjax.core import registry
from nasjax.core.errors import ConfigError
from nasjax.data import cifar10, cifar100, digits, imagenet, imagenet16, synthetic
from nasjax.data.arrays import from_arrays
from nasjax.data.dataset import Augmentation, Batch, Dataset, Split

__all__ = [
    "Augmentation",
    "Batch",
    "DATASETS",
    "Dataset",
    "Split",
    "from_arrays",
    "load",
]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "cifar10": cifar10.load,
    "cifar100": cifar100.load,
    "digits": digits.load,
    "imagenet": imagenet.load,
    "imagenet16": imagenet16.load,
    "synthetic": synthetic.load,
}
"""Loaders by name; their keyword arguments are the options of `load`."""


def load(name: str, **options: Any) -> Dataset:
    """Loads a data set.

    Args:
      name: a key of `DATASETS`.
      **options: of that data set's loader. Those of files (`cifar10`, `cifar100`,
        `imagenet`, `imagenet16`) need `dir`, their folder.

    Returns:
      The data set.

    Raises:
      ConfigError: an unknown name or option, or an empty `dir`.
      DataError: a file is missing or malformed.
    """
    loader = registry.find("data set", DATASETS, name)
    if "dir" in registry.options_of(loader) and not options.get("dir"):
        registry.check(f"data set {name!r}", loader, {*options, "dir"})
        raise ConfigError(
            f"the data set {name!r} is read from a folder; pass --config.data.dir=PATH"
        )
    return registry.make("data set", DATASETS, name, (), options, owner="data set")
