"""One guard around everything that reads a file which somebody else may have written.

`guard` turns whatever malformed content makes Python raise into one `DataError` that
names the file and the place. A `Meter` holds a reader to its limits, `open_file` opens
plain files only, and `parse_json` bounds what a text becomes before it is parsed.

No message formats an object of a file: `repr` of a list that holds itself twice, forty
levels deep, never ends. Types are named, and strings are cut short.
"""

import contextlib
import csv
import errno
import functools
import io
import json
import lzma
import os
import pathlib
import pickle
import stat
import struct
import tarfile
import time
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar, cast

from nasjax.core.errors import DataError, NasjaxError

_Reader = TypeVar("_Reader", bound=Callable[..., Any])

FAULTS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    csv.Error,
    lzma.LZMAError,
    pickle.PickleError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)
"""What malformed content may raise; RuntimeError has RecursionError among it.

NameError, AssertionError and ImportError are faults of the program and stay what they
are, and so do the AttributeError of a module and a full disk. Other slips of
ours inside a guarded block are chained, so a traceback still shows them.
"""

MAX_BYTES = 3 * 2**26
"""Bytes of one file or member that is held in memory as a whole, by default."""

MAX_OBJECTS_BYTES = 5 * 2**26
"""Bytes of Python objects that one file may become, by default."""

AGAIN = "download it again"

_OF_OUTPUTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_TEXT, _LONGEST = 160, 900
_MAX_GROWTH = 3 * 2**28
_JSON_COSTS = {"{": 216, "[": 112, ",": 40, ":": 80}
_PLACEHOLDERS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file: run `git lfs pull`"),
    (b"<!doctype html", "an HTML page, not the file: download the file itself"),
    (b"<html", "an HTML page, not the file: download the file itself"),
    (b"<?xml", "an XML page, not the file: download the file itself"),
)
_HEAD = 64


class Place:
    """Where a reader is: what `guard` yields.

    Attributes:
      at: the place inside the file, such as `"record 7"`; "" for the whole of it.
    """

    __slots__ = ("at",)

    def __init__(self, at: str = ""):
        self.at = at


@contextlib.contextmanager
def guard(
    name: str | os.PathLike[str], what: str = "", *, remedy: str = AGAIN
) -> Iterator[Place]:
    """Turns exceptions of malformed content into a `DataError` of one line.

        with guard(path, "not a table of curves") as place:
            for i, row in enumerate(rows):
                place.at = f"row {i}"
                ...

    Args:
      name: what error messages call the file.
      what: what the content is not, or "" for "damaged".
      remedy: what the user can do.

    Yields:
      A `Place`, whose `at` the block may set.

    Raises:
      DataError: for every exception of `FAULTS`. A `NasjaxError` passes unchanged,
        but for a `DataError` that does not name the file, which gets its name, or is
        no printable line, which becomes one.
    """
    place = Place()
    try:
        yield place
    except DataError as error:
        text = one_line(str(error))[:_LONGEST]
        if pathlib.PurePath(name).name not in text:
            text = f"{_where(name, place)}: {text}"
        if text == str(error):
            raise
        raise DataError(text) from error
    except NasjaxError:
        raise
    except FAULTS as error:
        if _is_ours(error):
            raise
        if isinstance(error, MemoryError):
            told = "does not fit into the memory that is left"
        elif isinstance(error, OSError) and error.strerror:
            told = f"cannot be read ({error.strerror})"
        else:
            told = f"{what or 'damaged'} ({reason(error)})"
        raise DataError(one_line(f"{_where(name, place)}: {told}; {remedy}")) from error


def guarded(what: str = "", *, remedy: str = AGAIN) -> Callable[[_Reader], _Reader]:
    """`guard` around a whole function whose first argument is the path."""

    def decorate(function: _Reader) -> _Reader:
        @functools.wraps(function)
        def read(path: Any, *arguments: Any, **options: Any) -> Any:
            with guard(path, what, remedy=remedy):
                return function(path, *arguments, **options)

        return cast(_Reader, read)

    return decorate


def _where(name: str | os.PathLike[str], place: Place) -> str:
    return f"{os.fspath(name)}, {place.at}" if place.at else os.fspath(name)


def _is_ours(error: Exception) -> bool:
    """Whether no content can cause it: a slip of the program, or a full disk."""
    if isinstance(error, AttributeError):
        return isinstance(getattr(error, "obj", None), types.ModuleType)
    return isinstance(error, OSError) and error.errno in _OF_OUTPUTS


def reason(error: BaseException) -> str:
    """What an exception says, in one short line, without formatting its objects."""
    if isinstance(error, KeyError):
        return f"no {show(error.args[0])}" if error.args else "a missing key"
    if isinstance(error, UnicodeError) or all(
        isinstance(part, str | int) for part in error.args
    ):
        text = one_line(str(error))[:_TEXT]
        return text or type(error).__name__
    return type(error).__name__


def show(value: Any) -> str:
    """A value of a file as a message may name it: short text, small numbers, a type."""
    if isinstance(value, str | bytes):
        return repr(value[:60])
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, int) and value.bit_length() <= 64:
        return str(value)
    return f"a value of type {type(value).__name__}"


def one_line(text: str) -> str:
    """The text without line ends and other characters that are not printable."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in words)


class Meter:
    """What a file may still make us hold and compute.

    Attributes:
      name: what error messages call the file.
      bytes_left: bytes of arrays and inflated data.
      objects_left: Python objects.
    """

    def __init__(
        self,
        name: str,
        *,
        max_bytes: int = MAX_BYTES,
        max_objects: int = 2_000_000,
        max_seconds: float = 600.0,
    ):
        self.name, self.bytes_left, self.objects_left = name, max_bytes, max_objects
        self._max_objects, self._max_seconds = max_objects, max_seconds
        self._began, self._resident = time.thread_time(), resident_bytes()

    def renew(self) -> None:
        """Gives objects and seconds back: what was read so far has been dropped.

        Whether it has is looked up: `DataError` where the process has grown by much.
        """
        self.objects_left, self._began = self._max_objects, time.thread_time()
        if resident_bytes() - self._resident > _MAX_GROWTH:
            raise DataError(f"{self.name}: refused: it takes too much memory to read")

    def spend(self, num_bytes: int) -> None:
        """Takes bytes; `DataError` where there are not as many left."""
        self.bytes_left -= num_bytes
        if self.bytes_left < 0:
            raise DataError(f"{self.name}: refused: its contents exceed the size limit")

    def count(self, objects: int) -> None:
        """Takes objects; `DataError` where there are not as many left.

        CPU time is looked at, too: the last resort against content that is slow to
        read in a way that nobody thought of.
        """
        self.objects_left -= objects
        if self.objects_left < 0:
            raise DataError(f"{self.name}: refused: it holds too many objects")
        if time.thread_time() - self._began > self._max_seconds:
            raise DataError(
                f"{self.name}: refused: it takes more than {self._max_seconds:.0f} "
                "seconds to read"
            )


def resident_bytes() -> int:
    """Memory of this process that is in use; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def refuse_placeholder(name: str | os.PathLike[str], start: bytes) -> None:
    """Raises `DataError` where the first bytes are those of what stands for a file."""
    head = start[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, what in _PLACEHOLDERS:
        if head.startswith(magic):
            raise DataError(f"{os.fspath(name)}: {what}")


@contextlib.contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a plain file for reading in binary.

    Raises:
      DataError: it is missing, cannot be read, is a folder, pipe or device (which
        might never end), or an LFS pointer or HTML page in the place of a file.
    """
    name = os.fspath(path)
    try:
        _check_plain(path)
        file = open(path, "rb")
        with contextlib.ExitStack() as opened:
            opened.enter_context(file)
            refuse_placeholder(name, file.read(_HEAD))
            file.seek(0)
            opened.pop_all()
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file") from error
    except OSError as error:
        told = error.strerror or type(error).__name__
        raise DataError(f"{name}: cannot be read: {told}") from error
    except ValueError as error:  # a zero character
        raise DataError(f"{one_line(name)}: is no path ({error})") from error
    with file:
        yield file


def _check_plain(path: str | os.PathLike[str]) -> None:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise DataError(f"{os.fspath(path)}: is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise DataError(f"{os.fspath(path)}: not a plain file but a pipe or device")


def read_file(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a plain file of at most `max_bytes`.

    Raises:
      DataError: as `open_file`, or the file is longer.
    """
    with open_file(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DataError(f"{os.fspath(path)}: refused: longer than {max_bytes} bytes")
    return content


class Bounded(io.RawIOBase):
    """A file that refuses to hand out more than so many bytes at once.

    Libraries of archives read directories and headers in one piece of the size that
    the file itself declares.
    """

    def __init__(self, file: BinaryIO, *, max_read: int, name: str):
        self._file, self._max_read, self._name = file, max_read, name

    def read(self, size: int = -1) -> bytes:
        whole = size is None or size < 0
        limit = self._max_read + 1
        data = self._file.read(limit if whole else min(size, limit))
        if len(data) > self._max_read:
            raise DataError(
                f"{self._name}: refused: a directory or header of more than "
                f"{self._max_read} bytes"
            )
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


class Inflated(io.RawIOBase):
    """The content of a zlib or gzip stream, up to `max_bytes`, a piece at a time.

    A gzip file may consist of several streams, one after the other.
    """

    _PIECE = 1 << 16

    def __init__(self, stream: BinaryIO, *, max_bytes: int, name: str):
        self._stream, self._name = stream, name
        self._meter = Meter(name, max_bytes=max_bytes, max_objects=1_000)
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (a piece where it is negative); none at the end."""
        size = self._PIECE if size is None or size < 0 else size
        while size and not (self._inflate.eof and not self._next_stream()):
            packed = self._left or self._stream.read(self._PIECE)
            try:
                data = self._inflate.decompress(packed, size)
            except zlib.error as error:
                raise DataError(
                    f"{self._name}: damaged compression ({reason(error)}); {AGAIN}"
                ) from error
            self._left = self._inflate.unconsumed_tail
            if data:
                self._meter.spend(len(data))
                return data
            if not packed:
                raise DataError(f"{self._name}: the file is truncated; {AGAIN}")
        return b""

    def _next_stream(self) -> bool:
        """Whether another gzip stream follows; zero bytes may pad the last one."""
        rest = self._inflate.unused_data or self._stream.read(self._PIECE)
        if not rest.startswith(b"\x1f\x8b"):
            return False
        self._meter.count(1)
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._left = rest
        return True


@contextlib.contextmanager
def open_gzip(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES
) -> Iterator[BinaryIO]:
    """The content of a gzip file, at most `max_bytes`; for `io.TextIOWrapper` too.

    Raises:
      DataError: as `open_file`; on reading, where it is damaged, truncated or longer.
    """
    with open_file(path) as file:
        inflated = Inflated(file, max_bytes=max_bytes, name=os.fspath(path))
        yield io.BufferedReader(inflated)


def parse_json(
    text: str | bytes,
    *,
    name: str | os.PathLike[str],
    what: str = "not JSON",
    remedy: str = AGAIN,
    max_objects_bytes: int = MAX_OBJECTS_BYTES,
    **options: Any,
) -> Any:
    """The value of a JSON text, refused before it becomes too many objects.

    Args:
      text: as for `json.loads`.
      name: what error messages call it.
      what: what the text is not where it is no JSON.
      remedy: what the user can do then.
      max_objects_bytes: how much memory its lists, objects and numbers may take.
      **options: of `json.loads`.

    Raises:
      DataError: it is not JSON, nested too deeply, or would take more memory.
    """
    takes = 4 * len(text)
    for mark, cost in _JSON_COSTS.items():
        found = text.count(mark) if isinstance(text, str) else text.count(mark.encode())
        takes += cost * found
    if takes > max_objects_bytes:
        raise DataError(f"{os.fspath(name)}: refused: JSON of too many objects")
    with guard(name, what, remedy=remedy):
        return json.loads(text, **options)
