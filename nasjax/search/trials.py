"""Many independent runs of one algorithm as few calls of one compiled program."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, progress
from nasjax.core.types import Key
from nasjax.search import budget, loop
from nasjax.search.algorithm import Evaluate, SearchAlgorithm, as_argument, as_partial
from nasjax.search.history import History

MEMORY_LIMIT = 1 << 30
"""Default of `run_trials`: bytes that the trials of one call take."""


def run_trials(
    keys: Key,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    num_steps: int,
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

    The program is compiled once for an algorithm, a kind of benchmark, `num_steps` and
    the size of a chunk, and is used again by later calls with the same algorithm
    object, whatever the budget.

    Args:
      keys: typed keys `[R]`, such as `jax.random.split(jax.random.key(0), 500)`.
      algorithm: what to run.
      evaluate: `(key, arch, epoch, trained) -> Evaluation`, such as
        `jax.tree_util.Partial(TabularBenchmark.evaluate, table)`; the arrays of a
        `Partial` are arguments of the program and not copied into it.
      num_steps: how often the algorithm is asked.
      budget_seconds: see `loop.run`, as the next three.
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
      ConfigError: a budget or size is not positive.
      DataError: no evaluation gave a score, or there is a budget in seconds and no
        costs are recorded.
    """
    limits = budget.limit(budget_seconds, budget_queries, budget_epochs, last_epoch)
    algorithm, evaluate = as_argument(algorithm), as_partial(evaluate)
    num_trials = keys.shape[0]
    if min(num_trials, num_steps) < 1:
        raise errors.ConfigError(
            f"{num_trials} trials of {num_steps} steps: both must be at least 1"
        )
    if chunk_size is None:
        size = trial_bytes(algorithm, evaluate, num_steps)
        chunk_size = max(1, memory_limit_bytes // size)
    elif chunk_size < 1:
        raise errors.ConfigError(f"chunk_size = {chunk_size} must be at least 1")
    # Chunks of equal size are one program; the last is filled up with repeated keys.
    num_chunks = math.ceil(num_trials / chunk_size)
    size = math.ceil(num_trials / num_chunks)
    chunks = jnp.arange(num_chunks * size).reshape(num_chunks, size) % num_trials
    call = functools.partial(
        _run_chunk,
        algorithm=algorithm,
        evaluate=evaluate,
        limits=limits,
        num_steps=num_steps,
        vectorized=vectorized,
    )
    results = []
    if num_chunks == 1:
        results.append(jax.device_get(call(keys)))
    else:
        with progress.progress(
            num_trials, description=description, unit="trial"
        ) as bar:
            for number, chunk in enumerate(chunks):
                results.append(jax.device_get(call(keys[chunk])))
                bar.update(min(size, num_trials - number * size))
    joined = jax.tree.map(lambda *xs: np.concatenate(xs)[:num_trials], *results)
    _check(joined, budget_seconds)
    return joined


def trial_bytes(algorithm: SearchAlgorithm, evaluate: Evaluate, num_steps: int) -> int:
    """Estimate of the bytes that one trial takes inside a chunk.

    Its results twice (they are transposed at the end), its state three times (the
    carry, its successor and what is gathered from it), and twice the evaluations of a
    step.
    """

    state, proposal, evaluation = jax.eval_shape(
        _one_step, jax.random.key(0), as_argument(algorithm), as_partial(evaluate)
    )
    step = _bytes(proposal) + _bytes(evaluation.valid) * 3
    return 2 * num_steps * step + 3 * _bytes(state) + 2 * _bytes(evaluation)


@jax.jit  # For its shapes only: the second time they are known without tracing.
def _one_step(key: Key, algorithm: SearchAlgorithm, evaluate: Evaluate) -> Any:
    keys = loop.split_keys(key)
    state = algorithm.init(keys.init)
    proposal, state = algorithm.ask(keys.asks, state)
    evaluation = jax.vmap(evaluate, (None, 0, 0, 0))(
        keys.trials, proposal.archs, proposal.epochs, proposal.trained
    )
    return state, proposal, evaluation


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@functools.partial(jax.jit, static_argnames=("num_steps", "vectorized"))
def _run_chunk(
    keys: Key,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    limits: budget.Budget,
    num_steps: int,
    vectorized: bool,
) -> History:
    def one(key: Key) -> History:
        return loop.scan(key, algorithm, evaluate, num_steps, limits)

    return jax.vmap(one)(keys) if vectorized else jax.lax.map(one, keys)


def _check(history: History, budget_seconds: float) -> None:
    """Raises where the benchmark lacks what the search is about."""
    if math.isfinite(budget_seconds) and np.isnan(history.seconds).all(axis=1).any():
        raise errors.DataError(
            f"the benchmark records no costs, so budget_seconds = {budget_seconds:g} "
            "cannot be kept; use budget_queries"
        )
    if history.mask.any() and not np.isfinite(history.valid).any():
        raise errors.DataError(
            "no evaluation gave a validation score: the benchmark has none at the "
            "epochs that were asked for, or knows none of the architectures"
        )
