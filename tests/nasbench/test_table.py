"""Queries of a table against plain indexing of the numbers it was made of."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.nasbench import TabularBenchmark, index
from nasjax.nasbench.runs import TrainingRuns
from nasjax.spaces import nasbench201

NUM_CELLS, NUM_SEEDS = 40, 3


def build(epochs, seconds_width=None, metric="accuracy", seed=0):
    """A table, and the numbers in it; the third seed of every second cell is absent."""
    rng = np.random.default_rng(seed)
    archs = rng.permutation(nasbench201.enumerate_cells())[:NUM_CELLS]
    shape = NUM_CELLS, NUM_SEEDS, len(epochs)
    valid = rng.random(shape, np.float32)
    valid[::2, 2] = np.nan
    test = rng.random((*shape[:2], 1), np.float32)
    test[::2, 2] = np.nan
    steps = rng.random((*shape[:2], seconds_width or len(epochs)), np.float32)
    seconds = np.cumsum(steps, axis=2)
    seconds[::2, 2] = np.nan
    numbers = {"valid": valid, "test": test, "seconds": seconds, "archs": archs}
    table = TabularBenchmark(
        index=index.build("nasbench201", archs.astype(np.int8)),
        archs=jnp.asarray(archs, jnp.int8),
        curves={
            f"valid_{metric}": TrainingRuns.build(valid),
            f"test_{metric}": TrainingRuns.build(test),
        },
        seconds=TrainingRuns.build(seconds),
        facts={},
        space="nasbench201",
        data_set="made up",
        epochs=epochs,
        metric=metric,
        seeds=(777, 888, 999),
        notes=(("train_accuracy", "nobody wrote it down"),),
    )
    return table, numbers


@pytest.fixture(scope="module")
def curves():
    return build(tuple(range(1, 21)))


@pytest.fixture(scope="module")
def budgets():
    return build((4, 12, 36, 108))


def test_every_seed_at_every_epoch_is_the_number_in_the_table(curves):
    table, numbers = curves

    def one(s, arch, epoch):
        return table.evaluate_seed(s, arch, epoch)

    for s in range(NUM_SEEDS):
        for epoch in (1, 7, 20):
            found = jax.jit(jax.vmap(one, (None, 0, None)))(s, numbers["archs"], epoch)
            np.testing.assert_array_equal(
                found.valid, numbers["valid"][:, s, epoch - 1]
            )
            last = numbers["test"][:, s, 0]
            expected = last if epoch == 20 else np.full_like(last, np.nan)
            np.testing.assert_array_equal(found.test, expected)
            cost = numbers["seconds"][:, s, epoch - 1]
            np.testing.assert_array_equal(found.cost, cost)
            curve = numbers["valid"][:, s].copy()
            curve[:, epoch:] = np.nan
            np.testing.assert_array_equal(found.curve, curve)


def test_means_are_over_the_seeds_that_are_there(budgets):
    table, numbers = budgets
    found = jax.vmap(lambda a: table.mean(a, 36))(numbers["archs"])
    expected = np.nanmean(numbers["valid"][:, :, 2], axis=1)
    np.testing.assert_allclose(found.valid, expected, rtol=1e-6)
    expected = np.nanmean(numbers["seconds"][:, :, 2], axis=1)
    np.testing.assert_allclose(found.cost, expected, rtol=1e-6)
    expected = np.nanmean(numbers["valid"], axis=1)
    expected[:, 3] = np.nan
    np.testing.assert_allclose(found.curve, expected, rtol=1e-6)


def test_a_key_draws_each_recorded_seed_equally_often_and_no_other(curves):
    table, numbers = curves
    keys = jax.random.split(jax.random.key(0), 3000)
    evaluate = jax.jit(jax.vmap(lambda k, a: table.evaluate(k, a, LAST), (0, None)))
    for row in (0, 1):
        found = evaluate(keys, numbers["archs"][row])
        counts = collections.Counter(np.asarray(found.valid).tolist())
        recorded = numbers["valid"][row, :, -1]
        recorded = recorded[~np.isnan(recorded)]
        assert set(counts) == set(recorded.tolist())
        share = 3000 / len(recorded)
        assert all(abs(count - share) < 5 * share**0.5 for count in counts.values())
        # Validation, test, cost and curve are of the same training.
        seeds = {v: s for s, v in enumerate(numbers["valid"][row, :, -1].tolist())}
        slots = [seeds[v] for v in np.asarray(found.valid).tolist()]
        np.testing.assert_array_equal(found.test, numbers["test"][row, slots, 0])
        np.testing.assert_array_equal(found.cost, numbers["seconds"][row, slots, -1])
        np.testing.assert_array_equal(found.curve, numbers["valid"][row, slots])


def test_equal_keys_draw_the_same_training_at_every_epoch(curves):
    table, numbers = curves
    for number in range(8):
        key, arch = jax.random.key(number), numbers["archs"][1]
        curve = table.curve(key, arch)
        at = [table.evaluate(key, arch, epoch).valid for epoch in (1, 10, 20)]
        np.testing.assert_array_equal(curve[np.array([0, 9, 19])], jnp.stack(at))


@pytest.mark.parametrize("width", [None, 1])
def test_cost_counts_the_epochs_that_are_not_paid(width):
    epochs = (4, 12, 36, 108)
    table, numbers = build(epochs, seconds_width=width)
    arch, seconds = numbers["archs"][1], numbers["seconds"][1, 0]
    if width == 1:
        seconds = seconds[0] * np.array(epochs) / 108
    for place, epoch in enumerate(epochs):
        cost = table.evaluate_seed(0, arch, epoch).cost
        np.testing.assert_allclose(cost, seconds[place], rtol=1e-6)
        for before, paid in enumerate(epochs[: place + 1]):
            cost = table.evaluate_seed(0, arch, epoch, trained=paid).cost
            difference = seconds[place] - seconds[before]
            np.testing.assert_allclose(cost, difference, rtol=1e-5, atol=1e-6)
    assert table.evaluate_seed(0, arch, 4, trained=108).cost == 0
    traced = jax.jit(lambda t: table.evaluate_seed(0, arch, 108, t).cost)
    np.testing.assert_allclose(traced(12), seconds[3] - seconds[1], rtol=1e-5)
    assert np.isnan(traced(13))
    with pytest.raises(errors.DataError, match="epoch 13 is not recorded"):
        table.evaluate_seed(0, arch, 108, trained=13)


def test_losses_become_scores():
    table, numbers = build((1, 2, 3), metric="loss")
    arch = numbers["archs"][1]
    np.testing.assert_array_equal(
        table.evaluate_seed(0, arch, 3).valid, -numbers["valid"][1, 0, 2]
    )
    np.testing.assert_array_equal(
        table.evaluate_seed(0, arch, 3).curve, -numbers["valid"][1, 0]
    )
    drawn = table.curve(jax.random.key(0), arch, "valid_loss")
    assert any((drawn == numbers["valid"][1, s]).all() for s in range(3))
    best = np.nanmean(numbers["valid"][:, :, -1], axis=1).argmin()
    np.testing.assert_array_equal(table.optimum().arch, numbers["archs"][best])


def test_optimum_and_regret(budgets):
    table, numbers = budgets
    means = np.nanmean(numbers["valid"][:, :, 1], axis=1)
    found = table.optimum("valid", epoch=12)
    np.testing.assert_array_equal(found.arch, numbers["archs"][means.argmax()])
    np.testing.assert_allclose(found.value, means.max(), rtol=1e-6)
    test = np.nanmean(numbers["test"][:, :, 0], axis=1)
    regret = jax.jit(jax.vmap(table.regret))(numbers["archs"])
    np.testing.assert_allclose(regret, test.max() - test, atol=1e-6)
    assert table.regret(table.optimum("test").arch) == 0


UNKNOWN = np.array([0, 0, 0, 0, 0, 9])


def test_unknown_architectures(curves):
    table, numbers = curves
    known = set(map(tuple, numbers["archs"].tolist()))
    cells = nasbench201.enumerate_cells()
    absent = next(c for c in cells if tuple(c.tolist()) not in known)
    key = jax.random.key(0)
    for arch, why in ((absent, "is not in the table"), (UNKNOWN, "is no cell of")):
        for call in (
            lambda a: table.evaluate(key, a, 20),
            lambda a: table.evaluate_seed(0, a, 20),
            lambda a: table.mean(a, 20),
            lambda a: table.curve(key, a),
        ):
            with pytest.raises(errors.UnknownArchitecture, match=why):
                call(arch)
            for leaf in jax.tree.leaves(jax.jit(call)(arch)):
                assert np.isnan(leaf).all()
    with pytest.raises(ValueError, match="vmap over several"):
        table.mean(numbers["archs"], 20)


@pytest.mark.parametrize("epoch", [0, 5, 109, 10**9, -2])
def test_epochs_that_are_not_recorded(budgets, epoch):
    table, numbers = budgets
    arch = numbers["archs"][0]
    with pytest.raises(errors.DataError, match=f"epoch {epoch} is not recorded; there"):
        table.mean(arch, epoch)
    for leaf in jax.jit(table.mean)(arch, epoch):
        assert np.isnan(leaf).all()


def test_last_is_the_last_epoch(budgets):
    table, numbers = budgets
    arch = numbers["archs"][0]
    for call in (table.mean, jax.jit(table.mean)):
        jax.tree.map(np.testing.assert_array_equal, call(arch, LAST), call(arch, 108))


def test_seeds_that_are_not_recorded(curves):
    table, numbers = curves
    lacking = numbers["archs"][0]  # has two of three seeds
    assert np.isnan(table.evaluate_seed(2, lacking, 20).valid)
    for s in (-1, 3):
        with pytest.raises(errors.DataError, match="0 is 777, 1 is 888, 2 is 999"):
            table.evaluate_seed(s, lacking, 20)
        assert np.isnan(jax.jit(table.evaluate_seed)(s, lacking, 20).valid)


def test_absent_metrics_are_errors_when_asked_for(curves):
    table, numbers = curves
    arch = numbers["archs"][0]
    with pytest.raises(errors.DataError, match="nobody wrote it down; recorded: test_"):
        table.optimum("train")
    with pytest.raises(errors.DataError, match="did you mean 'valid_accuracy'"):
        table.curve(jax.random.key(0), arch, "valid_acuracy")
    bare = table.replace(curves={"valid_accuracy": table.curves["valid_accuracy"]})
    assert np.isnan(bare.replace(seconds=None).mean(arch, 20).cost)
    assert np.isnan(bare.mean(arch, 20).test)
    with pytest.raises(errors.DataError, match="test_accuracy is not recorded"):
        bare.regret(arch)


def test_vmap_equals_one_by_one_and_tables_are_arguments(curves):
    table, numbers = curves
    other, _ = build(tuple(range(1, 21)), seed=1)
    keys = jax.random.split(jax.random.key(1), NUM_CELLS)

    @jax.jit
    def batch(table, keys, archs):
        return jax.vmap(lambda k, a: table.evaluate(k, a, 20))(keys, archs)

    together = batch(table, keys, numbers["archs"])
    for i in (0, 1, 17):
        alone = table.evaluate(keys[i], numbers["archs"][i], 20)
        jax.tree.map(
            lambda all_, one, i=i: np.testing.assert_array_equal(all_[i], one),
            together,
            alone,
        )
    batch(other, keys, numbers["archs"])
    assert batch._cache_size() == 1


def test_a_table_of_one_seed_needs_no_draw():
    table, numbers = build((10,))
    single = table.replace(
        curves={"valid_accuracy": TrainingRuns.build(numbers["valid"][:, :1])},
        seeds=(0,),
    )
    for number in range(5):
        found = single.evaluate(jax.random.key(number), numbers["archs"][3], 10)
        assert found.valid == numbers["valid"][3, 0, 0]
