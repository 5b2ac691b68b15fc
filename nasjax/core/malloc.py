"""The C library's memory, kept by the process instead of handed back after each step.

A compiled step allocates its feature maps, frees them, and the next step asks for the
same sizes again. glibc gives large blocks back to the kernel at once, which clears
every page before it lends it again: on CPU a third of a supernet step was page faults.
Keeping what was freed removes them. No number changes.

The price is memory: up to 1.9 times the bytes in use at the peak stay resident until
the process ends, and all threads share one heap. `NASJAX_KEEP_MEMORY=0` turns it off.
"""

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import sys

import jax
from absl import logging

SWITCH = "NASJAX_KEEP_MEMORY"
"""Environment variable: `0` leaves the C library as it is."""

# Numbers of malloc.h. One heap for all threads, because only the main one grows without
# bound; no block has a mapping of its own; free memory at the end of the heap is never
# returned; the heap grows by 64 MB at a time.
_OPTIONS = (
    ("M_ARENA_MAX", -8, 1),
    ("M_MMAP_MAX", -4, 0),
    ("M_TRIM_THRESHOLD", -1, -1),
    ("M_TOP_PAD", -2, 64 << 20),
)


@functools.cache
def keep_memory() -> bool:
    """Lets this process keep the memory that it frees; told in the log, once.

    Does so on Linux with glibc and only where jax computes on CPU: elsewhere feature
    maps are not in the C library's memory. Call it before jax starts its backend, so
    before the first array: a thread that has allocated keeps a heap of its own, out of
    reach. Jobs, their workers and the benchmarks do. It is not inherited: each process
    calls it for itself.

    Returns:
      Whether it is so now: False where `NASJAX_KEEP_MEMORY=0`, on another system,
      another C library or an accelerator.
    """
    if os.environ.get(SWITCH, "") == "0" or not _is_glibc():
        return False
    if not _computes_on_cpu():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    refused = [name for name, option, value in _OPTIONS if not mallopt(option, value)]
    if refused:  # another allocator was preloaded
        logging.info("memory is not kept: mallopt refuses %s", ", ".join(refused))
        return False
    logging.info(
        "freed memory is kept by this process: up to 1.9 times what is in use stays "
        "resident (%s=0 turns it off)",
        SWITCH,
    )
    return True


def _computes_on_cpu() -> bool:
    """Whether jax will; starts the backend only where an accelerator may be there."""
    platforms: str | None = getattr(jax.config, "jax_platforms", None)  # untyped in jax
    if platforms:
        return platforms.split(",")[0] == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    if plugins or any(map(importlib.util.find_spec, ("jax_plugins", "libtpu"))):
        return jax.default_backend() == "cpu"
    return True


def _is_glibc() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):  # a C library that does not know the name
        return False
