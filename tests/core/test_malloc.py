"""Freed memory stays with the process: page faults of steps, counted in children."""

import ast
import os
import subprocess
import sys
import types

import pytest
import shared

from nasjax.core import malloc

PROGRAM = """
import resource, sys
import jax, jax.numpy as jnp
from nasjax.core import malloc
if "call" in sys.argv:
    print(malloc.keep_memory(), malloc.keep_memory())

@jax.jit
def step(x):  # a block of 40 MB, more than glibc ever keeps by itself
    return jnp.sin(x @ jnp.ones((8, 1000))) @ jnp.full((1000, 8), 1e-3)

def faults():
    x, before = jnp.ones((10_000, 8)), count()
    for _ in range(4):
        x = step(x).block_until_ready()
    return (count() - before) / 4

def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

faults()
print(min(faults() for _ in range(6)))
"""


def run(*arguments, **variables):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    *said, faults = done.stdout.split()
    return said, float(faults), done.stderr


@pytest.mark.skipif(not malloc._is_glibc(), reason="only glibc has these options")
def test_steps_fault_no_page_in_once_memory_is_kept():
    _, before, _ = run()
    said, after, noise = run("call")
    assert said == ["True", "True"] and noise == ""
    assert before > 1000  # or the program shows nothing
    assert after < 20


def test_the_environment_turns_it_off():
    assert run("call", NASJAX_KEEP_MEMORY="0")[0] == ["False", "False"]


@pytest.mark.parametrize(
    "broken, value",
    [
        ("sys.platform", "darwin"),
        ("os.confstr", lambda name: "musl 1.2"),
        ("_computes_on_cpu", lambda: False),
    ],
)
def test_elsewhere_nothing_is_set(broken, value, monkeypatch):
    monkeypatch.setattr(f"nasjax.core.malloc.{broken}", value)
    monkeypatch.setattr("ctypes.CDLL", lambda _: pytest.fail("mallopt was called"))
    assert malloc.keep_memory.__wrapped__() is False


@pytest.mark.parametrize(
    "platforms, plugins, backend, expected",
    [
        ("cpu", ["cuda"], None, True),
        ("cuda,cpu", [], None, False),
        ("", [], None, True),
        ("", ["cuda"], "gpu", False),
        ("", ["cuda"], "cpu", True),
    ],
)
def test_the_device_is_known_before_jax_starts(
    platforms, plugins, backend, expected, monkeypatch
):
    def start():
        return backend or pytest.fail("the backend was started")

    configured = types.SimpleNamespace(jax_platforms=platforms)
    monkeypatch.setattr("jax.config", configured)
    monkeypatch.setattr("jax.default_backend", start)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: plugins)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert malloc._computes_on_cpu() is expected


IMPORTS = """
import pkgutil, sys, nasjax
from jax._src import xla_bridge
for module in pkgutil.walk_packages(nasjax.__path__, "nasjax."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
    if xla_bridge.backends_are_initialized():
        sys.exit(f"{module.name} starts jax when it is imported")
"""


def test_no_import_starts_jax():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_of_the_library_is_no_error(monkeypatch):
    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.confstr", unknown)
    assert malloc.keep_memory.__wrapped__() is False


def called(path):
    """Dotted names of all calls in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}


COMPUTES = ("compilation.enable_cache", "multiprocessing.get_context")
PLAIN_POOL = "nasjax/search/loops/executors.py"
"""Runs what a caller hands in, which may choose its device first."""


def test_whoever_starts_a_computing_process_keeps_its_memory():
    files = [p for p in sorted((shared.ROOT / "nasjax").rglob("*.py"))]
    starters = [p for p in files if called(p) & set(COMPUTES)]
    names = {str(p.relative_to(shared.ROOT)) for p in starters} - {PLAIN_POOL}
    assert len(names) >= 7
    silent = [n for n in names if "malloc.keep_memory" not in called(shared.ROOT / n)]
    assert silent == []


def test_benchmarks_keep_their_memory():
    files = sorted((shared.ROOT / "benchmarks").glob("*.py"))
    assert [p.name for p in files if "malloc.keep_memory" not in called(p)] == []
