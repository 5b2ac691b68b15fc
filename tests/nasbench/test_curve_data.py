"""Curves to fit to, from tables and from users' arrays."""

import numpy as np
import pytest
from shared import shared_file

from nasjax import nasbench
from nasjax.core import arrays
from nasjax.core.errors import ConfigError, DataError
from nasjax.nasbench import runs
from nasjax.nasbench.surrogate import csv_curves, curve_data


@pytest.fixture
def tree():
    random = np.random.default_rng(0)
    return {
        "archs": random.integers(0, 5, (4, 6)).astype(np.int8),
        "valid_accuracy": random.random((4, 3), np.float32),
        "seconds": np.ones((4, 3), np.float32),
    }


def save(tmp_path, tree):
    arrays.save(tmp_path / "x.safetensors", tree)
    return tmp_path / "x.safetensors"


def test_arrays(tmp_path, tree):
    path = save(tmp_path, tree)
    data = curve_data.read_arrays(path, features_name="nasbench211")
    assert data.features.shape == (4, 6) and data.space == "nasbench201"
    assert data.epochs == (1, 2, 3)
    np.testing.assert_array_equal(data.seconds, np.ones(4))
    with pytest.raises(ConfigError, match="no array `features`"):
        curve_data.read_arrays(path)
    given = curve_data.read_arrays(
        save(
            tmp_path,
            {**tree, "features": np.eye(4)[:, :2], "epochs": np.array([1, 5, 9])},
        )
    )
    assert given.features.shape == (4, 2) and given.space == ""
    assert given.epochs == (1, 5, 9)
    part = given.take(np.array([2, 0]))
    np.testing.assert_array_equal(part.features, given.features[[2, 0]])
    more = given.with_first_epochs(2, "valid_accuracy")
    assert more.num_measured == 2
    np.testing.assert_array_equal(
        more.features[:, -2:], given.curves["valid_accuracy"][:, :2]
    )


def test_what_is_left_out_of_arrays_is_told(tmp_path):
    curves = np.full((3, 4), 0.5, np.float32)
    curves[1, 2:] = np.nan
    tree = {"features": np.arange(6.0).reshape(3, 2), "train_accuracy": curves}
    tree["features"][2, 0] = np.nan  # an unknown feature stays so
    tree["valid_accuracy"] = np.full((3, 4), np.nan)  # recorded nowhere
    data = curve_data.read_arrays(save(tmp_path, tree))
    assert set(data.curves) == {"train_accuracy"}
    np.testing.assert_array_equal(data.features, [[0, 1], [np.nan, 5]])
    assert data.notes == (
        "metrics without any value left out: valid_accuracy",
        "left out: 1 of 3 trainings are unfinished or diverged; first: row 2",
    )


def bad_arrays():
    curves, features = np.full((3, 4), 0.5), np.ones((3, 2))
    base = {"valid_accuracy": curves, "features": features}
    archs = {"valid_accuracy": curves, "archs": np.full((3, 6), 1)}
    return {
        "no curves; name them train_accuracy": {"features": features},
        "valid_accuracy, row 1, .*divide percent": {
            **base,
            "valid_accuracy": 100 * curves,
        },
        "valid_loss, row 1, .*losses are at least 0": {**base, "valid_loss": -curves},
        "curves are .N, T., all of one shape": {**base, "test_accuracy": curves[:, :2]},
        "features has shape .2, 2.": {**base, "features": features[:2]},
        "some infinite": {**base, "features": features * np.inf},
        "no training has a value": {**base, "test_loss": curves * [np.nan, 1, 1, 1]},
        "epochs are 4 increasing": {**base, "epochs": np.array([1, 2, 2, 3])},
        "epochs are 4 increasing whole": {**base, "epochs": np.array([1, 2, 2.5, 3])},
        "row 2 of archs is no architecture": {
            **archs,
            "archs": np.full((3, 6), 1) + 9 * (np.arange(3) == 1)[:, None],
        },
        "archs are float64": {**archs, "archs": np.full((3, 6), 1.7)},
        "archs have shape .3, 5.": {**archs, "archs": np.full((3, 5), 1)},
    }


@pytest.mark.parametrize("message", bad_arrays())
def test_arrays_that_do_not_fit_are_refused(tmp_path, message):
    path = save(tmp_path, bad_arrays()[message])
    with pytest.raises(DataError, match=message):
        curve_data.read_arrays(path, features_name="nasbench211")


# --- tables -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return nasbench.load("digits201")


@pytest.mark.parametrize("seed", [-1, 5, 99, 0.5, True])
def test_no_seed_is_taken_for_another(table, seed):
    with pytest.raises(ConfigError, match="no seed number .*benchmark_seed=0 to"):
        curve_data.from_benchmark(table, "nasbench211", seed=seed)


def test_each_seed_gives_its_own_trainings(table):
    for seed in (0, len(table.seeds) - 1):
        data = curve_data.from_benchmark(table, "nasbench211", seed=seed)
        values = np.asarray(table.curves["valid_accuracy"].values)[:, seed]
        np.testing.assert_array_equal(data.curves["valid_accuracy"], values)
        assert data.epochs == table.epochs and data.notes == ()


def test_metrics_and_trainings_that_a_seed_lacks_are_told(table):
    small = {
        name: np.array(each.values)[:40, :3] for name, each in table.curves.items()
    }
    small["test_loss"] = small["test_loss"][:, :1]
    small["valid_accuracy"][7, 2, 4] = np.nan
    part = table.replace(
        archs=table.archs[:40],
        curves={
            name: runs.TrainingRuns.build(values) for name, values in small.items()
        },
        seconds=runs.TrainingRuns.build(np.array(table.seconds.values)[:40, :1]),
        seeds=(0, 1, 2),
    )
    first = curve_data.from_benchmark(part, "nasbench211", seed=0)
    assert first.notes == () and len(first) == 40
    third = curve_data.from_benchmark(part, "nasbench211", seed=2)
    assert "test_loss" not in third.curves and len(third) == 39
    assert third.notes[0] == "not measured by seed number 2: test_loss"
    assert "1 of 40 diverged or lack a value" in third.notes[1]
    # A time that stands once for each architecture holds for every seed.
    np.testing.assert_array_equal(third.seconds, np.delete(first.seconds, 7))
    with pytest.raises(DataError, match="no architecture can be used"):
        curve_data.from_benchmark(
            part, "nasbench211", keep=lambda archs: np.zeros(len(archs), bool)
        )


# --- real files ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "features", "ignored"),
    [
        ("metaqnn_cifar10", (1000, 20), 3, 2),
        ("deep_resnets_cifar10", (486, 50), 2, 0),
        ("deep_resnets_tinyimagenet", (684, 141), 4, 3),
        ("alexnet_imagenet", (974, 501), 2, 2),
    ],
)
def test_real_files_need_no_description(name, shape, features, ignored):
    """Baker et al. (2018); three of the four number epochs from 0."""
    path = shared_file("data", "learning_curves", f"{name}.csv.gz")
    data = csv_curves.read(path)
    assert data.curves["valid_accuracy"].shape == shape
    assert data.epochs == tuple(range(1, shape[1] + 1)) and data.data_set == name
    assert data.features.shape == (shape[0], features) and len(data.ignored) == ignored
    assert len(data.feature_names) == features
