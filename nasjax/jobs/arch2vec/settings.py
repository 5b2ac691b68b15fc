"""What a configuration of arch2vec says: pre-training, what it tells, searches.

jax is not loaded: a command line lists the defaults at once.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasjax.core import errors


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with accuracies, as `nasbench.load` takes it; no name, no path: none.

    Attributes:
      name: of a benchmark.
      path: a file instead of the name.
      data_set: of a file that has several.
      schedule: epochs of its trainings; 0: the longest.
    """

    name: str = ""
    path: str = ""
    data_set: str = ""
    schedule: int = 0


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What is asked of the embeddings.

    Attributes:
      benchmark: accuracies; none: no figures of accuracy.
      num_train: architectures that accuracies are predicted from, the same that the
        supervised counterpart learns from.
      num_seeds: how often, with other architectures.
      num_walks: to nearest neighbours.
      walk_length: steps of each.
      random_walk: steps of the walk that distances are measured on.
      num_points: of the map.
    """

    benchmark: Table = dataclasses.field(default_factory=Table)
    num_train: int = 250
    num_seeds: int = 10
    num_walks: int = 100
    walk_length: int = 16
    random_walk: int = 1_000
    num_points: int = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Which variants are pre-trained, on what and how.

    Attributes:
      space: a key of `graph_inputs.SPECS`.
      variants: keys of `encoders.arch2vec.model.VARIANTS`.
      seed: of a run.
      num_archs: architectures; 0: all, of DARTS' cells 600,000.
      held_out: part of them that is not trained on.
      epochs: of the training.
      batch_size: B.
      learning_rate: at every step.
      num_points: that are drawn from the prior to measure validity.
      settings: by variant the changes of `pretraining.configure`.
      analysis: what is asked of the embeddings.
      pretraining_seeds: see `seeds`.
    """

    space: str
    variants: tuple[str, ...]
    seed: int = 0
    num_archs: int = 0
    held_out: float = 0.1
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    num_points: int = 10_000
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    analysis: Analysis = dataclasses.field(default_factory=Analysis)
    pretraining_seeds: tuple[int, ...] = dataclasses.field(default_factory=tuple)

    def __post_init__(self) -> None:
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise errors.ConfigError(
                f"pretraining_seeds = {list(self.seeds)}: none may be negative or "
                "given twice"
            )

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the embeddings; where none is given, that of the run."""
        return self.pretraining_seeds or (self.seed,)


@dataclasses.dataclass(frozen=True)
class SearchBenchmark:
    """What all data sets have in common of `jobs.search.settings.Benchmark`."""

    name: str = ""
    path: str = ""
    listed: bool = False
    average: bool = False


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One data set that is searched on.

    Attributes:
      data_set: of the benchmark.
      schedule: epochs of the reward's trainings; 0: the longest.
      epoch: of the reward; 0: the last of the schedule.
      report_schedule: of the trainings that judge; 0: the reward judges.
      queries: budget of a trial.
      seconds: or this one.
      queries_of: or the name of another data set, of whose trials the mean number of
        queries is taken.
    """

    data_set: str = ""
    schedule: int = 0
    epoch: int = 0
    report_schedule: int = 0
    queries: int = 0
    seconds: float = 0.0
    queries_of: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searches:
    """Searches with the embeddings, and without any.

    Attributes:
      algorithms, settings, seed, num_trials: as for `jobs.search`; an entry's `table`
        may be a variant of the model, whose embeddings pre-training wrote, and `row`
        says which row of the thesis' tables it is.
      controls: of entries without `against`, whose first is the same search in all but
        one thing.
      tables: by variant a file, or files, that pre-training did not write.
      benchmark: what is searched.
      data_sets: by name.
    """

    algorithms: tuple[str, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    num_trials: int = 500
    controls: tuple[str, ...] = ("random_search",)
    tables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    benchmark: SearchBenchmark = dataclasses.field(default_factory=SearchBenchmark)
    data_sets: Mapping[str, DataSet]

    def __post_init__(self) -> None:
        if not self.data_sets:
            raise errors.ConfigError("search.data_sets is empty: name at least one")
        own = {name for name, chosen in self.data_sets.items() if not chosen.queries_of}
        for name, chosen in self.data_sets.items():
            if chosen.queries_of and chosen.queries_of not in own:
                raise errors.ConfigError(
                    f"search.data_sets.{name}.queries_of = {chosen.queries_of!r} must "
                    "name a data set with a budget of its own"
                )
