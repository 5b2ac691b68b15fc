"""DEHB against a plain version fed with the same draws, and its laws."""

import functools

import curve_table
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import multi_fidelity as plain

from nasjax import search
from nasjax.core import errors, sampling
from nasjax.core.types import LAST
from nasjax.search.loops import scan
from nasjax.search.multi_fidelity import differential_evolution as evolution
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
KEY = jax.random.key(8)
NUM_STEPS, ROUND = 180, 69
EPOCHS, MEMBERS, SIZE = (1, 3, 9, 27), (27, 12, 6, 4), 6
SETTINGS = {"max_epochs": 27}
ALGORITHM = search.make("dehb", SPACE, **SETTINGS)
run = jax.jit(search.run, static_argnums=(1, 3))


@functools.cache
def draws(width, levels):
    """The random numbers of every ask: of the donors, and of the crossover."""

    def draw(step):
        key = jax.random.fold_in(scan.split_keys(KEY).asks, step)
        key_donors, key_cross = jax.random.split(key)
        donors = sampling.uniform(key_donors, width * levels)
        return donors, sampling.uniform(key_cross, 2 * SIZE + 1)

    columns = jax.jit(jax.vmap(draw))(jnp.arange(NUM_STEPS))
    donors, cross = (np.asarray(column) for column in columns)
    least = (cross[:, -1] * SIZE).astype(int)
    return donors, cross[:, :SIZE], cross[:, SIZE:-1], least


def plain_rows(ladder, members, epochs, modulus, resume):
    """Rows of the plain version, points decoded."""
    width = max(3, *members)
    key = scan.split_keys(KEY).init
    points = np.asarray(sampling.uniform(key, len(epochs) * width * SIZE))
    points = points.reshape(len(epochs), width, SIZE)
    populations = {
        e: list(points[level, :size])
        for level, (e, size) in enumerate(zip(epochs, members, strict=True))
    }

    def cell(point):
        return tuple(plain.bins(np.asarray(point, np.float32), (5,) * SIZE).tolist())

    rows = plain.dehb(
        ladder,
        populations,
        lambda step: [column[step] for column in draws(width, len(epochs))],
        lambda trial, point, e: curve_table.plain_score(cell(point), e, modulus),
        NUM_STEPS,
        factor=0.5,
        chance=0.5,
        resume=resume,
    )
    return [(cell(point), *rest) for point, *rest in rows]


@pytest.mark.parametrize("modulus", [curve_table.DISTINCT, curve_table.TIES])
@pytest.mark.parametrize("resume", [True, False])
def test_every_evaluation_is_that_of_the_plain_version(resume, modulus):
    algorithm = search.make("dehb", SPACE, resume=resume, **SETTINGS)
    history = run(KEY, algorithm, curve_table.evaluate(modulus), NUM_STEPS)
    ladder = plain.hyperband_brackets(1, 27, 3)
    rows = plain_rows(ladder, MEMBERS, EPOCHS, modulus, resume)
    assert curve_table.rows(history) == rows
    curve_table.check_laws(history, resume=resume)


def test_subpopulations_of_less_than_three_take_donors_of_all():
    """The authors' brackets of eta = 5: 5 > 1, and 2."""
    settings = {"min_epochs": 5, "eta": 5, "sizes": "authors"}
    algorithm = search.make("dehb", SPACE, **settings, **SETTINGS)
    history = run(KEY, algorithm, curve_table.evaluate(), NUM_STEPS)
    ladder = plain.hyperband_brackets(5, 27, 5, floor_first=True)
    assert ladder == [[(5, 5), (1, 27)], [(2, 27)]]
    rows = plain_rows(ladder, (5, 2), (5, 27), curve_table.DISTINCT, True)
    assert curve_table.rows(history) == rows


def test_only_the_first_round_promotes_and_epochs_are_those_of_the_table():
    history = run(KEY, ALGORITHM, curve_table.evaluate(), NUM_STEPS)
    epochs = np.where(history.epochs == LAST, 27, history.epochs)
    ladder = plain.hyperband_brackets(1, 27, 3)
    table = [e for rungs in ladder for size, e in rungs for _ in range(size)]
    np.testing.assert_array_equal(epochs, np.resize(table, NUM_STEPS))
    trained = np.asarray(history.trained)
    continued = sum(size for rungs in ladder for size, _ in rungs[1:])
    assert (trained[:ROUND] > 0).sum() == continued and (trained[ROUND:] == 0).all()


def test_a_child_has_a_coordinate_of_the_mutant_and_stays_inside():
    target, mutated = jnp.full(4, 0.5), jnp.array([-1.0, 2.0, 0.25, 0.75])
    keys = jax.random.split(jax.random.key(0), 500)

    def cross(chance):
        child = jax.vmap(
            lambda key: evolution.crossover(key, target, mutated, chance=chance)
        )(keys)
        return np.asarray(child)

    one = cross(0.0)
    changed = one != 0.5
    assert (changed.sum(axis=1) == 1).all() and changed.any(axis=0).all()
    every = cross(1.0)
    assert (every[:, 2:] == [0.25, 0.75]).all()
    assert ((every >= 0) & (every < 1)).all() and len(np.unique(every[:, 0])) > 400
    half = (cross(0.5) != 0.5).mean()
    assert abs(half - 0.5) < 0.06
    points = jnp.array([[0.5, 0.1], [0.75, 0.9], [0.25, 0.4]])
    np.testing.assert_allclose(evolution.mutant(points, factor=0.5), [0.75, 0.35])


def test_donors_are_three_of_the_pool_before_others():
    keys = jax.random.split(jax.random.key(1), 300)

    def drawn(pool, others):
        found = jax.vmap(
            lambda key: evolution.donors(key, jnp.array(pool), jnp.array(others))
        )(keys)
        return np.asarray(found)

    five = drawn([True] * 5 + [False], [True] * 6)
    assert all(len(set(row)) == 3 for row in five.tolist()) and five.max() == 4
    assert all(len(np.unique(five[:, k])) == 5 for k in range(3))
    one = drawn([False] * 3 + [True, False], [True] * 4 + [False])
    assert (one[:, 0] == 3).all() and set(one[:, 1:].flatten()) == {0, 1, 2}


def test_pieces_and_trials_are_the_whole():
    evaluate = curve_table.evaluate()
    whole = run(KEY, ALGORITHM, evaluate, NUM_STEPS)
    go_on = jax.jit(scan.advance, static_argnames=("algorithm", "num_steps"))
    begun, parts = jax.jit(scan.start, static_argnums=1)(KEY, ALGORITHM), []
    for _ in range(2):
        begun, part = go_on(begun, ALGORITHM, evaluate, search.limit(), num_steps=90)
        parts.append(part)
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)
    keys = jnp.stack([jax.random.key(9), KEY])
    trials = search.run_trials(keys, ALGORITHM, evaluate, NUM_STEPS)
    jax.tree.map(lambda xs, x: np.testing.assert_array_equal(xs[1], x), trials, whole)


def test_a_driven_search_waits_and_tells_all():
    history = search.drive(KEY, ALGORITHM, curve_table.train, ROUND, ask_ahead=3)
    curve_table.check_laws(history, resume=True)


def test_settings_out_of_range_are_named():
    for name, value in (("mutation_factor", 0.0), ("crossover_chance", 1.5)):
        with pytest.raises(errors.ConfigError, match=f"{name} = {value}"):
            search.make("dehb", SPACE, **{name: value}, **SETTINGS)
