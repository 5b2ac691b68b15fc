"""Files of trainings of a sample, and the benchmarks that are made of them."""

import jax.numpy as jnp
import numpy as np
import pytest
from fuzz import targets

from nasjax import nasbench, spaces
from nasjax.core import arrays
from nasjax.core.errors import DataError, UnknownArchitecture
from nasjax.nasbench import loading, sampled_digits
from nasjax.spaces import nasbench111


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "digits111.safetensors"
    targets.trainings_bytes(path)
    return path


def test_a_table_has_the_trainings_of_the_file(file):
    table = nasbench.load(file)
    cells = nasbench111.small_cells()[:3]
    assert table.space == "nasbench101" and table.seeds == (0, 1)
    assert table.groups == ("uniform", "small")
    np.testing.assert_array_equal(table.facts["group"], [0, 0, 1])
    curve = table.mean_curve(jnp.asarray(cells[0]))
    # The mean of its two seeds; counts are of 2,048 images.
    np.testing.assert_allclose(curve, (np.arange(30) + 45) / 2048, rtol=1e-6)
    assert float(table.mean(jnp.asarray(cells[2]), 1).valid) == 60 / 2048
    with pytest.raises(UnknownArchitecture):
        table.mean(jnp.asarray(nasbench111.small_cells()[5]), -1)


def test_what_is_read_is_what_was_saved(file, tmp_path):
    again = tmp_path / "again.safetensors"
    sampled = sampled_digits.DIGITS111
    read = sampled.read(file)
    assert read.names() == {
        ("uniform", 0, 0),
        ("uniform", 1, 0),
        ("small", 0, 0),
        ("uniform", 0, 1),
    }
    sampled.save(again, read, {"parameters": np.arange(3)})
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": np.array([0, 1, 2, 3], np.int32)}, "row has values outside 0 to 2"),
        ({"seed": np.zeros(3, np.int8)}, "seed is missing or not of shape"),
        ({"archs": np.zeros((3, 26), np.int8)}, "archs is missing or not of shape"),
        ({"row": np.zeros(0, np.int32)}, "holds no trainings"),
    ],
)
def test_what_does_not_fit_together_is_one_line(file, tmp_path, change, message):
    tree, metadata = dict(arrays.load(file)), arrays.load_metadata(file)
    arrays.save(tmp_path / "x.safetensors", tree | change, metadata=metadata)
    with pytest.raises(DataError, match=message):
        sampled_digits.load(tmp_path / "x.safetensors")


def test_a_file_of_another_benchmark_is_refused(file):
    with pytest.raises(DataError, match="holds no trainings of digits311"):
        sampled_digits.DIGITS311.load(file)


def test_names_know_their_spaces():
    assert set(loading.SPACES_OF_NAMES) == set(loading.NAMES)
    for name, sampled in sampled_digits.SAMPLED.items():
        assert loading.SPACES_OF_NAMES[name] == sampled.space
        assert sampled.space in spaces.SPACES


@pytest.mark.parametrize("listed", [True, False])
def test_what_is_not_in_the_package_says_how_to_make_it(tmp_path, monkeypatch, listed):
    absent = property(lambda self: tmp_path / "absent")
    monkeypatch.setattr(sampled_digits.SampledDigits, "file", absent)
    monkeypatch.setattr(sampled_digits.SampledDigits, "surrogate_file", absent)
    with pytest.raises(DataError, match="digits311 is not in this package yet: build"):
        nasbench.load("digits311", listed=listed)
