"""Statistics of histories against plain loops, and the second opinion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import search_table
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.nasbench import TabularBenchmark
from nasjax.search import incumbents
from nasjax.spaces import nasbench201

H, NUM_QUERIES = 9, 6
LEAST = (None, 4, LAST)
TIMES = np.linspace(0.0, 60.0, 13, dtype=np.float32)

rows = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([0.1, 0.2, 0.3, -np.inf]),
        st.sampled_from([2, 4, LAST]),
        st.sampled_from([0.0, 5.0, 7.5]),
    ),
    min_size=H,
    max_size=H,
)


def make(rows):
    mask, valid, epochs, cost = (np.array(x) for x in zip(*rows, strict=True))
    seconds = np.cumsum(np.where(mask, cost, 0)).astype(np.float32)
    return search.History(
        archs=np.zeros((H, 2), np.int32),
        epochs=epochs.astype(np.int32),
        mask=mask,
        valid=np.where(mask, valid, -np.inf).astype(np.float32),
        test=np.where(mask, np.arange(H), np.nan).astype(np.float32),
        seconds=seconds,
        trial=np.arange(H, dtype=np.int32),
        trained=np.zeros(H, np.int32),
    )


def best_of(history, last, min_epochs):
    """Test score of the first best of evaluations up to `last`, or NaN."""
    best, value = np.nan, -np.inf
    for i in range(last + 1):
        least = 9 if min_epochs == LAST else min_epochs
        fits = least is None or history.epochs[i] in (LAST, *range(least, 9))
        if history.mask[i] and fits and history.valid[i] > value:
            best, value = history.test[i], history.valid[i]
    return best


@jax.jit
def statistics(history):
    return [
        (
            incumbents.scores(history, min_epochs=least),
            incumbents.by_query(history, NUM_QUERIES, min_epochs=least),
            incumbents.by_time(history, TIMES, min_epochs=least),
            incumbents.final(history, min_epochs=least),
        )
        for least in LEAST
    ]


@given(rows=rows)
@settings(deadline=None, max_examples=60)
def test_statistics_are_those_of_plain_loops(rows):
    history = make(rows)
    places = np.flatnonzero(history.mask)
    for least, found in zip(LEAST, statistics(history), strict=True):
        expected = [best_of(history, i, least) for i in range(H)]
        np.testing.assert_array_equal(found[0], np.array(expected, np.float32))
        by_query = []
        for query in range(NUM_QUERIES):
            place = places[min(query, len(places) - 1)] if len(places) else -1
            by_query.append(best_of(history, place, least))
        np.testing.assert_array_equal(found[1], np.array(by_query, np.float32))
        by_time = []
        for time in TIMES:
            complete = [i for i in places if history.seconds[i] <= time]
            by_time.append(best_of(history, max(complete, default=-1), least))
        np.testing.assert_array_equal(found[2], np.array(by_time, np.float32))
        np.testing.assert_array_equal(found[3], np.float32(expected[-1]))


def test_an_unknown_clock_gives_no_curve_over_time():
    history = make([(True, 0.1 * i, LAST, 5.0) for i in range(H)])
    history = history.replace(seconds=np.full(H, np.nan, np.float32))
    assert np.isnan(incumbents.by_time(history, TIMES)).all()
    assert incumbents.final(history) == H - 1
    with pytest.raises(ValueError, match="'train'"):
        incumbents.final(history, split="train")


def test_a_second_benchmark_judges_what_the_first_found():
    table = search_table.make()
    other = search_table.make(seed=1)
    algorithm = search.make("random_search", nasbench201.make())
    keys = jax.random.split(jax.random.key(0), 3)
    first = search_table.evaluate(table)
    history = search.run_trials(keys, algorithm, first, 20, budget_queries=15)
    mean = Partial(TabularBenchmark.mean, other)
    judged = search.rescore(history, mean)
    np.testing.assert_array_equal(judged.valid, history.valid)
    np.testing.assert_array_equal(judged.seconds, history.seconds)
    assert np.isnan(judged.test[:, 15:]).all()
    for trial, place in ((0, 0), (2, 14)):
        again = other.mean(history.archs[trial, place], LAST)
        np.testing.assert_allclose(judged.test[trial, place], again.test, rtol=1e-6)
        valid = search.rescore(history, mean, split="valid").test[trial, place]
        np.testing.assert_allclose(valid, again.valid, rtol=1e-6)
    one = jax.tree.map(lambda x: x[1], history)
    np.testing.assert_array_equal(search.rescore(one, mean).test, judged.test[1])
    with pytest.raises(errors.ConfigError, match="did you mean 'test'"):
        search.rescore(history, mean, split="tests")
    final = jax.vmap(incumbents.final)(judged)
    best = np.argmax(history.valid, axis=1)
    np.testing.assert_array_equal(final, judged.test[jnp.arange(3), best])
