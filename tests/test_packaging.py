"""The wheel: what it holds, that it installs and imports by itself, what it needs."""

import configparser
import os
import pathlib
import re
import shutil
import site
import subprocess
import sys
import zipfile

import module_imports
import pytest
import shared

MODULES = sorted((shared.ROOT / "nasjax").rglob("*.py"))
DISTRIBUTIONS = {
    "absl": "absl-py",
    "orbax": "orbax-checkpoint",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
}
"""Import name to the distribution that has it, where the two differ."""

FOR_DEVELOPERS = {"test", "lint", "bench"}
LOWER_BOUND = re.compile(r"[A-Za-z0-9_.-]+(\[[a-z0-9_,]+\])?>=\d[\w.]*")

IMPORT_ALL = """
import importlib, importlib.metadata, pkgutil, sys

class Absent:
    '''Optional distributions, as if they were not installed.'''
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import nasjax
print(nasjax.__file__)
print(importlib.metadata.version("nasjax"), nasjax.__version__)
for module in pkgutil.walk_packages(nasjax.__path__, "nasjax."):
    importlib.import_module(module.name)
    print(module.name)
"""


def metadata():
    parser = configparser.ConfigParser()
    parser.read(shared.ROOT / "setup.cfg")
    return parser


def requirements(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def distribution_names(text):
    found = (re.match(r"[A-Za-z0-9_.-]+", line) for line in requirements(text))
    return {match[0].lower().replace("_", "-") for match in found if match}


def distribution_of(name):
    top = name.split(".")[0]
    return DISTRIBUTIONS.get(top, top).lower().replace("_", "-")


def third_party(lazy):
    """Distribution to the first line of nasjax that imports it."""
    found = {}
    for path in MODULES:
        for entry in module_imports.read_imports(path, shared.ROOT):
            top = entry.name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "nasjax":
                if entry.lazy == lazy:
                    where = f"{path.relative_to(shared.ROOT)}:{entry.line}"
                    found.setdefault(distribution_of(top), where)
    return found


def optional_modules():
    """Import names that only extras bring, so that an install may lack them."""
    parser = metadata()
    always = distribution_names(parser["options"]["install_requires"]) | {"pillow"}
    extras = parser["options.extras_require"]
    names = set().union(*(distribution_names(text) for text in extras.values()))
    imported = {distribution: name for name, distribution in DISTRIBUTIONS.items()}
    return {imported.get(name, name) for name in names - always - {"setuptools"}}


def run(command, cwd):
    """Runs a command without the variables that would show it this checkout."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel built from a copy, so that the checkout gets no build folders."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (shared.ROOT / name).exists():
            shutil.copy(shared.ROOT / name, source)
    for name in ("nasjax", "tests", "launch", "configs"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(shared.ROOT / name, source / name, ignore=skip)
    run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
        + [source],
        cwd=folder,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_wheel_holds_the_library_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(shared.ROOT).as_posix() for path in MODULES}
    assert modules <= names
    assert "nasjax/py.typed" in names
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert f"{info}/licenses/LICENSE" in names
    extra = {name for name in names - modules if not name.startswith(info)}
    files = ("digits111", "digits111_surrogate", "digits201")
    data = {f"nasjax/nasbench/{file}.safetensors" for file in files}
    assert extra == {"nasjax/py.typed", *data}
    sizes = zipfile.ZipFile(wheel).infolist()
    assert sum(info.file_size for info in sizes) < 32e6
    text = zipfile.ZipFile(wheel).read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Dist: jax>=" in text


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_wheel_installs_and_every_module_imports_alone(wheel, tmp_path):
    """In a fresh environment, elsewhere, without what only extras bring.

    The environment borrows the dependencies of this one through a .pth file; .pth
    files of the borrowed folder are not read, so an editable install stays unseen.
    """
    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", environment], cwd=tmp_path)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    install = ["install", "--no-deps", "--no-index", "--quiet", wheel]
    run([*pip, "--python", python, *install], cwd=tmp_path)
    (packages,) = environment.glob("lib/python*/site-packages")
    assert (packages / "nasjax" / "py.typed").exists()
    borrowed = "\n".join(site.getsitepackages()) + "\n"
    (packages / "borrowed.pth").write_text(borrowed)
    script = tmp_path / "import_all.py"
    script.write_text(f"ABSENT = {sorted(optional_modules())}\n{IMPORT_ALL}")
    lines = run([python, "-I", script], cwd=tmp_path).splitlines()
    assert pathlib.Path(lines[0]).parent == packages / "nasjax"
    installed, stated = lines[1].split()
    assert installed == stated
    expected = {
        ".".join(path.relative_to(shared.ROOT).with_suffix("").parts)
        for path in MODULES
        if path.name != "__main__.py"
    }
    expected = {name.removesuffix(".__init__") for name in expected} - {"nasjax"}
    assert set(lines[2:]) - {"nasjax.__main__"} == expected


def test_requirements_are_lower_bounds():
    parser = metadata()
    lists = [parser["options"]["install_requires"]]
    lists += parser["options.extras_require"].values()
    wrong = [
        line
        for text in lists
        for line in requirements(text)
        if not LOWER_BOUND.fullmatch(line)
    ]
    assert wrong == []
    assert parser["options"]["python_requires"].startswith(">=")


@pytest.mark.parametrize("line", ["jax", "jax==0.10", "jax>=0.10,<1", "jax~=0.10"])
def test_other_bounds_are_found(line):
    assert not LOWER_BOUND.fullmatch(line)


def test_every_import_is_declared():
    parser = metadata()
    always = distribution_names(parser["options"]["install_requires"])
    extras = parser["options.extras_require"]
    optional = set().union(
        *(distribution_names(extras[name]) for name in set(extras) - FOR_DEVELOPERS)
    )
    needed, wanted = third_party(lazy=False), third_party(lazy=True)
    assert {name: needed[name] for name in set(needed) - always} == {}
    assert {name: wanted[name] for name in set(wanted) - always - optional} == {}
    assert "jax" in needed
