"""Categorical kernel densities against a plain version and against statsmodels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import multi_fidelity as plain

from nasjax.search.multi_fidelity import kernel_density, observations

CATEGORIES = (2, 3, 5, 1, 4)
LEAST = 1e-3


def data(seed, count=40):
    """Few values are common, so that some bandwidths are below their bound."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.choice(c, count, p=np.r_[[0.9], np.full(c - 1, 0.1 / (c - 1))])
        if c > 1
        else np.zeros(count, int)
        for c in CATEGORIES
    ]
    return np.stack(columns, axis=1).astype(np.int32)


def fit(points, used):
    return kernel_density.fit(
        jnp.asarray(points),
        jnp.asarray(used),
        categories=CATEGORIES,
        min_bandwidth=LEAST,
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_bandwidths_and_density_are_those_of_the_plain_version(seed):
    points = data(seed)
    used = np.random.default_rng(5).random(len(points)) < 0.6
    with jax.enable_x64(True):
        ours = fit(points, used)
        log_density = jax.jit(
            lambda point: kernel_density.log_density(ours, point, CATEGORIES)
        )
        expected, width, _ = plain.kernel_density(points[used], CATEGORIES, LEAST)
        np.testing.assert_allclose(ours.bandwidths, width, rtol=1e-12)
        for point in points[:10]:
            value = log_density(jnp.asarray(point))
            assert value.dtype == jnp.float64
            np.testing.assert_allclose(value, expected(point), rtol=1e-12)
    single = fit(points, used)
    value = kernel_density.log_density(single, jnp.asarray(points[0]), CATEGORIES)
    np.testing.assert_allclose(value, expected(points[0]), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_statsmodels_gives_the_same_where_all_categories_occur():
    nonparametric = pytest.importorskip("statsmodels.nonparametric.kernel_density")
    keep = [0, 1, 4]
    categories = tuple(CATEGORIES[k] for k in keep)
    # Every category of every variable is there, and each h is below (c - 1) / c.
    points = np.concatenate([data(3, 200)[:, keep], [[1, 1, 1], [0, 2, 2], [0, 0, 3]]])
    theirs = nonparametric.KDEMultivariate(points, "uuu", bw="normal_reference")
    assert (theirs.bw < kernel_density.uniform(categories)).all()
    with jax.enable_x64(True):
        ours = kernel_density.fit(
            jnp.asarray(points),
            jnp.ones(len(points), bool),
            categories=categories,
            min_bandwidth=LEAST,
        )
        np.testing.assert_allclose(ours.bandwidths, theirs.bw, rtol=1e-12)
        for point in points[-6:]:
            value = kernel_density.log_density(ours, jnp.asarray(point), categories)
            np.testing.assert_allclose(np.exp(value), theirs.pdf(point), rtol=1e-10)


def test_it_is_a_distribution_that_samples_follow():
    categories = (2, 3)
    points = np.array([[0, 0], [0, 1], [1, 0], [0, 0], [9, 9]], np.int32)
    used = np.array([True, True, True, True, False])
    density = kernel_density.KernelDensity(
        jnp.asarray(points), jnp.asarray(used), jnp.array([0.2, 0.3])
    )
    grid = jnp.array([[a, b] for a in range(2) for b in range(3)])
    for widen in (1.0, 1.5, 9.0):
        wide = jnp.minimum(density.bandwidths * widen, jnp.array([1 / 2, 2 / 3]))
        chance = jnp.exp(
            jax.vmap(
                lambda point, wide=wide: kernel_density.log_density(
                    density.replace(bandwidths=wide), point, categories
                )
            )(grid)
        )
        np.testing.assert_allclose(chance.sum(), 1, rtol=1e-6)
        drawn = kernel_density.sample(
            jax.random.key(0), density, 20_000, categories=categories, widen=widen
        )
        counts = np.bincount(np.asarray(drawn) @ [3, 1], minlength=6)
        error = np.sqrt(chance * (1 - chance) / 20_000)
        assert (np.abs(counts / 20_000 - chance) < 4 * error).all()


def test_the_best_and_the_worst_share_some_while_there_are_few():
    parts = observations.split(40, top_percent=15, min_points=3)
    assert parts.good[[5, 20, 40]].tolist() == [3, 3, 6]
    assert parts.bad[[5, 20, 40]].tolist() == [3, 17, 34]
    valid = jnp.array([0.5, -jnp.inf, 0.7, 0.5, 0.1, 0.9, -jnp.inf, -jnp.inf])
    good, bad = observations.good_and_bad(
        valid, jnp.int32(5), observations.Split(parts.good[:9], parts.bad[:9])
    )
    # Two of .5: the first is better; what has no score is the worst; one is both.
    assert np.flatnonzero(good).tolist() == [0, 2, 3]
    assert np.flatnonzero(bad).tolist() == [1, 3, 4]


def test_the_oldest_results_go_where_there_is_no_room():
    seen = observations.Observations.empty(2, 3, 1)
    for number in range(5):
        seen = seen.add(
            jnp.int32(1), jnp.array([number]), jnp.float32(number), jnp.bool_(True)
        )
    ignored = seen.add(jnp.int32(0), jnp.array([9]), jnp.float32(9), jnp.bool_(False))
    jax.tree.map(np.testing.assert_array_equal, ignored, seen)
    assert seen.kept.tolist() == [0, 3]
    assert sorted(seen.points[1, :, 0].tolist()) == [2, 3, 4]
    assert seen.valid[1].tolist() == seen.points[1, :, 0].tolist()
