"""Training of architectures as a job: results, resume, lists of cells, bad input."""

import copy
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import patience
import pytest
import report_page
import shared

from nasjax import spaces
from nasjax.core import arrays, errors, metric_log, result
from nasjax.core.types import Evaluation
from nasjax.jobs import config_door, defaults
from nasjax.jobs.train_architecture import architectures
from nasjax.jobs.train_architecture import run as train_architecture
from nasjax.jobs.train_architecture.settings import Trainings
from nasjax.spaces import nasbench101_cells, nasbench101_notation, nasbench111

CELLS = (
    "|nor_conv_1x1~0|+|skip_connect~0|none~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|",
    "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_1x1~2|",
)
CONFIG = {
    "seeds": [0, 1],
    "space": "nasbench201",
    "arch": "",
    "num_archs": 2,
    "sample_seed": 0,
    "epochs": 0,
    "train_fraction": 0.75,
    "split_seed": 0,
    "color_jitter": [],
    "label_epochs": 2,
    "tables": [],
    "label": "",
    "data": {"name": "synthetic", "num_train": 96, "num_test": 24, "channels": 1},
    "network": {"channels": 4, "num_stages": 1, "num_cells": 1, "patch": 2},
    "training": {
        "epochs": 3,
        "batch_size": 24,
        "learning_rate": 0.1,
        "schedule": "cosine",
        "nesterov": True,
        "clip": 0.0,
        "auxiliary_weight": 0.0,
        "drop_path": 0.0,
        "cutout": False,
    },
}
SCRIPT = """
import json, sys
from nasjax.jobs.train_architecture import run as train_architecture
train_architecture.run(json.loads(sys.argv[1]), sys.argv[2])
"""
METRICS = [f"{p}_{k}" for p in ("train", "valid", "test") for k in ("loss", "accuracy")]


def config(**values):
    return copy.deepcopy(CONFIG) | values


def choose(given):
    return architectures.choose(config_door.read(Trainings, given))


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A file of two cells, with a comment and an empty line."""
    file = tmp_path_factory.mktemp("cells") / "cells.txt"
    file.write_text(f"# two cells\n{CELLS[0]}\n\n{CELLS[1]}\n")
    return str(file)


@pytest.fixture(scope="module")
def finished(cells, tmp_path_factory):
    """One uninterrupted run: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("train") / "run"
    return folder, train_architecture.run(config(arch=cells), str(folder))


def curves(folder):
    """All arrays but the measured seconds."""
    tree = arrays.load(folder / "curves.safetensors")
    return {name: values for name, values in tree.items() if name != "seconds"}


def without_times(outcome):
    stored = result.to_json(outcome) | {"seconds": 0}
    for row in stored["architectures"]:
        row["train_seconds"] = 0
    return stored


def test_every_training_is_a_row_of_curves(finished):
    folder, _ = finished
    tree = arrays.load(folder / "curves.safetensors")
    expected = [spaces.make("nasbench201").parse_arch(text) for text in CELLS]
    np.testing.assert_array_equal(tree["archs"], np.repeat(expected, 2, axis=0))
    assert tree["seeds"].tolist() == [0, 1, 0, 1]
    for name in METRICS:
        assert tree[name].shape == (4, 3) and tree[name].dtype == np.float32
        assert np.isfinite(tree[name]).all()
        assert not np.array_equal(tree[name][0], tree[name][1])
    assert tree["seconds"].shape == (4, 3)
    assert tree["parameters"].shape == (4,)
    metadata = arrays.load_metadata(folder / "curves.safetensors")
    assert (metadata["space"], metadata["epochs"]) == ("nasbench201", 3)
    assert (metadata["form"], metadata["data_set"]) == (
        train_architecture.FORM,
        "synthetic",
    )


def test_the_result_sums_up_every_architecture(finished):
    folder, outcome = finished
    stored = result.read(folder / "result.json")
    assert stored == result.to_json(outcome)
    tree = arrays.load(folder / "curves.safetensors")
    assert [row["arch"] for row in stored["architectures"]] == list(CELLS)
    for number, row in enumerate(stored["architectures"]):
        rows = slice(2 * number, 2 * number + 2)
        np.testing.assert_allclose(row["test_accuracy"], tree["test_accuracy"][rows, 2])
        label = tree["valid_accuracy"][rows, 1:].mean(1)
        np.testing.assert_allclose(row["label"]["values"], label, rtol=1e-6)
        assert row["diverged"] == 0
    assert stored["tables"] == {}
    filled = defaults.fill("launch/train_architecture.py", CONFIG)
    assert stored["config"]["training"] == filled["training"]
    assert stored["config"]["network"] == filled["network"]
    for name in ("figures/curves.svg", "figures/curves.png"):
        assert (folder / name).stat().st_size > 1000
    with open(folder / "metrics.jsonl", encoding="utf-8") as file:
        assert [json.loads(line)["step"] for line in file] == [1, 2, 3, 4]
    assert not list(folder.glob("trainings/*/checkpoints"))


def test_a_second_run_of_the_same_workdir_returns_the_same_result(finished, cells):
    folder, outcome = finished
    again = train_architecture.run(config(arch=cells), str(folder))
    assert result.to_json(again) | {"seconds": 0} == (
        result.to_json(outcome) | {"seconds": 0}
    )


def test_a_lost_row_is_trained_again_with_the_same_curves(finished, cells):
    folder, outcome = finished
    before = curves(folder)
    (folder / "rows" / "00002.safetensors").unlink()
    again = train_architecture.run(config(arch=cells), str(folder))
    assert without_times(again) == without_times(outcome)
    after = curves(folder)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_damaged_row_alone_is_trained_again(finished, cells, monkeypatch):
    folder, outcome = finished
    before, rows = curves(folder), metric_log.read(folder)
    row = folder / "rows" / "00000.safetensors"
    row.write_bytes(row.read_bytes()[:-3])
    trained = []
    whole = train_architecture.architecture.train_architecture
    monkeypatch.setattr(
        train_architecture.architecture,
        "train_architecture",
        lambda *arguments, **settings: (
            trained.append(0) or whole(*arguments, **settings)
        ),
    )
    again = train_architecture.run(config(arch=cells), str(folder))
    assert len(trained) == 1 and again["seconds"] > outcome["seconds"]
    assert without_times(again) == without_times(outcome)
    after = curves(folder)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    steps = sorted(row["step"] for row in metric_log.read(folder))
    assert steps == sorted(row["step"] for row in rows)


def test_one_architecture_of_part_of_the_schedule(finished, tmp_path):
    folder, _ = finished
    outcome = train_architecture.run(
        config(arch=CELLS[0], seeds=[1], epochs=2), str(tmp_path / "run")
    )
    whole, part = curves(folder), curves(tmp_path / "run")
    for name in METRICS:
        np.testing.assert_array_equal(part[name][0, :2], whole[name][1, :2])
        assert np.isnan(part[name][0, 2])
    (row,) = outcome["architectures"]
    assert row["test_accuracy"] == whole["test_accuracy"][1, 1]


def test_a_row_of_a_table_of_the_thesis(finished, cells):
    folder, _ = finished
    settings = config(arch=cells, tables=["3.4", "4.2"], label="DARTS")
    tree = arrays.load(folder / "curves.safetensors")
    wanted, protocol = train_architecture._read(settings)
    outcome = train_architecture._summarise(wanted, settings, protocol, tree)
    row = outcome["tables"]["4.2"][1]
    error = 100 * (1 - tree["test_accuracy"][2:, 2].astype(float))
    np.testing.assert_allclose(row["value"], error.mean())
    np.testing.assert_allclose(row["std"], error.std(ddof=1))
    assert (row["num_seeds"], row["settings"]["row"]) == (2, "DARTS")
    assert row["thesis"] is None  # another network on other data


def test_trainings_that_diverge_are_rows_of_nan(tmp_path):
    bad = CONFIG["training"] | {"learning_rate": 1e30, "schedule": "constant"}
    settings = config(arch=CELLS[0], seeds=[0], training=bad)
    outcome = train_architecture.run(settings, str(tmp_path / "run"))
    assert outcome["architectures"][0]["diverged"] == 1
    assert np.isnan(curves(tmp_path / "run")["valid_loss"][0, -1])
    assert result.read(tmp_path / "run" / "result.json")["architectures"]


@pytest.mark.slow
def test_killed_at_any_moment_the_run_ends_with_identical_curves(
    finished, cells, tmp_path
):
    folder, outcome = finished
    run = tmp_path / "run"
    for number in (0, 2):
        with start(run, config(arch=cells)) as process:
            wait_for(process, run / "trainings" / f"{number:05d}" / "metrics.jsonl")
            process.send_signal(signal.SIGKILL)
    with start(run, config(arch=cells)) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    stored = result.read(run / "result.json")
    assert without_times(stored) == without_times(outcome)
    before, after = curves(folder), curves(run)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def start(folder, settings):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(settings), str(folder)],
        cwd=shared.ROOT,
        env=os.environ | {"PYTHONPATH": str(shared.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process, file):
    """Waits until a training has logged its first epoch."""
    patience.until(lambda: file.exists() and "\n" in file.read_text(), process)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arch": ""}, "config.arch=STRING"),
        ({"arch": "random", "num_archs": 0}, "num_archs"),
        ({"arch": "nasbench111"}, "NAS-Bench-101 cells"),
        ({"arch": "nasbench111", "space": "nasbench101"}, "config.searched=FILE"),
        ({"arch": "|nor_conv_1x1~0|"}, "nor_conv_1x1"),
        ({"space": "darts_private"}, "darts_shared"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "twice"),
        ({"epochs": 4}, "0..3"),
        ({"tables": ["3.3"]}, "3.4"),
        ({"training": {"epohcs": 1}}, "epochs"),
        ({"data": {"name": "cifar10", "dir": ""}}, "config.data.dir"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_key(values, message, tmp_path):
    settings = config(**({"arch": CELLS[0]} | values))
    if settings["space"] == "nasbench101":
        settings["network"] = {}
    with pytest.raises(errors.NasjaxError, match=message) as error:
        train_architecture.run(settings, str(tmp_path / "run"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_bad_line_of_a_file_is_named(tmp_path):
    file = tmp_path / "cells.txt"
    file.write_text(f"{CELLS[0]}\nnor_conv_3x3\n")
    with pytest.raises(errors.UnknownArchitecture, match="cells.txt, line 2"):
        choose(config(arch=str(file)))
    file.write_text("# nothing\n")
    with pytest.raises(errors.DataError, match="one a line"):
        choose(config(arch=str(file)))


def test_random_architectures_depend_on_the_sample_seed():
    first, again, other = (
        choose(config(arch="random", num_archs=5, sample_seed=seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.archs, again.archs)
    assert first.archs.shape == (5, 6) and first.groups.tolist() == [0] * 5
    assert not np.array_equal(first.archs, other.archs)


def test_searches_find_good_cells_that_are_pairwise_different():
    def evaluate(key, arch, epoch, trained):
        score = (arch[21:26] == 1).sum() / 5  # how many 3x3 convolutions
        return Evaluation(score, score, jnp.float32(1), jnp.zeros(1))

    names = ("random_search", "regularized_evolution")
    found = architectures.searched_cells(
        jax.random.key(0), evaluate, 12, num_trials=3, num_queries=30, names=names
    )
    assert found.shape == (12, nasbench101_notation.NUM_GENES)
    assert len(nasbench111.unique(found)[0]) == 12
    small = nasbench111.unique(nasbench111.small_cells())[1]
    assert len(nasbench111.unique(found, known=small)[0]) == 12
    keys = jax.random.split(jax.random.key(1), 200)
    drawn = jax.jit(jax.vmap(spaces.make("nasbench101").sample))(keys)
    assert (found[:, 21:26] == 1).sum(1).mean() > (drawn[:, 21:26] == 1).sum(1).mean()


def test_nasbench111_reads_the_searched_cells(tmp_path, monkeypatch):
    some = nasbench101_cells.enumerate_cells(5)
    monkeypatch.setattr(nasbench101_cells, "cells", lambda: some)
    large = some.archs[some.archs[:, -1] == 5][:3]
    file = tmp_path / "found.txt"
    lines = [nasbench101_notation.format_arch(arch) for arch in large]
    file.write_text("\n".join(lines))
    settings = config(arch="nasbench111", space="nasbench101", searched=str(file))
    chosen = choose(settings)
    assert np.bincount(chosen.groups).tolist() == [861, 3, 91]
    np.testing.assert_array_equal(chosen.archs[861:864], large)


def test_the_report_has_scores_curves_and_cells(finished, tmp_path):
    folder, outcome = finished
    found = report_page.of(folder, tmp_path, tmp_path / "figures")
    cells = found.text("td")
    for row in outcome["architectures"]:
        assert f"{100 * np.mean(row['test_accuracy'], dtype=np.float64):.3f}" in cells
        assert row["arch"] in found.text("code") and f"{row['parameters']:,}" in cells
    assert found.count("figure") == 3
    (file,) = (tmp_path / "figures").glob("*/curves.csv")
    lines = [line.split(",") for line in file.read_text("utf-8").splitlines()[1:]]
    own = [float(value) for _, name, _, value in lines if name == "valid_accuracy"]
    tree = arrays.load(folder / "curves.safetensors")
    np.testing.assert_array_equal(own, tree["valid_accuracy"].ravel())
