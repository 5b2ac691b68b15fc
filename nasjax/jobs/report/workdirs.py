"""Working directories of finished runs: which job made them, and what it found."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nasjax.core import errors, paths, read_guard, result, workdir
from nasjax.jobs import defaults

RESULT_FILES = ("result.json", "pretraining.json")
"""The first that is there says what a run found."""
SEARCH, JOINED, SUPERNET, ENCODER = "search", "searches", "supernet", "encoder"
SURROGATE, FOLDS, BUILT, TRAINED = "surrogate", "folds", "built", "trained"
SIGNS: Mapping[str, tuple[str, ...]] = {
    SEARCH: ("algorithms", "comparisons", "report"),
    JOINED: ("statements", "tables"),
    SUPERNET: ("stages", "genotype"),
    ENCODER: ("variants", "tables"),
    SURROGATE: ("surrogates", "baselines"),
    FOLDS: ("cross_validation", "baselines"),
    BUILT: ("output", "architectures", "trainings"),
    TRAINED: ("architectures", "tables"),
}
"""By kind the keys of its result that no other kind above it has together."""
AGAIN = "run the same command again"


class Workdir(NamedTuple):
    """One finished run.

    Attributes:
      folder: where it is.
      kind: a key of `SIGNS`.
      outcome: of its result file.
      config: the configuration, all defaults filled in.
      command: that made it, without its flags for files.
    """

    folder: pathlib.Path
    kind: str
    outcome: Mapping[str, Any]
    config: Mapping[str, Any]
    command: str

    @property
    def name(self) -> str:
        """The folder as it was given."""
        return str(self.folder)


def expand(folders: Iterable[str]) -> list[pathlib.Path]:
    """The folders, each once, with those of searches that a folder has inside.

    `launch/arch2vec.py --mode=search` leaves a search of each data set in `search/`. A
    folder that cannot be looked at is kept: `read` says why.

    Raises:
      ConfigError: there is none.
    """
    found: list[pathlib.Path] = []
    for name in folders:
        try:
            found += _searches(paths.expand(name.strip()))
        except errors.DataError:
            found.append(pathlib.Path(name))
    if not found:
        raise errors.ConfigError(
            "no working directory: pass --workdirs=FOLDER or --workdirs=FOLDER,FOLDER"
        )
    return list(dict.fromkeys(found))


def _searches(folder: pathlib.Path) -> list[pathlib.Path]:
    """A folder and the searches in it."""
    inside = folder / "search"
    if not paths.is_file(inside / RESULT_FILES[0]):
        return [folder]
    searches = [p for p in paths.entries(inside) if (p / RESULT_FILES[0]).exists()]
    if not searches:  # a run that is called so
        return [folder]
    # Embeddings may come from elsewhere: then the folder holds searches only.
    own = [folder] if any(paths.is_file(folder / f) for f in RESULT_FILES) else []
    return [*own, inside, *searches]


def read(folder: pathlib.Path) -> Workdir:
    """One working directory.

    Raises:
      DataError: it is none, its run is not finished, or its result is damaged or of no
        job; the message says which and what can be done.
    """
    if not paths.is_folder(folder):
        raise errors.DataError(f"{folder}: there is no such folder")
    files = [folder / name for name in RESULT_FILES if paths.is_file(folder / name)]
    if not files:
        if paths.is_file(folder / workdir.CONFIG_FILE):
            raise errors.DataError(f"{folder}: the run is not finished; {AGAIN}")
        raise errors.DataError(f"{folder}: holds no run of a launch script")
    outcome = result.read(files[0], remedy=AGAIN)
    kinds = [
        kind for kind, keys in SIGNS.items() if all(key in outcome for key in keys)
    ]
    if not kinds:
        raise errors.DataError(
            f"{files[0]}: not the result of a job that this version knows"
        )
    with read_guard.guard(files[0], "not the result of a job", remedy=AGAIN):
        config = dict(outcome["config"])
    return Workdir(
        folder, kinds[0], outcome, config, _command(config, kinds[0], files[0].stem)
    )


def _command(config: Mapping[str, Any], kind: str, file: str) -> str:
    """As `python launch/NAME.py --mode=MODE`; empty where none has such keys."""
    known = defaults.commands_of(config)
    if not known:
        return ""
    mode = ""
    if kind == ENCODER and file == "pretraining":
        mode = " --mode=pretrain"
    elif kind == JOINED:
        mode = " --mode=search"
    elif kind == BUILT:
        return "python launch/nasbench_x11.py --mode=build"
    return f"python {known[0]}{mode}"
