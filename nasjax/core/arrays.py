"""Trees of arrays as safetensors files: nothing in them can run.

A file holds the leaves of one tree, named by their `/`-joined paths, and a JSON
object of metadata. Files are read by the parser here, which checks every offset
against the size of the file before anything is viewed, so that large tables can be
mapped into memory without a copy. A file of ours has a checksum of all its bytes, which
is compared once in each process that reads it.
"""

import functools
import json
import math
import os
import pathlib
import re
import zlib
from typing import Any, BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from absl import logging

from nasjax.core import atomic_file, errors, read_guard

_DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "C64": np.dtype(np.complex64),
}
_METADATA = "__metadata__"
# The key of our metadata, in older files and with the checksum. It is one key, because
# the order in which safetensors writes several of them is not always the same.
_UNCHECKED = "nasjax"
_SEALED = "nasjax crc32:"
_SEAL = re.compile(rb'"nasjax crc32:([0-9a-f]{8})"\s*:')
_MAX_HEADER = 1 << 24
_MAX_DIMS = 32
_MAX_SIZE = 2**80
_PIECE = 1 << 20


def save(
    path: str | os.PathLike[str],
    tree: Any,
    *,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Writes the leaves of `tree` to one safetensors file, whole or not at all.

    Args:
      path: the file; an existing one is replaced, a missing folder is made.
      tree: nested dicts, lists, NamedTuples or `flax.struct` nodes of arrays and
        Python numbers. Typed PRNG keys are refused: save `jax.random.key_data`.
      metadata: a JSON-able dict, returned by `load_metadata`.

    Raises:
      TypeError: a leaf is not an array of a type that the format has.
      ValueError: two leaves have the same path, or a key contains `/`.
      OSError: the file cannot be written.
    """
    from safetensors.numpy import save_file

    header = header_metadata(metadata or {})
    arrays = {key: _as_saved(key, leaf) for key, leaf in _flatten(tree).items()}
    with atomic_file.replacing(path) as temporary:
        save_file(arrays, temporary, metadata=header)
        seal(temporary)


def header_metadata(metadata: dict[str, Any]) -> dict[str, str]:
    """What the header of a file of ours says under `__metadata__`, until `seal`.

    For a writer of its own; `save` does it itself.
    """
    return {f"{_SEALED}{0:08x}": json.dumps(metadata, sort_keys=True)}


def seal(path: str | os.PathLike[str]) -> None:
    """Writes the checksum of a finished file into its header.

    It is the CRC-32 of all bytes of the file, its own eight digits taken as zeros.

    Raises:
      ValueError: the header has no place for one (see `header_metadata`).
      OSError: the file cannot be written.
    """
    with open(path, "rb+") as file:
        found, place = _checksum(file)
        file.seek(place)
        file.write(f"{found:08x}".encode())


def _checksum(file: BinaryIO) -> tuple[int, int]:
    """The checksum that a file should have, and where its digits are."""
    start = file.read(8)
    raw = file.read(min(int.from_bytes(start, "little"), _MAX_HEADER))
    places = [match.span(1) for match in _SEAL.finditer(raw)]
    if len(places) != 1:
        raise ValueError("its checksum is not in one place")
    first, last = places[0]
    blank = raw[:first] + b"0" * (last - first) + raw[last:]
    value = zlib.crc32(blank, zlib.crc32(start))
    while piece := file.read(_PIECE):
        value = zlib.crc32(piece, value)
    return value, 8 + first


def load(path: str | os.PathLike[str], *, template: Any = None) -> Any:
    """Reads a file back as writable numpy arrays.

    Args:
      path: a safetensors file, ours or of any other writer.
      template: a tree whose leaves have `shape` and `dtype` (arrays or
        `jax.ShapeDtypeStruct`s) or are Python numbers.

    Returns:
      Nested dicts, one level for each `/` in a key; or the structure of `template`,
      Python numbers where it has them.

    Raises:
      errors.DataError: the file is missing, damaged, or is not what `template`
        says; the message names the file, the key, what was expected and found.
    """
    arrays = {key: np.array(view) for key, view in memory_map(path).items()}
    if template is None:
        return _nest(path, arrays)
    return _fill(path, arrays, template)


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what `save` was given as `metadata`.

    The metadata of another writer are returned as its map of strings.

    Raises:
      errors.DataError: the file is missing or damaged.
    """
    metadata = _read_header(path).metadata
    key = _our_key(metadata)
    if not key:
        return dict(metadata)
    ours = read_guard.parse_json(
        metadata[key], name=path, what="its metadata are not JSON"
    )
    if not isinstance(ours, dict):
        raise _damaged(path, "its metadata are not a JSON object")
    return ours


def memory_map(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Returns read-only views of all arrays, by key, without reading the data.

    Pages are read from the disk when they are touched. The file must not be
    truncated while the views live; replacing it, as `save` does, is safe.

    Raises:
      errors.DataError: the file is missing or damaged.
    """
    header = _read_header(path)
    data: np.ndarray = np.empty(0, np.uint8)
    views = {}
    with read_guard.guard(path, "damaged", remedy="get or make the file again"):
        if header.data_size:
            mapped = np.memmap(path, np.uint8, mode="r", offset=header.data_start)
            data = np.asarray(mapped)
        for key, (dtype, shape, start, stop) in header.entries.items():
            view = data[start:stop].view(dtype).reshape(shape)
            view.flags.writeable = False
            views[key] = view
    return views


class _Header(NamedTuple):
    metadata: dict[str, str]
    entries: dict[str, tuple[np.dtype, tuple[int, ...], int, int]]
    data_start: int
    data_size: int


def _read_header(path: str | os.PathLike[str]) -> _Header:
    """Parses and checks the header; afterwards every entry can be viewed."""
    with read_guard.open_file(path) as file:
        status = os.fstat(file.fileno())
        size = status.st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise _damaged(path, "it is truncated or not a safetensors file")
        raw = file.read(length)
    header = _parse_json(path, raw)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise _damaged(path, "its metadata are not a map of strings")
    entries = {key: _check_entry(path, key, value) for key, value in header.items()}
    data_size = size - 8 - length
    _check_coverage(path, entries, data_size)
    if key := _our_key(metadata):
        facts = status.st_dev, status.st_ino, size, status.st_mtime_ns
        _verify(os.path.abspath(path), facts, key != _UNCHECKED)
    return _Header(metadata, entries, 8 + length, data_size)


def _our_key(metadata: dict[str, str]) -> str:
    """The key of our metadata, though its name may be damaged; "" in other files."""
    ours = [key for key in metadata if _UNCHECKED in key or "crc32:" in key]
    return ours[0] if ours else ""


@functools.lru_cache(maxsize=1024)
def _verify(path: str, facts: tuple[int, ...], has_checksum: bool) -> None:
    """Compares the checksum, once for each file that is told apart by `facts`.

    Raises:
      errors.DataError: it differs.
    """
    if not has_checksum:
        logging.warning(
            "%s: has no checksum (an older version wrote it), so damage to its numbers "
            "would go unnoticed",
            path,
        )
        return
    with read_guard.open_file(path) as file:
        try:
            found, place = _checksum(file)
        except ValueError as error:
            raise _damaged(path, "its checksum is malformed") from error
        file.seek(place)
        if file.read(8) != f"{found:08x}".encode():
            raise _damaged(path, "its checksum differs, so it is damaged")


def _parse_json(path: str | os.PathLike[str], raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    what = "damaged or no safetensors file: its header is not JSON"
    header = read_guard.parse_json(raw, name=path, what=what, object_pairs_hook=unique)
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    return header


def _check_entry(
    path: str | os.PathLike[str], key: str, entry: Any
) -> tuple[np.dtype, tuple[int, ...], int, int]:
    if not isinstance(entry, dict):
        raise _damaged(path, f"{key[:80]!r} has no description")
    name = entry.get("dtype")
    shape, offsets = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
    if not isinstance(name, str) or name not in _DTYPES:
        raise errors.DataError(
            f"{path}: {key[:80]!r} has the unsupported type {read_guard.show(name)}"
        )
    if shape is None or offsets is None or len(offsets) != 2:
        raise _damaged(path, f"{key[:80]!r} has a malformed shape or offsets")
    start, stop = offsets
    if stop - start != math.prod(shape) * _DTYPES[name].itemsize:
        raise _damaged(path, f"the offsets of {key[:80]!r} do not fit its shape")
    return _DTYPES[name], shape, start, stop


def _sizes(value: Any) -> tuple[int, ...] | None:
    """The value as sizes, or None when it is not a short list of numbers from 0.

    With these limits the product of all sizes is no long work.
    """
    if not isinstance(value, list) or len(value) > _MAX_DIMS:
        return None
    if not all(type(item) is int and 0 <= item <= _MAX_SIZE for item in value):
        return None
    return tuple(value)


def _check_coverage(
    path: str | os.PathLike[str],
    entries: dict[str, tuple[np.dtype, tuple[int, ...], int, int]],
    data_size: int,
) -> None:
    """The format wants the arrays to fill the data section, without gap or overlap."""
    position = 0
    spans = {key: (entry[2], entry[3]) for key, entry in entries.items()}
    for key, (start, stop) in sorted(spans.items(), key=lambda item: item[1]):
        if start != position:
            raise _damaged(path, f"{key[:80]!r} overlaps another array or leaves a gap")
        position = stop
    if position > data_size:
        promised = f"its header promises {position} bytes and {data_size} are there"
        raise _damaged(path, f"it is truncated: {promised}")
    if position < data_size:
        raise _damaged(path, f"{data_size - position} bytes follow the last array")


def _damaged(path: str | os.PathLike[str], what: str) -> errors.DataError:
    return errors.DataError(f"{path}: {what}; get or make the file again")


def _flatten(tree: Any) -> dict[str, Any]:
    """Leaves by `/`-joined path; a tree that is one leaf has the key `""`."""
    leaves: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        names = [jax.tree_util.keystr((entry,), simple=True) for entry in path]
        key = "/".join(names)
        if any("/" in name for name in names) or key == _METADATA:
            raise ValueError(f"{key!r}: names with '/' and {_METADATA!r} are not saved")
        if key in leaves:
            raise ValueError(f"{key!r} names two leaves")
        leaves[key] = leaf
    return leaves


def _as_saved(key: str, leaf: Any) -> np.ndarray:
    dtype = getattr(leaf, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(f"{key!r} is a typed PRNG key: save jax.random.key_data of it")
    array = np.asarray(leaf, order="C")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in _DTYPES.values():
        raise TypeError(f"{key!r} has the type {array.dtype}, which cannot be saved")
    return array


def _nest(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> Any:
    if list(arrays) == [""]:
        return arrays[""]
    tree: dict[str, Any] = {}
    for key in sorted(arrays):
        *parents, name = key.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise _damaged(path, f"{key[:80]!r} lies below another array")
        node[name] = arrays[key]
    return tree


def _fill(
    path: str | os.PathLike[str], arrays: dict[str, np.ndarray], template: Any
) -> Any:
    """Puts the arrays into the structure of `template` after checking them all."""
    expected = _flatten(template)
    leaves = []
    for key, leaf in expected.items():
        if key not in arrays:
            near = errors.suggest(key, arrays)
            raise errors.DataError(f"{pathlib.Path(path)}: {key!r} is missing{near}")
        array = arrays[key]
        number = not hasattr(leaf, "dtype")
        like = np.asarray(leaf) if number else leaf
        if array.shape != tuple(like.shape) or array.dtype != like.dtype:
            raise errors.DataError(
                f"{path}: {key!r} should be {like.dtype}{list(like.shape)}, "
                f"found {array.dtype}{list(array.shape)}"
            )
        leaves.append(array.item() if number else array)
    surplus = sorted(set(arrays) - set(expected))
    if surplus:
        raise errors.DataError(f"{path}: {surplus[0]!r} is not expected there")
    return jax.tree.unflatten(jax.tree.structure(template), leaves)
