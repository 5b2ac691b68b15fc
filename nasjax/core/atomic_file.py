"""Files that appear whole or not at all, whenever the process is killed."""

import contextlib
import errno
import os
import pathlib
import re
from collections.abc import Iterator

_FOREIGN_CODE = re.compile(r"os[ _]error(?:_code)?\W+(\d+)")
"""Of the operating system's error in messages of writers in C++ and Rust."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary file name in the folder of `path`, renamed to it at the end.

    The folder is made when it is missing. The data are flushed to the disk before
    the rename, so that a reader (or a restarted run) finds the old file or the new
    one. When the block raises, `path` is untouched and the temporary file is gone; so
    are those that killed processes left when they wrote the same file.

    Raises:
      OSError: the folder or the file cannot be written; it names the file.
    """
    path = pathlib.Path(path)
    with naming(path):
        yield from _replace(path)


def _replace(path: pathlib.Path) -> Iterator[pathlib.Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # the user's umask, which writers may ignore
        yield temporary
        os.chmod(temporary, mode)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(path: pathlib.Path) -> None:
    """Removes temporary files of `path` whose processes are gone."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+)\.tmp")
    with os.scandir(path.parent) as entries:
        left = [match for entry in entries if (match := pattern.fullmatch(entry.name))]
    for match in left:
        if not _is_alive(int(match[1])):
            path.with_name(match[0]).unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Lets errors of writing name `path`, also those of writers in other languages."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    except Exception as error:
        match = _FOREIGN_CODE.search(str(error))
        if match is None:
            raise
        code = int(match[1])
        raise OSError(code, os.strerror(code), os.fspath(path)) from error


def require_writable(path: str | os.PathLike[str]) -> None:
    """Raises at once what `replacing` would raise after the work is done.

    Raises:
      OSError: the folder or the file cannot be written; it names the file.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with contextlib.suppress(_Probed), replacing(path):
        raise _Probed


class _Probed(Exception):
    """Ends the block, so that nothing is written."""


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` to `path`, whole or not at all; raises `OSError`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Makes the renames inside `folder` durable, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
