"""Which architectures the embedded benchmarks of large spaces are made of."""

import jax
import numpy as np
import pytest

from nasjax import nasbench, spaces
from nasjax.core.errors import DataError
from nasjax.experiments import embedded_samples, found_architectures
from nasjax.nasbench import digits201
from nasjax.spaces import nasbench101, nasbench201


def _prints(space, archs):
    return {tuple(row) for row in jax.vmap(space.fingerprint)(archs).tolist()}


def test_a_larger_sample_begins_with_a_smaller_one():
    few, more = (embedded_samples.uniform_cells(n) for n in (30, 40))
    np.testing.assert_array_equal(few, more[:30])
    space = nasbench101.make()
    assert len(_prints(space, more)) == 40
    vertices = jax.vmap(lambda arch: space.to_graph(arch).num_nodes)(more)
    assert vertices.min() >= 5
    genotypes = embedded_samples.random_genotypes(50)
    np.testing.assert_array_equal(genotypes[:20], embedded_samples.random_genotypes(20))


def test_shared_genotypes_have_one_cell_twice():
    shared = embedded_samples.shared_genotypes(30)
    np.testing.assert_array_equal(shared[:, :16], shared[:, 16:])
    space = spaces.make("darts")
    assert jax.vmap(space.is_valid)(shared).all()
    assert len(_prints(space, shared)) == 30


def test_distinct_keeps_the_first_of_each_network():
    space = nasbench201.make()
    archs = np.array([[1, 2, 3, 4, 0, 1], [3, 3, 3, 3, 3, 3], [1, 2, 3, 4, 0, 1]])
    seen: set[int] = set()
    kept = embedded_samples.distinct(space, archs, seen)
    np.testing.assert_array_equal(kept, archs[:2])
    assert len(embedded_samples.distinct(space, archs, seen)) == 0


@pytest.fixture(scope="module")
def trainings():
    """300 functions of digits201 with one seed."""
    whole = digits201.read()
    rows = np.random.default_rng(0).choice(len(whole.archs), 300, replace=False)
    at = rows * (whole.seed.max() + 1)
    return whole._replace(
        archs=whole.archs[rows],
        group=whole.group[rows],
        place=whole.place[rows],
        row=np.arange(300),
        seed=whole.seed[at],
        curves={name: values[at] for name, values in whole.curves.items()},
        seconds=whole.seconds[at],
    )


def test_searches_find_better_architectures_that_are_new(trainings):
    space = nasbench201.make()
    found = found_architectures.find(
        trainings,
        "nasbench201",
        "nasbench211_paths",
        41,
        ("random_search", "regularized_evolution"),
        num_evaluated=1024,
    )
    assert found.shape == (41, 6) and jax.vmap(space.is_valid)(found).all()
    prints = _prints(space, found)
    assert len(prints) == 41 and not prints & _prints(space, trainings.archs)
    table = nasbench.load("digits201")
    scores = jax.vmap(lambda arch: table.mean(arch, -1).test)
    drawn, chosen = scores(trainings.archs), scores(found)
    assert np.median(chosen) > np.quantile(drawn, 0.8)


def test_a_space_that_is_used_up_is_one_line(trainings):
    everything = trainings._replace(archs=nasbench201.enumerate_cells())
    with pytest.raises(DataError, match="random_search lacks 20 new architectures"):
        found_architectures.find(
            everything,
            "nasbench201",
            "nasbench211_paths",
            20,
            ("random_search",),
            num_evaluated=1024,
        )
