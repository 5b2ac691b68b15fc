import os
import pathlib
import subprocess
import sys
import zlib

import pytest

from nasjax.core import compilation

PROGRAM = """
import sys, warnings
import jax, jax.numpy as jnp
from nasjax.core import compilation
jax.jit(lambda x: x + 1)(1.0)  # compiled before the cache is on
for folder in sys.argv[1:]:
    used = compilation.enable_cache(folder)
    jax.jit(lambda x: jnp.sin(x) + len(folder))(1.0)
    print(repr(used))
"""


def run(*folders, home, **variables):
    """Lines printed, lines of warning, and the cache files below `home` by folder."""
    inherited = {key: value for key, value in os.environ.items() if "CACHE" not in key}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *map(str, folders)],
        env={**inherited, "HOME": str(home), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    files = {path.parent for path in pathlib.Path(home).rglob("*-cache")}
    return done.stdout.split(), done.stderr.splitlines(), files


EVERYTHING = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def test_the_cache_is_in_the_home_folder_unless_told(tmp_path):
    default, other = tmp_path / ".cache" / "nasjax" / "xla", tmp_path / "other"
    lines, noise, files = run("", other, "off", home=tmp_path, **EVERYTHING)
    assert lines == [repr(str(default)), repr(str(other)), "''"]
    assert files == {default, other} and noise == []
    assert default.stat().st_mode & 0o077 == 0  # what is in it is run
    assert sum(1 for _ in other.glob("*-cache")) == 1


def test_the_environment_names_the_folder_and_off_wins(tmp_path):
    named = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "named")}
    lines, noise, files = run("", home=tmp_path, **EVERYTHING, **named)
    assert lines == [repr(str(tmp_path / "named"))] and noise == []
    assert files == {tmp_path / "named"}
    (tmp_path / "b").mkdir()
    _, _, files = run("off", home=tmp_path / "b", **EVERYTHING)
    assert files == set()


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    lines, noise, files = run(tmp_path / "file" / "xla", home=tmp_path)
    assert lines == ["''"] and files == set()
    assert len(noise) == 1 and str(tmp_path / "file" / "xla") in noise[0]


WHOLE = zlib.compress(bytes(range(200)) * 9)
DAMAGED = [WHOLE[:-1], WHOLE[: len(WHOLE) // 2], b"", b"\0" * 9, WHOLE[:9] + WHOLE]


@pytest.mark.parametrize(
    "damaged", DAMAGED, ids=["end", "half", "none", "zeros", "mix"]
)
def test_a_damaged_entry_is_removed_and_whole_ones_are_looked_at_once(
    damaged, tmp_path, monkeypatch
):
    (tmp_path / "good-cache").write_bytes(WHOLE)
    (tmp_path / "bad-cache").write_bytes(damaged)
    (tmp_path / "bad-atime").write_bytes(b"not an entry")
    compilation._remove_damaged(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"good-cache", "bad-atime", ".checked"}
    # What was looked at is not read again; what has come since is.
    os.utime(tmp_path / "good-cache", (1, 1))
    (tmp_path / "late-cache").write_bytes(damaged)
    monkeypatch.setattr(compilation, "_is_whole", lambda entry: entry != damaged)
    compilation._remove_damaged(tmp_path)
    assert not (tmp_path / "late-cache").exists()
    monkeypatch.setattr(compilation, "_is_whole", lambda _: pytest.fail("read again"))
    os.utime(tmp_path / ".checked", None)
    compilation._remove_damaged(tmp_path)


def test_entries_of_jax_are_whole(tmp_path):
    run(tmp_path / "xla", home=tmp_path, **EVERYTHING)
    (entry,) = (tmp_path / "xla").glob("*-cache")
    assert compilation._is_whole(entry.read_bytes())
    assert not compilation._is_whole(entry.read_bytes()[:-1])
