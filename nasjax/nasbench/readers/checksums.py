"""Published checksums of the official files."""

import hashlib
import os
import pathlib
import re

from nasjax.core import paths
from nasjax.core.errors import DataError
from nasjax.core.progress import progress

SHA256 = {
    "nasbench_only108.tfrecord": (
        "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1"
    ),
    "nasbench_full.tfrecord": (
        "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c"
    ),
}
_MD5_END = re.compile(r"NAS-Bench-201-v\d_\d-([0-9a-f]{6})\.pth")
_BLOCK = 1 << 22


def verify(path: str | os.PathLike[str]) -> str:
    """Compares a file that bears an official name with its published checksum.

    The NAS-Bench-101 files have a published SHA256; the name of the NAS-Bench-201 file
    ends with the last six digits of its MD5. None is published for the NATS folder.

    Returns:
      `"sha256:..."` or `"md5:..."` of a file that has been compared, "" for a folder
      or another name.

    Raises:
      DataError: the checksum differs.
    """
    path = pathlib.Path(path)
    match = _MD5_END.fullmatch(path.name)
    if paths.is_folder(path) or (path.name not in SHA256 and not match):
        return ""
    algorithm = "md5" if match else "sha256"
    expected = match[1] if match else SHA256[path.name]
    found = digest(path, algorithm)
    if not found.endswith(expected):
        raise DataError(
            f"{path}: its {algorithm} is {found}, which should "
            f"{'end with' if match else 'be'} {expected}: damaged, download it again "
            "(or rename a file that is not the official one)"
        )
    return f"{algorithm}:{found}"


def digest(path: str | os.PathLike[str], algorithm: str) -> str:
    """Hexadecimal digest of a file, with a progress bar."""
    path = pathlib.Path(path)
    state = hashlib.new(algorithm, usedforsecurity=False)
    blocks = -(-path.stat().st_size // _BLOCK)
    with (
        path.open("rb") as file,
        progress(blocks, description=f"checksum of {path.name}", unit="block") as bar,
    ):
        while block := file.read(_BLOCK):
            state.update(block)
            bar.update()
    return state.hexdigest()
