"""Successive halving and Hyperband against plain loops, and the laws of both."""

import time
from concurrent import futures

import curve_table
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import multi_fidelity as plain

from nasjax import search
from nasjax.core.types import LAST
from nasjax.search.loops import scan
from nasjax.search.multi_fidelity import brackets
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
KEY = jax.random.key(4)
ROUND = 40 + 17 + 8 + 4
NUM_STEPS = 2 * ROUND + 30
EPOCHS = {"max_epochs": curve_table.LAST_EPOCH}
LADDERS = {
    "hyperband": plain.hyperband_brackets(1, 27, 3),
    "successive_halving": [[(30, 1), (10, 3), (3, 9), (1, 27)]],
}
SETTINGS = {"hyperband": EPOCHS, "successive_halving": {"num_archs": 30, **EPOCHS}}
run = jax.jit(search.run, static_argnums=(1, 3))


@pytest.fixture(scope="module")
def algorithms():
    return {
        (name, resume): search.make(name, SPACE, resume=resume, **SETTINGS[name])
        for name in SETTINGS
        for resume in (True, False)
    }


@pytest.fixture(scope="module")
def sampled():
    """What `space.sample` gives in each ask."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        scan.split_keys(KEY).asks, jnp.arange(NUM_STEPS)
    )
    return [tuple(arch) for arch in np.asarray(jax.vmap(SPACE.sample)(keys)).tolist()]


KINDS = {
    "distinct": (curve_table.DISTINCT, curve_table.BROKEN),
    "ties": (curve_table.TIES, curve_table.BROKEN),
    "few have a score": (curve_table.DISTINCT, 2),
    "none has a score": (curve_table.DISTINCT, 1),
}
"""Arguments of the benchmark."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", SETTINGS)
def test_every_evaluation_is_that_of_the_plain_loop(
    algorithms, sampled, name, resume, kind
):
    history = run(
        KEY, algorithms[name, resume], curve_table.evaluate(*KINDS[kind]), NUM_STEPS
    )
    expected = plain.halving(
        LADDERS[name],
        lambda step: sampled[step],
        lambda trial, arch, epochs: curve_table.plain_score(arch, epochs, *KINDS[kind]),
        NUM_STEPS,
        resume,
    )
    ours = curve_table.rows(history)
    assert ours == expected
    assert any(np.isneginf(row[-1]) for row in ours)
    curve_table.check_laws(history, resume=resume)
    np.testing.assert_array_equal(
        history.epochs == LAST, [row[1] == 27 for row in ours]
    )


@pytest.mark.parametrize("resume", [True, False])
def test_the_epochs_of_each_bracket_equal_its_table(algorithms, resume):
    history = run(
        KEY, algorithms["hyperband", resume], curve_table.evaluate(), NUM_STEPS
    )
    spent = search.history.epochs_spent(history, curve_table.LAST_EPOCH)
    assert spent.dtype == jnp.int32
    ends = np.cumsum([sum(size for size, _ in rungs) for rungs in LADDERS["hyperband"]])
    ends = np.concatenate([ends, ends[-1] + ends])
    assert ends[-1] <= NUM_STEPS
    ladder = brackets.hyperband(min_epochs=1, max_epochs=27, eta=3)
    tables = [bracket.num_epochs(resume=resume) for bracket in ladder] * 2
    np.testing.assert_array_equal(np.diff(spent[ends - 1], prepend=0), tables)


def test_pieces_and_trials_are_the_whole(algorithms):
    algorithm, evaluate = algorithms["hyperband", True], curve_table.evaluate()
    whole = run(KEY, algorithm, evaluate, NUM_STEPS)
    go_on = jax.jit(scan.advance, static_argnames=("algorithm", "num_steps"))
    begun, parts = jax.jit(scan.start, static_argnums=1)(KEY, algorithm), []
    for _ in range(2):
        begun, part = go_on(
            begun, algorithm, evaluate, search.limit(), num_steps=NUM_STEPS // 2
        )
        parts.append(part)
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)
    keys = jnp.stack([jax.random.key(9), KEY])
    trials = search.run_trials(keys, algorithm, evaluate, NUM_STEPS)
    jax.tree.map(lambda xs, x: np.testing.assert_array_equal(xs[1], x), trials, whole)


def test_a_driven_search_waits_for_its_rung(algorithms):
    """Four workers; the next bracket begins while the last rung is still trained."""
    algorithm = algorithms["hyperband", True]

    def train(key, arch, epoch, trained):
        time.sleep(0.002 * (int(arch[0]) % 3))
        return curve_table.train(key, arch, epoch, trained)

    alone = search.drive(KEY, algorithm, curve_table.train, ROUND)
    whole = run(KEY, algorithm, curve_table.evaluate(), NUM_STEPS)
    first = jax.tree.map(lambda x: np.asarray(x)[:ROUND], whole)
    jax.tree.map(np.testing.assert_array_equal, alone, first)
    for order in ("asked", "completed"):
        with futures.ThreadPoolExecutor(4) as executor:
            history = search.drive(
                KEY,
                algorithm,
                train,
                ROUND,
                executor=executor,
                ask_ahead=4,
                order=order,
            )
        if order == "asked":
            curve_table.check_laws(history, resume=True)
        told = curve_table.rows(history)
        for bracket in _brackets(told):
            for below, above in zip(bracket, bracket[1:], strict=False):
                # Of equals without a score any may go on.
                best = sorted(below, key=lambda row: -row[-1])[: len(above)]
                assert {row[2] for row in above} == {row[2] for row in best}
                assert {row[3] for row in above} == {below[0][1]}


def _brackets(told):
    """Rows of the first round by bracket and rung, by the numbers of trainings."""
    first = 0
    for ladder in LADDERS["hyperband"]:
        names = range(first, first + ladder[0][0])
        yield [
            [row for row in told if row[2] in names and row[1] == epochs]
            for _, epochs in ladder
        ]
        first += ladder[0][0]
