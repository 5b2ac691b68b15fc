"""The cells of NAS-Bench-111: three disjoint groups of the right size."""

import jax
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.spaces import nasbench101, nasbench101_cells, nasbench111


@pytest.fixture(scope="module")
def cells():
    """The 2,532 cells of up to five vertices."""
    return nasbench101_cells.enumerate_cells(5)


def test_numbers_of_the_thesis():
    small = nasbench111.small_cells()
    assert len(small) == nasbench111.NUM_SMALL == 91
    assert small[:, -1].max() == 4
    numbers = (nasbench111.NUM_UNIFORM, nasbench111.NUM_SEARCHED, len(small))
    assert sum(numbers) == 1101


def test_groups_are_disjoint_and_duplicates_are_left_out(cells):
    large = cells.archs[cells.archs[:, -1] == 5]
    found = np.concatenate([large[:7], large[:2], nasbench111.small_cells()[:3]])
    drawn = nasbench111.sample(jax.random.key(0), cells, found, num_uniform=40)
    counts = np.bincount(drawn.groups, minlength=3)
    assert counts.tolist() == [40, 7, 91]
    np.testing.assert_array_equal(
        drawn.archs[drawn.groups == nasbench111.SEARCHED], large[:7]
    )
    assert len(nasbench111.unique(drawn.archs)[0]) == len(drawn.archs) == 138
    assert np.all(jax.jit(jax.vmap(nasbench101.is_valid))(drawn.archs))
    again = nasbench111.sample(jax.random.key(0), cells, found, num_uniform=40)
    other = nasbench111.sample(jax.random.key(1), cells, found, num_uniform=40)
    np.testing.assert_array_equal(drawn.archs, again.archs)
    assert not np.array_equal(drawn.archs, other.archs)


def test_the_uniform_group_reaches_every_other_cell(cells):
    rest = len(cells.archs) - 91
    drawn = nasbench111.sample(
        jax.random.key(0), cells, cells.archs[:0], num_uniform=rest
    )
    assert len(nasbench111.unique(drawn.archs)[0]) == len(cells.archs)
    with pytest.raises(errors.DataError, match="draw fewer"):
        nasbench111.sample(
            jax.random.key(0), cells, cells.archs[:0], num_uniform=rest + 1
        )
