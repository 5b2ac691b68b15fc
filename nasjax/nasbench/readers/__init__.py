"""Readers of the official benchmark files, by form.

For example:

    from nasjax.nasbench import readers

    print([reader.files for reader in readers.READERS.values()])
    # readers.convert("nasbench_only108.tfrecord", "nasbench101.safetensors")
"""

import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from nasjax.core import paths, read_guard
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import (
    checksums,
    nasbench101,
    nasbench201_pth,
    nasbench_nlp,
    nats,
)

__all__ = ["READERS", "Reader", "convert"]


class Reader(NamedTuple):
    """One official form.

    Attributes:
      files: what such files are called, for people.
      fits: whether a path is one, from its name alone.
      convert: `(path, output, source)` writes the table file.
    """

    files: str
    fits: Callable[[pathlib.Path], bool]
    convert: Callable[[pathlib.Path, str | os.PathLike[str], dict[str, str]], None]


READERS: dict[str, Reader] = {
    "nasbench101": Reader(
        "nasbench_only108.tfrecord, nasbench_full.tfrecord",
        nasbench101.is_nasbench101,
        nasbench101.convert,
    ),
    "nats": Reader(
        "NATS-tss-v1_0-3ffb9-simple (folder or .tar)", nats.is_nats, nats.convert
    ),
    "nasbench201": Reader(
        "NAS-Bench-201-v1_1-096897.pth",
        nasbench201_pth.is_pth,
        nasbench201_pth.convert,
    ),
    "nasbench_nlp": Reader(
        "logs.zip of NAS-Bench-NLP", nasbench_nlp.is_nlp, nasbench_nlp.convert
    ),
}


def convert(path: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Converts an official file or folder into a table file, once and for all.

    Args:
      path: the official file.
      output: the table file, `.safetensors`; its sidecar is `OUTPUT.json`.

    Raises:
      DataError: no reader takes it, its checksum differs, or it is damaged, unsafe or
        not of the official form.
    """
    path, output = paths.expand(path), paths.expand(output)
    if not paths.exists(path):
        raise DataError(f"{path}: no such file or folder")
    if path.name.endswith(".pickle.pbz2"):
        raise DataError(
            f"{path}: one pickle of more than 12 GB in memory; download the -simple "
            "folder of NATS-tss instead, which has one file for each architecture"
        )
    if not paths.is_folder(path):
        with read_guard.open_file(path):  # refuses pipes and what stands for a file
            pass
    for reader in READERS.values():
        if reader.fits(path):
            with read_guard.guard(path, "not of the official form"):
                source = {"file": path.name, "checksum": checksums.verify(path)}
                reader.convert(path, output, source)
            return
    forms = "; ".join(reader.files for reader in READERS.values())
    raise DataError(f"{path}: not a file of a known form; known are: {forms}")
