"""How far an embedded benchmark's surrogate can be believed (chapter 5).

Held-out trainings say little of the few architectures that a search ends at:
`order_of_best` trains some of those that the surrogate thinks best. `agreement` tells
how the miniature task ranks architectures beside the real one.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from nasjax.core import batching, errors, metrics
from nasjax.core.types import LAST, Array, Key, SearchSpace
from nasjax.experiments import embedded_benchmarks, embedded_samples
from nasjax.nasbench.sampled_digits import SampledDigits
from nasjax.nasbench.surrogate.model import Surrogate
from nasjax.nasbench.table import TabularBenchmark

_CHUNK = 8192
_CLIMBS = 5


def scores(benchmark: Surrogate | TabularBenchmark, archs: np.ndarray) -> np.ndarray:
    """Mean final validation scores float64 `[N]` of architectures `[N, G]`.

    NaN where the benchmark does not know one.
    """
    query = functools.partial(_query, benchmark)
    found = batching.map_batched(query, np.asarray(archs, np.int32), _CHUNK)
    return np.asarray(found, np.float64)


@jax.jit
def _query(benchmark: Surrogate | TabularBenchmark, archs: Array) -> Array:
    return jax.vmap(lambda arch: benchmark.mean(arch, LAST).valid)(archs)


def best(
    key: Key,
    surrogate: Surrogate,
    space: SearchSpace,
    count: int,
    *,
    archs: np.ndarray | None = None,
    num_draws: int = 100_000,
) -> np.ndarray:
    """The best architectures by the surrogate's mean score, int32 `[count, G]`.

    Args:
      key: of the draws.
      surrogate: what ranks.
      space: of the architectures; no two of them have one fingerprint.
      count: how many.
      archs: `[N, G]`, all there are; None: draws, and what five rounds of all
        neighbours of the best add to them.
      num_draws: N where `archs` is None.

    Raises:
      ConfigError: there are fewer architectures.
    """
    if archs is not None:
        return _top(surrogate, space, archs, count)
    draw = jax.jit(jax.vmap(space.sample))
    found = _top(surrogate, space, draw(jax.random.split(key, num_draws)), count)
    around = jax.jit(jax.vmap(space.neighbors))
    for _ in range(_CLIMBS):
        near, mask = (np.asarray(values) for values in around(found))
        pool = np.concatenate([found, near[mask]])
        found = _top(surrogate, space, pool, count)
    return found


def order_of_best(
    sampled: SampledDigits,
    surrogate: Surrogate,
    archs: np.ndarray,
    *,
    num_trained: int = 50,
    seeds: Sequence[int] = (0, 1),
    report: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Whether the surrogate's order of its best holds when they are really trained.

    Args:
      sampled: the embedded benchmark.
      surrogate: whose best they are.
      archs: int32 `[N, G]`, best first; those that are trained are spread evenly.
      num_trained: how many.
      seeds: of the trainings.
      report: is told that another training ended.

    Returns:
      `kendall_tau` of the surrogate's order and the mean over seeds,
      `kendall_tau_of_seeds` (two trainings of the same, the ceiling; None of one seed),
      `predicted` and `trained`, mean accuracies, `mean_absolute_error`, `num_trained`.

    Raises:
      ConfigError: fewer than two are trained, or more than there are.
    """
    if not 2 <= num_trained <= len(archs):
        raise errors.ConfigError(
            f"num_trained is {num_trained} of {len(archs)} architectures: pass 2 to "
            f"{len(archs)}"
        )
    rows = np.linspace(0, len(archs) - 1, num_trained).round().astype(int)
    # A group of their own: with initial weights that no training has.
    group = len(embedded_benchmarks.get(sampled.name).groups)
    trained = np.zeros((len(seeds), num_trained))
    for i, seed in enumerate(seeds):
        for place, row in enumerate(rows):
            curves, _ = embedded_benchmarks.train(
                sampled.name, archs[row], place, seed, group
            )
            trained[i, place] = curves.valid_correct[-1] / sampled.num_evaluated
            report(1)
    predicted = scores(surrogate, archs[rows])
    real = trained.mean(axis=0)
    ceiling = None
    if len(seeds) > 1:
        ceiling = metrics.kendall_tau(trained[0], trained[1])
    return {
        "kendall_tau": metrics.kendall_tau(real, predicted),
        "kendall_tau_of_seeds": ceiling,
        "predicted": float(predicted.mean()),
        "trained": float(real.mean()),
        "mean_absolute_error": float(np.abs(predicted - real).mean()),
        "num_trained": num_trained,
        "num_seeds": len(seeds),
    }


def agreement(
    surrogate: Surrogate, listed: TabularBenchmark, other: TabularBenchmark
) -> dict[str, Any]:
    """Rank correlations of the miniature task with another table of the same space.

    Args:
      surrogate: of the embedded benchmark.
      listed: the embedded benchmark's trainings.
      other: such as NAS-Bench-101's trainings on CIFAR-10.

    Returns:
      `spearman` and `kendall_tau` of mean final validation scores, over all rows of
      `other` that the surrogate knows (`all`), the best fifth of them by `other`
      (`top_fifth`), and those that are trained in both (`trained`, by their trainings),
      each with `count`.

    Raises:
      ConfigError: the tables are of two spaces.
    """
    if other.space != surrogate.space:
        raise errors.ConfigError(
            f"the table is of {other.space}, the benchmark of {surrogate.space}"
        )
    archs = np.asarray(other.archs, np.int32)
    truth = scores(other, archs)
    ours = scores(surrogate, archs)
    known = np.isfinite(truth) & np.isfinite(ours)
    archs, truth, ours = archs[known], truth[known], ours[known]
    top = np.argsort(-truth, kind="stable")[: max(2, len(truth) // 5)]
    trained = scores(listed, archs)
    both = np.isfinite(trained)
    return {
        "all": _ranks(truth, ours),
        "top_fifth": _ranks(truth[top], ours[top]),
        "trained": _ranks(truth[both], trained[both]),
    }


def _ranks(truth: np.ndarray, ours: np.ndarray) -> dict[str, Any]:
    if len(truth) < 2:
        return {"spearman": None, "kendall_tau": None, "count": len(truth)}
    return {
        "spearman": float(metrics.spearman(truth, ours)),
        "kendall_tau": float(metrics.kendall_tau(truth, ours)),
        "count": len(truth),
    }


def _top(
    surrogate: Surrogate, space: SearchSpace, archs: np.ndarray, count: int
) -> np.ndarray:
    """The best `count` of different architectures, best first."""
    archs = np.asarray(archs, np.int32)
    valid = scores(surrogate, archs)
    known = np.flatnonzero(np.isfinite(valid))
    order = known[np.argsort(-valid[known], kind="stable")]
    seen: set[int] = set()
    # Writings of one architecture have equal scores: a few times as many are enough.
    for most in (20 * count, len(order)):
        seen.clear()
        found = embedded_samples.distinct(space, archs[order[:most]], seen)
        if len(found) >= count:
            return found[:count]
    raise errors.ConfigError(
        f"only {len(found)} different architectures were found, not {count}"
    )
