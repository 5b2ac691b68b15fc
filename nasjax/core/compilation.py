"""The persistent compilation cache: a second run of a program starts at once."""

import importlib
import os
import pathlib
import tempfile
import time
import zlib

import jax
from absl import logging
from jax.experimental.compilation_cache import compilation_cache

_DEFAULT = pathlib.Path("~/.cache/nasjax/xla")
_MIN_COMPILE_SECONDS = 0.2
_STAMP = ".checked"
_ZSTD = b"\x28\xb5\x2f\xfd"


def enable_cache(folder: str = "") -> str:
    """Keeps compiled programs on disk, by default in `~/.cache/nasjax/xla`.

    Args:
      folder: where; `""` means `JAX_COMPILATION_CACHE_DIR` where that is set, else
        the default; `"off"` turns the cache off. jax trusts what it finds there, so
        the folder should be writable by its owner only.

    Returns:
      The folder in use, `""` when there is none. A folder that cannot be written is
      one warning line and no error. Damaged entries (of a killed process, a full disk)
      are removed: jax reads them again and again, and never replaces one.
    """
    if folder == "off":
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()
        return ""
    folder = folder or os.environ.get("JAX_COMPILATION_CACHE_DIR", "") or str(_DEFAULT)
    path = pathlib.Path(folder).expanduser()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
        _remove_damaged(path)
    except OSError as error:
        logging.warning(
            "no compilation cache: %s cannot be written (%s)", path, error.strerror
        )
        return ""
    if "JAX_ENABLE_COMPILATION_CACHE" not in os.environ:
        jax.config.update("jax_enable_compilation_cache", True)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_SECONDS
        )
    jax.config.update("jax_compilation_cache_dir", str(path))
    compilation_cache.reset_cache()
    return str(path)


def _remove_damaged(folder: pathlib.Path) -> None:
    """Looks at the entries that were written since this was done last."""
    stamp, now = folder / _STAMP, time.time() - 1  # clocks of disks are coarse
    since = stamp.stat().st_mtime if stamp.exists() else 0.0
    for entry in folder.glob("*-cache"):
        try:
            if entry.stat().st_mtime >= since and not _is_whole(entry.read_bytes()):
                entry.unlink()
        except FileNotFoundError:
            continue  # another process was faster
    stamp.touch()
    os.utime(stamp, (now, now))


def _is_whole(entry: bytes) -> bool:
    """Whether jax can unpack an entry."""
    if entry.startswith(_ZSTD):
        return _is_whole_zstd(entry)
    stream = zlib.decompressobj()
    try:
        stream.decompress(entry)
    except zlib.error:
        return False
    return stream.eof


def _is_whole_zstd(entry: bytes) -> bool:
    """True as well where this Python cannot read the format: then jax cannot either."""
    for name in ("compression.zstd", "zstandard"):
        try:
            zstd = importlib.import_module(name)
        except ImportError:
            continue
        try:
            zstd.decompress(entry)
        except zstd.ZstdError:
            return False
    return True
