"""What a search configuration says: the sections of trials and of driven searches.

jax is not loaded: a command line lists the defaults at once.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from nasjax.core import errors

EXECUTORS = ("in_process", "processes", "dask")
MAX_QUERIES = 10_000_000
"""Of a trial; ten times as many are gigabytes."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a trial may spend: 0 is no limit, but not all of them.

    Attributes:
      queries: evaluations.
      seconds: of the benchmark, or measured.
      epochs: trained epochs.
      like: the searches whose mean number of queries this is (`tables.CIFAR10`).
    """

    queries: int = 0
    seconds: float = 0.0
    epochs: int = 0
    like: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.queries, self.seconds, self.epochs
        if min(limits) < 0 or max(limits) == 0 or not math.isfinite(self.seconds):
            raise errors.ConfigError(
                f"budget.queries = {self.queries}, budget.seconds = {self.seconds} and "
                f"budget.epochs = {self.epochs}: give at least one of them a positive "
                "number"
            )
        if max(self.queries, self.epochs) > MAX_QUERIES:
            raise errors.ConfigError(
                f"budget.queries = {self.queries} and budget.epochs = {self.epochs} "
                f"may be at most {MAX_QUERIES:,}: a trial holds its whole history in "
                "memory"
            )


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """The benchmark that a search sees.

    Attributes:
      name: of a benchmark that `nasbench.load` knows.
      path: a file instead of the name.
      data_set: of a file that has several.
      schedule: epochs of its trainings; 0: the longest.
      listed: whether the table is a sample of its space, so that architectures are
        drawn from its rows.
      average: whether the reward is the mean over trainings, not a drawn one.
    """

    name: str = ""
    path: str = ""
    data_set: str = ""
    schedule: int = 0
    listed: bool = False
    average: bool = False


@dataclasses.dataclass(frozen=True)
class Report:
    """The benchmark that judges, where it is another; as `Benchmark`."""

    path: str = ""
    data_set: str = ""
    schedule: int = 0
    # A factory, as a configuration need not list it.
    name: str = dataclasses.field(default_factory=str)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """What both kinds of searches have.

    Attributes:
      algorithms: names of `settings`, or registry names.
      settings: by name an entry, see `algorithms`.
      seed: of all trials.
      num_trials: of each algorithm, where its entry does not say fewer.
      min_epochs: of a training that may be an incumbent; 0: all may; -1: those to the
        end.
      controls: algorithms that the others are compared with.
      budget: of a trial.
    """

    algorithms: tuple[str, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    num_trials: int
    min_epochs: int = 0
    controls: tuple[str, ...] = ("random_search",)
    budget: Budget

    def __post_init__(self) -> None:
        names = list(self.algorithms)
        if not names or len(set(names)) < len(names):
            raise errors.ConfigError(
                f"algorithms = {names}: name at least one, and none twice"
            )
        if type(self.min_epochs) is not int or self.min_epochs < -1:
            raise errors.ConfigError(
                f"min_epochs = {self.min_epochs!r} must be a number of epochs; 0: all "
                "trainings may be the incumbent; -1: those to the end"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trials(Search):
    """Independent searches on a benchmark.

    Attributes:
      epoch: of the reward; 0: the last.
      benchmark: what is searched.
      report: what judges.
    """

    num_trials: int = 500
    epoch: int = 0
    benchmark: Benchmark
    report: Report = dataclasses.field(default_factory=Report)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drive(Search):
    """Searches that train what they ask for.

    Attributes:
      executor: where trainings run, one of `EXECUTORS`.
      workers: processes.
      address: of a running Dask scheduler; "": own workers.
      ask_ahead: W, proposals in flight; the history depends on it.
      protocol: how architectures are trained (`training.protocol.read`).
    """

    num_trials: int = 1
    executor: str = "in_process"
    workers: int = 2
    address: str = ""
    ask_ahead: int = 1
    protocol: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.protocol:
            raise errors.ConfigError(
                "drive needs a configuration with a section `protocol`, such as "
                "configs/search/digits.py"
            )
        if self.executor not in EXECUTORS:
            raise errors.unknown_name("executor", self.executor, EXECUTORS)
        if not self.budget.queries:
            raise errors.ConfigError("drive needs budget.queries, how many to train")
