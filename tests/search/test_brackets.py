"""Static tables of brackets against the papers' formulas and released code."""

import numpy as np
import pytest
from reference import multi_fidelity as plain

from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.search.multi_fidelity import brackets, rungs

CASES = [
    (least, most, eta)
    for eta in (2, 3, 4, 5)
    for least in (1, 3, 4, 12)
    for most in (12, 27, 30, 50, 81, 98, 108, 200, 512)
]


def pairs(bracket):
    return [*zip(bracket.sizes, bracket.epochs, strict=True)]


@pytest.mark.parametrize("sizes", brackets.SIZES)
def test_hyperband_has_the_brackets_of_the_papers_formulas(sizes):
    for least, most, eta in CASES:
        ours = brackets.hyperband(
            min_epochs=least, max_epochs=most, eta=eta, sizes=sizes
        )
        expected = plain.hyperband_brackets(least, most, eta, sizes == "authors")
        assert [pairs(bracket) for bracket in ours] == expected
        for bracket in ours:
            assert bracket.epochs[-1] == most and bracket.epochs[0] >= least
            for low, high in zip(bracket.sizes, bracket.sizes[1:], strict=False):
                assert high == low // eta
            assert all(np.diff(bracket.epochs) > 0)


def test_brackets_that_a_reader_can_check_by_hand():
    """R = 81 is table 1 of Li et al. (2018); R = 30 sums to 390 epochs a round."""
    limits = {"min_epochs": 1, "eta": 3}
    table = brackets.hyperband(max_epochs=81, **limits)
    assert [bracket.sizes for bracket in table] == [
        (81, 27, 9, 3, 1),
        (34, 11, 3, 1),
        (15, 5, 1),
        (8, 2),
        (5,),
    ]
    assert table[1].epochs == (3, 9, 27, 81)
    table = brackets.hyperband(max_epochs=30, **limits)
    assert pairs(table[0]) == [(27, 1), (9, 3), (3, 10), (1, 30)]
    assert pairs(table[1]) == [(12, 3), (4, 10), (1, 30)]
    assert sum(bracket.num_epochs() for bracket in table) == 390
    assert sum(bracket.num_epochs(resume=False) for bracket in table) == 460
    capped = brackets.hyperband(min_epochs=12, max_epochs=512, eta=3, last_epoch=200)
    assert pairs(capped[0]) == [(27, 18), (9, 56), (3, 170), (1, 200)]
    assert pairs(capped[3]) == [(4, 200)]
    authors = brackets.hyperband(max_epochs=30, sizes="authors", **limits)
    assert [bracket.sizes[0] for bracket in authors] == [27, 9, 6, 4]


@pytest.mark.parametrize("percent", [10, 30])
def test_keep_top_is_the_released_loop_step_by_step(percent):
    for least, most, eta in CASES:
        for bracket in brackets.hyperband(min_epochs=least, max_epochs=most, eta=eta):
            kept = brackets.keep_top(bracket, percent)
            expected = plain.released_bohb_evaluations(pairs(bracket), percent)
            assert np.repeat(kept.epochs, kept.sizes).tolist() == expected
            assert sum(kept.sizes) == sum(bracket.sizes)


def test_successive_halving_keeps_one_in_eta():
    limits = {"min_epochs": 1, "max_epochs": 30, "eta": 3}
    bracket = brackets.successive_halving(40, **limits)
    assert pairs(bracket) == [(40, 1), (13, 3), (4, 10), (1, 30)]
    with pytest.raises(errors.ConfigError, match="num_archs = 26 must be at least 27"):
        brackets.successive_halving(26, **limits)
    with pytest.raises(errors.ConfigError, match="eta = 1 must be at least 2"):
        brackets.hyperband(min_epochs=1, max_epochs=9, eta=1)
    with pytest.raises(errors.ConfigError, match="min_epochs = 0 must be 1 to"):
        brackets.hyperband(min_epochs=0, max_epochs=9, eta=3)
    with pytest.raises(errors.ConfigError, match="last_epoch = 170 must be above 170"):
        brackets.hyperband(min_epochs=12, max_epochs=512, eta=3, last_epoch=170)
    with pytest.raises(errors.ConfigError, match="rule of sizes"):
        brackets.hyperband(min_epochs=1, max_epochs=9, eta=3, sizes="author")


def test_a_schedule_lists_all_evaluations_of_a_round():
    ladder = brackets.hyperband(min_epochs=1, max_epochs=30, eta=3)
    table = rungs.schedule(ladder)
    assert all(column.dtype == np.int32 for column in table)
    assert table.num_levels == 4 and len(table.epochs) == 69
    epochs = [e for bracket in ladder for e in np.repeat(bracket.epochs, bracket.sizes)]
    np.testing.assert_array_equal(
        np.where(table.epochs == LAST, 30, table.epochs), epochs
    )
    np.testing.assert_array_equal(np.array([1, 3, 10, 30])[table.level], epochs)
    paid = np.where(table.epochs == LAST, 30, table.epochs) - table.trained
    assert paid.sum() == sum(bracket.num_epochs() for bracket in ladder)
    lowest = table.below == table.start
    assert lowest.sum() == 27 + 12 + 6 + 4 and (table.trained[lowest] == 0).all()
    places = np.arange(69)
    assert ((places >= table.start) & (places < table.start + table.size)).all()
    above = ~lowest
    np.testing.assert_array_equal(
        table.size[table.below[above]], table.start[above] - table.below[above]
    )
