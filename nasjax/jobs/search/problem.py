"""A configuration's benchmarks: the one that a search sees, and the one that judges."""

from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from nasjax import nasbench, spaces
from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.experiments import search_problem
from nasjax.experiments.search_problem import Benchmark, Problem
from nasjax.nasbench import loading

Config = Mapping[str, Any]


def load(config: Config) -> Problem:
    """Loads the benchmarks of a configuration.

    Args:
      config: `benchmark`: `name` or `path`, `data_set`, `schedule`, `listed` (the
        table is a sample of its space: architectures are drawn from its rows) and
        `average` (the reward is the mean over training seeds, not a drawn one);
        `epoch`: 0 is the last; `report`: `path`, `data_set` and `schedule` of the
        benchmark that judges, where it is another.

    Raises:
      ConfigError: a key does not fit.
      DataError: a file is missing or damaged, or the reward is not recorded.
    """
    section = config["benchmark"]
    reward = _load_one(section, "benchmark")
    if reward.space:
        _check_space(section, reward.space)
    return search_problem.make(
        reward,
        _report(config),
        epoch=config["epoch"] or LAST,
        listed=bool(section.get("listed")),
        average=bool(section.get("average")),
        name=_name(section),
    )


def _check_space(section: Config, found: str) -> None:
    """A file beside a name is another table of the same space.

    The rest of such a configuration (ranges of genes, budgets) is for that space.
    """
    name, path = str(section.get("name") or ""), section.get("path")
    wanted = loading.SPACES_OF_NAMES.get(name, name)
    if path and wanted in spaces.SPACES and wanted != found:
        raise errors.ConfigError(
            f"benchmark.path = {path}: a benchmark of {found}, under a configuration "
            f"for {wanted} (benchmark.name = {name!r}); take that of {found}, or set "
            'benchmark.name=""'
        )


def _load_one(section: Config, name: str) -> Benchmark:
    wanted = _name(section)
    if not wanted:
        raise errors.ConfigError(f"no {name}: pass --config.{name}.path=FILE")
    options = {k: section[k] for k in ("data_set", "schedule") if section.get(k)}
    benchmark: Benchmark = nasbench.load(wanted, **options)
    return benchmark


def _name(section: Config) -> str:
    return str(section.get("path") or section.get("name") or "")


def _report(config: Config) -> Benchmark | None:
    given = {key: value for key, value in config.get("report", {}).items() if value}
    if not given:
        return None
    keys = ("name", "path", "data_set")
    known = {key: config["benchmark"].get(key, "") for key in keys}
    return _load_one(known | given, "report")


def warn(lines: Sequence[str]) -> None:
    """Logs every line."""
    for line in lines:
        logging.warning("%s", line)
