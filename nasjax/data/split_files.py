"""The fixed lists by which NAS-Bench-201 cuts a test set into validation and test.

They are files of its code, https://github.com/D-X-Y/AutoDL-Projects, in the folder
`configs/nas-benchmark`, and were drawn once: no seed gives them again, so they are
read.

Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search, 2020, section 2.2.
"""

import os
import pathlib
import re

import numpy as np

from nasjax.core import paths, read_guard
from nasjax.core.errors import DataError
from nasjax.data.arrays import ArraySplit

SOURCE = "https://github.com/D-X-Y/AutoDL-Projects (configs/nas-benchmark)"

VALID, TEST = "xvalid", "xtest"
"""Keys of the two lists."""

_MAX_BYTES = 2**23
"""The official ones have some 80 KB."""

_NUMBER = re.compile("[0-9]{1,9}")


def cut(
    images: ArraySplit, split: str, folders: tuple[pathlib.Path, ...]
) -> tuple[ArraySplit | None, ArraySplit]:
    """Validation and test images.

    Args:
      images: all of the test set.
      split: name of a file in one of the folders, or its path; "": no validation.
      folders: where it may lie.

    Raises:
      DataError: as `read`.
    """
    if not split:
        return None, images
    path = paths.expand(split)
    found = [folder / path for folder in folders if paths.is_file(folder / path)]
    valid, test = read(found[0] if found else path, len(images))
    return images.take(valid), images.take(test)


def read(path: str | os.PathLike[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of validation and of test images, as the file lists them.

    The file is JSON: `{"xvalid": ["int", ["1", "3", ...]], "xtest": ["int", ["0",
    ...]]}`; plain lists of integers are read, too.

    Args:
      path: the file.
      size: number of images of the test set, each of which must be in one list.

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
        valid, test = (_numbers(path, lists, key, size) for key in (VALID, TEST))
        _check_parts(path, valid, test, size)
    except DataError as error:
        raise DataError(f"{error}; split files are at {SOURCE}") from error
    return valid, test


def _numbers(
    path: str | os.PathLike[str], lists: dict[str, object], key: str, size: int
) -> np.ndarray:
    if key not in lists:
        raise DataError(f"{path} has no {key!r}: it is no split of a test set")
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
    path: str | os.PathLike[str], valid: np.ndarray, test: np.ndarray, size: int
) -> None:
    """Raises `DataError` unless each image is in one list, once."""
    counts = np.bincount(np.concatenate([valid, test]), minlength=size)
    (twice,) = np.nonzero(counts > 1)
    if twice.size:
        raise DataError(f"{path} lists image {twice[0]} twice")
    named = int(counts.sum())
    if named < size:
        raise DataError(
            f"{path} lists {named} images, and the test set has {size}: it is of "
            "another data set"
        )
