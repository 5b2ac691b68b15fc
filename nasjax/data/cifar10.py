"""CIFAR-10 from the official files, in the python or the binary form.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from nasjax.core import paths, read_guard, safe_pickle
from nasjax.core.errors import DataError
from nasjax.data.arrays import ArraySplit
from nasjax.data.dataset import Augmentation, Dataset

SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

MEAN = (0.4914, 0.4822, 0.4465)
"""Per channel, of the 50,000 training images on the scale 0..1."""

STD = (0.2470, 0.2435, 0.2616)

PIXELS = 3 * 32 * 32
"""Bytes of an image: three planes of 32 rows."""

Images = tuple[np.ndarray, np.ndarray]
"""uint8 `[N, 32, 32, 3]` and int32 `[N]`."""


def load(*, dir: str | os.PathLike[str]) -> Dataset:
    """Reads the five training batches and the test batch of a folder.

    Args:
      dir: `cifar-10-batches-py`, `cifar-10-batches-bin` or the folder that holds one
        of them. Files may have any number of images.

    Returns:
      A data set of 32x32x3 images; pad 4, crop, flip, and cutout 16.

    Raises:
      DataError: a file is missing, truncated, of another form, holds a label outside
        0..9 or as many labels as it has not images, or is a pickle with anything but
        arrays in it.
    """
    folder, suffix, read = _find(paths.expand(dir))
    train = [read(folder / f"data_batch_{i}{suffix}") for i in range(1, 6)]
    augmentation = Augmentation(pad=4, flip=True, cutout=16)

    def split(parts: list[Images]) -> ArraySplit:
        images, labels = zip(*parts, strict=True)
        return ArraySplit(
            np.concatenate(images),
            np.concatenate(labels),
            mean=MEAN,
            std=STD,
            augmentation=augmentation,
        )

    return Dataset(
        name="cifar10",
        num_classes=10,
        image_shape=(32, 32, 3),
        augmentation=augmentation,
        train=split(train),
        test=split([read(folder / f"test_batch{suffix}")]),
        class_names=CLASS_NAMES,
    )


def _find(root: pathlib.Path) -> tuple[pathlib.Path, str, Callable[..., Images]]:
    """The folder of the batches, the suffix of their names and their reader."""
    if not paths.is_folder(root):
        raise DataError(f"{root} is not a folder; CIFAR-10 is at {SOURCE}")
    # Inside the folder that holds it, and one level above or below that.
    kinds = ("cifar-10-batches-py", "cifar-10-batches-bin")
    inner = [folder for folder in paths.entries(root) if folder.is_dir()]
    folders = [root, *(root / name for name in kinds)]
    folders += [folder / name for folder in inner for name in ("", *kinds)]
    forms = [("", read_python), (".bin", read_binary)]
    absent = {}
    for folder in folders:
        for suffix, read in forms:
            names = [f"data_batch_{i}{suffix}" for i in range(1, 6)]
            names.append(f"test_batch{suffix}")
            missing = [name for name in names if not paths.is_file(folder / name)]
            if not missing:
                return folder, suffix, read
            if len(missing) < len(names):
                absent[folder / missing[0]] = len(missing)
    if absent:
        nearest = min(absent, key=lambda path: absent[path])
        raise DataError(f"{nearest} is missing; the whole of CIFAR-10 is at {SOURCE}")
    for folder in [root, *inner]:
        if _is_cifar100(folder):
            raise DataError(
                f"{folder} holds CIFAR-100, which is not read; CIFAR-10 is at {SOURCE}"
            )
    raise DataError(
        f"{root} holds neither data_batch_1 nor data_batch_1.bin; unpack the python or "
        f"the binary version of CIFAR-10 there, from {SOURCE}"
    )


def _is_cifar100(folder: pathlib.Path) -> bool:
    """Whether a folder holds CIFAR-100, in either form."""
    fine = ("fine_label_names.txt", "coarse_label_names.txt", "fine_label_names")
    return folder.name.startswith("cifar-100") or any(
        paths.is_file(folder / name) for name in fine
    )


def read_python(path: pathlib.Path) -> Images:
    """One pickled batch: a mapping with `data` uint8 `[N, 3072]` and `labels` `[N]`."""
    try:
        content = safe_pickle.load(path, allow=safe_pickle.NUMPY)
    except DataError as error:
        raise DataError(f"{error}; CIFAR-10 is at {SOURCE}") from error
    if not isinstance(content, dict):
        raise _malformed(path, f"is a {type(content).__name__}, not a mapping")
    if any(key in content for key in ("fine_labels", b"fine_labels")):
        raise _malformed(path, "is a file of CIFAR-100, which is not read")
    pixels = _entry(path, content, "data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise _malformed(path, "has data that are not an array of bytes")
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        shape = "x".join(str(size) for size in pixels.shape)
        raise _malformed(path, f"has data of shape {shape}, not Nx{PIXELS}")
    labels = _labels(path, _entry(path, content, "labels"))
    return _images(path, np.asarray(pixels), labels)


def read_binary(path: pathlib.Path) -> Images:
    """One binary batch: records of a label byte and 3,072 pixel bytes."""
    try:
        content = np.frombuffer(read_guard.read_file(path), np.uint8)
    except DataError as error:
        raise DataError(f"{error}; CIFAR-10 is at {SOURCE}") from error
    if content.size % (PIXELS + 1):
        raise _malformed(
            path,
            f"has {content.size} bytes, which is no multiple of {PIXELS + 1}: "
            "the file is truncated",
        )
    records = content.reshape(-1, PIXELS + 1)
    return _images(path, records[:, 1:], records[:, 0])


def _entry(path: pathlib.Path, content: dict[object, object], name: str) -> object:
    """The value under `name`, which Python 2 wrote as bytes."""
    for key in (name, name.encode()):
        if key in content:
            return content[key]
    raise _malformed(path, f"has no {name!r}")


def _labels(path: pathlib.Path, value: object) -> np.ndarray:
    """Labels as integers `[N]`, from a list or an array."""
    if isinstance(value, list) and all(isinstance(x, int | np.integer) for x in value):
        value = np.array(value)
    if (
        not isinstance(value, np.ndarray)
        or value.ndim != 1
        or value.dtype.kind not in "iu"
    ):
        raise _malformed(path, "has labels that are not a list of integers")
    return value


def _images(path: pathlib.Path, pixels: np.ndarray, labels: np.ndarray) -> Images:
    """Checks labels against pixels `[N, 3072]`; planes become channels."""
    if len(pixels) != len(labels):
        raise _malformed(path, f"has {len(pixels)} images and {len(labels)} labels")
    if not len(pixels):
        raise _malformed(path, "holds no images")
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if wrong.size:
        raise _malformed(
            path, f"has label {labels[wrong[0]]} at image {wrong[0]}, not one of 0..9"
        )
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.int32)


def _malformed(path: pathlib.Path, fault: str) -> DataError:
    return DataError(f"{path} {fault}; get CIFAR-10 again from {SOURCE}")
