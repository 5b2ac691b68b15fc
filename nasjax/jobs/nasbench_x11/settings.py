"""What a configuration of surrogates, or of an embedded benchmark, says.

jax is not loaded: a command line lists the defaults at once.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasjax.core import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """The curves that surrogates are fitted to.

    Attributes:
      name: a benchmark, the file of a table, a CSV file of curves, `curves.safetensors`
        of `launch/train_architecture.py`, or a .safetensors of features and curves.
      data_set: of a table that has several.
      arrays: `name` is a .safetensors of features and curves.
      features: registry name of the features; "": those of the space, or of the file.
      metric: what is judged.
      benchmark_seed: place of the seed whose trainings are the data.
      num_train: architectures to fit to; 0: as `train_fraction` says.
      train_fraction: of the architectures to fit to.
      first_epochs: values of the curve that are features.
      columns: how a CSV file is read, fields of `csv_columns.Columns`.
    """

    name: str = ""
    data_set: str = ""
    arrays: bool = False
    features: str = ""
    metric: str = "valid_accuracy"
    benchmark_seed: int = 0
    num_train: int = 0
    train_fraction: float = 0.8
    first_epochs: int = 0
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """Curves that are drawn.

    Attributes:
      surrogate: which of those that were fitted; "": the first.
      num_archs: held-out architectures.
      num_samples: curves of each.
    """

    surrogate: str = "svd_lgb_gkde"
    num_archs: int = 9
    num_samples: int = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify:
    """The best of an embedded benchmark's surrogate, trained.

    Attributes:
      seed: of the draws among which the best are looked for.
      num_best: how many are the best.
      num_trained: how many of these are trained.
      seeds: of the trainings.
      table: a table of the same space, such as one of CIFAR-10, whose architectures are
        ranked, too; "": none.
    """

    seed: int = 0
    num_best: int = 100
    num_trained: int = 50
    seeds: tuple[int, ...] = (0, 1)
    table: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fits:
    """Surrogates that are fitted and judged.

    Attributes:
      seed: of the split and of the fits.
      data: what they are fitted to.
      surrogates: names such as svd_lgb_gkde; `all` stands for those of table 5.3.
      surrogate: settings of all of them, fields of `fitting.Settings`.
      keep_all_metrics: names of those that model every metric, not only the judged one.
      folds: of a cross-validation; 0: fits and saves.
      sample: what `--mode=sample` draws.
      verify: what `--mode=verify` trains.
    """

    seed: int = 0
    data: Data
    surrogates: tuple[str, ...]
    surrogate: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    keep_all_metrics: tuple[str, ...] = ()
    folds: int = 0
    sample: Sample = Sample()
    verify: Verify = Verify()


@dataclasses.dataclass(frozen=True)
class Build:
    """An embedded benchmark that is trained.

    Attributes:
      benchmark: a key of `embedded_benchmarks.BENCHMARKS`.
      seeds: which seeds to have; seed 0 trains every architecture.
      num_processes: processes with one thread each.
      fraction: of each group and seed to train, its first pieces.
      start_from: a file of the benchmark, or `installed` for the one in the package,
        whose trainings are not done again; "": none.
    """

    benchmark: str = "digits201"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    num_processes: int = 1
    fraction: float = 1.0
    start_from: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise errors.ConfigError(
                f"build.fraction is {self.fraction}: pass a number above 0, at most 1"
            )
        if self.num_processes < 1:
            raise errors.ConfigError(
                f"build.num_processes is {self.num_processes}: pass 1 or more"
            )
