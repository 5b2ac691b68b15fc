"""A search as a loop on the device: a pure function of a PRNG key."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import errors
from nasjax.core.partials import as_partial
from nasjax.core.types import Array, Evaluation, Key, Proposal
from nasjax.search.algorithm import Evaluate, SearchAlgorithm, as_argument
from nasjax.search.history import History
from nasjax.search.loops import budget


class Keys(NamedTuple):
    """Keys of a run, the same in both loops.

    Attributes:
      init: for `algorithm.init`.
      asks: `fold_in(asks, step)` is for ask number `step`.
      trials: `fold_in(trials, trial)` is for every evaluation of a training.
    """

    init: Key
    asks: Key
    trials: Key


def split_keys(key: Key) -> Keys:
    """The keys of a run."""
    return Keys(*jax.random.split(key, 3))


def run(
    key: Key,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    num_steps: int,
    *,
    budget_seconds: float = float("inf"),
    budget_queries: int | None = None,
    budget_epochs: int | None = None,
    last_epoch: int | None = None,
) -> History:
    """One search; `jax.vmap` over keys gives independent trials.

        evaluate = jax.tree_util.Partial(TabularBenchmark.evaluate, table)
        history = jax.jit(run, static_argnums=(1, 3))(key, algorithm, evaluate, 500)

    Args:
      key: all randomness of the search, of the draw of training seeds as well.
      algorithm: what to run.
      evaluate: `(key, arch, epoch, trained) -> Evaluation`. Pass a benchmark to jit
        as an argument, in a `Partial`.
      num_steps: how often the algorithm is asked, a static bound; H = num_steps x Q.
      budget_seconds: (simulated) seconds. Evaluations that are not complete by then are
        masked; the loop goes on, but its results do not count.
      budget_queries: how many evaluations count.
      budget_epochs: how many trained epochs count; needs `last_epoch`.
      last_epoch: how many epochs `LAST` stands for.

    Raises:
      ConfigError: `num_steps` or a budget is not positive, or `last_epoch` is missing.
    """
    limits = budget.limit(budget_seconds, budget_queries, budget_epochs, last_epoch)
    return scan(key, algorithm, evaluate, num_steps, limits)


class Run(struct.PyTreeNode):
    """A search that was begun and can go on.

    Attributes:
      keys: of the search.
      state: of the algorithm.
      spent: totals so far.
      steps: int32 `[]`, how often the algorithm was asked.
    """

    keys: Keys
    state: Any
    spent: budget.Spent
    steps: Array


def start(key: Key, algorithm: SearchAlgorithm) -> Run:
    """A search before its first step; `key` is all of its randomness."""
    keys = split_keys(key)
    state = algorithm.init(keys.init)
    return Run(keys, state, budget.Spent.zero(), jnp.int32(0))


def scan(
    key: Key,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    num_steps: int,
    limits: budget.Budget,
) -> History:
    """`run` with a budget that may be traced."""
    begun = start(key, as_argument(algorithm))
    return advance(begun, algorithm, evaluate, limits, num_steps=num_steps)[1]


def advance(
    run: Run,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    limits: budget.Budget,
    *,
    num_steps: int,
) -> tuple[Run, History]:
    """Some more steps of a search, so that it can be cut anywhere.

    The bits are those of a search that was not cut. Between two calls the run is a tree
    of arrays, which a checkpoint can hold.

        run = jax.jit(start)(key, as_argument(algorithm))
        go_on = jax.jit(advance, static_argnames=("algorithm", "num_steps"))
        run, first = go_on(run, algorithm, evaluate, limit(queries=100), num_steps=20)
        run, second = go_on(run, algorithm, evaluate, limit(queries=100), num_steps=20)

    Args:
      run: where the search is; `start` begins one.
      algorithm: the same as before.
      evaluate: what evaluates; see `run`.
      limits: of the whole search, made by `limit`.
      num_steps: how often the algorithm is asked, a static number.

    Returns:
      The run after these steps, and their history of num_steps x Q rows.

    Raises:
      ConfigError: `num_steps` is not positive.
    """
    if num_steps < 1:
        raise errors.ConfigError(f"num_steps = {num_steps} must be at least 1")
    algorithm, evaluate = as_argument(algorithm), as_partial(evaluate)

    def step(run: Run, ask: Any) -> tuple[Run, History]:
        after: tuple[Run, History] = take_step(run, algorithm, evaluate, limits, *ask)
        return after

    run, rows = jax.lax.scan(step, run, _asks(run, num_steps))
    return run, _flat(rows)


def advance_within(
    run: Run,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    limits: budget.Budget,
    count: Array,
    *,
    most: int,
) -> tuple[Run, History]:
    """`advance` by `count` steps, as many as are wanted when the program runs.

    Args:
      run: where the search is.
      algorithm: the same as before.
      evaluate: what evaluates.
      limits: of the whole run.
      count: int32 `[]`, at most `most`.
      most: the room there is, S steps.

    Returns:
      The run after these steps, and a history of S x Q rows of which the first
      `count` x Q are written.
    """
    algorithm, evaluate = as_argument(algorithm), as_partial(evaluate)
    asks, numbers = _asks(run, most)
    shapes = jax.eval_shape(
        take_step, run, algorithm, evaluate, limits, asks[0], numbers[0]
    )[1]
    rows = jax.tree.map(lambda one: jnp.zeros((most, *one.shape), one.dtype), shapes)

    def step(place: Array, carry: Any) -> Any:
        run, rows = carry
        run, told = take_step(
            run, algorithm, evaluate, limits, asks[place], numbers[place]
        )
        write = functools.partial(jax.lax.dynamic_update_index_in_dim, axis=0)
        rows = jax.tree.map(lambda all_, one: write(all_, one, place), rows, told)
        return run, rows

    run, rows = jax.lax.fori_loop(0, count, step, (run, rows))
    return run, _flat(rows)


@jax.jit  # It is traced once, although its shapes are asked for before it runs.
def take_step(
    run: Run,
    algorithm: SearchAlgorithm,
    evaluate: Evaluate,
    limits: budget.Budget,
    key_ask: Key,
    number: Array,
) -> tuple[Run, History]:
    """One step; `History` has its Q rows."""

    def train(trial: Array, *arguments: Array) -> Evaluation:
        return evaluate(jax.random.fold_in(run.keys.trials, trial), *arguments)

    proposal, state = algorithm.ask(key_ask, run.state)
    stored = _store(proposal, number)
    archs, epochs, _, trial, trained = stored
    evaluation = _map_slots(train, trial, archs, epochs, trained)
    state, spent, told = settle(algorithm, state, stored, evaluation, run.spent, limits)
    return run.replace(state=state, spent=spent, steps=number + 1), told


def _asks(run: Run, count: int) -> tuple[Key, Array]:
    """Keys of the next steps, and their numbers.

    All at once, for one long array takes less time than many short ones.
    """
    numbers = run.steps + jnp.arange(count)
    return jax.vmap(jax.random.fold_in, (None, 0))(run.keys.asks, numbers), numbers


def _flat(rows: History) -> History:
    """Slots of all steps `[S, Q, ...]` one after another."""
    history: History = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
    return history


def _map_slots(function: Any, *arguments: Array) -> Any:
    """`vmap`, without an axis in between where there is one slot: a sixth faster."""
    if arguments[0].shape[0] > 1:
        return jax.vmap(function)(*arguments)
    result = function(*(argument[0] for argument in arguments))
    return jax.tree.map(lambda x: jnp.asarray(x)[None], result)


def _store(proposal: Proposal, number: Array) -> Proposal:
    """The proposal, computed once.

    XLA's CPU backend would compute it again for each of the gathers that look it up in
    a table, which doubles the time of a search. It removes optimisation barriers before
    that, but not a conditional that it cannot decide.
    """
    if jax.default_backend() != "cpu":
        return proposal
    stored: Proposal = jax.lax.cond(
        number >= 0, lambda x: x, lambda x: jax.tree.map(jnp.zeros_like, x), proposal
    )
    return stored


def settle(
    algorithm: SearchAlgorithm,
    state: Any,
    proposal: Proposal,
    evaluation: Evaluation,
    spent: budget.Spent,
    limits: budget.Budget,
) -> tuple[Any, budget.Spent, History]:
    """Pays for the evaluations of one proposal, tells and records them.

    Args:
      algorithm: whose `tell` is called.
      state: of the algorithm.
      proposal: what was asked for.
      evaluation: what came of it, `[Q]`; may have NaN.
      spent: totals before.
      limits: of the run.

    Returns:
      State and totals after it, and the Q rows of the history.
    """
    spent, counted, seconds = budget.charge(spent, limits, proposal, evaluation)
    clean = _clean(proposal.mask, evaluation)
    told = History(
        archs=proposal.archs,
        epochs=proposal.epochs,
        mask=counted,
        valid=jnp.where(counted, clean.valid, -jnp.inf),
        test=jnp.where(counted, evaluation.test, jnp.nan),
        seconds=seconds,
        trial=proposal.trial,
        trained=proposal.trained,
    )
    return algorithm.tell(state, proposal, clean), spent, told


def _clean(mask: Array, evaluation: Evaluation) -> Evaluation:
    """What an algorithm is told: no NaN but in curves, nothing of unused slots."""

    def fill(values: Array, nothing: float) -> Array:
        return jnp.where(mask & ~jnp.isnan(values), values, nothing)

    return evaluation._replace(
        valid=fill(evaluation.valid, -jnp.inf),
        test=fill(evaluation.test, -jnp.inf),
        cost=fill(evaluation.cost, 0),
    )
