"""NAS-Bench-NLP logs (Klyuchnikov et al., 2022): zip archives of JSON files.

Each file is one training of one recipe: losses in nats and seconds by epoch. Trainings
that diverged are shorter and may hold a literal NaN, which strict JSON does not have.
"""

import math
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from nasjax.core import paths, read_guard
from nasjax.core.errors import DataError, UnknownArchitecture
from nasjax.core.progress import echo, progress
from nasjax.nasbench import index, table_file
from nasjax.nasbench.readers import archives
from nasjax.nasbench.table_file import Part
from nasjax.spaces import nasbench_nlp_recipes as recipes

SPLITS = {"train": "train_losses", "valid": "val_losses", "test": "test_losses"}
_MAX_BYTES = 1 << 20
_MAX_TOTAL = 1 << 30
_MAX_EPOCHS = 1000
_MAX_SEEDS = 8
_MAX_PARAMETERS, _MAX_NAME = 2**31 - 1, 100
_MAX_VALUE, _MAX_MESSAGE = 1e30, 300


class Log(NamedTuple):
    """One training.

    Attributes:
      arch: int32 `[63]`, genes of the recipe.
      losses: float32 `[T]` by split, NaN after a divergence.
      seconds: float32 `[T]`, all seconds up to the end of each epoch.
      parameters: weights of the whole language model.
      data_set: name of the text.
      epochs: T, which were asked for.
    """

    arch: np.ndarray
    losses: dict[str, np.ndarray]
    seconds: np.ndarray
    parameters: int
    data_set: str
    epochs: int


def is_nlp(path: pathlib.Path) -> bool:
    """Whether a file has the name of a zip archive."""
    return path.suffix == ".zip" and paths.is_file(path)


def parse_log(content: bytes, *, name: str) -> Log:
    """One log from the bytes of its file.

    Raises:
      DataError: it is not of the official form.
      UnknownArchitecture: its recipe is outside the space.
    """
    what = "not a NAS-Bench-NLP log"
    with read_guard.guard(name, what):
        log = read_guard.parse_json(content, name=name, what=what)
        epochs = _integer(log["epochs"], _MAX_EPOCHS)
        losses = {split: _padded(log[key], epochs) for split, key in SPLITS.items()}
        seconds = np.cumsum(_padded(log["wall_times"], epochs), dtype=np.float32)
        parameters = _integer(log["num_params"], _MAX_PARAMETERS)
        data_set, recipe = log["data"], log["recepie"]
        if not isinstance(data_set, str) or not isinstance(recipe, str):
            raise TypeError("the name of the text or the recipe is no text")
        data_set = pathlib.PurePosixPath(data_set).name[:_MAX_NAME]
    try:
        arch = recipes.parse_arch(recipe)
    except UnknownArchitecture as error:
        told = read_guard.one_line(str(error)[:_MAX_MESSAGE])
        raise UnknownArchitecture(f"{name}: {told}") from error
    return Log(arch, losses, seconds, parameters, data_set, epochs)


def _integer(value: Any, most: int) -> int:
    """A whole number from 1 to `most`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{read_guard.show(value)} is no number from 1 to {most}")
    return value


def _padded(values: Any, epochs: int) -> np.ndarray:
    """float32 `[epochs]`: finite values up to the first that is not, then NaN."""
    if not isinstance(values, list) or len(values) > epochs:
        raise ValueError(f"a curve that is no list of at most {epochs} values")
    padded = np.full(epochs, np.nan, np.float32)
    for epoch, value in enumerate(values):
        if type(value) not in (int, float):
            raise TypeError(f"{type(value).__name__} in a curve")
        if not math.isfinite(value) or abs(value) > _MAX_VALUE:
            break
        if value < 0:
            raise ValueError("a negative loss or time")
        padded[epoch] = value
    return padded


def read_logs(path: str | os.PathLike[str]) -> tuple[list[Log], list[str]]:
    """All logs of an archive, and why others are left out.

    A recipe outside the space (with states that nothing needs, or of more than 15
    nodes) is left out.

    Raises:
      DataError: the archive or a log is damaged, refused or of another form.
    """
    logs, left_out = [], []
    members = archives.read_zip(
        path, r".+\.json", max_bytes=_MAX_BYTES, max_total_bytes=_MAX_TOTAL
    )
    for name, content in progress(members, description="reading", unit="log"):
        try:
            logs.append(parse_log(content, name=f"{path}/{name}"))
        except UnknownArchitecture as error:
            left_out.append(str(error))
    return logs, left_out


def convert(
    path: pathlib.Path, output: str | os.PathLike[str], source: dict[str, Any]
) -> None:
    """Writes the table file of all logs of an archive.

    Trainings of isomorphic recipes become seeds of one row, the first eight of each;
    what is left out is counted and reported.

    Raises:
      DataError: the archive or a log is damaged, refused or of another form.
    """
    logs, left_out = read_logs(path)
    if not logs:
        raise DataError(f"{path}: holds no log of a recipe that can be read")
    if len({(log.data_set, log.epochs) for log in logs}) > 1:
        raise DataError(f"{path}: logs of several texts or schedules; split it")
    if left_out:
        echo(f"left out {len(left_out)} recipes, such as {left_out[0]}")
    groups = _group(logs)
    surplus = len(logs) - sum(map(len, groups.values()))
    if surplus:
        echo(f"left out {surplus} trainings: a recipe keeps its first {_MAX_SEEDS}")
    counts = {"logs": len(logs), "recipes_left_out": len(left_out)}
    _save(groups, output, {**source, **counts, "trainings_left_out": surplus})


def _group(logs: list[Log]) -> dict[tuple[int, ...], list[Log]]:
    """Logs of isomorphic recipes by fingerprint, increasing, at most eight of each."""
    prints = index.fingerprints("nasbench_nlp", np.array([log.arch for log in logs]))
    groups: dict[tuple[int, ...], list[Log]] = {}
    for log, lanes in zip(logs, prints.tolist(), strict=True):
        group = groups.setdefault(tuple(lanes), [])
        if len(group) < _MAX_SEEDS:
            group.append(log)
    return dict(sorted(groups.items()))


def _save(
    groups: dict[tuple[int, ...], list[Log]],
    output: str | os.PathLike[str],
    source: dict[str, Any],
) -> None:
    keys = list(groups)
    most = max(map(len, groups.values()))
    first = [group[0] for group in groups.values()]
    epochs = first[0].epochs

    def stack(curve: Any) -> np.ndarray:
        values = np.full((len(keys), most, epochs), np.nan, np.float32)
        for row, group in enumerate(groups.values()):
            for seed, log in enumerate(group):
                values[row, seed] = curve(log)
        return values

    tree: dict[str, Any] = {
        "archs": np.array([log.arch for log in first], np.int8),
        "fingerprints": np.array(keys, np.uint32),
        "parameters": np.array([log.parameters for log in first], np.int32),
        "seconds": stack(lambda log: log.seconds),
    }
    for split in SPLITS:
        tree[f"{split}_loss"] = stack(lambda log, split=split: log.losses[split])
    part = Part(
        data_set=first[0].data_set,
        epochs=tuple(range(1, epochs + 1)),
        metric="loss",
        seeds=tuple(range(most)),
        curves={f"{split}_loss": f"{split}_loss" for split in SPLITS},
        seconds="seconds",
        facts={"parameters": "parameters"},
    )
    table_file.save(output, tree, table_file.describe("nasbench_nlp", source, [part]))
