"""What a user meets first: a light import, sorted names, docstrings that run."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
import textwrap

import pytest

import nasjax

PACKAGES = [
    "nasjax",
    *sorted(
        module.name
        for module in pkgutil.walk_packages(nasjax.__path__, "nasjax.")
        if module.ispkg
    ),
]
TYPES = (
    *("Evaluation", "History", "Proposal", "SearchAlgorithm", "SearchSpace"),
    *("Surrogate", "TabularBenchmark"),
)


def modules_of(package):
    """Names of the files and folders of a package."""
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


@pytest.mark.parametrize("name", PACKAGES)
def test_names_are_sorted_and_there(name):
    package = importlib.import_module(name)
    assert package.__all__ == sorted(set(package.__all__))
    for public in package.__all__:
        assert getattr(package, public) is not None
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("name", PACKAGES)
def test_no_function_or_class_has_the_name_of_a_module_beside_it(name):
    package = importlib.import_module(name)
    for module in modules_of(package) - {"__main__"}:
        found = getattr(package, module, None)
        assert found is None or inspect.ismodule(found), f"{name}.{module} is {found}"


def example(docstring):
    """The first indented block of a docstring."""
    lines = inspect.cleandoc(docstring).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    "))
    block = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        block.append(line)
    return textwrap.dedent("\n".join(block)).strip()


@pytest.mark.parametrize("name", PACKAGES)
def test_the_docstring_shows_the_main_use_and_it_runs(name, capsys):
    source = example(importlib.import_module(name).__doc__)
    if source.startswith("python launch/"):
        script = source.split()[1]
        assert name.startswith("nasjax.jobs") and "--" in source
        assert (importlib.import_module("shared").ROOT / script).exists()
        return
    assert "import " in source and name.rpartition(".")[2] in source
    exec(compile(source, name, "exec"), {})  # our own text
    capsys.readouterr()


def test_the_package_completes_to_packages_and_core_types():
    assert set(TYPES) <= set(dir(nasjax))
    folders = {name.split(".")[1] for name in PACKAGES[1:]}
    assert set(nasjax.__all__) == folders | set(TYPES)
    assert nasjax.SearchSpace is importlib.import_module("nasjax.spaces").SearchSpace
    with pytest.raises(AttributeError, match=r"did you mean 'search'\?"):
        nasjax.serach  # noqa: B018


def test_the_import_is_light():
    program = (
        "import sys, nasjax; before = {'jax', 'numpy', 'flax'} & set(sys.modules); "
        "print(sorted(before)); import nasjax.report, nasjax.nasbench.surrogate, "
        "nasjax.experiments; print('matplotlib' in sys.modules, 'jax' in sys.modules); "
        "nasjax.nasbench.load; print('lightgbm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "False True", "False"]
