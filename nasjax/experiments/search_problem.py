"""What a search is run on: the benchmark it sees and the one that judges it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from nasjax import spaces
from nasjax.core import errors
from nasjax.core.types import LAST, Array, Evaluation, Key, SearchSpace
from nasjax.experiments import search_inputs
from nasjax.nasbench.index import GeneIndex
from nasjax.nasbench.surrogate import features as surrogate_features
from nasjax.nasbench.surrogate.model import Surrogate
from nasjax.nasbench.table import TabularBenchmark
from nasjax.search.algorithm import Evaluate

Benchmark = TabularBenchmark | Surrogate

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
        as `reward` where there is no other.
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


def make(
    reward: Benchmark,
    report: Benchmark | None = None,
    *,
    epoch: int = LAST,
    listed: bool = False,
    average: bool = False,
    name: str = "",
) -> Problem:
    """What a search on a benchmark needs.

    Args:
      reward: what the search sees.
      report: what judges the incumbents, trained to the end; None: the same.
      epoch: of the reward.
      listed: the reward's table is a sample of its space: architectures are drawn from
        its rows.
      average: the reward is the mean over training seeds, not a drawn one.
      name: of the reward in messages; "": its data set.

    Raises:
      ConfigError: an argument does not fit the benchmark.
      DataError: the reward is not recorded.
    """
    name = name or reward.data_set
    if not reward.space:
        raise errors.ConfigError(f"{name}: a surrogate of features has no search space")
    reward.require(f"valid_{reward.metric}")
    if epoch != LAST and epoch not in reward.epochs:
        raise errors.ConfigError(
            f"epoch = {epoch}: {_recorded(reward.epochs)}; 0 stands for the last"
        )
    if report is not None and report.space != reward.space:
        raise errors.ConfigError(
            f"report: a benchmark of {report.space or 'features'} cannot judge "
            f"architectures of {reward.space}"
        )
    space = _by_rows(spaces.make(reward.space), reward)
    if listed:
        space = _listed(space, reward, name)
    function = _evaluate_mean if average else _evaluate_drawn
    made = Problem(
        space=space,
        reward=reward,
        epoch=epoch,
        report=reward if report is None else report,
        evaluate=Partial(function, reward, jnp.int32(epoch)),
        warnings=(),
    )
    return made._replace(warnings=_doubts(made))


def _recorded(epochs: Sequence[int]) -> str:
    if len(epochs) == 1:
        return f"only epoch {epochs[0]} is recorded"
    known = ", ".join(map(str, epochs[:8]))
    return f"recorded are the epochs {known}{', ...' if len(epochs) > 8 else ''}"


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


def bias(
    reward: Benchmark, entry: str, kind: str, settings: Mapping[str, Any]
) -> tuple[str, ...]:
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
