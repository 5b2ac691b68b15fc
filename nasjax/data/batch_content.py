"""What the official batch files of small images hold; `batch_files` says which.

The python version is a pickled mapping of pixels `[N, 3 H W]`, planes of red, green and
blue, with lists of labels; the binary version is records of label bytes and pixels.
"""

import hashlib
import pathlib

import numpy as np

from nasjax.core import read_guard, safe_pickle
from nasjax.core.errors import DataError
from nasjax.data.batch_files import KNOWN, BatchFiles, Labels, instead

Pixels = tuple[np.ndarray, np.ndarray]
"""uint8 `[N, 3 H W]` and int32 `[N]`."""


def read(
    kind: BatchFiles,
    path: pathlib.Path,
    *,
    labels: str = "",
    max_label: int = 0,
    md5: str = "",
) -> Pixels:
    """Reads one file, by the suffix of its name.

    Args:
      kind: which data set it is of.
      path: the file.
      labels: key of the labels to return; "": the only ones there are.
      max_label: keep images of labels up to this one, as the file counts; 0: of all.
      md5: what the file must have, in hexadecimal; "": anything.

    Returns:
      Pixels and labels, which count from 0.

    Raises:
      DataError: the file is missing, truncated, of another form or data set or MD5,
        holds a label out of range or as many labels as it has not images, or is a
        pickle with anything but arrays in it.
    """
    try:
        content = read_guard.read_file(path)
        if md5 and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise DataError(
                f"{path} is not the official file: its MD5 is not {md5}; pass "
                "--config.data.verify=false to read it nevertheless"
            )
        if path.suffix == ".bin":
            pixels, found = _records(kind, path, content)
        else:
            pixels, found = _mapping(kind, path, content)
    except DataError as error:
        if kind.source in str(error):
            raise
        raise DataError(f"{error}; {kind.title} is at {kind.source}") from error
    if not len(pixels):
        raise _malformed(kind, path, "holds no images")
    for one in kind.labels:
        _check_labels(kind, path, one, found[one.key], len(pixels))
    chosen = {one.key: one for one in kind.labels}[labels or kind.labels[0].key]
    values = found[chosen.key]
    if max_label:
        (rows,) = np.nonzero(values <= max_label)
        pixels, values = pixels[rows], values[rows]
    return np.asarray(pixels), (values - chosen.first).astype(np.int32)


def images(pixels: np.ndarray, side: int) -> np.ndarray:
    """uint8 `[N, H, W, 3]` of pixels `[N, 3 H W]`: planes become channels."""
    planes = pixels.reshape(-1, 3, side, side)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _mapping(
    kind: BatchFiles, path: pathlib.Path, content: bytes
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pixels and labels by key of a pickle."""
    entries = safe_pickle.load(content, allow=safe_pickle.NUMPY, name=str(path))
    if not isinstance(entries, dict):
        raise _malformed(kind, path, f"is a {type(entries).__name__}, not a mapping")
    for other in KNOWN:
        # CIFAR-10 and ImageNet16 have one key, and differ in the size of images.
        keys = {one.key for one in other.labels}
        if keys != {one.key for one in kind.labels} and _has(entries, keys):
            raise _other(kind, path, other)
    pixels = _entry(kind, path, entries, "data")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise _malformed(kind, path, "has data that are not an array of bytes")
    if pixels.ndim != 2 or pixels.shape[1] != kind.pixels:
        raise _malformed(kind, path, _wrong_shape(kind, pixels.shape))
    keys_of = [one.key for one in kind.labels]
    return pixels, {
        key: _integers(kind, path, _entry(kind, path, entries, key)) for key in keys_of
    }


def _wrong_shape(kind: BatchFiles, shape: tuple[int, ...]) -> str:
    """What is wrong with the shape of the pixels."""
    side = round((shape[-1] / 3) ** 0.5) if len(shape) == 2 else 0
    if side and shape[-1] == 3 * side**2:
        return f"has images of {side}x{side}, not {kind.side}x{kind.side} pixels"
    sizes = "x".join(str(size) for size in shape)
    return f"has data of shape {sizes}, not Nx{kind.pixels}"


def _has(entries: dict[object, object], keys: set[str]) -> bool:
    return all(key in entries or key.encode() in entries for key in keys)


def _entry(
    kind: BatchFiles, path: pathlib.Path, entries: dict[object, object], name: str
) -> object:
    """The value under `name`, which Python 2 wrote as bytes."""
    for key in (name, name.encode()):
        if key in entries:
            return entries[key]
    raise _malformed(kind, path, f"has no {name!r}")


def _integers(kind: BatchFiles, path: pathlib.Path, value: object) -> np.ndarray:
    """Labels as integers `[N]`, from a list or an array."""
    if isinstance(value, list) and all(isinstance(x, int | np.integer) for x in value):
        value = np.array(value)
    if (
        not isinstance(value, np.ndarray)
        or value.ndim != 1
        or value.dtype.kind not in "iu"
    ):
        raise _malformed(kind, path, "has labels that are not a list of integers")
    return np.asarray(value)


def _records(
    kind: BatchFiles, path: pathlib.Path, content: bytes
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pixels and labels by key of a binary file."""
    size = len(content)
    if size % kind.record:
        for other in KNOWN:
            if ".bin" in other.suffixes and not size % other.record:
                raise _other(kind, path, other)
        raise _malformed(
            kind,
            path,
            f"has {size} bytes, which is no multiple of {kind.record}: the file is "
            "truncated",
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, kind.record)
    keys = [one.key for one in kind.labels]
    return records[:, len(keys) :], {key: records[:, i] for i, key in enumerate(keys)}


def _check_labels(
    kind: BatchFiles, path: pathlib.Path, one: Labels, labels: np.ndarray, count: int
) -> None:
    """Raises `DataError` unless there is one label in range for each image."""
    if len(labels) != count:
        fault = f"has {count} images and {len(labels)} labels"
        raise _malformed(kind, path, fault)
    (wrong,) = np.nonzero((labels < one.first) | (labels > one.last))
    if wrong.size:
        raise _malformed(
            kind,
            path,
            f"has label {labels[wrong[0]]} at image {wrong[0]}, not one of "
            f"{one.first}..{one.last}",
        )


def _malformed(kind: BatchFiles, path: pathlib.Path, fault: str) -> DataError:
    return DataError(f"{path} {fault}; get {kind.title} again from {kind.source}")


def _other(kind: BatchFiles, path: pathlib.Path, other: BatchFiles) -> DataError:
    return DataError(
        f"{path} is a file of {other.title}, not of {kind.title}; "
        f"{instead(kind, other)}"
    )
