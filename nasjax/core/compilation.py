"""The persistent compilation cache: a second run of a program starts at once."""

import os
import pathlib
import tempfile

import jax
from absl import logging
from jax.experimental.compilation_cache import compilation_cache

_DEFAULT = pathlib.Path("~/.cache/nasjax/xla")
_MIN_COMPILE_SECONDS = 0.2


def enable_cache(folder: str = "") -> str:
    """Keeps compiled programs on disk, by default in `~/.cache/nasjax/xla`.

    Args:
      folder: where; `""` means `JAX_COMPILATION_CACHE_DIR` where that is set, else
        the default; `"off"` turns the cache off. jax trusts what it finds there, so
        the folder should be writable by its owner only.

    Returns:
      The folder in use, `""` when there is none. A folder that cannot be written is
      one warning line and no error.
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
