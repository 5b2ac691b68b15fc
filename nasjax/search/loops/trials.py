"""Many independent runs of one algorithm as few calls of one compiled program."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, progress
from nasjax.core.partials import as_partial
from nasjax.core.types import Key
from nasjax.search.algorithm import (
    Evaluate,
    ModelState,
    SearchAlgorithm,
    as_argument,
)
from nasjax.search.history import History
from nasjax.search.loops import budget, scan

MEMORY_LIMIT = 1 << 30
"""Default of `run_trials`: bytes that the trials of one call take."""
SEGMENT = 64
"""Steps of one call of the compiled program, at most."""
_QUICK = (
    ("xla_backend_optimization_level", 1),
    ("xla_cpu_parallel_codegen_split_count", 1),
)
"""Options of XLA with which a program with a fit inside compiles faster."""
_QUICKEST = (*_QUICK, ("xla_cpu_use_fusion_emitters", False))
"""With these it takes half the time, and fused operations run slower."""
_UNSURE = 16
"""Steps until the budgets are looked at again, where nobody knows how many are left."""
_SHARE = 0.75
"""Of the steps that should be left by the costs so far, so many are taken at once."""
_MOST_FREE = 1024
"""Steps without any cost after which a budget of costs alone ends in an error."""


def run_trials(
    keys: Key,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    num_steps: int | None = None,
    *,
    budget_seconds: float = float("inf"),
    budget_queries: int | None = None,
    budget_epochs: int | None = None,
    last_epoch: int | None = None,
    chunk_size: int | None = None,
    memory_limit_bytes: int = MEMORY_LIMIT,
    vectorized: bool = True,
    description: str = "trials",
) -> History:
    """One run for each key; equal to `run` with that key.

    Where the algorithm fits a model, equal but for rounding, for its program is then
    optimised less (`ModelState`).

    The program is compiled once for an algorithm, a kind of benchmark and the size of a
    chunk, and is used again by later calls with the same algorithm object, whatever the
    number of steps and the budget. The last chunk of keys is filled up; keys that fit
    one chunk are filled up by less than a quarter, so that near numbers of trials are
    the same program.

    Args:
      keys: typed keys `[R]`, such as `jax.random.split(jax.random.key(0), 500)`.
      algorithm: what to run.
      evaluate: `(key, arch, epoch, trained) -> Evaluation`, such as `table.evaluate`;
        the arrays of a benchmark, or of any `jax.tree_util.Partial`, are arguments of
        the program and not copied into it.
      num_steps: how often the algorithm is asked; None: until the budgets of all
        trials are over.
      budget_seconds: see `scan.run`, as the next three.
      budget_queries: how many evaluations count.
      budget_epochs: how many trained epochs count.
      last_epoch: how many epochs `LAST` stands for.
      chunk_size: trials of one call. None: as many as fit `memory_limit_bytes` by an
        estimate from the sizes of states and results.
      memory_limit_bytes: used where `chunk_size` is None.
      vectorized: False runs the trials of a chunk one after another, so that a
        `lax.cond` (a refit now and then) stays a branch.
      description: of the progress bar, shown where there are several chunks.

    Returns:
      A history of numpy arrays `[R, H, ...]`.

    Raises:
      ConfigError: a budget or size is not positive, or neither a number of steps nor a
        budget is given.
      DataError: no evaluation gave a score, or none was within the budget; there is a
        budget in seconds and no costs are recorded; or the algorithm stopped asking
        before a budget was over.
    """
    limits = budget.limit(budget_seconds, budget_queries, budget_epochs, last_epoch)
    algorithm, evaluate = as_argument(algorithm), as_partial(evaluate)
    num_trials = keys.shape[0]
    if num_trials < 1 or (num_steps is not None and num_steps < 1):
        raise errors.ConfigError(
            f"{num_trials} trials of {num_steps} steps: both must be at least 1"
        )
    unlimited = budget_queries is None and budget_epochs is None
    if num_steps is None and unlimited and math.isinf(budget_seconds):
        raise errors.ConfigError("give num_steps or a budget: nothing ends the trials")
    if chunk_size is None:
        size = trial_bytes(algorithm, evaluate, num_steps or SEGMENT)
        chunk_size = max(1, memory_limit_bytes // size)
    elif chunk_size < 1:
        raise errors.ConfigError(f"chunk_size = {chunk_size} must be at least 1")
    size = min(chunk_size, _rounded(num_trials))
    chunks = [
        keys[(first + np.arange(size)) % num_trials]
        for first in range(0, num_trials, size)
    ]
    call = functools.partial(
        _run_chunk,
        algorithm=algorithm,
        evaluate=evaluate,
        limits=limits,
        num_steps=num_steps,
        vectorized=vectorized,
    )
    results = []
    if len(chunks) == 1:
        results.append(call(chunks[0]))
    else:
        with progress.progress(
            num_trials, description=description, unit="trial"
        ) as bar:
            for number, chunk in enumerate(chunks):
                results.append(call(chunk))
                bar.update(min(size, num_trials - number * size))
    joined = _join(results, num_trials)
    _check(joined, budget_seconds)
    return joined


def _rounded(count: int) -> int:
    """The next number of three binary digits and zeros: 33 to 40 are 40."""
    step = 1 << max(count.bit_length() - 3, 0)
    return -(-count // step) * step


def _join(results: list[History], num_trials: int) -> History:
    """Chunks one after another, each as long as the longest."""
    length = max(history.mask.shape[1] for history in results)

    def lengthen(name: str, rows: np.ndarray) -> np.ndarray:
        missing = ((0, 0), (0, length - rows.shape[1]), *((0, 0),) * (rows.ndim - 2))
        if name == "seconds":  # The clock of a trial that has ended stands still.
            return np.pad(rows, missing, mode="edge")
        fill = {"valid": -np.inf, "test": np.nan}.get(name, 0)
        return np.pad(rows, missing, constant_values=fill)

    joined: dict[str, Any] = {
        name: np.concatenate(
            [lengthen(name, getattr(history, name)) for history in results]
        )[:num_trials]
        for name in History.__dataclass_fields__
    }
    return History(**joined)


def trial_bytes(algorithm: SearchAlgorithm, evaluate: Evaluate, num_steps: int) -> int:
    """Estimate of the bytes that one trial takes inside a chunk.

    Its results twice (they are transposed at the end), its state three times (the
    carry, its successor and what is gathered from it), and twice what is told of a
    step, for the evaluations.
    """
    begun, told = _shapes(algorithm, evaluate)
    rows = min(num_steps, SEGMENT) * _bytes(told)
    return 2 * rows + 3 * _bytes(begun) + 2 * _bytes(told)


def _shapes(algorithm: SearchAlgorithm, evaluate: Evaluate) -> tuple[scan.Run, History]:
    """What a trial is before its first step, and the rows of a step, traced only."""
    algorithm, evaluate = as_argument(algorithm), as_partial(evaluate)
    begun = jax.eval_shape(_start_one, jax.random.key(0), algorithm)
    number, limits = jax.ShapeDtypeStruct((), jnp.int32), budget.limit()
    told = jax.eval_shape(
        scan.take_step, begun, algorithm, evaluate, limits, begun.keys.asks, number
    )[1]
    return begun, told


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _run_chunk(
    keys: Key,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    limits: budget.Budget,
    num_steps: int | None,
    vectorized: bool,
) -> History:
    """Trials of one chunk, segment after segment: a history of numpy arrays."""
    runs, parts = _start(keys, algorithm), []
    quick = isinstance(runs.state, ModelState) and jax.default_backend() == "cpu"
    advance = _advance
    if quick:
        advance = _advance_with(_QUICK if runs.state.elementwise else _QUICKEST)
    size = len(_shapes(algorithm, evaluate)[1].mask)
    done = free = 0
    left = _steps_left(runs.spent, limits, size, 0) if num_steps is None else num_steps
    while left > 0:
        count, before = min(left, SEGMENT), runs.spent
        runs, rows = advance(
            runs, algorithm, evaluate, limits, jnp.int32(count), vectorized=vectorized
        )
        used = size * count
        parts.append(jax.tree.map(lambda x, used=used: np.asarray(x)[:, :used], rows))
        left, done = left - count, done + count
        if num_steps is None:
            left = _steps_left(runs.spent, limits, size, done)
            free = free + count if _is_free(before, runs.spent, limits) else 0
            if left:
                _check_progress(parts[-1], runs.spent, limits, free)
    history: History = jax.tree.map(lambda *xs: np.concatenate(xs, axis=1), *parts)
    return history


@jax.jit
def _start_one(key: Key, algorithm: SearchAlgorithm) -> scan.Run:
    return scan.start(key, algorithm)


@jax.jit
def _start(keys: Key, algorithm: SearchAlgorithm) -> scan.Run:
    runs: scan.Run = jax.vmap(lambda key: _start_one(key, algorithm))(keys)
    return runs


def _advance_runs(
    runs: scan.Run,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    limits: budget.Budget,
    count: jax.Array,
    vectorized: bool,
) -> tuple[scan.Run, History]:
    def one(run: scan.Run) -> tuple[scan.Run, History]:
        return scan.advance_within(
            run, algorithm, evaluate, limits, count, most=SEGMENT
        )

    return jax.vmap(one)(runs) if vectorized else jax.lax.map(one, runs)


_advance = jax.jit(_advance_runs, static_argnames="vectorized")


@functools.cache
def _advance_with(options: tuple[tuple[str, Any], ...]) -> Any:
    """`_advance`, compiled with those of the options that this XLA has."""
    known = {name: value for name, value in options if _is_option(name, value)}
    return jax.jit(_advance_runs, static_argnames="vectorized", compiler_options=known)


def _is_option(name: str, value: Any) -> bool:
    """Whether this version of XLA has the option; they come and go."""
    try:
        jax.jit(lambda x: x).lower(0).compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _steps_left(
    spent: budget.Spent, limits: budget.Budget, size: int, done: int
) -> int:
    """Steps of `size` proposals before looking again; 0: all budgets are over."""
    open_trials = ~np.asarray(_are_over(spent, limits))
    if not open_trials.any():
        return 0
    queries = int(limits.queries) - np.asarray(spent.queries)[open_trials].astype(int)
    least = int(-(-queries.max() // size))
    if np.isinf(limits.seconds) and int(limits.epochs) == budget.MOST:
        return least  # no trial ends before, and not a step is too many
    parts = (spent.seconds / limits.seconds, spent.epochs / limits.epochs)
    part = np.nan_to_num(np.maximum(*map(np.asarray, parts))[open_trials]).min()
    expected = done * (1 - part) / part if part > 0 else 0
    return min(least, max(_UNSURE, int(_SHARE * min(expected, SEGMENT / _SHARE))))


def _is_free(before: budget.Spent, after: budget.Spent, limits: budget.Budget) -> bool:
    """Whether nothing that is limited was spent by any trial that can go on."""
    open_trials = ~np.asarray(_are_over(after, limits))
    pairs = [
        (before.seconds, after.seconds, np.isfinite(limits.seconds)),
        (before.queries, after.queries, int(limits.queries) < budget.MOST),
        (before.epochs, after.epochs, int(limits.epochs) < budget.MOST),
    ]
    return not any(
        limited and (np.asarray(one) != np.asarray(other))[open_trials].any()
        for one, other, limited in pairs
    )


def _check_progress(
    rows: History, spent: budget.Spent, limits: budget.Budget, free: int
) -> None:
    """Raises where trials would go on for ever: a call must get them nearer the end."""
    if np.isfinite(limits.seconds) and np.isnan(spent.seconds).any():
        raise errors.DataError(_no_costs(float(limits.seconds)))
    if not rows.mask.any():
        raise errors.DataError(
            "the algorithm asked for nothing more before the budgets of all trials "
            "were over; give num_steps"
        )
    if free >= _MOST_FREE:
        raise errors.DataError(
            f"no evaluation of the last {free} steps cost anything: the benchmark "
            "knows none of the architectures; use budget_queries"
        )


@jax.jit
def _are_over(spent: budget.Spent, limits: budget.Budget) -> jax.Array:
    over: jax.Array = jax.vmap(lambda one: one.is_over(limits))(spent)
    return over


def _check(history: History, budget_seconds: float) -> None:
    """Raises where the benchmark lacks what the search is about."""
    if math.isfinite(budget_seconds) and np.isnan(history.seconds).all(axis=1).any():
        raise errors.DataError(_no_costs(budget_seconds))
    if not history.mask.any():
        raise errors.DataError(
            "no evaluation counts: the algorithm asked for nothing, or the first one "
            "takes more than the budget"
        )
    if not np.isfinite(history.valid).any():
        raise errors.DataError(
            "no evaluation gave a validation score: the benchmark has none at the "
            "epochs that were asked for, or knows none of the architectures"
        )


def _no_costs(budget_seconds: float) -> str:
    return (
        f"the benchmark records no costs, so budget_seconds = {budget_seconds:g} "
        "cannot be kept; use budget_queries"
    )
