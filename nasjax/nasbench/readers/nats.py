"""`NATS-tss-v1_0-3ffb9-simple`: one compressed pickle for each architecture.

The folder (or the tar of it) holds `000000.pickle.pbz2` to `015624.pickle.pbz2`.
"""

import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from nasjax.core import paths, read_guard, safe_pickle
from nasjax.core.progress import progress
from nasjax.nasbench.readers import archives, nasbench201
from nasjax.spaces.nasbench201 import SIZE

MEMBER = r"\d{6}\.pickle\.pbz2"
_MAX_COMPRESSED = 1 << 24
_MAX_BYTES = 1 << 26
_ALLOW = {
    key: safe_pickle.NUMPY[key]
    for key in (
        ("collections", "OrderedDict"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
    )
}


def is_nats(path: pathlib.Path) -> bool:
    """Whether a folder holds such files; for a file, whether it is a tar."""
    if paths.is_folder(path):
        return any(re.fullmatch(MEMBER, file.name) for file in paths.entries(path))
    return path.suffix == ".tar"


def convert(
    path: pathlib.Path, output: str | os.PathLike[str], source: dict[str, Any]
) -> None:
    """Writes the table file of all architectures of a folder or tar.

    Raises:
      DataError: a file is damaged, refused, or not of the official form.
    """
    with (
        nasbench201.building(output, source) as builder,
        progress(_count(path), description="reading", unit="architecture") as bar,
    ):
        for name, content in _files(path):
            where = f"{path.name}/{name}"
            builder.add(read_file(content, name=where), name=where)
            bar.update()


def read_file(content: bytes, *, name: str) -> nasbench201.Record:
    """One architecture from the bytes of its file.

    Raises:
      DataError: they are damaged, refused or not of the official form.
    """
    raw = archives.decompress(content, max_bytes=_MAX_BYTES, name=name)
    data = safe_pickle.load(raw, allow=_ALLOW, max_bytes=_MAX_BYTES, name=name)
    with read_guard.guard(name, "not of the official NATS-tss form"):
        if not {type(key) for key in data} <= {int, str}:
            raise TypeError("a schedule that is no number")
        return nasbench201.read_record(data, nasbench201.read_run)


def _files(path: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    if not paths.is_folder(path):
        yield from archives.read_tar(path, MEMBER, max_bytes=_MAX_COMPRESSED)
        return
    for file in paths.entries(path):
        if re.fullmatch(MEMBER, file.name):
            yield file.name, read_guard.read_file(file, max_bytes=_MAX_COMPRESSED)


def _count(path: pathlib.Path) -> int:
    if not paths.is_folder(path):
        return SIZE
    return sum(bool(re.fullmatch(MEMBER, file.name)) for file in paths.entries(path))
