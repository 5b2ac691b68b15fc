"""What a benchmark records of one architecture, asked by string, index or hash.

print(nasbench.query("digits201", 42))
print(nasbench.query("TABLE.safetensors", "d80b0a3c68f04b2ae20f2afc8e4d8e9a"))
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from nasjax import spaces
from nasjax.core import arrays, errors, paths
from nasjax.nasbench import genes as gene_checks
from nasjax.nasbench import loading, table_file
from nasjax.nasbench.table import TabularBenchmark
from nasjax.spaces import nasbench101_notation, nasbench201

_MEGA = 1e6
_UNITS = {"parameters": ("M", _MEGA), "flops": ("M", _MEGA), "latency": ("ms", 1e-3)}


@dataclasses.dataclass(frozen=True)
class Training:
    """The trainings of an architecture on one data set under one schedule.

    Attributes:
      data_set: what it was trained on.
      epochs: the recorded epochs, the axis of curves.
      metrics: float `[S, T]`, or `[S, 1]` where only the end is recorded, by name;
        accuracies in [0, 1], losses in nats, `seconds` of training.
      facts: further numbers, such as `parameters`.
      notes: why a metric is absent, or what it is taken from.
    """

    data_set: str
    epochs: tuple[int, ...]
    metrics: Mapping[str, np.ndarray]
    facts: Mapping[str, float]
    notes: Mapping[str, str]

    def __str__(self) -> str:
        return "\n".join(_describe(self))


@dataclasses.dataclass(frozen=True)
class Record:
    """All that a benchmark knows of one architecture; its text is for people.

    Attributes:
      arch: int32 `[G]`.
      notation: the official string.
      name: `index 11` or `module hash d80b...`, "" where the space has neither.
      trainings: one for each data set and schedule.
    """

    arch: np.ndarray
    notation: str
    name: str
    trainings: tuple[Training, ...]

    def __str__(self) -> str:
        lines = [self.notation] + [self.name] * bool(self.name)
        for training in self.trainings:
            lines += ["", str(training)]
        return "\n".join(lines)


def query(table: str | os.PathLike[str] | TabularBenchmark, arch: Any) -> Record:
    """What is recorded of an architecture.

    Args:
      table: a benchmark that was loaded, its name, or a table file, of which all data
        sets are shown.
      arch: the official notation, genes `[G]`, an index of NAS-Bench-201, or a module
        hash of NAS-Bench-101 (of table files that hold hashes).

    Raises:
      DataError: the table is missing or damaged.
      UnknownArchitecture: the notation cannot be read (the message shows the nearest
        one that can), or the table lacks the architecture.
    """
    if isinstance(table, TabularBenchmark):
        return _of_table(table, arch)
    name = os.fspath(table)
    if name in loading.NAMES:
        options = {"listed": True} if name in loading.LISTED else {}
        return _of_table(loading.load(name, **options), arch)
    return _of_file(loading.find_file(table), arch)


def summary(path: str | os.PathLike[str]) -> str:
    """What a table file holds, one line for each benchmark.

    Raises:
      DataError: the file is missing, damaged or no table.
    """
    file = _path(path)
    description = table_file.read_description(file)
    count = len(arrays.memory_map(file)["archs"])
    size = file.stat().st_size / 1e6
    lines = [f"{path}: {count:,} cells of {description['space']}, {size:.1f} MB"]
    for part in table_file.read_parts(description):
        known = ", ".join(sorted(part.curves))
        lines.append(f"  {part.data_set}, {part.schedule} epochs: {known}")
    return "\n".join(lines)


def _of_table(table: TabularBenchmark, arch: Any) -> Record:
    genes = _read_arch(None, table.space, arch)
    row = int(table.find(jnp.asarray(genes)))
    title = f"{table.space} on {table.data_set}"
    recorded = {**table.curves, "seconds": table.seconds}
    training = Training(
        table.data_set,
        table.epochs,
        {
            name: np.asarray(runs.values[row])
            for name, runs in recorded.items()
            if runs is not None
        },
        {name: float(values[row]) for name, values in table.facts.items()},
        dict(table.notes),
    )
    return _record(title, table.space, genes, row, [training])


def _of_file(path: pathlib.Path, arch: Any) -> Record:
    description = table_file.read_description(path)
    views = arrays.memory_map(path)
    genes = _read_arch(path, description["space"], arch)
    row = int(table_file.read_index(path).find(jnp.asarray(genes)))
    trainings = (
        Training(
            part.data_set,
            part.epochs,
            {
                name: np.asarray(views[key][row])
                for name, key in {**part.curves, "seconds": part.seconds}.items()
                if key
            },
            {name: float(views[key][row]) for name, key in part.facts.items()},
            part.notes,
        )
        for part in table_file.read_parts(description)
    )
    return _record(str(path), description["space"], genes, row, trainings)


def _record(
    title: str, space: str, genes: np.ndarray, row: int, trainings: Iterable[Training]
) -> Record:
    notation = spaces.make(space).format_arch(genes)
    if row < 0:
        raise errors.UnknownArchitecture(f"{title} has no training of {notation}")
    name = ""
    if space == "nasbench101":
        name = f"module hash {nasbench101_notation.module_hash(genes)}"
    if space == "nasbench201":
        name = f"index {int(nasbench201.index(jnp.asarray(genes)))}"
    return Record(genes, notation, name, tuple(trainings))


# --- for people --------------------------------------------------------------------


def _describe(training: Training) -> list[str]:
    """Facts, then values at a few epochs or at the last."""
    last = training.epochs[-1]
    lines = [f"{training.data_set}, {last} epochs", *_facts(training.facts)]
    epochs = training.epochs if len(training.epochs) <= 4 else training.epochs[-1:]
    for epoch in epochs:
        if len(epochs) > 1:
            lines.append(f"  after {epoch} epochs")
        for metric, values in sorted(training.metrics.items()):
            if values.shape[1] == len(training.epochs):
                column = training.epochs.index(epoch)
                lines.append(_values(metric, values[:, column]))
            elif epoch == last:
                lines.append(_values(metric, values[:, 0]))
    return lines + [f"  ({metric}: {note})" for metric, note in training.notes.items()]


def _facts(facts: Mapping[str, float]) -> list[str]:
    lines = []
    for name, value in facts.items():
        unit, scale = _UNITS.get(name, ("", 1.0))
        if np.isfinite(value) and value >= 0:
            lines.append(f"  {name:<24} {value / scale:.6g} {unit}".rstrip())
    return lines


def _values(metric: str, values: np.ndarray) -> str:
    """Mean over seeds and each seed; accuracies in percent, losses in nats."""
    known = values[np.isfinite(values)]
    if not len(known):
        return f"  {metric:<24} -"
    scale, unit = 1.0, " s" if metric == "seconds" else " nats"
    if metric.endswith("accuracy"):
        scale, unit = 100.0, " %"
    text = f"  {metric:<24} {scale * known.mean():.3f}{unit}"
    if len(known) > 1:
        text += f"  (seeds {', '.join(f'{scale * v:.3f}' for v in known)})"
    return text


# --- as people write architectures ---------------------------------------------------


def _read_arch(path: pathlib.Path | None, space: str, arch: Any) -> np.ndarray:
    """Genes of an architecture; `path` is the table file that may hold hashes."""
    if isinstance(arch, int | np.integer) and not isinstance(arch, bool):
        if space != "nasbench201":
            raise errors.UnknownArchitecture(
                f"index {arch}: cells have an index on NAS-Bench-201 only; pass the "
                f"notation of {space}"
            )
        arch = str(arch)
    if not isinstance(arch, str):
        return _check_genes(space, arch)
    text = arch.strip()
    if space == "nasbench201" and re.fullmatch(r"-?\d{1,5}", text):
        if not 0 <= int(text) < nasbench201.SIZE:
            raise errors.UnknownArchitecture(
                f"index {text} is not below {nasbench201.SIZE}"
                if int(text) >= 0
                else f"index {text} is below 0"
            )
        return np.asarray(nasbench201.from_index(jnp.int32(int(text))))
    if space == "nasbench101" and re.fullmatch(r"[0-9a-fA-F]{32}", text):
        return _find_hash(path, text.lower())
    try:
        return np.asarray(spaces.make(space).parse_arch(text))
    except errors.UnknownArchitecture as error:
        near = _nearest(space, text)
        if near and near not in str(error):
            raise errors.UnknownArchitecture(f"{error}; nearest: '{near}'") from error
        raise


def _check_genes(space: str, arch: Any) -> np.ndarray:
    genes = np.asarray(gene_checks.check(arch, f"the genes of {space}"))
    made = spaces.make(space)
    if genes.shape != (made.num_genes,) or not bool(made.is_valid(jnp.asarray(genes))):
        raise errors.UnknownArchitecture(
            f"{genes.tolist()} is no gene vector of {space}, which has "
            f"{made.num_genes} genes"
        )
    return genes.astype(np.int32)


def _find_hash(path: pathlib.Path | None, text: str) -> np.ndarray:
    """Genes of the cell with a module hash, if the table holds hashes."""
    views = {} if path is None else arrays.memory_map(path)
    if "module_hash" not in views:
        raise errors.UnknownArchitecture(
            f"{path or 'a loaded table'} holds no module hashes; write the cell as "
            f"'{nasbench101_notation.format_arch(nasbench101_notation.SMALL_CELL)}'"
        )
    wanted = np.frombuffer(bytes.fromhex(text), np.uint8)
    rows = np.flatnonzero((views["module_hash"] == wanted).all(axis=1))
    if not len(rows):
        raise errors.UnknownArchitecture(f"no cell of {path} has the hash {text}")
    genes: np.ndarray = views["archs"][rows[0]].astype(np.int32)
    return genes


def _nearest(space: str, text: str) -> str:
    """The valid notation that has the words of `text`, "" where they do not fit."""
    names = spaces.make(space).op_names
    words = [_word(word, names) for word in re.findall(r"[A-Za-z_][\w.-]*", text)]
    known = [word for word in words if word]
    if space == "nasbench201" and len(known) == nasbench201.NUM_GENES:
        return nasbench201.format_arch([names.index(word) for word in known])
    if space == "nasbench101":
        bits = "".join(re.findall(r"[01]{2,}", text.partition("|")[2] or text))
        n = len(known) + 2
        if len(bits) == n * n and n >= 2:
            rows = "/".join(bits[n * i : n * i + n] for i in range(n))
            candidate = f"{','.join(['input', *known, 'output'])}|{rows}"
            try:
                return nasbench101_notation.format_arch(
                    nasbench101_notation.parse_arch(candidate)
                )
            except errors.UnknownArchitecture:
                return ""
    return ""


def _word(word: str, names: tuple[str, ...]) -> str:
    """The operation that a word means, "" for another word."""
    match = re.search(r"did you mean '(.+?)'", errors.suggest(word.lower(), names))
    return word if word in names else match[1] if match else ""


def _path(path: str | os.PathLike[str]) -> pathlib.Path:
    return paths.expand(path)
