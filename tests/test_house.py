"""The house keeps its walls: who imports whom, and what no file may hold.

Each rule is a function of a folder that returns its violations, `FILE:LINE: what`;
the repository must have none, and each rule must catch a file that breaks it.
"""

import ast
import pathlib
import re
import shutil
import subprocess
import sys

import module_imports
import pytest
import shared

ROOMS = {
    "core": "",
    "data": "core",
    "spaces": "core",
    "predictors": "core",
    "encoders": "core spaces",
    "networks": "core spaces",
    "training": "core data spaces networks",
    "supernet": "core data spaces networks training",
    "nasbench": "core spaces encoders predictors",
    "search": "core predictors",
    "report": "core spaces",
    "experiments": "core data spaces predictors encoders networks training supernet "
    "nasbench search report",
    "jobs": "core data spaces predictors encoders networks training supernet nasbench "
    "search report experiments",
    "__init__": "core nasbench search",
    "__main__": "jobs",
}
"""Folder (or module at the top) of nasjax: folders of nasjax it may import."""

LINEN = (
    "nasjax/encoders",
    "nasjax/networks",
    "nasjax/supernet",
    "nasjax/predictors",
    "nasjax/search",
    "nasjax/nasbench/surrogate",
)
SURROGATE = ("nasjax/nasbench/surrogate",)
DOORS = {
    "jax": ("nasjax",),
    "numpy": ("nasjax",),
    "optax": ("nasjax",),
    "chex": ("nasjax",),
    "flax": LINEN,
    "flax.struct": ("nasjax",),
    "absl": ("launch",),
    "absl.logging": ("nasjax", "launch"),
    "absl.flags": ("launch", "nasjax/data/imagenet"),
    "ml_collections": ("launch", "configs"),
    "ml_dtypes": ("nasjax/core/arrays",),
    "jraph": ("nasjax/core/graphs", "nasjax/encoders"),
    "lightgbm": SURROGATE,
    "xgboost": SURROGATE,
    "pyarrow": SURROGATE,
    "scipy": (*SURROGATE, "nasjax/experiments/ranking"),
    "sklearn": ("nasjax/data/digits", *SURROGATE, "nasjax/report"),
    "orbax": ("nasjax/core/checkpoint",),
    "safetensors": ("nasjax/core/arrays",),
    "tensorboardX": ("nasjax/core/metric_log",),
    "tqdm": ("nasjax/core/progress",),
    "zstandard": ("nasjax/core/compilation",),
    "grain": ("nasjax/data/imagenet",),
    "PIL": ("nasjax/data/imagenet",),
    "distributed": ("nasjax/search/loops/executors",),
    "matplotlib": ("nasjax/report",),
    "plotly": ("nasjax/report",),
}
"""Third-party module: files and folders that may import it; the longest name counts."""

CODE = ("nasjax", "launch", "configs")
SAFE_PICKLE = "nasjax/core/safe_pickle"
UNPICKLERS = {
    f"{module}.{name}"
    for module in ("pickle", "_pickle", "marshal", "dill", "cloudpickle", "joblib")
    for name in ("load", "loads", "Unpickler", "_Unpickler", "*")
} | {"shelve.open", "shelve.*"}
CATCH_ALLS = {"utils", "util", "helpers", "helper", "common", "misc"}
LINALG = "nasjax/core/linalg"
FACTORIZATIONS = re.compile(
    r"jax\.(numpy\.linalg|scipy\.linalg|lax\.linalg)\.(?!norm$|\w*norm$)"
    r"|jax\.scipy\.stats\.(multivariate_normal|gaussian_kde)"
    r"|jax\.random\.(multivariate_normal|orthogonal|wishart)"
    r"|jax\.numpy\.(polyfit|roots|cov)$"
    r"|jax\.nn\.initializers\.(delta_)?orthogonal"
)
UP = re.escape("../") + "shared"
WORKPLACE = (
    # (pattern, first folders where it is allowed); split so that it is not in here
    (re.compile(r"(?<![\w.~-])/wo" r"rk/"), ()),
    (re.compile(UP), ("tests", ".ci")),
    (re.compile(r"(?<![\w/.-])shared/"), ("tests", ".ci")),
    (re.compile(r"\bspecs/\w+\.md"), ()),
)


def python_files(root, folders=CODE):
    return sorted(f for folder in folders for f in (root / folder).rglob("*.py"))


def repository_files(root):
    """Files of a checkout: what git would commit, or all that looks written by hand."""
    made = {"build", "dist", "runs", "nasjax.egg-info"}
    found = [
        path
        for top in sorted(root.iterdir())
        if top.name[0] != "." and top.name not in made
        for path in [top, *top.rglob("*")]
        if "__pycache__" not in path.parts
    ]
    if (root / ".git").exists() and shutil.which("git"):
        command = "git ls-files -z --cached --others --exclude-standard".split()
        listing = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if listing.returncode == 0:
            found = [root / name for name in listing.stdout.split("\0") if name]
    return sorted(path for path in found if path.is_file())


def stands_in(path, places):
    """Whether a file is one of `places` (no suffix) or below one of them."""
    return any(
        path.with_suffix("").as_posix() == place or path.is_relative_to(place)
        for place in places
    )


def wrong_import(path, name, siblings):
    """Why the file at `path`, relative to the root, may not import `name`, or None."""
    parts = name.split(".")
    if parts[0] == "nasjax":
        room = parts[1] if len(parts) > 1 else ""
        if path.parts[0] == "nasjax":
            if room not in ROOMS:
                return None  # the package itself or its version, not a room
            own = path.with_suffix("").parts[1]
            allowed = {own, *ROOMS.get(own, "").split()}
        else:
            allowed = {"jobs"} if path.parts[0] == "launch" else set()
        return None if room in allowed else f"may not import {'.'.join(parts[:2])}"
    if parts[0] in siblings and path.parts[0] == "launch":
        return None
    known = [".".join(parts[: n + 1]) for n in range(len(parts))]
    known = [prefix for prefix in known if prefix in DOORS]
    if known:
        open_here = stands_in(path, DOORS[known[-1]])
        return None if open_here else f"may not import {known[-1]}"
    if parts[0] not in sys.stdlib_module_names:
        return f"may not import {parts[0]}: it has no door in this house"
    allowed = path.parts[0] != "configs" or parts[0] == "__future__"
    return None if allowed else f"may not import {parts[0]}: configs stand alone"


def import_violations(root):
    siblings = {path.stem for path in (root / "launch").glob("*.py")}
    for path in python_files(root):
        place = path.relative_to(root)
        told = set()
        for line, name, _ in module_imports.read_imports(path, root):
            reason = wrong_import(place, name, siblings)
            if reason and (line, reason) not in told:
                told.add((line, reason))
                yield f"{place}:{line}: {reason}"


def unsafe_names(path):
    """(line, name) of whatever in a file runs code that a file or a string holds."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name):
                owner = aliases.get(node.value.id, node.value.id)
                yield node.lineno, f"{owner}.{node.attr}"
            if node.attr == "extractall":
                yield node.lineno, "extractall"
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if getattr(node.value, "value", None) is not False:
                yield node.value.lineno, "allow_pickle"


def unsafe_violations(root):
    builtin = {
        f"{owner}{name}" for owner in ("", "builtins.") for name in ("eval", "exec")
    }
    forbidden = UNPICKLERS | builtin | {"__import__", "extractall", "allow_pickle"}
    for path in python_files(root):
        place = path.relative_to(root)
        if not stands_in(place, (SAFE_PICKLE,)):
            for line, name in sorted(set(unsafe_names(path))):
                if name in forbidden:
                    yield f"{place}:{line}: {name} outside {SAFE_PICKLE}.py"


def full_names(path):
    """(line, name) of every attribute and import, aliases written out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known = alias.name if alias.asname else alias.name.split(".")[0]
                aliases[alias.asname or known] = known
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = name
                yield node.lineno, name
    for node in ast.walk(tree):
        parts = []
        inner = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if parts and isinstance(inner, ast.Name):
            owner = aliases.get(inner.id, inner.id)
            yield node.lineno, ".".join([owner, *reversed(parts)])


def factorization_violations(root):
    """Batched LAPACK kernels can wait for each other for ever (core/linalg)."""
    for path in python_files(root, ("nasjax",)):
        place = path.relative_to(root)
        if not stands_in(place, (LINALG,)):
            for line, name in sorted(set(full_names(path))):
                if FACTORIZATIONS.match(name):
                    yield f"{place}:{line}: {name} outside {LINALG}.py"


def layout_violations(root):
    for path in repository_files(root):
        place = path.relative_to(root)
        if path.suffix == ".py" and path.stem in CATCH_ALLS:
            yield f"{place}:1: a catch-all name; name the idea it holds"
    for folder in sorted({path.parent for path in python_files(root, ("nasjax",))}):
        place = folder.relative_to(root)
        if not (folder / "__init__.py").exists():
            yield f"{place}:1: no __init__.py"
        if len(place.parts) > 1 and place.parts[1] not in ROOMS:
            yield f"{place}:1: a folder without a row in the table of imports"


def text_violations(root):
    for path in repository_files(root):
        place = path.relative_to(root)
        content = path.read_bytes()
        if b"\0" in content:
            continue
        lines = content.decode("utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            for pattern, allowed in WORKPLACE:
                if place.parts[0] not in allowed and pattern.search(line):
                    yield f"{place}:{number}: names a folder of the workplace"


RULES = (
    import_violations,
    unsafe_violations,
    factorization_violations,
    layout_violations,
    text_violations,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps(rule):
    assert len(python_files(shared.ROOT)) > 5
    assert "\n".join(rule(shared.ROOT)) == ""


def write(root, place, source):
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if place.startswith("nasjax/"):
        for folder in path.relative_to(root).parents[:-1]:
            (root / folder / "__init__.py").write_text("")
    path.write_text(source)


BROKEN = [
    ("nasjax/core/a.py", "import nasjax.spaces", "nasjax.spaces"),
    ("nasjax/core/a.py", "from ..data import digits", "nasjax.data"),
    ("nasjax/core/a.py", "from .. import data", "nasjax.data"),
    ("nasjax/data/a.py", "from nasjax import networks", "nasjax.networks"),
    ("nasjax/search/a.py", "def f():\n    from nasjax.spaces import x", "2: may not"),
    ("nasjax/search/sub/a.py", "from nasjax.nasbench import load", "nasjax.nasbench"),
    ("nasjax/report/a.py", "from nasjax.jobs import hmnas", "nasjax.jobs"),
    ("nasjax/training/a.py", "import_module('nasjax.supernet.x')", "nasjax.supernet"),
    ("nasjax/__init__.py", "from nasjax.jobs import hmnas", "nasjax.jobs"),
    ("launch/a.py", "from nasjax.core import errors", "nasjax.core"),
    ("launch/a.py", "import jax", "may not import jax"),
    ("configs/a.py", "import nasjax", "may not import nasjax"),
    ("configs/a.py", "from nasjax import jobs", "nasjax.jobs"),
    ("configs/a.py", "import os", "configs stand alone"),
    ("configs/a.py", "import jax.numpy as jnp", "may not import jax"),
    ("nasjax/training/a.py", "from flax import linen as nn", "may not import flax"),
    ("nasjax/nasbench/a.py", "import flax.linen as nn", "may not import flax"),
    ("nasjax/core/a.py", "import flax", "may not import flax"),
    ("nasjax/nasbench/a.py", "import lightgbm", "lightgbm"),
    ("nasjax/predictors/a.py", "from sklearn.svm import NuSVR", "sklearn"),
    ("nasjax/core/arrays_x.py", "import safetensors", "safetensors"),
    ("nasjax/jobs/a.py", "import ml_collections", "ml_collections"),
    ("nasjax/jobs/a.py", "from absl import app", "may not import absl"),
    ("nasjax/jobs/a.py", "import tensorboardX", "tensorboardX"),
    ("nasjax/search/a.py", "import distributed", "distributed"),
    ("nasjax/core/a.py", "import matplotlib.pyplot as plt", "matplotlib"),
    ("nasjax/data/cifar10.py", "from PIL import Image", "PIL"),
    ("nasjax/core/a.py", "import pandas as pd", "pandas"),
    ("nasjax/core/a.py", "import pickle as p\nx = p.load(f)", "2: pickle.load"),
    ("nasjax/core/a.py", "from pickle import Unpickler", "pickle.Unpickler"),
    ("nasjax/core/a.py", "x = list(map(eval, y))", "eval outside"),
    ("launch/a.py", "exec('1')", "exec outside"),
    ("nasjax/data/a.py", "np.load(f, allow_pickle=True)", "allow_pickle"),
    ("nasjax/data/a.py", "tar.extractall(folder)", "extractall"),
    ("nasjax/core/a.py", "import jax\nx = jax.numpy.linalg.svd(y)", "2: jax.numpy"),
    ("nasjax/core/a.py", "import jax.numpy as n\nn.linalg.inv(y)", "linalg.inv"),
    ("nasjax/core/a.py", "from jax.scipy.linalg import cho_solve", "linalg.cho_solve"),
    ("nasjax/core/a.py", "from jax import lax\nlax.linalg.qr(x)", "jax.lax.linalg.qr"),
    ("nasjax/core/a.py", "from jax.scipy import linalg\nlinalg.lu(x)", "linalg.lu"),
    ("nasjax/core/a.py", "import jax\njax.random.orthogonal(k)", "orthogonal"),
    ("nasjax/core/utils.py", "", "catch-all"),
    ("benchmarks/common.py", "", "catch-all"),
    ("nasjax/tricks/a.py", "", "without a row"),
    ("README.md", "data in " + "../" + "shared/data", "workplace"),
    ("docs/a.txt", "data in shared" + "/data", "workplace"),
    ("configs/a.py", "dir = '/wo" + "rk/main'", "workplace"),
    ("tests/a.py", "see specs" + "/cate.md", "workplace"),
]


@pytest.mark.parametrize("place, source, reason", BROKEN)
def test_a_broken_rule_is_found(place, source, reason, tmp_path):
    write(tmp_path, place, source)
    found = {line for rule in RULES for line in rule(tmp_path)}
    where = place if "row" not in reason else str(pathlib.Path(place).parent)
    assert len(found) == 1, found
    (line,) = found
    assert line.startswith(f"{where}:") and reason in line


def test_a_missing_init_is_found(tmp_path):
    write(tmp_path, "nasjax/core/a.py", "")
    (tmp_path / "nasjax" / "core" / "__init__.py").unlink()
    assert list(layout_violations(tmp_path)) == ["nasjax/core:1: no __init__.py"]


KEPT = {
    "nasjax/jobs/a.py": "from nasjax import data, search\nfrom . import b\nimport jax",
    "nasjax/search/a.py": "from nasjax.core.types import Key\nimport flax.linen as nn",
    "nasjax/search/loops/executors.py": "def f():\n    import distributed",
    "nasjax/core/a.py": "import nasjax\nfrom flax import struct\nimport json, pickle",
    "nasjax/core/safe_pickle.py": "import pickle\nclass U(pickle.Unpickler): pass",
    "nasjax/core/graphs.py": "import jraph\nimport flax.struct\nmodel.eval()",
    "nasjax/nasbench/surrogate/forest.py": "import lightgbm, sklearn.svm",
    "nasjax/data/imagenet/a.py": "import grain\nfrom PIL import Image",
    "nasjax/data/a.py": "np.load(f, allow_pickle=False)\nre.compile('a')",
    "nasjax/core/b.py": "import jax.numpy as jnp, numpy as np\nnp.linalg.svd(x)\n"
    "jnp.linalg.norm(x)",
    "nasjax/core/linalg.py": "import jax.numpy as jnp\njnp.linalg.svd(x)",
    "nasjax/__main__.py": "from nasjax.jobs import hmnas",
    "launch/hmnas.py": "import os\nfrom absl import app, flags\nimport launching",
    "launch/launching.py": "from nasjax.jobs import hmnas",
    "configs/digits.py": "import ml_collections",
    "tests/a.py": "path = '" + "../" + "shared/data'\nweights = 'unshared/x'",
    "README.md": "network/runs and ~/work/nasjax and weight-shared/x",
}


def test_a_kept_rule_is_not_found(tmp_path):
    for place, source in KEPT.items():
        write(tmp_path, place, source)
    for place, source in KEPT.items():
        assert (tmp_path / place).read_text() == source
    assert [line for rule in RULES for line in rule(tmp_path)] == []
