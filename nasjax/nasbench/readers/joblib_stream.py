"""Reads what `joblib.dump` writes: a pickle with the bytes of its arrays in between.

In place of every array the pickle holds a wrapper (its type, shape, order and dtype);
after the opcode that gives the wrapper its state come, outside the pickle, the bytes of
the array. The whole may be compressed. Nothing is imported or called, joblib included.
"""

import os
from typing import Any, BinaryIO

import numpy as np

from nasjax.core import pickle_stream, read_guard, safe_pickle
from nasjax.core.errors import DataError

_WRAPPER = safe_pickle.stub("NumpyArrayWrapper")
_MODULES = ("joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle")
_WRAPPERS: safe_pickle.AllowList = {
    (module, "NumpyArrayWrapper"): _WRAPPER for module in _MODULES
}
_DEFLATED = {b"\x1f\x8b": "gzip", b"x\x01": "zlib", b"x^": "zlib", b"x\x9c": "zlib"}
_DEFLATED[b"x\xda"] = "zlib"
_OTHER = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"]\x00\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
    b"ZF": "the compression of joblib 0.9",
}
_CHUNK = 1 << 16


def load(
    stream: BinaryIO, *, allow: safe_pickle.AllowList, name: str, max_bytes: int
) -> Any:
    """Reads the object of a joblib file, plain or compressed with zlib or gzip.

    Args:
      stream: a seekable binary file, at its start.
      allow: as for `safe_pickle.load`, without the wrapper of arrays.
      name: what error messages call it.
      max_bytes: refuse files with more bytes after decompression, and single strings
        or all arrays together that are larger.

    Returns:
      The object; arrays are plain `numpy.ndarray`s.

    Raises:
      DataError: the stream is truncated, damaged, too large, compressed otherwise, or
        asks for anything that is not allowed; the message names what.
    """
    start = stream.read(64)
    stream.seek(-len(start), os.SEEK_CUR)
    read_guard.refuse_placeholder(name, start)
    if len(start) < 8:
        raise DataError(f"{name}: the file is truncated; download it again")
    for magic, kind in _OTHER.items():
        if start.startswith(magic):
            raise DataError(
                f"{name}: compressed with {kind}, which is not read; dump it again "
                "with joblib.dump(..., compress=('zlib', 3)) or without compression"
            )
    source: Any = stream
    if start[:2] in _DEFLATED:
        source = read_guard.Inflated(stream, max_bytes=max_bytes, name=name)
    source = _Limited(source, max_bytes, name)
    allow = {**allow, **_WRAPPERS}
    machine = _Machine(source, allow=allow, name=name, max_item_bytes=max_bytes)
    content = machine.load()
    while source.read(_CHUNK):
        pass  # to the end, where the checksum of a compressed stream is
    return content


class _Limited:
    """A stream that may not give more than so many bytes."""

    def __init__(self, stream: Any, max_bytes: int, name: str):
        self._stream, self._budget = stream, read_guard.Meter(name, max_bytes=max_bytes)

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        self._budget.spend(len(data))
        return data


class _Machine(pickle_stream.Machine):
    """Puts the array in the place of its wrapper."""

    def on_build(self, instance: Any) -> Any:
        return self._array(instance.state) if type(instance) is _WRAPPER else instance

    def _array(self, state: Any) -> np.ndarray:
        if not isinstance(state, dict) or not {"shape", "dtype", "order"} <= set(state):
            raise DataError(f"{self.name}: a malformed array of joblib")
        if state.get("numpy_array_alignment_bytes") is not None:
            self.read(self.read(1)[0])  # its first byte says how much padding follows
        shape, dtype = state["shape"], safe_pickle.plain_dtype(state["dtype"])
        data = self.read(safe_pickle.array_bytes(shape, dtype))
        return safe_pickle.from_buffer(
            self.budget, data, state["dtype"], shape, state["order"]
        )
