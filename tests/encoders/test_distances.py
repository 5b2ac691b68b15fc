"""Distances of encodings by hand and as metrics."""

import jax
import numpy as np
import pytest

from nasjax import encoders
from nasjax.core import errors
from nasjax.encoders import distances

A = np.array([1, 0, 0.5, 1, 3], np.float32)
B = np.array([1, 1, 0.0, 1, 5], np.float32)


def test_by_hand():
    assert distances.hamming(A, B) == 3
    assert distances.manhattan(A, B) == 3.5
    np.testing.assert_allclose(distances.euclidean(A, B), (1 + 0.25 + 4) ** 0.5)
    assert distances.hamming_and_number(A, B) == 2 + 2


@pytest.mark.parametrize("name", sorted(encoders.ENCODINGS))
def test_every_encoding_has_a_metric(name):
    points = np.random.default_rng(0).integers(0, 2, (12, 4)).astype(np.float32)
    for variant in distances.VARIANTS:
        distance = distances.make(name, "nasbench101", variant=variant)
        rows = jax.vmap(jax.vmap(distance, (None, 0)), (0, None))
        found = np.asarray(rows(points, points))
        np.testing.assert_array_equal(found, found.T)
        same = (points[:, None] == points[None]).all(-1)
        np.testing.assert_array_equal(found == 0, same)
        assert (found[:, None] <= found[:, :, None] + found[None] + 1e-5).all()


def test_continuous_forms_have_two():
    for name in ("adjacency_continuous", "path_continuous_truncated"):
        assert distances.make(name, "nasbench101") is distances.euclidean
        released = distances.make(name, "nasbench101", variant="released")
        assert released is distances.hamming_and_number
        other = distances.make(name, "nasbench201", variant="released")
        assert other is distances.euclidean


def test_names_are_checked():
    with pytest.raises(errors.ConfigError, match="distance 'paths'"):
        distances.make("paths", "nasbench101")
    with pytest.raises(errors.ConfigError, match="variant of a distance 'new'"):
        distances.make("path_one_hot", "nasbench101", variant="new")
