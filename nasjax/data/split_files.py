"""The fixed lists by which NAS-Bench-201 sets images apart for validation.

They are files of its code, https://github.com/D-X-Y/AutoDL-Projects, in the folder
`configs/nas-benchmark`, and were drawn once: no seed gives them again, so they are
read. `cifar-split.txt` halves the training images of CIFAR-10,
`cifar100-test-split.txt` and `imagenet-16-120-test-split.txt` halve the test images.

Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search, 2020, section 2.2.
"""

import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from nasjax.core import paths, read_guard
from nasjax.core.errors import DataError
from nasjax.data.arrays import ArraySplit

SOURCE = "https://github.com/D-X-Y/AutoDL-Projects (configs/nas-benchmark)"

TRAIN_KEYS = ("valid", "train")
"""Lists in a cut of training images: for validation, and the others."""

TEST_KEYS = ("xvalid", "xtest")
"""Lists in a cut of test images, likewise."""

_MAX_BYTES = 2**23
"""The official ones have up to 400 KB."""

_NUMBER = re.compile("[0-9]{1,9}")


def cut(
    images: ArraySplit,
    split: str,
    folders: Sequence[pathlib.Path],
    *,
    keys: tuple[str, str],
) -> tuple[ArraySplit | None, ArraySplit]:
    """The images for validation, and the others.

    Args:
      images: what is cut.
      split: name of a file in one of the folders, or its path; "": nothing is cut.
      folders: where it may lie.
      keys: of its two lists.

    Raises:
      DataError: as `read`.
    """
    if not split:
        return None, images
    path = paths.expand(split)
    places = [*(folder / path for folder in folders), path]
    found = [place for place in places if paths.is_file(place)]
    if not found:
        raise DataError(
            f"{places[0]}: no such file; it is at {SOURCE}; pass --config.data.split= "
            "to do without it"
        )
    valid, others = read(found[0], len(images), keys=keys)
    return images.take(valid), images.take(others)


def read(
    path: str | os.PathLike[str], size: int, *, keys: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of images in both lists, in their order.

    The file is JSON: `{"xvalid": ["int", ["1", "3", ...]], "xtest": ["int", ["0",
    ...]]}`; plain lists of integers are read, too.

    Args:
      path: the file.
      size: number of images, each of which must be in one of the lists.
      keys: of the lists.

    Returns:
      int64 `[V]` and `[size - V]`.

    Raises:
      DataError: it is missing, malformed, or of another data set.
    """
    try:
        content = read_guard.read_file(path, max_bytes=_MAX_BYTES)
        lists = read_guard.parse_json(content, name=path, what="not a split file")
        if not isinstance(lists, dict):
            raise DataError(f"{path} is a {type(lists).__name__}, not a mapping")
        first, second = (_numbers(path, lists, key, size) for key in keys)
        _check_parts(path, first, second, size)
    except DataError as error:
        raise DataError(f"{error}; split files are at {SOURCE}") from error
    return first, second


def _numbers(
    path: str | os.PathLike[str], lists: dict[str, object], key: str, size: int
) -> np.ndarray:
    """int64 `[n]`: the numbers of one list."""
    if key not in lists:
        raise DataError(f"{path} has no {key!r}: it is damaged, or of another data set")
    value = lists[key]
    if isinstance(value, list) and len(value) == 2 and value[0] == "int":
        value = value[1]
    if not isinstance(value, list) or not value:
        raise DataError(f"{path} has no list of numbers under {key!r}")
    numbers = np.empty(len(value), np.int64)
    for place, item in enumerate(value):
        if isinstance(item, str) and _NUMBER.fullmatch(item):
            item = int(item)
        if type(item) is not int or not 0 <= item < size:
            raise DataError(
                f"{path} has {read_guard.show(item)} under {key!r}, not a number of "
                f"0..{size - 1}: it is damaged, or of another data set"
            )
        numbers[place] = item
    return numbers


def _check_parts(
    path: str | os.PathLike[str], first: np.ndarray, second: np.ndarray, size: int
) -> None:
    """Raises `DataError` unless each image is in one list, once."""
    counts = np.bincount(np.concatenate([first, second]), minlength=size)
    (twice,) = np.nonzero(counts > 1)
    if twice.size:
        raise DataError(f"{path} lists image {twice[0]} twice")
    named = int(counts.sum())
    if named < size:
        raise DataError(
            f"{path} lists {named} images, and there are {size}: it is of another "
            "data set"
        )
