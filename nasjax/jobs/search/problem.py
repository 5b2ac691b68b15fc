"""A configuration's benchmarks: the one that a search sees, and the one that judges."""

import dataclasses
from collections.abc import Sequence

from absl import logging

from nasjax import nasbench, spaces
from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.experiments import search_problem
from nasjax.experiments.search_problem import Benchmark, Problem
from nasjax.jobs.search.settings import Benchmark as Section
from nasjax.jobs.search.settings import Report, Trials
from nasjax.nasbench import loading


def load(config: Trials) -> Problem:
    """Loads the benchmarks of a configuration.

    Args:
      config: `benchmark`, `epoch` and `report`.

    Raises:
      ConfigError: a key does not fit.
      DataError: a file is missing or damaged, or the reward or, where the budget is in
        seconds, the time is not recorded.
    """
    section, budget = config.benchmark, config.budget
    reward = _load_one(section, "benchmark")
    if reward.space:
        _check_space(section, reward.space)
    if budget.seconds and reward.seconds is None:
        raise errors.DataError(
            f"budget.seconds = {budget.seconds:g}: the benchmark records no training "
            "time; use budget.queries"
        )
    return search_problem.make(
        reward,
        _report(section, config.report),
        epoch=config.epoch or LAST,
        listed=bool(section.listed),
        average=bool(section.average),
        name=_name(section),
    )


def _check_space(section: Section, found: str) -> None:
    """A file beside a name is another table of the same space.

    The rest of such a configuration (ranges of genes, budgets) is for that space.
    """
    name, path = str(section.name or ""), section.path
    wanted = loading.SPACES_OF_NAMES.get(name, name)
    if path and wanted in spaces.SPACES and wanted != found:
        raise errors.ConfigError(
            f"benchmark.path = {path}: a benchmark of {found}, under a configuration "
            f"for {wanted} (benchmark.name = {name!r}); take that of {found}, or set "
            'benchmark.name=""'
        )


def _load_one(section: Section, name: str) -> Benchmark:
    wanted = _name(section)
    if not wanted:
        raise errors.ConfigError(f"no {name}: pass --config.{name}.path=FILE")
    options = {"data_set": section.data_set, "schedule": section.schedule}
    options = {key: value for key, value in options.items() if value}
    benchmark: Benchmark = nasbench.load(wanted, **options)
    return benchmark


def _name(section: Section) -> str:
    return str(section.path or section.name or "")


def _report(section: Section, report: Report) -> Benchmark | None:
    """What judges; it is the searched one in all that the report leaves open."""
    given = {key: value for key, value in dataclasses.asdict(report).items() if value}
    if not given:
        return None
    known = dataclasses.replace(section, **{"schedule": 0, **given})
    return _load_one(known, "report")


def warn(lines: Sequence[str]) -> None:
    """Logs every line."""
    for line in lines:
        logging.warning("%s", line)
