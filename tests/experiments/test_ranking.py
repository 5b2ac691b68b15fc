"""Ranks over data sets against the equations, scipy, and their own limits."""

import numpy as np
import pytest
from reference import plain_ranking
from scipy import stats

from nasjax.core.errors import DataError
from nasjax.experiments import ranking


@pytest.mark.parametrize("shape", [(3, 2), (5, 4), (12, 7)])
def test_ranks_and_tests_are_those_of_the_equations(shape):
    scores = np.random.default_rng(sum(shape)).random(shape)
    found = ranking.rank(scores)
    np.testing.assert_array_equal(found.ranks, plain_ranking.ranks(scores))
    np.testing.assert_allclose(found.mean_ranks, found.ranks.mean(axis=0))
    p_value = stats.chi2.sf(plain_ranking.friedman(scores), shape[1] - 1)
    np.testing.assert_allclose(found.p_value, p_value, rtol=1e-10)
    expected = plain_ranking.critical_difference(*shape)
    np.testing.assert_allclose(found.critical_difference, expected, rtol=5e-4)


def test_ties_share_ranks_and_are_corrected_for_as_in_scipy():
    scores = np.random.default_rng(0).integers(0, 3, (9, 4)).astype(float)
    found = ranking.rank(scores)
    np.testing.assert_array_equal(found.ranks, plain_ranking.ranks(scores))
    expected = stats.friedmanchisquare(*scores.T).pvalue
    np.testing.assert_allclose(found.p_value, expected, rtol=1e-10)
    assert ranking.rank(np.ones((4, 3))).p_value == 1.0


def test_a_level_of_one_percent_is_stricter():
    scores = np.random.default_rng(0).random((5, 4))
    strict, usual = (ranking.rank(scores, level=p) for p in (0.01, 0.05))
    assert strict.critical_difference > usual.critical_difference


@pytest.mark.parametrize("scores", [np.zeros((2, 5)), np.zeros((5, 1)), np.zeros(5)])
def test_too_little_is_said(scores):
    with pytest.raises(DataError, match="at least 3 data sets and two algorithms"):
        ranking.rank(scores)


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(DataError, match="not finite"):
        ranking.rank([[1, 2], [1, np.nan], [1, 2]])


def test_only_what_all_data_sets_have_is_compared():
    rows = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"c": 4.0, "a": 5.0, "b": None}]
    names, table = ranking.common(rows)
    assert names == ["a", "c"]
    np.testing.assert_array_equal(table, [[1, 3], [5, 4]])
    assert ranking.common([])[0] == []
