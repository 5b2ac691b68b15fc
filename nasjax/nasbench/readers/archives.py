"""Files inside archives, read one by one in memory and never unpacked to a disk.

Names that lead out of a folder, links, devices, encrypted members and members larger
than the caller expects are refused before they are read.
"""

import bz2
import os
import pathlib
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator

from nasjax.core.errors import DataError


def check_name(archive: str | os.PathLike[str], name: str) -> None:
    """Raises `DataError` for a member name that could leave the folder."""
    parts = re.split(r"[/\\]", name)
    if ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in name:
        raise DataError(
            f"{archive}: refused the member {name[:80]!r}, which leads out of a "
            "folder; get the file from its official source"
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
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                check_name(path, member.name)
                base = pathlib.PurePosixPath(member.name).name
                if member.isdir() or not re.fullmatch(pattern, base):
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(
                        f"{path}: refused {member.name!r}: not a plain file"
                    )
                _check_size(path, member.name, member.size, max_bytes)
                file = archive.extractfile(member)
                content = file.read() if file else b""
                if len(content) != member.size:
                    raise DataError(f"{path}: truncated in {member.name!r}")
                yield base, content
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{path}: not a plain, whole tar archive: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


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
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                check_name(path, member.filename)
            members = [m for m in members if _matches(path, m, pattern)]
            total = sum(member.file_size for member in members)
            _check_size(path, "all files together", total, max_total_bytes)
            for member in members:
                _check_size(path, member.filename, member.file_size, max_bytes)
                with archive.open(member) as file:
                    content = file.read(max_bytes + 1)
                _check_size(path, member.filename, len(content), max_bytes)
                yield member.filename, content
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise DataError(f"{path}: not a whole zip archive: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _matches(
    path: str | os.PathLike[str], member: zipfile.ZipInfo, pattern: str
) -> bool:
    """Whether a member is one of the wanted files; refuses links and encryption."""
    base = pathlib.PurePosixPath(member.filename).name
    if member.is_dir() or not re.fullmatch(pattern, base):
        return False
    if stat.S_ISLNK(member.external_attr >> 16) or member.flag_bits & 1:
        raise DataError(f"{path}: refused {member.filename!r}: a link or encrypted")
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
    try:
        while content:
            stream = bz2.BZ2Decompressor()
            parts.append(stream.decompress(content, max_bytes - size + 1))
            size += len(parts[-1])
            _check_size(name, "its content", size, max_bytes)
            if not stream.eof:
                raise DataError(f"{name}: truncated; download it again")
            content = stream.unused_data
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: not a bzip2 file: {error}") from error
    if not parts:
        raise DataError(f"{name}: the file is empty; download it again")
    return b"".join(parts)
