"""Surrogates of what `launch/train_architecture.py` recorded, on made-up curves."""

import json
import pathlib
import types

import jax
import numpy as np
import pytest
from test_nasbench_x11 import load_config

from nasjax import spaces
from nasjax.core import arrays, settings
from nasjax.core.errors import ConfigError, DataError
from nasjax.jobs.nasbench_x11 import data as data_reader
from nasjax.jobs.nasbench_x11 import modes
from nasjax.jobs.nasbench_x11.settings import Data
from nasjax.jobs.train_architecture import architectures, run
from nasjax.spaces import nasbench201

COUNT, SCHEDULE, EPOCHS = 300, 12, 8
DIVERGED = 7  # its second training


def read_data(config):
    return data_reader.read(settings.read(Data, "data", config["data"]))


def make_row(random, arch, diverged=False):
    """A training whose accuracy is the share of 3x3 convolutions, and noise."""
    level = 0.4 + 0.1 * np.sum(arch == nasbench201.OP_NAMES.index("nor_conv_3x3"))
    curve = level * (1 - np.exp(-np.arange(1, SCHEDULE + 1) / 2))
    curve = curve + 0.01 * random.normal(size=SCHEDULE)
    curve[3 if diverged else EPOCHS :] = np.nan
    return {
        "valid_accuracy": curve.astype(np.float32),
        "valid_loss": (1 - curve).astype(np.float32),
        "test_accuracy": np.full(SCHEDULE, np.nan, np.float32),  # not recorded
        "seconds": np.where(np.isnan(curve), np.nan, 0.5).astype(np.float32),
        "parameters": np.int64(1000),
        "diverged": np.bool_(diverged),
    }


def write(folder, archs, seeds, *, space="nasbench201", diverged=()):
    """The file as the job writes it."""
    random = np.random.default_rng(0)
    numbers = range(len(archs) * len(seeds))
    rows = [make_row(random, archs[n // len(seeds)], n in diverged) for n in numbers]
    chosen = architectures.Architectures(archs, np.zeros(len(archs), np.int32))
    protocol = types.SimpleNamespace(
        space=space, data={"name": "digits"}, epochs=SCHEDULE
    )
    tree = run._tree(rows, chosen, list(seeds))
    run._save(folder, tree, EPOCHS, {"epochs": EPOCHS}, protocol)
    return folder / run.CURVES_FILE


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    archs = np.random.default_rng(1).permutation(nasbench201.enumerate_cells())[:COUNT]
    folder = tmp_path_factory.mktemp("trainings")
    return write(folder, archs, (3, 5), diverged=(2 * DIVERGED + 1,))


def make_config(file, **changes):
    config = load_config("curves", "csv")
    config["data"] |= {"name": str(file), "first_epochs": 0}
    config["surrogate"] |= {"num_rounds": 100, "rank": 2, "num_threads": 1}
    for path, value in changes.items():
        group, _, name = path.rpartition("__")
        (config[group] if group else config)[name] = value
    return config


def test_one_row_each_architecture(file, capsys):
    data, repeats = read_data(make_config(file))
    stored = arrays.load(file)
    kept = np.arange(COUNT) != DIVERGED
    np.testing.assert_array_equal(data.archs, stored["archs"][::2][kept])
    assert data.space == "nasbench201" and data.data_set == "digits"
    assert data.features_name == "nasbench211_paths"
    assert data.features.shape == (COUNT - 1, 114)
    # Epochs that were not trained, and the metric that was not recorded, are absent.
    assert set(data.curves) == {"valid_accuracy", "valid_loss"}
    values = stored["valid_accuracy"][:, :EPOCHS].reshape(COUNT, 2, EPOCHS)[kept]
    np.testing.assert_array_equal(data.curves["valid_accuracy"], values[:, 0])
    np.testing.assert_array_equal(repeats["valid_accuracy"], values[:, 1:])
    assert set(repeats) == set(data.curves)
    np.testing.assert_array_equal(data.seconds, np.full(COUNT - 1, 0.5 * EPOCHS))
    assert "1 with a training that diverged" in capsys.readouterr().out
    other, repeats = read_data(make_config(file, data__benchmark_seed=1))
    np.testing.assert_array_equal(other.curves["valid_accuracy"], values[:, 1])
    np.testing.assert_array_equal(repeats["valid_accuracy"], values[:, :1])


def test_first_epochs_are_no_features_of_the_registry(file):
    data, _ = read_data(make_config(file, data__first_epochs=3))
    assert data.num_measured == 3 and data.features.shape == (COUNT - 1, 117)
    assert data.space == "" and data.features_name == "given" and data.archs is None


def test_the_command_takes_the_file(file, tmp_path, capsys):
    config = make_config(file, folds=2)
    outcome = modes.run(config, str(tmp_path / "run"), "fit")
    scores = outcome["cross_validation"]["svd_lgb_gkde"]["all features"]
    assert scores["final_kt"]["mean"] > 0.4
    assert outcome["num_archs"] == COUNT - 1 and outcome["num_epochs"] == EPOCHS
    assert "299 architectures, 8 epochs" in capsys.readouterr().out
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["cross_validation"]["svd_lgb_gkde"]["all features"] == scores
    with pytest.raises(DataError, match="--config.folds=0, which saves them"):
        modes.run(config, str(tmp_path / "run"), "evaluate")


def test_a_surrogate_that_learns_nothing_is_named(tmp_path, capsys):
    """44 curves are enough for a leaf of 20, but no operation splits them so."""
    archs = np.random.default_rng(2).permutation(nasbench201.enumerate_cells())[:88]
    config = make_config(
        write(tmp_path, archs, (0,)), folds=2, surrogate__early_stopping=0
    )
    modes.run(config, str(tmp_path / "run"), "fit")
    note = "svd_lgb_gkde from all features: the same prediction for all; LightGBM's"
    assert note in capsys.readouterr().out


def test_mistakes_are_named_with_their_remedy(file, tmp_path):
    cases = {
        "pass --config.data.features=nasbench211_paths": {
            "data__features": "nasbench311"
        },
        "trainings of 2 seeds: pass 0 to 1": {"data__benchmark_seed": 2},
        "first_epochs=0 .none. to 7": {"data__first_epochs": 8},
        "did you mean 'valid_accuracy'": {"data__metric": "valid_acc"},
        "pass --config.surrogate.rank=1 to 8": {"surrogate__rank": 9},
        "pass 2 to 149": {"folds": 1},
        "39 curves; .*: train more .*svd_xgb_gkde": {
            "folds": 0,
            "data__num_train": 39,
            "surrogate__early_stopping": 0,
        },
        "36 curves .9 of 45 stop it early.; .*early_stopping=0": {
            "folds": 0,
            "data__num_train": 45,
        },
        "pass --config.data.name=FILE": {"data__name": ""},
    }
    folder = tmp_path / "run"
    for message, change in cases.items():
        with pytest.raises(ConfigError, match=message):
            modes.run(make_config(file, **change), str(folder), "fit")
    assert not folder.exists()  # the next try may be in the same folder


def test_features_that_need_measurements(tmp_path):
    space = spaces.make("nasbench101")
    archs = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 3)))
    file = write(tmp_path, archs, (0,), space="nasbench101")
    data, repeats = read_data(make_config(file))
    assert data.features_name == "nasbench111_cell" and not repeats
    with pytest.raises(ConfigError, match="features=nasbench111_cell, and first"):
        read_data(make_config(file, data__features="nasbench111"))


def test_nothing_but_divergence(tmp_path):
    archs = nasbench201.enumerate_cells()[:2]
    file = write(tmp_path, archs, (0,), diverged=(0, 1))
    with pytest.raises(DataError, match="none of 2 .*: 2 with a training that div"):
        read_data(make_config(file))


def test_files_of_one_training_a_row_have_no_seeds(tmp_path):
    (tmp_path / "mine.csv").write_text("width,acc_1\n1,0.5\n2,0.6\n")
    for change in ({"benchmark_seed": 1}, {"features": "nasbench211"}):
        config = make_config(tmp_path / "mine.csv")
        config["data"] |= change
        with pytest.raises(ConfigError, match=f"config.data.{next(iter(change))} is"):
            read_data(config)


@pytest.mark.parametrize("name", ["x.xlsx", "x.PARQUET", "x.csv.zip", "x.rds"])
def test_tables_of_other_kinds_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="not CSV: export it as CSV"):
        read_data(make_config(tmp_path / name))


def test_arrays_need_no_preset(tmp_path):
    curves = np.random.default_rng(0).random((12, 4))
    tree = {"features": curves[:, :2], "valid_accuracy": curves}
    arrays.save(tmp_path / "mine.safetensors", tree)
    data, _ = read_data(make_config(tmp_path / "mine.safetensors"))
    np.testing.assert_array_equal(data.curves["valid_accuracy"], curves)
    missing = pathlib.Path(tmp_path / "absent.safetensors")
    with pytest.raises(DataError, match="no such file"):
        read_data(make_config(missing))
