"""Folders and zips of official surrogates: `surrogate_model.model` and its configs.

Each member of an ensemble is a folder with the file of its model and, beside it,
`model_config.json` and `data_config.json`. All members below a path form one ensemble
as far as they are of one kind; a download of several benchmarks is several of them.
"""

import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from nasjax.core import paths, read_guard
from nasjax.core.errors import DataError
from nasjax.core.progress import echo
from nasjax.nasbench.readers import archives, imported

MODEL = "surrogate_model.model"
_CONFIGS = ("model_config.json", "data_config.json")
_MAX_MODEL = 1 << 27
_MAX_CONFIG = 1 << 20
_MAX_TOTAL = 1 << 35
_MAX_KEPT = 5 << 26
_MAX_MEMBERS, _MAX_NAME = 1000, 60

ReadMember = Callable[[bytes, str], imported.Member]
"""`(content, name) -> Member`."""


class _Found(NamedTuple):
    folder: tuple[str, ...]
    member: imported.Member
    configs: tuple[dict[str, Any], dict[str, Any]]

    @property
    def kind(self) -> tuple[str, str, bool, tuple[int, ...]]:
        """What members of one ensemble have in common."""
        model, decoder = self.member, self.member.decoder
        technique = _technique(self.configs[0])
        sizes = (model.num_features, model.num_epochs, len(model.models))
        return technique, model.library, decoder is None, sizes


def techniques(path: str | os.PathLike[str]) -> frozenset[str]:
    """The official names of the techniques of the members below a path.

    Only names and small JSON files are read.

    Returns:
      Each `"model"` in a model_config.json; empty where there is no member or no such
      file, or where the path cannot be read.
    """
    path = pathlib.Path(path)
    try:
        if not _has_member(path):
            return frozenset()
        configs = _read_configs(path).values()
        return frozenset(map(_technique, configs)) - {""}
    except (DataError, OSError):
        return frozenset()


def read(
    path: str | os.PathLike[str],
    read_member: ReadMember,
    techniques: tuple[str, ...],
) -> tuple[imported.ImportedSurrogate, ...]:
    """The ensembles below a path.

    Args:
      path: a folder, a zip archive, or one `surrogate_model.model`.
      read_member: reads the file of one member.
      techniques: official names ("model" in model_config.json) that it reads. Members
        of other techniques are left out, and this is reported; a member without the
        file is tried.

    Raises:
      DataError: there is no member, or none of these techniques; a file is damaged,
        truncated or unsafe; the message names it and what to do.
    """
    path = pathlib.Path(path)
    if not paths.exists(path):
        raise DataError(f"{path}: no such file or folder")
    configs = _read_configs(path)
    found, refused, read_members = [], [], imported.Distinct(_MAX_KEPT, str(path))
    seen: set[tuple[str, ...]] = set()
    for name, content in _files(path, (MODEL,), _MAX_MODEL):
        folder = pathlib.PurePosixPath(name).parts[:-1]
        if folder in seen:
            raise DataError(f"{path}: holds {name} twice; download it again")
        seen.add(folder)
        model_config, data_config = (
            configs.get((*folder, base), {}) for base in _CONFIGS
        )
        kind = _technique(model_config)
        if kind and kind not in techniques:
            refused.append((name, kind))
            continue
        where = str(path) if path.name == name else f"{path}/{name}"
        member = read_members.add(read_member(content, where))
        found.append(_Found(folder, member, (model_config, data_config)))
    if not found and refused:
        raise refusal(f"{path}/{refused[0][0]}", refused[0][1], techniques)
    if not found:
        raise DataError(
            f"{path}: holds no {MODEL}; give the folder or zip of an official surrogate"
        )
    if refused:
        echo(
            f"left out {len(refused)} members of other techniques, such as "
            f"{refused[0][0]} ({refused[0][1]})"
        )
    found.sort(key=lambda entry: [_natural(part) for part in entry.folder])
    return tuple(_ensemble(path, group) for group in _groups(found))


def refusal(name: str, kind: str, techniques: tuple[str, ...]) -> DataError:
    """Why a surrogate of another technique is not read, and what to do."""
    return DataError(
        f"{name}: a surrogate of the technique {kind!r}, whose file holds Python "
        f"objects of torch or scikit-learn; only {', '.join(techniques)} are read. Fit "
        "one of your own: python launch/nasbench_x11.py --mode=fit"
    )


def _ensemble(path: pathlib.Path, group: list[_Found]) -> imported.ImportedSurrogate:
    members, copies = imported.distinct([entry.member for entry in group])
    common = os.path.commonprefix([entry.folder for entry in group])
    if len(group) == 1:
        common = group[0].folder
    name = "/".join(common) or (
        path.resolve().parent.name if path.name == MODEL else path.stem
    )
    return imported.ImportedSurrogate(name, members, copies, *group[0].configs)


def _groups(found: list[_Found], depth: int = 0) -> Iterator[list[_Found]]:
    """Splits by folder, level after level, until all members of a part agree."""
    if len({entry.kind for entry in found}) == 1:
        yield found
        return
    parts: dict[tuple[str, ...], list[_Found]] = {}
    for entry in found:
        parts.setdefault(entry.folder[: depth + 1], []).append(entry)
    for part in parts.values():
        yield from _groups(part, depth + 1)


def _read_configs(path: pathlib.Path) -> dict[tuple[str, ...], dict[str, Any]]:
    configs = {}
    for name, content in _files(path, _CONFIGS, _MAX_CONFIG):
        config = read_guard.parse_json(content, name=f"{path}/{name}")
        if not isinstance(config, dict):
            raise DataError(f"{path}/{name}: not a JSON object")
        configs[pathlib.PurePosixPath(name).parts] = config
        if len(configs) > len(_CONFIGS) * _MAX_MEMBERS:
            raise DataError(f"{path}: refused: more than {_MAX_MEMBERS} members")
    return configs


def _technique(config: dict[str, Any]) -> str:
    """The official name of the technique, "" where there is none."""
    name = config.get("model", "")
    return name[:_MAX_NAME] if isinstance(name, str) else ""


def _files(
    path: pathlib.Path, names: tuple[str, ...], max_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """(name relative to the path, content) of all files of these base names."""
    if _is_zip(path):
        pattern = "|".join(map(re.escape, names))
        yield from archives.read_zip(
            path, pattern, max_bytes=max_bytes, max_total_bytes=_MAX_TOTAL
        )
        return
    inside = paths.is_folder(path)
    top = path if inside else path.parent
    for file in sorted(path.rglob("*")) if inside else [path, *_beside(path)]:
        if file.name not in names or not paths.is_file(file):
            continue
        content = read_guard.read_file(file, max_bytes=max_bytes)
        yield file.relative_to(top).as_posix(), content


def _beside(path: pathlib.Path) -> list[pathlib.Path]:
    return [path.with_name(name) for name in _CONFIGS]


def _has_member(path: pathlib.Path) -> bool:
    if paths.is_folder(path):
        return next(path.rglob(MODEL), None) is not None
    if _is_zip(path):
        with archives.open_zip(path) as archive:
            names = archive.namelist()
        return any(pathlib.PurePosixPath(name).name == MODEL for name in names)
    return paths.is_file(path) and path.name == MODEL


def _is_zip(path: pathlib.Path) -> bool:
    return path.suffix == ".zip" and paths.is_file(path)


def _natural(part: str) -> tuple[tuple[int, str], ...]:
    """Sorts `ensemble_member_2` before `ensemble_member_10`."""
    return tuple(
        (int(piece), "") if piece.isdigit() else (-1, piece)
        for piece in re.split(r"(\d{1,9})", part)
    )
