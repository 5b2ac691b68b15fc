"""TFRecord files with the standard library and numpy, every checksum verified.

Frame: length uint64, masked CRC-32C of it, data, masked CRC-32C of the data, all little
endian. Checksums are computed for all records of equal length in a block at once.
"""

import os
import struct
from collections.abc import Iterator

import numpy as np

from nasjax.core import read_guard
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import crc32c

_BLOCK = 1 << 23
_HEAD, _FOOT = 12, 4
FRAME_BYTES = _HEAD + _FOOT
"""What a record takes beside its data."""
_FEW, _ROWS = 8, 1 << 14
_LENGTH = struct.Struct("<Q").unpack_from


def read(
    path: str | os.PathLike[str], *, max_bytes: int = 1 << 16
) -> Iterator[list[bytes]]:
    """The records of a file, some thousands at a time.

    Args:
      path: the file.
      max_bytes: refuse longer records.

    Raises:
      DataError: the file is missing or truncated, or a checksum differs.
    """
    rest, offset = b"", 0
    with read_guard.open_file(path) as file:
        while block := file.read(_BLOCK):
            data = rest + block
            starts, end = _frames(path, data, offset, max_bytes)
            if starts:
                yield _verified(path, data, starts, offset)
            rest, offset = data[end:], offset + end
    if rest:
        raise DataError(f"{path}: truncated at byte {offset}; download it again")


def _frames(
    path: str | os.PathLike[str], data: bytes, offset: int, max_bytes: int
) -> tuple[list[tuple[int, int]], int]:
    """(start, length) of the data of every whole frame, and where they end."""
    frames, place, size = [], 0, len(data)
    while place + _HEAD <= size:
        (length,) = _LENGTH(data, place)
        if length > max_bytes:
            raise DataError(
                f"{path}: a record of {length} bytes at byte {offset + place}: damaged "
                "or not a TFRecord file"
            )
        end = place + _HEAD + length + _FOOT
        if end > size:
            break
        frames.append((place + _HEAD, length))
        place = end
    return frames, place


def _verified(
    path: str | os.PathLike[str],
    data: bytes,
    frames: list[tuple[int, int]],
    offset: int,
) -> list[bytes]:
    """The records, after both checksums of each have been compared."""
    view = np.frombuffer(data, np.uint8)
    starts, lengths = np.array(frames).T
    _compare(path, view, starts - _HEAD, 8, offset)
    kinds, kind, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    for length in kinds[counts >= _FEW]:
        _compare(path, view, starts[lengths == length], int(length), offset)
    rare = counts[kind.ravel()] < _FEW
    _compare_rare(path, view, starts[rare], lengths[rare], offset)
    return [data[start : start + length] for start, length in frames]


def _compare(
    path: str | os.PathLike[str],
    view: np.ndarray,
    starts: np.ndarray,
    length: int,
    offset: int,
) -> None:
    """Compares the checksum that follows `length` bytes from each start on."""
    for first in range(0, len(starts), _ROWS):
        some = starts[first : first + _ROWS]
        rows = view[some[:, None] + np.arange(length + 4)]
        stored = np.ascontiguousarray(rows[:, length:]).view("<u4")[:, 0]
        _refuse(path, crc32c.checksums(rows[:, :length]), stored, some, offset)


def _compare_rare(
    path: str | os.PathLike[str],
    view: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    offset: int,
) -> None:
    """The same for records of many lengths, each of which is rare."""
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    feet = view[(starts + lengths)[:, None] + np.arange(4)]
    stored = np.ascontiguousarray(feet).view("<u4")[:, 0]
    found = crc32c.checksums_of(view, starts, lengths)
    _refuse(path, found, stored, starts, offset)


def _refuse(
    path: str | os.PathLike[str],
    found: np.ndarray,
    stored: np.ndarray,
    starts: np.ndarray,
    offset: int,
) -> None:
    wrong = starts[crc32c.masked(found) != stored]
    if len(wrong):
        raise DataError(
            f"{path}: the checksum of the record at byte {offset + wrong.min()} "
            "differs: the file is damaged, download it again"
        )
