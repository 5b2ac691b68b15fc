"""Files inside archives, read one by one in memory and never unpacked to a disk.

Names that lead out of a folder, links, devices, encrypted members, members of the same
name and members larger than the caller expects are refused before they are read.
"""

import bz2
import contextlib
import os
import pathlib
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from nasjax.core import read_guard
from nasjax.core.errors import DataError

_MAX_HEADER = 1 << 24
"""Bytes of a directory or header of an archive; 14,000 logs take 1.5 MB."""

_MAX_MEMBERS = 200_000
_MAX_STREAMS = 128
_PIECE = 1 << 18
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_name(archive: str | os.PathLike[str], name: str) -> None:
    """Raises `DataError` for a member name that could leave the folder, or has none."""
    parts = re.split(r"[/\\]", name)
    if ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in name:
        raise DataError(
            f"{archive}: refused the member {name[:80]!r}, which leads out of a "
            "folder; get the file from its official source"
        )
    if not name.isprintable():
        raise DataError(
            f"{archive}: refused the member {name[:80]!r}, whose name has characters "
            "that no file name should have"
        )


def read_tar(
    path: str | os.PathLike[str], pattern: str, *, max_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """The files of an uncompressed tar whose base names match, in its order.

    Args:
      path: the archive.
      pattern: regular expression of the whole base name; other files are passed over.
      max_bytes: refuse larger matching files.

    Yields:
      (base name, content).

    Raises:
      DataError: the archive is damaged, or holds a member that is refused.
    """
    with read_guard.open_file(path) as file, _open_tar(path, file) as archive:
        meter = read_guard.Meter(os.fspath(path), max_objects=_MAX_MEMBERS)
        while (member := _next_member(path, archive)) is not None:
            meter.count(1)
            check_name(path, member.name)
            base = pathlib.PurePosixPath(member.name).name
            if member.isdir() or not re.fullmatch(pattern, base):
                continue
            if not member.isreg() or member.issparse():
                raise DataError(
                    f"{path}: refused {member.name[:80]!r}: not a plain file"
                )
            _check_size(path, member.name, member.size, max_bytes)
            yield base, _read_member(path, archive, member)
            meter.renew()


@contextlib.contextmanager
def _open_tar(
    path: str | os.PathLike[str], file: BinaryIO
) -> Iterator[tarfile.TarFile]:
    bounded = read_guard.Bounded(file, max_read=_MAX_HEADER, name=os.fspath(path))
    with _whole_tar(path):
        archive = tarfile.open(fileobj=bounded, mode="r:")
    with archive:
        yield archive


def _whole_tar(
    path: str | os.PathLike[str],
) -> contextlib.AbstractContextManager[read_guard.Place]:
    return read_guard.guard(path, "not a plain, whole tar archive")


def _next_member(
    path: str | os.PathLike[str], archive: tarfile.TarFile
) -> tarfile.TarInfo | None:
    with _whole_tar(path):
        member = archive.next()
        archive.members.clear()  # type: ignore[attr-defined]  # which would keep the headers of all
    return member


def _read_member(
    path: str | os.PathLike[str], archive: tarfile.TarFile, member: tarfile.TarInfo
) -> bytes:
    with _whole_tar(path):
        file = archive.extractfile(member)
        content = b"".join(iter(lambda: file.read(_PIECE), b"")) if file else b""
    if len(content) != member.size:
        raise DataError(f"{path}: truncated in {member.name[:80]!r}")
    return content


def read_zip(
    path: str | os.PathLike[str],
    pattern: str,
    *,
    max_bytes: int,
    max_total_bytes: int,
) -> Iterator[tuple[str, bytes]]:
    """The files of a zip whose names match, in its order.

    Args:
      path: the archive.
      pattern: regular expression of the base name; other files are passed over.
      max_bytes: refuse larger files.
      max_total_bytes: refuse archives whose matching files take more in all.

    Yields:
      (name in the archive, content).

    Raises:
      DataError: the archive is damaged, or holds a member that is refused.
    """
    with open_zip(path) as archive:
        members = [m for m in archive.infolist() if _matches(path, m, pattern)]
        total = sum(member.file_size for member in members)
        _check_size(path, "all files together", total, max_total_bytes)
        for member in members:
            _check_size(path, member.filename, member.file_size, max_bytes)
            yield member.filename, _read_zipped(path, archive, member)


@contextlib.contextmanager
def open_zip(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """A zip archive, whose names have been checked and are all different.

    Raises:
      DataError: it is damaged, has too many members, or one that is refused.
    """
    name = os.fspath(path)
    with read_guard.open_file(path) as file:
        bounded = read_guard.Bounded(file, max_read=_MAX_HEADER, name=name)
        with read_guard.guard(path, "not a whole zip archive"):
            archive = zipfile.ZipFile(bounded)
        with archive:
            names = set[str]()
            for member in archive.infolist():
                check_name(path, member.filename)
                if member.filename in names:
                    raise DataError(
                        f"{path}: holds {member.filename[:80]!r} twice; download it "
                        "again"
                    )
                names.add(member.filename)
            yield archive


def _read_zipped(
    path: str | os.PathLike[str], archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> bytes:
    """The content, which is as long as the directory says."""
    parts, size = [], 0
    with read_guard.guard(path, "not a whole zip archive") as place:
        place.at = member.filename[:80]
        with archive.open(member) as file:
            while part := file.read(_PIECE):
                parts.append(part)
                size += len(part)
                _check_size(path, member.filename, size, member.file_size)
    if size != member.file_size:
        raise DataError(f"{path}: truncated in {member.filename[:80]!r}")
    return b"".join(parts)


def _matches(
    path: str | os.PathLike[str], member: zipfile.ZipInfo, pattern: str
) -> bool:
    """Whether a member is one of the wanted files; refuses what cannot be read."""
    base = pathlib.PurePosixPath(member.filename).name
    if member.is_dir() or not re.fullmatch(pattern, base):
        return False
    if stat.S_ISLNK(member.external_attr >> 16) or member.flag_bits & 1:
        raise DataError(
            f"{path}: refused {member.filename[:80]!r}: a link or encrypted"
        )
    if member.compress_type not in _METHODS:
        raise DataError(
            f"{path}: refused {member.filename[:80]!r}: compressed in another way "
            "than zip programs do by default; zip it again"
        )
    return True


def _check_size(
    path: str | os.PathLike[str], name: str, size: int, max_bytes: int
) -> None:
    if size > max_bytes:
        raise DataError(
            f"{path}: refused {name[:80]!r}: {size} bytes, more than {max_bytes}; get "
            "the file from its official source"
        )


def decompress(content: bytes, *, max_bytes: int, name: str) -> bytes:
    """The content of a bzip2 file of at most `max_bytes`.

    Raises:
      DataError: it is damaged, truncated or larger.
    """
    parts, size = [], 0
    read_guard.refuse_placeholder(name, content)
    while content:
        stream = bz2.BZ2Decompressor()
        with read_guard.guard(name, "not a bzip2 file"):
            parts.append(stream.decompress(content, max_bytes - size + 1))
        size += len(parts[-1])
        _check_size(name, "its content", size, max_bytes)
        if not stream.eof:
            raise DataError(f"{name}: truncated; download it again")
        if len(parts) > _MAX_STREAMS:
            raise DataError(f"{name}: refused: more than {_MAX_STREAMS} streams")
        content = stream.unused_data
    if not parts:
        raise DataError(f"{name}: the file is empty; download it again")
    return b"".join(parts)
