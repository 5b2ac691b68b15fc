"""Slices of one length put together are the whole."""

import jax
import numpy as np
import pytest

from nasjax.core import batching


@pytest.mark.parametrize("total", [1, 3, 4, 9])
def test_slices_have_one_length_and_cover_every_row_once(total):
    tree = {"a": np.arange(total), "b": np.arange(2 * total).reshape(total, 2)}
    seen = []
    for part, count in batching.iterate(tree, 4):
        assert part["a"].shape == (4,) and part["b"].shape == (4, 2)
        np.testing.assert_array_equal(part["b"][:, 0], 2 * part["a"])
        assert set(part["a"][count:]) <= {total - 1}
        seen += list(part["a"][:count])
    assert seen == list(range(total))


def test_a_function_is_compiled_once_and_applied_to_all_rows():
    traced = []

    @jax.jit
    def function(part):
        traced.append(part["a"].shape)
        return part["a"] + 1, part["b"] * 2

    tree = {"a": np.arange(10), "b": np.arange(10.0)}
    one, two = batching.map_batched(function, tree, 4)
    np.testing.assert_array_equal(one, np.arange(10) + 1)
    np.testing.assert_array_equal(two, np.arange(10) * 2)
    assert traced == [(4,)]
