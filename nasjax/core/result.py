"""`result.json`: what a run found, as exact and stable JSON."""

import importlib.metadata
import json
import math
import os
import platform
from typing import Any

import jax
import numpy as np

import nasjax
from nasjax.core import atomic_file, errors, read_guard


def write(path: str | os.PathLike[str], values: dict[str, Any]) -> None:
    """Writes `values` as indented JSON with sorted keys, whole or not at all.

    Arrays become numbers or lists, tuples become lists, and numbers that are not
    finite become null. Floats are written so that they read back exactly.

    Raises:
      TypeError: a value, which the message names, has no JSON form.
      OSError: the file cannot be written.
    """
    text = json.dumps(to_json(values), indent=2, sort_keys=True, allow_nan=False)
    atomic_file.write_text(path, text + "\n")


def read(
    path: str | os.PathLike[str], *, remedy: str = "run again what wrote it"
) -> dict[str, Any]:
    """Reads a result back; `remedy` is what the user can do where it is damaged.

    Raises:
      errors.DataError: the file is missing or is not a JSON object.
    """
    content = read_guard.read_file(path)
    what = "not a JSON file"
    values = read_guard.parse_json(content, name=path, what=what, remedy=remedy)
    if not isinstance(values, dict):
        raise errors.DataError(f"{path}: not a JSON object; {remedy}")
    return values


def to_json(value: Any, name: str = "") -> Any:
    """Returns `value` in JSON types; `name` is its dotted path for the error.

    Raises:
      TypeError: there is no JSON form.
    """
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, dict):
        items = ((str(key), item) for key, item in value.items())
        return {key: to_json(item, f"{name}.{key}".strip(".")) for key, item in items}
    if isinstance(value, list | tuple):
        return [to_json(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{name or 'the value'} has no JSON form: {type(value).__name__}")


def versions() -> dict[str, str]:
    """Returns what the numbers were computed with.

    Versions of python, nasjax and its numerical libraries, the jax backend (cpu,
    gpu or tpu) and the kind of its first device.
    """
    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    return {
        "python": platform.python_version(),
        "nasjax": nasjax.__version__,
        **{package: importlib.metadata.version(package) for package in packages},
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
    }
