"""Paths that a user gives: each question to the file system is answered or refused.

`pathlib` answers "no" where nothing is there, but raises where it may not look, where a
name is too long, links lead in a circle, or a home directory is not known.
"""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator

from nasjax.core.errors import DataError


@contextlib.contextmanager
def told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what the file system raises into a `DataError` that names the path.

    Raises:
      DataError: for every OSError but a full disk, and for paths that are none.
    """
    name = os.fspath(path)
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        why = error.strerror or type(error).__name__
        raise DataError(f"{_shown(name)}: cannot be read ({why})") from error
    except RuntimeError as error:
        raise DataError(f"{_shown(name)}: there is no such home directory") from error
    except ValueError as error:
        raise DataError(f"{_shown(name)}: is no path ({error})") from error


def expand(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path with its `~` replaced.

    Raises:
      DataError: a user without home directory, or a zero character in it.
    """
    with told(path):
        if "\0" in os.fspath(path):
            raise ValueError("it holds a zero character")
        return pathlib.Path(path).expanduser()


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether anything is there.

    Raises:
      DataError: it cannot be told.
    """
    with told(path):
        return _looked_at(path).exists()


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a plain file is there.

    Raises:
      DataError: it cannot be told.
    """
    with told(path):
        return _looked_at(path).is_file()


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is there.

    Raises:
      DataError: it cannot be told.
    """
    with told(path):
        return _looked_at(path).is_dir()


def entries(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """What a folder holds, by name.

    Raises:
      DataError: it is none, or cannot be listed.
    """
    with told(folder):
        return sorted(pathlib.Path(folder).iterdir())


def _looked_at(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path, if a link does not lead to itself."""
    found = pathlib.Path(path)
    if found.is_symlink():
        try:
            found.stat()
        except FileNotFoundError as error:
            target = os.readlink(found)
            raise OSError(
                errno.ENOENT, f"a link to {target[:60]}, which is not there"
            ) from error
    return found


def _shown(name: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in name)
    return printable if len(printable) <= 240 else f"{printable[:237]}..."
