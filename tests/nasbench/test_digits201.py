"""The embedded benchmark: its file, its queries and how it is made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import nasbench
from nasjax.core import arrays
from nasjax.core.errors import DataError, UnknownArchitecture
from nasjax.experiments import embedded_benchmarks
from nasjax.experiments.embedded_benchmarks import DIGITS201_SKELETON as SKELETON
from nasjax.nasbench import digits201
from nasjax.networks import nasbench201 as networks
from nasjax.spaces import nasbench201
from nasjax.spaces import nasbench201_functions as functions_module
from nasjax.training import scanned

# Dead, weak, and good cells; the seed of the file they are compared with.
CELLS = ((0, 0, 0, 0, 0, 0), (1, 0, 0, 4, 0, 0), (3, 1, 3, 3, 1, 3))


@pytest.fixture(scope="module")
def benchmark():
    return nasbench.load("digits201")


def test_the_file_is_small_and_complete(benchmark):
    assert digits201.FILE.stat().st_size <= 10_000_000
    stored = arrays.memory_map(digits201.FILE)
    seeds = len(benchmark.seeds)
    assert benchmark.seeds == tuple(range(seeds))
    for name in scanned.ScannedCurves._fields:
        assert stored[name].shape == (functions_module.NUM_FUNCTIONS, seeds, 30)
        kind = np.uint16 if name.endswith("correct") else np.float16
        assert stored[name].dtype == kind
        assert np.isfinite(stored[name]).all()
    assert stored["valid_correct"].max() <= 1024
    assert (stored["seconds"] > 0).all()


def test_every_cell_has_its_functions_trainings(benchmark):
    cells = nasbench201.enumerate_cells()[::61]
    rows = np.asarray(jax.vmap(benchmark.find)(cells))
    codes = np.asarray(jax.vmap(nasbench201.code)(cells))
    np.testing.assert_array_equal(rows, functions_module.functions().of_code[codes])
    stored = arrays.memory_map(digits201.FILE)["test_correct"]
    evaluation = jax.vmap(lambda a: benchmark.evaluate_seed(0, a, 30))(cells)
    np.testing.assert_allclose(evaluation.test, stored[rows, 0, -1] / 1024)


def test_queries(benchmark):
    good = jnp.array(CELLS[2])
    evaluation = benchmark.mean(good, 10)
    assert evaluation.curve.shape == (30,)
    assert np.isfinite(evaluation.curve[:10]).all()
    assert np.isnan(evaluation.curve[10:]).all()
    assert 0.8 < float(benchmark.mean(good, -1).valid) < 1
    # Chance level for a network that does not see the image.
    dead = benchmark.mean(jnp.array(CELLS[0]), -1)
    assert abs(float(dead.test) - 0.1) < 0.03
    whole, half = benchmark.mean(good, 30).cost, benchmark.mean(good, 15).cost
    assert float(half) == pytest.approx(float(whole) / 2, rel=1e-5)
    with pytest.raises(UnknownArchitecture, match="is no cell"):
        benchmark.mean(jnp.array([5, 0, 0, 0, 0, 0]), 30)
    with pytest.raises(DataError, match="epoch 31"):
        benchmark.mean(good, 31)
    loss = benchmark.curve(jax.random.key(0), good, "train_loss")
    assert loss[-1] < loss[0]


# Cells of the functions of unique texts, and of those that share one (4,930 and on).
RETRAINED = (*CELLS, (3, 3, 0, 0, 1, 1), (3, 0, 1, 0, 1, 1))


def test_retraining_gives_the_stored_curves_within_noise(benchmark):
    """The same seed; compilers differ in rounding, and training amplifies it."""
    functions = functions_module.functions()
    numbers = []
    for cell in RETRAINED:
        arch = jnp.array(cell)
        function = int(functions.of_code[int(nasbench201.code(arch))])
        numbers.append(function)
        curves, seconds = embedded_benchmarks.train(
            "digits201", functions.representatives[function], function, 0
        )
        assert seconds > 0
        stored = np.asarray(benchmark.curves["valid_accuracy"].values[function, 0])
        ours = np.asarray(curves.valid_correct) / 1024
        # First epochs have hardly diverged; the end agrees up to the seeds' noise.
        assert abs(ours[0] - stored[0]) < 0.03
        assert np.abs(ours[-5:] - stored[-5:]).mean() < 0.03
    assert max(numbers) >= 4930 > min(numbers)


def test_parameters_are_those_of_the_representatives(benchmark):
    row = int(benchmark.find(jnp.array([3, 0, 0, 2, 1, 0])))
    # Stem 4 x 16 + 32, one 3x3 and one 1x1 convolution, head 32 + 16 x 10 + 10.
    assert int(benchmark.facts["parameters"][row]) == 96 + 2304 + 256 + 202


def test_cells_with_different_parameters_have_different_rows(benchmark):
    """Two equal convolutions and one used twice were one row once."""
    cells = nasbench201.enumerate_cells()
    bare = [functions_module.without_dead_edges(tuple(map(int, c))) for c in cells]
    parameters = jax.vmap(
        lambda arch: networks.count_parameters(arch, skeleton=SKELETON)
    )(np.array(bare))
    rows = np.asarray(jax.vmap(benchmark.find)(cells))
    stored = np.asarray(benchmark.facts["parameters"])[rows]
    # A cell may have more: an average of an input that is averaged already is free,
    # a convolution is not, so only these can differ, and they do not.
    np.testing.assert_array_equal(stored, parameters)
    one = benchmark.find(jnp.array([3, 3, 0, 0, 1, 1]))
    other = benchmark.find(jnp.array([3, 0, 1, 0, 1, 1]))
    assert int(one) != int(other)


def test_another_file_is_refused(tmp_path):
    arrays.save(tmp_path / "x.safetensors", {"a": np.zeros(2)}, metadata={"form": "b"})
    with pytest.raises(DataError, match="is no nasjax.digits201/2 file"):
        digits201.load(tmp_path / "x.safetensors")
