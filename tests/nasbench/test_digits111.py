"""digits111: the trainings in the package, and the surrogate that is fitted to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_nasbench101

from nasjax import nasbench, spaces
from nasjax.core import arrays
from nasjax.core.errors import UnknownArchitecture
from nasjax.experiments import embedded_benchmarks
from nasjax.nasbench.sampled_digits import DIGITS111
from nasjax.nasbench.surrogate.curve_data import METRICS
from nasjax.spaces import nasbench101
from nasjax.spaces import nasbench101_notation as notation


@pytest.fixture(scope="module")
def surrogate():
    return nasbench.load("digits111")


@pytest.fixture(scope="module")
def table():
    return nasbench.load("digits111", listed=True)


def test_both_files_are_small():
    assert DIGITS111.file.stat().st_size <= 4_000_000
    assert DIGITS111.surrogate_file.stat().st_size <= 6_000_000


def test_the_table_holds_different_cells_with_whole_curves(table):
    assert table.space == "nasbench101" and table.epochs == tuple(range(1, 31))
    assert set(table.curves) == set(METRICS)
    prints = jax.vmap(nasbench101.fingerprint)(table.archs.astype(np.int32))
    assert len({tuple(row) for row in prints.tolist()}) == len(table.archs)
    final = np.asarray(table.curves["valid_accuracy"].values)[:, 0, -1]
    assert np.isfinite(final).all()
    # No cell stays at chance level for the skeleton's sake, and none is perfect.
    assert np.quantile(final, 0.02) > 0.15 and final.max() < 0.97


def test_retraining_gives_the_stored_curves_within_noise():
    """The same seed; compilers differ in rounding, and training amplifies it."""
    stored = DIGITS111.read()
    for run in (0, len(stored.row) // 2):
        row = stored.row[run]
        curves, _ = embedded_benchmarks.train(
            "digits111",
            stored.archs[row],
            int(stored.place[row]),
            int(stored.seed[run]),
            int(stored.group[row]),
        )
        ours = np.asarray(curves.valid_correct) / 2048
        theirs = stored.curves["valid_correct"][run] / 2048
        assert abs(ours[0] - theirs[0]) < 0.05
        assert np.abs(ours[-5:] - theirs[-5:]).mean() < 0.04


def test_isomorphic_cells_have_equal_curves(surrogate):
    rng = np.random.default_rng(0)
    cells = plain_nasbench101.valid_cells(rng, 40)
    others = [plain_nasbench101.rewritten(rng, *cell) for cell in cells]
    archs, other = (
        np.stack([notation.encode(*cell) for cell in group])
        for group in (cells, others)
    )
    assert (archs != other).any(axis=1).mean() > 0.5
    curves = jax.jit(jax.vmap(surrogate.mean_curve))
    np.testing.assert_array_equal(curves(archs), curves(other))


def test_the_surrogate_ranks_the_cells_of_the_table(surrogate, table):
    """Most were fitted to: how well others are ranked is in docs/results."""
    archs = table.archs[:300].astype(np.int32)
    ours = jax.jit(jax.vmap(lambda arch: surrogate.mean(arch, -1).valid))(archs)
    theirs = jax.vmap(lambda arch: table.mean(arch, -1).valid)(archs)
    order = [np.argsort(np.argsort(scores)) for scores in (ours, theirs)]
    assert np.corrcoef(*order)[0, 1] > 0.9


def test_queries_are_those_of_every_benchmark(surrogate):
    space, key = spaces.make("nasbench101"), jax.random.key(0)
    arch = space.sample(key)

    @jax.jit
    def ask(surrogate, key, arch):
        curves = {name: surrogate.curve(key, arch, name) for name in METRICS}
        epochs = jnp.array([10, 15, 30])
        drawn = jax.vmap(lambda epoch: surrogate.evaluate(key, arch, epoch))(epochs)
        return curves, drawn

    curves, drawn = ask(surrogate, key, arch)
    assert drawn.curve.shape == (3, 30) and np.isnan(drawn.curve[0, 10:]).all()
    assert (0 < drawn.valid).all() and (drawn.test < 1).all()
    assert float(drawn.cost[1]) == pytest.approx(float(drawn.cost[2]) / 2, rel=1e-5)
    assert all(np.isfinite(curve).all() for curve in curves.values())
    np.testing.assert_allclose(curves["valid_accuracy"], drawn.curve[2], rtol=1e-5)
    with pytest.raises(UnknownArchitecture):
        surrogate.mean(jnp.full(27, 3), 30)


def test_the_files_say_what_they_rest_on():
    metadata = arrays.load_metadata(DIGITS111.file)
    assert metadata["name"] == "digits111"
    assert metadata["groups"] == ["uniform", "small", "searched"]
