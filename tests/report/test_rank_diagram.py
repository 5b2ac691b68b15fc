"""Mean ranks and what is not separated."""

import numpy as np
import pytest

from nasjax.core.errors import DataError
from nasjax.report import rank_diagram


@pytest.mark.parametrize(
    "ranks, difference, bars",
    [
        ([1, 2, 3], 1.0, [(0, 1), (1, 2)]),
        ([1, 2, 3], 2.0, [(0, 2)]),
        ([1, 2, 3], 0.5, []),
        ([1, 1.5, 3.2, 3.5], 1.0, [(0, 1), (2, 3)]),
        ([1, 1.5, 2, 2.5], 1.0, [(0, 2), (1, 3)]),
    ],
)
def test_bars_are_the_largest_groups(ranks, difference, bars):
    assert rank_diagram.cliques(np.array(ranks, float), difference) == bars


def test_names_stand_with_their_ranks_best_first():
    names = ["worst $", "best", "middle"]
    figure = rank_diagram.rank_figure(names, np.array([2.9, 1.1, 2.0]), 0.95)
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[-3:] == ["best (1.10)", "middle (2.00)", "worst $ (2.90)"]
    assert "critical difference 0.95" in texts
    low, high = axes.get_xlim()
    for line in axes.lines:
        assert low <= min(line.get_xdata()) <= max(line.get_xdata()) <= high


def test_a_difference_beyond_the_axis_is_told_only():
    figure = rank_diagram.rank_figure(["a", "b"], np.array([1.0, 2.0]), 1.5)
    told = [t.get_text() for t in figure.axes[0].texts if "difference" in t.get_text()]
    assert told == ["critical difference 1.50: longer than the axis"]


def test_one_algorithm_has_no_rank():
    with pytest.raises(DataError, match="two algorithms"):
        rank_diagram.rank_figure(["a"], np.array([1.0]), 1.0)
