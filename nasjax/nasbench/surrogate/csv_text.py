"""The text of a CSV file: decompressed and decoded, or refused by what it is."""

import codecs
import gzip
import pathlib
import zlib

from nasjax.core import errors, paths

MAX_BYTES = 256 << 20
"""Of the decompressed file."""
_CHUNK = 1 << 20

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; the four bytes of UTF-32 begin with the two of UTF-16."""

_FOREIGN = (
    (b"PK\x03\x04", "a zip archive (as .xlsx and .ods are)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow or Feather file"),
    (b"FEA1", "a Feather file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"RDX", "a workspace of R"),
    (b"RDA", "a workspace of R"),
    (b"X\n\x00", "an .rds file of R"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"%PDF", "a PDF"),
    (b"version https://git-lfs", "a Git LFS pointer: the file was not downloaded"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\x1f\x8b", "compressed by gzip twice"),
)


def read(path: pathlib.Path, encoding: str = "") -> str:
    """The text of a file, its lines ended by `\\n`.

    Args:
      path: text, or text compressed by gzip, whatever its name.
      encoding: of the text; "": what a byte order mark says, else UTF-8.

    Raises:
      DataError: the file is missing, damaged, larger than `MAX_BYTES`, another kind of
        file, or in another encoding.
      ConfigError: there is no such encoding.
    """
    content = _bytes(path)
    if not content.strip():
        raise errors.DataError(f"{path} is empty: export it again, with a header")
    for mark, what in _FOREIGN:
        if content.startswith(mark):
            raise errors.DataError(f"{path} is {what}, not CSV: export it as CSV text")
    text = _decode(path, content, encoding)
    if "\0" in text:
        raise errors.DataError(
            f"{path} holds zero bytes, as binary files and UTF-16 without a mark do: "
            "save it as UTF-8, or pass --config.data.columns.encoding=utf-16-le"
        )
    start = text.lstrip()[:1]
    if start in ("<", "{"):
        kind = "a web page or XML" if start == "<" else "JSON"
        raise errors.DataError(f"{path} is {kind}, not CSV: export it as CSV text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _bytes(path: pathlib.Path) -> bytes:
    if not paths.is_file(path):
        what = "is no file" if paths.exists(path) else "no such file"
        raise errors.DataError(f"{path}: {what}")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opener = gzip.open if packed else open
        parts, size = [], 0
        with opener(path, "rb") as file:
            while part := file.read(_CHUNK):
                size += len(part)
                if size > MAX_BYTES:
                    raise errors.DataError(
                        f"{path} holds more than {MAX_BYTES >> 20} MiB of text: keep "
                        "the columns that are needed, or give arrays (.safetensors)"
                    )
                parts.append(part)
    except (OSError, EOFError, zlib.error) as error:
        raise errors.DataError(
            f"{path} cannot be read ({type(error).__name__}): it is damaged, cut short "
            "or not yours to read; copy it again"
        ) from error
    return b"".join(parts)


def _decode(path: pathlib.Path, content: bytes, encoding: str) -> str:
    name = encoding or next(
        (name for mark, name in _MARKS if content.startswith(mark)), "utf-8"
    )
    try:
        # The mark itself is no part of the first column's name.
        return content.decode(name).removeprefix("\ufeff")
    except UnicodeError as error:
        place = getattr(error, "start", None)
        where = "" if place is None else f" at byte {place}"
        remedy = "pass another" if encoding else "pass"
        raise errors.DataError(
            f"{path} is not {name}{where}: save it as UTF-8, or {remedy} "
            "--config.data.columns.encoding=cp1252 (Windows), latin-1 or utf-16"
        ) from error
    except (LookupError, ValueError) as error:
        raise errors.ConfigError(
            f"config.data.columns.encoding: there is no text encoding {encoding!r}; "
            "as utf-8, utf-16, cp1252, latin-1"
        ) from error
