"""NAS-Bench tables as files: convert an official file, look an architecture up."""

import pathlib

from nasjax import nasbench
from nasjax.core import atomic_file, errors, paths
from nasjax.nasbench import records


def convert(input: str, output: str) -> None:
    """Converts an official benchmark file into a table file and prints what is in it.

    Args:
      input: the official file or folder.
      output: the table file; `OUTPUT.json` describes it.

    Raises:
      ConfigError: a path is missing.
      DataError: the official file is of no known form, damaged or unsafe.
    """
    _need("input", input)
    _need("output", output)
    atomic_file.require_writable(_path(output))
    nasbench.convert(_path(input), _path(output))
    print(records.summary(output))


def query(table: str, arch: str) -> None:
    """Prints what a table records of one architecture.

    Args:
      table: a table file.
      arch: the official notation; also an index of NAS-Bench-201 or a module hash of
        NAS-Bench-101.

    Raises:
      ConfigError: an argument is missing.
      DataError: the table is missing or damaged.
      UnknownArchitecture: the notation cannot be read (the message shows the nearest
        one that can), or the table lacks the architecture.
    """
    _need("table", table)
    _need("arch", arch)
    print(records.query(table, arch))


def _need(name: str, value: str) -> None:
    if not value:
        raise errors.ConfigError(f"--{name} is missing")


def _path(path: str) -> pathlib.Path:
    return paths.expand(path)
