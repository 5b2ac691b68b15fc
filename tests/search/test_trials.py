"""Trials in chunks: equal to all at once, compiled once, and never of nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import search_table
from jax.tree_util import Partial

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import Proposal
from nasjax.search.algorithm import as_argument
from nasjax.search.loops import budget, trials
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
KEYS = jax.random.split(jax.random.key(0), 5)


def toy():
    """Proposes pairs of numbers; cheap to compile."""

    def ask(key, state):
        archs = jax.random.randint(key, (2, 3), 0, 9)
        return Proposal.batch(archs, trial=2 * state + jnp.arange(2)), state + 1

    def tell(state, proposal, evaluation):
        del proposal, evaluation
        return state

    return search.SearchAlgorithm(lambda key: jnp.int32(0), ask, tell)


def evaluate(scale, key, arch, epoch, trained):
    del epoch, trained
    valid = jnp.sum(arch) * scale + jax.random.uniform(key)
    return search.Evaluation(valid, valid, jnp.float32(1), jnp.zeros(4))


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_chunks_equal_all_at_once_and_one_after_another(capsys):
    algorithm, score = toy(), Partial(evaluate, 0.5)
    whole = search.run_trials(KEYS, algorithm, score, 6)
    assert whole.archs.shape == (5, 12, 3) and isinstance(whole.valid, np.ndarray)
    assert capsys.readouterr().err == ""
    chunked = search.run_trials(KEYS, algorithm, score, 6, chunk_size=2)
    assert "trial 5/5" in capsys.readouterr().err
    same(chunked, whole)
    same(search.run_trials(KEYS, algorithm, score, 6, vectorized=False), whole)
    alone = search.run(KEYS[3], algorithm, score, 6)
    same(jax.tree.map(lambda x: x[3], whole), alone)
    # The seeds differ between trials of one key's asks, and between keys.
    assert len(np.unique(whole.valid)) == whole.valid.size


def test_one_program_for_all_budgets_tables_keys_and_numbers_of_steps():
    algorithm = toy()
    whole = search.run_trials(KEYS, algorithm, Partial(evaluate, 0.5), 6)
    size = trials._advance._cache_size()
    other = jax.random.split(jax.random.key(1), 5)
    history = search.run_trials(
        other, algorithm, Partial(evaluate, 1.5), 4, budget_queries=3
    )
    np.testing.assert_array_equal(history.mask.sum(axis=1), 3)
    # More steps than one call takes, and a last chunk that is not full.
    longer = search.run_trials(KEYS, algorithm, Partial(evaluate, 0.5), 150)
    assert longer.archs.shape == (5, 300, 3)
    same(jax.tree.map(lambda x: x[:, :12], longer), whole)
    alone = search.run(KEYS[3], algorithm, Partial(evaluate, 0.5), 150)
    same(jax.tree.map(lambda x: x[3], longer), alone)
    search.run_trials(
        jnp.concatenate([KEYS, other])[:8],
        algorithm,
        Partial(evaluate, 0.5),
        2,
        chunk_size=5,
    )
    assert trials._advance._cache_size() == size


def test_numbers_of_trials_are_filled_up_by_less_than_a_quarter():
    counts = np.arange(1, 300)
    sizes = np.array([trials._rounded(int(count)) for count in counts])
    assert (sizes >= counts).all() and (sizes < 1.25 * counts).all()
    assert len(set(sizes)) < 30 and set(sizes[:8]) == set(range(1, 9))


def test_without_a_number_of_steps_budgets_end_the_trials():
    algorithm, score = toy(), Partial(evaluate, 0.5)
    history = search.run_trials(KEYS, algorithm, score, budget_queries=131)
    assert history.archs.shape == (5, 132, 3)  # and not a step more
    assert (history.mask.sum(axis=1) == 131).all()
    # One program for any length and any kind of budget.
    size = trials._advance._cache_size()
    for limits, counted in (
        ({"budget_queries": 3}, 3),
        ({"budget_seconds": 150.0}, 150),
        ({"budget_epochs": 77, "last_epoch": 7}, 11),
        ({"budget_seconds": 20.0, "budget_queries": 131}, 20),
    ):
        other = search.run_trials(KEYS, algorithm, score, **limits)
        assert (other.mask.sum(axis=1) == counted).all()
        rows = min(other.mask.shape[1], 132)
        np.testing.assert_array_equal(other.archs[:, :rows], history.archs[:, :rows])
    assert trials._advance._cache_size() == size
    with pytest.raises(errors.ConfigError, match="give num_steps or a budget"):
        search.run_trials(KEYS, algorithm, score)

    def ask_nothing(key, state):
        proposal, state = algorithm.ask(key, state)
        return proposal._replace(mask=proposal.mask & (state < 3)), state

    quiet = algorithm._replace(ask=ask_nothing)
    with pytest.raises(errors.DataError, match="asked for nothing more"):
        search.run_trials(KEYS, quiet, score, budget_queries=131)


def test_budgets_that_never_end_are_an_error(monkeypatch):
    def free(key, arch, epoch, trained):
        nothing = jnp.float32(jnp.nan)
        return search.Evaluation(nothing, nothing, nothing, jnp.zeros(4))

    monkeypatch.setattr(trials, "_MOST_FREE", 40)
    with pytest.raises(errors.DataError, match="last 48 steps cost anything"):
        search.run_trials(KEYS, toy(), free, budget_seconds=9.0)

    def timeless(key, arch, epoch, trained):
        return free(key, arch, epoch, trained)._replace(valid=jnp.float32(1))

    with pytest.raises(errors.DataError, match="records no costs.*budget_queries"):
        search.run_trials(KEYS, toy(), timeless, budget_seconds=9.0)


def test_a_memory_limit_makes_chunks(capsys):
    algorithm, score = toy(), Partial(evaluate, 0.5)
    size = trials.trial_bytes(algorithm, score, 6)
    # At least the results themselves.
    assert size > 12 * (3 * 4 + 4 + 1 + 4 * 4)
    search.run_trials(KEYS, algorithm, score, 6, memory_limit_bytes=3 * size)
    assert "trial 5/5" in capsys.readouterr().err
    search.run_trials(KEYS, algorithm, score, 6, memory_limit_bytes=5 * size)
    assert capsys.readouterr().err == ""
    evolution = search.make("regularized_evolution", SPACE, population_size=10)
    larger = search.make("regularized_evolution", SPACE, population_size=1000)
    table = search_table.evaluate()
    grown = trials.trial_bytes(larger, table, 6) - trials.trial_bytes(
        evolution, table, 6
    )
    assert grown >= 990 * (6 + 1) * 4


def test_what_a_benchmark_lacks_is_an_error():
    algorithm = search.make("random_search", SPACE)
    table = search_table.make()
    timeless = search_table.evaluate(table.replace(seconds=None))
    with pytest.raises(errors.DataError, match="records no costs.*budget_queries"):
        search.run_trials(KEYS, algorithm, timeless, 3, budget_seconds=100.0)
    history = search.run_trials(KEYS, algorithm, timeless, 3)
    assert history.mask.all() and np.isnan(history.seconds).all()
    curves = {"test_accuracy": table.curves["test_accuracy"]}
    blind = search_table.evaluate(table.replace(curves=curves))
    with pytest.raises(errors.DataError, match="no evaluation gave a validation"):
        search.run_trials(KEYS, algorithm, blind, 3)


def test_bad_sizes_are_named():
    with pytest.raises(errors.ConfigError, match="chunk_size = 0"):
        search.run_trials(KEYS, toy(), Partial(evaluate, 1.0), 3, chunk_size=0)
    with pytest.raises(errors.ConfigError, match="5 trials of 0 steps"):
        search.run_trials(KEYS, toy(), Partial(evaluate, 1.0), 0)


def test_arrays_of_an_algorithm_are_arguments_of_the_program():
    def make(values):
        def ask(values, key, state):
            arch = values[jax.random.randint(key, (), 0, values.shape[0])]
            return Proposal.single(arch, trial=state), state + 1

        return ask

    ask = make(None)
    plain = toy()

    def with_archs(archs):
        return plain._replace(ask=Partial(ask, jnp.asarray(archs, jnp.int32)))

    score = Partial(evaluate, 1.0)
    first = search.run_trials(KEYS, with_archs([[1, 2, 3]] * 4), score, 2)
    size = trials._advance._cache_size()
    second = search.run_trials(KEYS, with_archs([[4, 5, 6]] * 4), score, 2)
    # init and tell are the same functions, so only the array differs.
    assert trials._advance._cache_size() == size
    assert (first.archs == [1, 2, 3]).all() and (second.archs == [4, 5, 6]).all()


def test_options_that_this_xla_lacks_are_left_out():
    assert trials._is_option("xla_backend_optimization_level", 1)
    options = (("xla_cpu_no_such_option", True), *trials._QUICK[:1])
    assert not trials._is_option(*options[0])
    algorithm, limits = as_argument(toy()), budget.limit()
    arguments = (algorithm, Partial(evaluate, 1.0), limits, jnp.int32(2))
    runs = trials._start(KEYS, algorithm)
    expected = trials._advance(runs, *arguments, vectorized=True)[1]
    found = trials._advance_with(options)(runs, *arguments, vectorized=True)[1]
    np.testing.assert_array_equal(found.archs, expected.archs)
