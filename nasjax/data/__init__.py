"""Images to learn from: data sets by name, their augmentation and their batches."""

import inspect
from collections.abc import Callable
from typing import Any

from nasjax.core.errors import ConfigError, unknown_name
from nasjax.data import cifar10, digits, imagenet, synthetic
from nasjax.data.arrays import from_arrays
from nasjax.data.dataset import Augmentation, Batch, Dataset, Split

__all__ = [
    "DATASETS",
    "Augmentation",
    "Batch",
    "Dataset",
    "Split",
    "from_arrays",
    "load",
]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "cifar10": cifar10.load,
    "digits": digits.load,
    "imagenet": imagenet.load,
    "synthetic": synthetic.load,
}
"""Loaders by name; their keyword arguments are the options of `load`."""


def load(name: str, **options: Any) -> Dataset:
    """Loads a data set.

    Args:
      name: a key of `DATASETS`.
      **options: of that data set's loader. `cifar10` and `imagenet` need `dir`, the
        folder of their files.

    Returns:
      The data set.

    Raises:
      ConfigError: an unknown name or option, or an empty `dir`.
      DataError: a file is missing or malformed.
    """
    if name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)
    loader = DATASETS[name]
    known = inspect.signature(loader).parameters
    for option in options:
        if option not in known:
            raise unknown_name(f"option of data set {name!r}", option, known)
    if "dir" in known and not options.get("dir"):
        raise ConfigError(
            f"the data set {name!r} is read from a folder; pass --config.data.dir=PATH"
        )
    return loader(**options)
