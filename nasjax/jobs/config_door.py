"""What every job asks of its configuration first, so that a mistake is one line.

`enter` finds a configuration of another script or mode and numbers that cannot be
meant, fills in the defaults, and makes a key that is missing an error with its name,
wherever it is read later. `claim` takes the working directory for a configuration.
"""

import dataclasses
import fnmatch
import functools
import math
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from nasjax.core import errors, settings, workdir
from nasjax.jobs import defaults

T = TypeVar("T")

MOST = 2**31 - 1
"""Of every whole number: counts are int32."""

ZERO: Mapping[str, str] = {
    "*schedule": "the longest that there is",
    "*epoch": "the last",
    "*queries": "no limit",
    "*budget.epochs": "no limit",
    "*.chunk_size": "as many as fit",
    "*.settings.*.num_trials": "as many as the others",
    "arch2vec:num_archs": "all",
    "cate:*.num_archs": "all",
    "hmnas:data.cutout": "none",
    "*:data.num_classes": "all",
    "*.data.num_classes": "all",
    "*data.num_workers": "none beside this process",
    "*data.num_threads": "none",
    "hmnas:finetuning.num_classes": "those of the data",
    "hmnas:masking.recalibration_batches": "the running statistics",
    "hmnas:training.warmup_epochs": "none",
    "nasbench_x11:data.first_epochs": "none",
    "nasbench_x11:data.num_train": "as data.train_fraction says",
    "nasbench_x11:folds": "fit and save",
    "nasbench_x11:surrogate.early_stopping": "none",
    "nasbench_x11:surrogate.num_rounds": "as many as boosting says",
    "nasbench_x11:surrogate.rank": "that of the variant",
    "train_architecture:epochs": "all",
    "*training.train_sample": "means over the batches",
}
"""Patterns of `SCRIPT:KEY` whose 0 means something, and what; 1 is the least else."""

OTHERS: Mapping[str, str] = {
    "hmnas:supernet.reductions": "-1 is the rule of DARTS",
    "*ing.schedule": "a word: of the learning rate",
    "search:min_epochs": "-1 is trainings to the end only",
    "cate:search.min_epochs": "-1 is trainings to the end only",
    "nasbench_x11:data.columns.*": "how the columns of a file are named",
}
"""Patterns whose values are checked where they are read, and what they are."""

COUNTS = frozenset(
    """
    ask_ahead batch_size capacity channels chunk_size data.cutout decay_epoch
    early_stopping embedding_size episode_length epoch epochs eval_batch_size
    first_epochs folds hidden_size image_size keep_every label_epochs labels layers
    members num_archs num_best num_burn_in
    num_cells num_classes num_cross_layers num_draws num_epochs num_eval num_init
    num_layers num_members num_modules num_points num_pool num_processes num_rounds
    num_samples num_seeds num_stacks num_stages num_steps num_test num_tested
    num_threads num_train num_trained num_trials num_walks num_words num_workers
    patch population_size queries random_walk rank
    recalibration_batches report_schedule sample_size schedule stem_channels
    stem_multiplier stem_stride steps table_size train_sample walk_length warmup_epochs
    width window workers
    """.split()
)
"""Ends of keys that hold whole numbers; so do `seed`, `seeds` and what ends so."""


class Section(dict[str, Any]):
    """A part of a configuration, in which a missing key is an error with its name."""

    place = ""

    def __missing__(self, key: str) -> Any:
        near = errors.suggest(str(key), self)
        raise errors.ConfigError(
            f"the configuration has no key {self.place + str(key)!r}{near}"
        )


def working_directory(folder: str) -> pathlib.Path:
    """The folder of a run; `ConfigError` where none was given."""
    if not folder:
        raise errors.ConfigError("no working directory: pass --workdir=FOLDER")
    return pathlib.Path(folder)


def enter(command: str, config: Mapping[str, Any]) -> Section:
    """The configuration for a job, when nothing is wrong with it at first sight.

    Keys that it leaves out have their defaults.

    Args:
      command: a key of `defaults.KINDS`.
      config: nested mappings, as a launch script reads them.

    Raises:
      ConfigError: it is a configuration of another command, or a number is none that
        its key can have.
    """
    _check_kind(command, config)
    script = command.split()[0].removeprefix("launch/").removesuffix(".py")
    filled = defaults.fill(command, config)
    check_numbers(script, filled)
    return _section(filled, "")


def read(kind: type[T], filled: Mapping[str, Any]) -> T:
    """The dataclass of a configuration, whose other keys are a user's own.

    Raises:
      ConfigError: a key is missing, one of a section is unknown, or a value does not
        fit.
    """
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return settings.read(kind, "", {k: filled[k] for k in filled if k in names})


def claim(
    folder: pathlib.Path, config: Mapping[str, Any], *, ignore: Collection[str] = ()
) -> bool:
    """`workdir.claim` for a filled configuration.

    That of an earlier run is filled too: it may have been written before a key was.
    """
    kinds = defaults.commands_of(config)
    complete = functools.partial(defaults.fill, kinds[0]) if kinds else None
    return workdir.claim(folder, dict(config), ignore=ignore, complete=complete)


def check_numbers(script: str, config: Mapping[str, Any]) -> None:
    """Raises a `ConfigError` for a number that its key cannot have."""
    for key, value in _leaves(config, ""):
        for item in value if isinstance(value, list | tuple) else (value,):
            _check_number(script, key, item)


def least(script: str, key: str) -> int | None:
    """The least whole number of a dotted key; None: it holds none, or any."""
    ends = key.rsplit(".", 1)[-1], ".".join(key.split(".")[-2:])
    full = f"{script}:{key}"
    if any(fnmatch.fnmatchcase(full, pattern) for pattern in OTHERS):
        return None
    if COUNTS.intersection(ends):
        return 0 if _meaning_of_zero(full) else 1
    return 0 if ends[0].endswith(("seed", "seeds")) else None


def _meaning_of_zero(full: str) -> str:
    found = (ZERO[pattern] for pattern in ZERO if fnmatch.fnmatchcase(full, pattern))
    return next(found, "")


def _check_number(script: str, key: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise errors.ConfigError(f"{key} = {value} must be a finite number")
    smallest = least(script, key)
    is_open = value is None and not key.endswith("seed")
    if smallest is None or is_open or isinstance(value, Mapping):
        return
    if type(value) is not int:
        raise errors.ConfigError(f"{key} = {value!r} must be a whole number")
    if not smallest <= value <= MOST:
        zero = _meaning_of_zero(f"{script}:{key}")
        also = f"; 0: {zero}" if zero else ""
        raise errors.ConfigError(f"{key} = {value} must be in {smallest}..{MOST}{also}")


def _check_kind(command: str, config: Mapping[str, Any]) -> None:
    fitting = defaults.commands_of(config)
    if not fitting or command in fitting:
        return
    needed = ", ".join(map(repr, defaults.KINDS[command]))
    raise errors.ConfigError(
        f"this is a configuration of {fitting[0]}; {command} needs the keys {needed}: "
        f"pass another --config, or run python {fitting[0]}"
    )


def _section(config: Mapping[str, Any], place: str) -> Section:
    made = Section()
    made.place = place
    for key, value in config.items():
        nested = isinstance(value, Mapping)
        made[key] = _section(value, f"{place}{key}.") if nested else value
    return made


def _leaves(config: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{key}.")
        else:
            yield f"{place}{key}", value
