"""What a search is run on: the benchmark it sees and the one that judges it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.tree_util import Partial

from nasjax import nasbench, spaces
from nasjax.core import errors
from nasjax.core.types import LAST, Array, Evaluation, Key, SearchSpace
from nasjax.experiments import search_inputs
from nasjax.nasbench.index import GeneIndex
from nasjax.nasbench.surrogate import features as surrogate_features
from nasjax.nasbench.surrogate.model import Surrogate
from nasjax.nasbench.table import TabularBenchmark
from nasjax.search.algorithm import Evaluate

Config = Mapping[str, Any]
Benchmark = TabularBenchmark | Surrogate

_SPACES_OF_NAMES = {"digits201": "nasbench201"}
_DRAWS = 256
"""Architectures that are drawn to see whether the benchmark knows them."""


class Problem(NamedTuple):
    """What is searched, and by what the incumbents are judged.

    Attributes:
      space: whose `sample` draws from the table's rows where the table is a list, and
        whose `fingerprint` is the row where cells of a table share their trainings.
      reward: benchmark that the search sees.
      epoch: after how many epochs, or `LAST`.
      report: benchmark that judges the incumbents, trained to the end; the same object
        as `reward` where the configuration names no other.
      evaluate: what the loops take.
      warnings: what a reader of the numbers must know.
    """

    space: SearchSpace
    reward: Benchmark
    epoch: int
    report: Benchmark
    evaluate: Evaluate
    warnings: tuple[str, ...]

    @property
    def last_epoch(self) -> int:
        """How many epochs `LAST` stands for."""
        return self.reward.epochs[-1] if self.epoch == LAST else self.epoch


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
    if not reward.space:
        raise errors.ConfigError(
            f"{_name(section)}: a surrogate of features has no search space"
        )
    _check_space(section, reward.space)
    epoch = config["epoch"] or LAST
    reward.require(f"valid_{reward.metric}")
    if epoch != LAST and epoch not in reward.epochs:
        raise errors.ConfigError(
            f"epoch = {epoch}: {_recorded(reward.epochs)}; 0 stands for the last"
        )
    space = _by_rows(spaces.make(reward.space), reward)
    if section.get("listed"):
        space = _listed(space, reward, _name(section))
    function = _evaluate_mean if section.get("average") else _evaluate_drawn
    made = Problem(
        space=space,
        reward=reward,
        epoch=epoch,
        report=_report(config, reward),
        evaluate=Partial(function, reward, jnp.int32(epoch)),
        warnings=(),
    )
    return made._replace(warnings=_doubts(made))


def _recorded(epochs: Sequence[int]) -> str:
    if len(epochs) == 1:
        return f"only epoch {epochs[0]} is recorded"
    known = ", ".join(map(str, epochs[:8]))
    return f"recorded are the epochs {known}{', ...' if len(epochs) > 8 else ''}"


def _check_space(section: Config, found: str) -> None:
    """A file beside a name is another table of the same space.

    The rest of such a configuration (ranges of genes, budgets) is for that space.
    """
    name, path = str(section.get("name") or ""), section.get("path")
    wanted = _SPACES_OF_NAMES.get(name, name)
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
    return nasbench.load(wanted, **options)


def _name(section: Config) -> str:
    return str(section.get("path") or section.get("name") or "")


def _report(config: Config, reward: Benchmark) -> Benchmark:
    given = {key: value for key, value in config.get("report", {}).items() if value}
    if not given:
        return reward
    keys = ("name", "path", "data_set")
    known = {key: config["benchmark"].get(key, "") for key in keys}
    report = _load_one(known | given, "report")
    if report.space != reward.space:
        raise errors.ConfigError(
            f"report: a benchmark of {report.space or 'features'} cannot judge "
            f"architectures of {reward.space}"
        )
    return report


def _by_rows(space: SearchSpace, reward: Benchmark) -> SearchSpace:
    """The space; where cells share a training, as in digits201, that is one cell.

    The official unique strings of NAS-Bench-201 neither merge all cells of one row nor
    tell all rows apart: a search would train a network twice and miss another.
    """
    index = getattr(reward, "index", None)
    if not isinstance(index, GeneIndex):
        return space
    rows = np.asarray(index.rows)
    if (rows < 0).any() or len(np.unique(rows)) == len(rows):
        return space

    def fingerprint(arch: Array) -> Array:
        return jnp.stack([index.find(arch), jnp.int32(0)]).astype(jnp.uint32)

    return space._replace(fingerprint=fingerprint)


def _listed(space: SearchSpace, reward: Benchmark, path: str) -> SearchSpace:
    """The space of a list: drawing is possible, going from cell to cell is not."""
    if not isinstance(reward, TabularBenchmark):
        raise errors.ConfigError(f"benchmark.listed: {path} is no table")
    archs, count = reward.archs, reward.archs.shape[0]

    def sample(key: Key) -> Array:
        return archs[jax.random.randint(key, (), 0, count)].astype(jnp.int32)

    def refuse(*_: Any) -> Any:
        raise errors.ConfigError(
            f"it changes architectures, and {path} lists {count:,} with hardly any "
            "neighbours (benchmark.listed): leave it out, or use a table of the whole "
            "space"
        )

    return space._replace(sample=sample, mutate=refuse, neighbors=refuse)


def _evaluate_drawn(
    benchmark: Benchmark, last: Array, key: Key, arch: Array, epoch: Any, trained: Any
) -> Evaluation:
    """A training whose seed `key` draws; `LAST` means `last` epochs."""
    return benchmark.evaluate(key, arch, jnp.where(epoch == LAST, last, epoch), trained)


def _evaluate_mean(
    benchmark: Benchmark, last: Array, key: Key, arch: Array, epoch: Any, trained: Any
) -> Evaluation:
    """The mean over seeds, or a surrogate without its noise."""
    del key
    return benchmark.mean(arch, jnp.where(epoch == LAST, last, epoch), trained)


# --- what a reader of the numbers must know ----------------------------------------


def _doubts(made: Problem) -> tuple[str, ...]:
    """Warnings about the benchmark."""
    reward, found = made.reward, []
    if isinstance(reward, Surrogate):
        has_extras = bool(surrogate_features.make(reward.features).extras)
        if reward.space == "nasbench_nlp" and not has_extras:
            found.append(
                "this surrogate of NAS-Bench-NLP reads no measured epochs: with them "
                "it ranks far better (table 5.2: final Kendall's tau .84 against .48)"
            )
        return tuple(found)
    draw = jax.vmap(made.space.sample)
    archs = jax.jit(draw)(jax.random.split(jax.random.key(0), _DRAWS))
    known = np.asarray(jax.jit(jax.vmap(reward.index.find))(archs)) >= 0
    if known.mean() < 0.5:
        found.append(
            f"the table knows {100 * known.mean():.0f} % of the architectures that the "
            "space draws, the others count as failed trainings; set benchmark.listed"
        )
    return tuple(found)


def bias(reward: Benchmark, entry: str, kind: str, settings: Config) -> tuple[str, ...]:
    """A warning where the search uses what the surrogate is made of."""
    if not isinstance(reward, Surrogate):
        return ()
    both = sorted(set(reward.techniques) & search_inputs.techniques(kind, settings))
    if not both:
        return ()
    return (
        f"{entry} uses {', '.join(both)}, and so does the surrogate "
        f"{reward.version or reward.data_set}: its result is biased",
    )


def warn(lines: Sequence[str]) -> None:
    """Logs every line."""
    for line in lines:
        logging.warning("%s", line)
