"""NAS-Bench tables as files: convert an official file, look an architecture up."""

import os
import pathlib
import re

import jax.numpy as jnp
import numpy as np

from nasjax import nasbench, spaces
from nasjax.core import arrays, atomic_file, errors
from nasjax.nasbench import table_file
from nasjax.spaces import nasbench101_notation, nasbench201

_MEGA = 1e6


def convert(input: str, output: str) -> None:
    """Converts an official benchmark file into a table file and prints what is in it.

    Args:
      input: the official file or folder.
      output: the table file; `OUTPUT.json` describes it.

    Raises:
      ConfigError: a path is missing.
      DataError: the official file is of no known form, damaged or unsafe.
    """
    _need("input", input)
    _need("output", output)
    atomic_file.require_writable(_path(output))
    nasbench.convert(pathlib.Path(input).expanduser(), _path(output))
    print(summary(output))


def summary(path: str) -> str:
    """What a table file holds, one line for each benchmark."""
    description = table_file.read_description(_path(path))
    count = len(arrays.memory_map(_path(path))["archs"])
    size = _path(path).stat().st_size / 1e6
    lines = [f"{path}: {count:,} cells of {description['space']}, {size:.1f} MB"]
    for part in table_file.read_parts(description):
        known = ", ".join(sorted(part.curves))
        lines.append(f"  {part.data_set}, {part.schedule} epochs: {known}")
    return "\n".join(lines)


def query(table: str, arch: str) -> None:
    """Prints what a table records of one architecture.

    Args:
      table: a table file.
      arch: the official notation; also an index of NAS-Bench-201 or a module hash of
        NAS-Bench-101.

    Raises:
      ConfigError: an argument is missing.
      DataError: the table is missing or damaged.
      UnknownArchitecture: the notation cannot be read (the message shows the nearest
        one that can), or the table lacks the architecture.
    """
    _need("table", table)
    _need("arch", arch)
    print(record(table, arch))


def record(table: str, arch: str) -> str:
    """The text that `query` prints."""
    path = _path(table)
    description = table_file.read_description(path)
    views = arrays.memory_map(path)
    genes = _read_arch(path, description["space"], arch)
    space = spaces.make(description["space"])
    lines = [space.format_arch(genes)]
    if space.name == "nasbench101":
        lines.append(f"module hash {nasbench101_notation.module_hash(genes)}")
    if space.name == "nasbench201":
        lines.append(f"index {int(nasbench201.index(jnp.asarray(genes)))}")
    row = int(table_file.read_index(path).find(jnp.asarray(genes)))
    if row < 0:
        raise errors.UnknownArchitecture(f"{path} has no training of {lines[0]}")
    for part in table_file.read_parts(description):
        lines += ["", *_describe(part, views, row)]
    return "\n".join(lines)


def _describe(
    part: table_file.Part, views: dict[str, np.ndarray], row: int
) -> list[str]:
    """One benchmark's lines: facts, then values at a few epochs or at the last."""
    facts = {name: float(views[key][row]) for name, key in part.facts.items()}
    lines = [f"{part.data_set}, {part.schedule} epochs", *_facts(facts)]
    epochs = part.epochs if len(part.epochs) <= 4 else part.epochs[-1:]
    for epoch in epochs:
        if len(epochs) > 1:
            lines.append(f"  after {epoch} epochs")
        for metric, key in sorted({**part.curves, "seconds": part.seconds}.items()):
            if not key:
                continue
            values = views[key][row]
            if values.shape[1] == len(part.epochs):
                lines.append(_values(metric, values[:, part.epochs.index(epoch)]))
            elif epoch == part.schedule:
                lines.append(_values(metric, values[:, 0]))
    return lines + [f"  ({metric}: {note})" for metric, note in part.notes.items()]


def _facts(facts: dict[str, float]) -> list[str]:
    units = {"parameters": ("M", _MEGA), "flops": ("M", _MEGA), "latency": ("ms", 1e-3)}
    lines = []
    for name, value in facts.items():
        unit, scale = units.get(name, ("", 1.0))
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


def _read_arch(path: pathlib.Path, space: str, text: str) -> np.ndarray:
    """Genes of an architecture as people write it."""
    text = text.strip()
    if space == "nasbench201" and re.fullmatch(r"\d{1,5}", text):
        if int(text) >= nasbench201.SIZE:
            raise errors.UnknownArchitecture(
                f"index {text} is not below {nasbench201.SIZE}"
            )
        return np.asarray(nasbench201.from_index(jnp.int32(text)))
    if space == "nasbench101" and re.fullmatch(r"[0-9a-fA-F]{32}", text):
        return _find_hash(path, text.lower())
    try:
        return np.asarray(spaces.make(space).parse_arch(text))
    except errors.UnknownArchitecture as error:
        near = _nearest(space, text)
        if near and near not in str(error):
            raise errors.UnknownArchitecture(f"{error}; nearest: '{near}'") from error
        raise


def _find_hash(path: pathlib.Path, text: str) -> np.ndarray:
    """Genes of the cell with a module hash, if the table holds hashes."""
    views = arrays.memory_map(path)
    if "module_hash" not in views:
        raise errors.UnknownArchitecture(
            f"{path} holds no module hashes; write the cell as "
            f"'{nasbench101_notation.format_arch(nasbench101_notation.SMALL_CELL)}'"
        )
    wanted = np.frombuffer(bytes.fromhex(text), np.uint8)
    rows = np.flatnonzero((views["module_hash"] == wanted).all(axis=1))
    if not len(rows):
        raise errors.UnknownArchitecture(f"no cell of {path} has the hash {text}")
    return views["archs"][rows[0]].astype(np.int32)


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


def _need(name: str, value: str) -> None:
    if not value:
        raise errors.ConfigError(f"--{name} is missing")


def _path(path: str | os.PathLike[str]) -> pathlib.Path:
    return pathlib.Path(path).expanduser()
