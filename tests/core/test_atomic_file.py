"""Files appear whole or not at all, with the permissions of the user's umask."""

import os
import stat

import numpy as np
import pytest

from nasjax.core import arrays, atomic_file


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    atomic_file.write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file.replacing(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_permissions_follow_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        atomic_file.write_text(tmp_path / "a.txt", "x")
        arrays.save(tmp_path / "a.safetensors", {"x": np.zeros(3)})
    finally:
        os.umask(old)
    for name in ("a.txt", "a.safetensors"):
        mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
        assert mode == 0o666 & ~umask, name
