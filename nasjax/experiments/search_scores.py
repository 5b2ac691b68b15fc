"""What the incumbents of finished trials are worth: scores and regrets by query, time.

The incumbent is chosen by the reward that the search saw. It is judged by means over
training seeds, of the validation and of the test score of the report benchmark.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import LAST, Array
from nasjax.experiments.search_problem import Benchmark, Problem
from nasjax.nasbench.table import TabularBenchmark
from nasjax.search import incumbents
from nasjax.search.history import History

SPLITS = ("valid", "test")
_BATCH = 1024
"""Architectures that are scored in one call."""


class Scores(NamedTuple):
    """Scores of the incumbents of R trials, NaN where there is none or none recorded.

    Attributes:
      by_query: float64 `[R, K]` for each split, after 1, 2, ... K queries.
      by_time: float64 `[R, T]` for each split, at the times of `times`.
      times: float64 `[T]`, (simulated) seconds; empty where they are not recorded.
      num_queries: int64 `[R]`, how many evaluations counted.
      best: int32 `[R, G]`, the last incumbents.
      seconds: float64 `[R]`, of all evaluations that counted, NaN where not recorded.
      embeddings: a text for each embedding that the trials read, trials of one standing
        together and equally many; none where they read none.
    """

    by_query: dict[str, np.ndarray]
    by_time: dict[str, np.ndarray]
    times: np.ndarray
    num_queries: np.ndarray
    best: np.ndarray
    seconds: np.ndarray
    embeddings: tuple[str, ...] = ()

    @property
    def clusters(self) -> np.ndarray | None:
        """int64 `[R]`, the embedding of each trial; None where all have one or none."""
        count = len(self.embeddings)
        if count < 2:
            return None
        return np.repeat(np.arange(count), len(self.num_queries) // count)

    def final(self, split: str) -> np.ndarray:
        """float64 `[R]`, score of the last incumbent."""
        return self.by_query[split][:, -1]


class Optima(NamedTuple):
    """What regret is measured against.

    Attributes:
      values: best score of each split, None where it is not recorded.
      kind: `"table"`, the best mean of the table, or `"best found"` by any trial here,
        where the space cannot be listed.
    """

    values: dict[str, float | None]
    kind: str


def recorded(benchmark: Benchmark) -> dict[str, str]:
    """For each split "" if the benchmark records its score, else why not."""
    found = {}
    for split in SPLITS:
        try:
            benchmark.require(f"{split}_{benchmark.metric}")
            found[split] = ""
        except errors.DataError as error:
            found[split] = str(error)
    return found


def judge(
    history: History,
    made: Problem,
    num_queries: int,
    times: Any,
    *,
    min_epochs: int | None = None,
) -> Scores:
    """Scores of finished trials.

    Args:
      history: `[R, K, ...]`.
      made: whose report benchmark judges.
      num_queries: length of `Scores.by_query`.
      times: float `[T]`, seconds, or empty.
      min_epochs: of an incumbent; see `incumbents.incumbents`.
    """
    places = places_of(history, min_epochs)
    archs = np.take_along_axis(
        np.asarray(history.archs), np.maximum(places, 0)[..., None], axis=1
    )
    distinct, inverse = np.unique(
        archs.reshape(-1, archs.shape[-1]), axis=0, return_inverse=True
    )
    found = mean_scores(made.report, distinct)
    scores = {s: found[s][inverse.ravel()].reshape(places.shape) for s in SPLITS}
    return from_scores(
        history, places, scores, num_queries, times, min_epochs=min_epochs
    )


def places_of(history: History, min_epochs: int | None) -> np.ndarray:
    """int32 `[R, K]`, places of the incumbents."""
    return np.asarray(_places(history, min_epochs))


@functools.partial(jax.jit, static_argnums=1)
def _places(history: History, min_epochs: int | None) -> Array:
    return jax.vmap(lambda run: incumbents.incumbents(run, min_epochs=min_epochs))(
        history
    )


def from_scores(
    history: History,
    places: np.ndarray,
    scores: dict[str, np.ndarray],
    num_queries: int,
    times: Any,
    *,
    min_epochs: int | None = None,
) -> Scores:
    """`Scores` where what each incumbent is worth is known.

    Args:
      history: `[R, K, ...]`.
      places: int32 `[R, K]`, of the incumbents.
      scores: float `[R, K]` of each split, of the incumbent after each evaluation.
      num_queries: as in `judge`.
      times: as in `judge`.
      min_epochs: by which the places were found.
    """
    rows = np.arange(len(places))[:, None]
    by_query, by_time = {}, {}
    for split in SPLITS:
        # Scores stand where the incumbent was evaluated; nothing else is read.
        at = np.full(places.shape, np.nan, np.float32)
        known = places >= 0
        at[np.broadcast_to(rows, places.shape)[known], places[known]] = scores[split][
            known
        ]
        judged = history.replace(test=jnp.asarray(at))
        queried = _by_query(judged, num_queries, min_epochs)
        timed = _by_time(judged, jnp.asarray(times), min_epochs)
        by_query[split] = np.asarray(queried, np.float64)
        by_time[split] = np.asarray(timed, np.float64)
    return Scores(
        by_query=by_query,
        by_time=by_time,
        times=np.asarray(times, np.float64),
        num_queries=np.asarray(history.mask).sum(axis=1),
        best=np.asarray(history.archs)[rows[:, 0], np.maximum(places[:, -1], 0)],
        seconds=_clock(history).max(axis=1),
    )


@functools.partial(jax.jit, static_argnums=(1, 2))
def _by_query(history: History, num_queries: int, min_epochs: int | None) -> Array:
    by_query = functools.partial(incumbents.by_query, min_epochs=min_epochs)
    return jax.vmap(lambda run: by_query(run, num_queries))(history)


@functools.partial(jax.jit, static_argnums=2)
def _by_time(history: History, times: Array, min_epochs: int | None) -> Array:
    by_time = functools.partial(incumbents.by_time, min_epochs=min_epochs)
    return jax.vmap(by_time, (0, None))(history, times)


def mean_scores(benchmark: Benchmark, archs: np.ndarray) -> dict[str, np.ndarray]:
    """float64 `[N]` for each split, means over seeds of whole trainings.

    Args:
      benchmark: a split that it does not record is NaN.
      archs: int `[N, G]`.
    """
    count = len(archs)
    size = min(_BATCH, 1 << max(count - 1, 0).bit_length())
    chunks = []
    for start in range(0, count, size):
        places = np.arange(start, start + size) % count
        chunks.append(_mean_scores(benchmark, jnp.asarray(archs[places], jnp.int32)))
    joined = np.concatenate([np.asarray(chunk) for chunk in chunks], axis=1)[:, :count]
    return dict(zip(SPLITS, joined.astype(np.float64), strict=True))


@jax.jit
def _mean_scores(benchmark: Benchmark, archs: Array) -> Array:
    def score(arch: Array) -> Array:
        evaluation = benchmark.mean(arch, jnp.int32(LAST))
        return jnp.stack([evaluation.valid, evaluation.test])

    return jax.vmap(score)(archs).T


def time_grid(histories: list[History], seconds: float, size: int = 100) -> np.ndarray:
    """Times float64 `[size]`, even in their logarithm, or none where none is recorded.

    From when every first evaluation is complete to the budget, or to the end of the
    longest trial where the budget is in queries only.
    """
    clocks = [_clock(history) for history in histories]
    if any(np.isnan(clock).any() for clock in clocks):
        return np.zeros(0)
    first = max(float(clock[:, 0].max()) for clock in clocks)
    last = seconds or max(float(clock.max()) for clock in clocks)
    if not 0 < first < last:
        return np.zeros(0)
    return np.geomspace(first, last, size)


def _clock(history: Any) -> np.ndarray:
    """Seconds float64 `[R, K]` when each evaluation is complete, masked ones apart."""
    seconds = np.asarray(history.seconds, np.float64)
    clock = np.maximum.accumulate(np.where(history.mask, seconds, -np.inf), axis=1)
    # A trial whose first evaluation is beyond the budget has no clock.
    return np.where(np.isinf(clock), np.nan, clock)


def optima(report: Benchmark | None, judged: list[Scores]) -> Optima:
    """What regret is measured against; `report` None: what was found."""
    if not isinstance(report, TabularBenchmark):
        finals = {split: [s.by_query[split] for s in judged] for split in SPLITS}
        best = {split: _largest(values) for split, values in finals.items()}
        return Optima(best, "best found")
    known = recorded(report)
    values = {
        split: None if known[split] else float(report.optimum(split).value)
        for split in SPLITS
    }
    return Optima(values, "table")


def _largest(values: list[np.ndarray]) -> float | None:
    flat = np.concatenate([value.ravel() for value in values])
    return float(np.nanmax(flat)) if np.isfinite(flat).any() else None
