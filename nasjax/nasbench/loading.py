"""`load`: a benchmark from its file or by its name."""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

from nasjax.core import arrays, errors, paths, read_guard, registry
from nasjax.nasbench import table_file

DATA_VARIABLE = "NASJAX_DATA"
"""Environment variable: the folder of the files of named benchmarks."""


def _load_surrogate(path: str | os.PathLike[str]) -> Any:
    from nasjax.nasbench.surrogate import storage  # late: tables load without it

    return storage.load(path)


def _load_digits201(path: str | os.PathLike[str] | None = None) -> Any:
    from nasjax.nasbench import digits201  # late: only its users need it

    return digits201.load(digits201.FILE if path is None else path)


def _load_sampled(name: str, *, listed: bool = False) -> Any:
    """The surrogate of a space, or the table of the architectures it was fitted to."""
    from nasjax.nasbench import sampled_digits  # late: only its users need it

    sampled = sampled_digits.SAMPLED[name]
    if not (sampled.file if listed else sampled.surrogate_file).exists():
        raise errors.DataError(
            f"{name} is not in this package yet: build, fit and install it with "
            f"launch/nasbench_x11.py --config=configs/nasbench_x11/{name}.py"
        )
    return sampled.load() if listed else _load_surrogate(sampled.surrogate_file)


def _load_sampled_file(path: str | os.PathLike[str]) -> Any:
    from nasjax.nasbench import sampled_digits  # late: only its users need it

    return sampled_digits.load(path)


FORMS: dict[str, Callable[..., Any]] = {
    table_file.FORM: table_file.load,
    "nasjax.surrogate/1": _load_surrogate,
    "nasjax.sampled_digits/1": _load_sampled_file,
    "nasjax.digits201/2": _load_digits201,
    "nasjax.digits201/1": _load_digits201,  # refused, with the reason
}
"""Loader of each kind of file, by the `form` in its metadata."""

NAMES: dict[str, Callable[..., Any]] = {
    "digits201": _load_digits201,
    "digits111": functools.partial(_load_sampled, "digits111"),
    "digits311": functools.partial(_load_sampled, "digits311"),
}
"""Benchmarks that need no file: functions of the options."""

SPACES_OF_NAMES = {
    "digits201": "nasbench201",
    "digits111": "nasbench101",
    "digits311": "darts",
}
"""The space of each of `NAMES`."""

LISTED = ("digits111", "digits311")
"""Of `NAMES`, those that have a table only of what was trained."""

FILES = ("nasbench101", "nasbench201", "nasbench_nlp")
"""Names that stand for `NAME.safetensors` in the data folder."""


def load(name_or_file: str | os.PathLike[str], **options: Any) -> Any:
    """Loads a benchmark: contract 3's pure functions over arrays.

    Args:
      name_or_file: a file that was converted, or a name: of a benchmark that needs no
        file, or of one whose file is in the data folder (`NASJAX_DATA`, by default
        `~/.cache/nasjax`).
      **options: of the kind of file; `data_set`, `schedule` and `metrics` of tables;
        `listed=True` of digits111 and digits311 gives the table of the architectures
        that were trained in the place of the surrogate.

    Raises:
      DataError: the file is missing, damaged or of another kind.
      ConfigError: the name is unknown, or an option does not fit.
    """
    name = os.fspath(name_or_file)
    if name in NAMES:
        return _call(NAMES[name], options)
    path = find_file(name)
    form = arrays.load_metadata(path).get("form", "")
    if not isinstance(form, str) or form not in FORMS:
        raise errors.DataError(
            f"{path}: no benchmark of a known kind; convert the official file with "
            "launch/nasbench_x11.py --mode=convert"
        )
    load_form = functools.partial(FORMS[form], path)
    with read_guard.guard(path, "damaged", remedy="make the file again"):
        return _call(load_form, options)


def find_file(name_or_file: str | os.PathLike[str]) -> pathlib.Path:
    """The file of a benchmark, by its path or by a name of `FILES`.

    Raises:
      DataError: the file of the name is not in the data folder, or cannot be read.
      ConfigError: the name is unknown.
    """
    name = os.fspath(name_or_file)
    path = paths.expand(name)
    if name in FILES and not paths.exists(path):
        path = data_folder() / f"{name}.safetensors"
        if not paths.exists(path):
            raise errors.DataError(
                f"{path}: no such file; make it from the official one: "
                f"python launch/nasbench_x11.py --mode=convert --input=FILE "
                f"--output={path}"
            )
    if not paths.exists(path) and path.suffix != ".safetensors":
        raise errors.unknown_name("benchmark or file", name, [*NAMES, *FILES])
    return path


def _call(loader: Callable[..., Any], options: dict[str, Any]) -> Any:
    registry.check("the benchmark", loader, options)
    return loader(**options)


def data_folder() -> pathlib.Path:
    """The folder of the files of named benchmarks."""
    folder = os.environ.get(DATA_VARIABLE) or "~/.cache/nasjax"
    return paths.expand(folder)
