"""Pre-training as a job: table, files, resume after a kill, bad input."""

import copy
import json

import numpy as np
import pytest
import report_page

from nasjax.core import arrays, errors, metric_log, result
from nasjax.experiments import search_inputs
from nasjax.jobs import config_door
from nasjax.jobs.arch2vec import pretrain, tables
from nasjax.jobs.arch2vec import seeds as pretraining
from nasjax.jobs.arch2vec.settings import Pretraining
from nasjax.spaces import nasbench201

SMALL = {"width": 8, "num_layers": 2, "latent": 4, "decoder_width": 8}
CONFIG = {
    "seed": 0,
    "space": "nasbench201",
    "variants": ["thesis", "improved"],
    "num_archs": 300,
    "held_out": 0.2,
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "num_points": 200,
    "settings": {"thesis": SMALL, "improved": SMALL},
    "analysis": {
        "benchmark": {"name": "", "path": "", "data_set": "", "schedule": 0},
        "num_train": 20,
        "num_seeds": 2,
        "num_walks": 2,
        "walk_length": 3,
        "random_walk": 10,
        "num_points": 50,
    },
}


def config(**values):
    return copy.deepcopy(CONFIG) | values


def read(given):
    return config_door.read(Pretraining, given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("arch2vec")
    pretrain.run(config(), str(path))
    return path


def stored(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_the_result_has_every_variant_and_the_rows_of_table_3_1(folder):
    outcome = stored(folder)
    assert set(outcome["variants"]) == {"thesis", "improved"}
    for row in outcome["variants"].values():
        for name in ("exact", "elementwise", "ops", "edges"):
            assert 0 <= row[f"reconstruction_{name}"] <= 1
        assert row["cpu_seconds"] > 0
        assert row["num_strict"] <= 200
    rows = outcome["tables"]["3.1"]
    assert len(rows) == 10
    # 300 cells and three epochs are not the thesis'; one seed has no interval.
    for row in rows:
        assert (row["thesis"], row["ci95"]) == (None, None)
        assert row["num_seeds"] == (row["value"] is not None)
    assert outcome["num_archs"] == 300


def test_the_thesis_stands_beside_its_own_pre_training():
    measured = dict.fromkeys(tables.COLUMNS.values(), 0.5)
    names = ["thesis", "improved", "gae"]
    full = {"num_archs": 0, "held_out": 0.1, "epochs": 10, "batch_size": 32}
    full |= {"learning_rate": 1e-3, "num_points": 10_000, "variants": names}
    given = config(**full, settings={"gae": {"width": None}})

    def published(given):
        rows = tables.rows(read(given), [dict.fromkeys(names, measured)] * 3)
        found = {}
        for row in rows:
            found.setdefault(row["settings"]["variant"], []).append(row["thesis"])
        return found

    nothing = [None] * 5
    assert published(given) == {
        "thesis": [100.0, 79.41, 98.72, None, None],
        "improved": nothing,
        "gae": [99.52, 79.28, 78.42, None, None],
    }
    given["settings"]["gae"] = {"width": 64}
    assert published(given)["gae"] == nothing
    assert published(given | {"epochs": 9})["thesis"] == nothing


def test_several_seeds_are_rows_with_intervals_and_tables_for_searches(
    folder, tmp_path
):
    made = config(pretraining_seeds=[0, 5], variants=["thesis"])
    outcome = pretrain.run(made, str(tmp_path), "pretrain")
    own = tmp_path / "seeds" / "0" / "thesis" / "embeddings_thesis.safetensors"
    assert pretraining.embeddings(tmp_path, read(made), 0, "thesis") == own
    # The same bits as --mode=train with that seed.
    trained = arrays.load(folder / "embeddings_thesis.safetensors")
    for key, value in arrays.load(own).items():
        np.testing.assert_array_equal(value, trained[key])
    other = arrays.load(pretraining.embeddings(tmp_path, read(made), 5, "thesis"))
    assert not np.array_equal(other["vectors"], trained["vectors"])
    rows = outcome["tables"]["3.1"]
    exact = [seed["reconstruction_exact"] for seed in outcome["variants"]["thesis"]]
    assert rows[0]["value"] == pytest.approx(100 * np.mean(exact))
    assert rows[0]["num_seeds"] == 2 and rows[0]["ci95"][0] <= rows[0]["value"]
    found = report_page.of(tmp_path, tmp_path / "page")
    assert "python launch/arch2vec.py --mode=pretrain" in found.text("code")
    assert "2 seeds" in found.text("td")
    # A second call reads what is there; another configuration is refused.
    before = own.stat().st_mtime_ns
    again = pretrain.run(made, str(tmp_path), "pretrain")
    assert again["tables"] == outcome["tables"]
    assert own.stat().st_mtime_ns == before
    with pytest.raises(errors.WorkdirError, match="epochs"):
        pretrain.run(made | {"epochs": 4}, str(tmp_path), "pretrain")
    with pytest.raises(errors.ConfigError, match="given twice"):
        pretrain.run(made | {"pretraining_seeds": [1, 1]}, str(tmp_path), "pretrain")


def test_without_a_benchmark_there_are_figures_of_distance_only(folder):
    outcome = stored(folder)
    assert "predictive" not in outcome
    assert set(outcome["neighbours"]) == set(CONFIG["variants"])
    names = {file.stem for file in (folder / "figures").iterdir()}
    assert names == {"neighbours", "distances"}


def test_training_lowers_the_loss(folder):
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for name in CONFIG["variants"]:
        losses = [row["train_loss"] for row in rows if row["stage"] == name]
        assert len(losses) == 3 and losses[-1] < losses[0]


def test_embeddings_are_a_table_for_searches(folder):
    space = nasbench201.make()
    table = search_inputs.read_table(
        str(folder / "embeddings_improved.safetensors"), space
    )
    assert table.archs.shape == (300, 6) and table.vectors.shape == (300, 4)
    assert np.isfinite(table.vectors).all()
    # Isomorphic or not, different cells are told apart.
    assert len(np.unique(table.vectors, axis=0)) > 250
    weights = arrays.load(folder / "weights_improved.safetensors")
    assert weights["weights"]["heads"]["mean"]["kernel"].shape == (8, 4)
    assert weights["moments"].shape == (2, 8, 4)


def test_a_finished_run_is_read_back(folder):
    before = stored(folder)
    again = result.to_json(pretrain.run(config(), str(folder)))
    for name, row in before["variants"].items():
        assert again["variants"][name] == pytest.approx(row)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b'{"uniqueness": "x"}'])
def test_damaged_measurements_are_none(content, tmp_path, caplog):
    path = tmp_path / "measured.json"
    assert pretraining._read(path) is None and not caplog.text
    path.write_bytes(content)
    assert pretraining._read(path) is None
    assert "measured.json" in caplog.text and "finished again" in caplog.text


def test_a_stopped_run_continues_to_the_same_numbers(tmp_path, monkeypatch):
    made = config(epochs=9, variants=["improved"])
    whole = pretrain.run(made, str(tmp_path / "whole"))
    part = tmp_path / "part"
    write = metric_log.MetricLog.write

    def stopping(log, step, *values, **named):
        write(log, step, *values, **named)
        if (part / "metrics.jsonl").read_bytes().count(b"\n") == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(metric_log.MetricLog, "write", stopping)
        pretrain.run(made, str(part))
    assert not (part / "result.json").exists()
    resumed = pretrain.run(made, str(part))
    for name, row in whole["variants"].items():
        same = {key: value for key, value in row.items() if key != "cpu_seconds"}
        other = resumed["variants"][name]
        assert {key: other[key] for key in same} == pytest.approx(same, nan_ok=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "nasbench202"}, "nasbench201"),
        ({"variants": ["improvd"]}, "improved"),
        ({"settings": {"thesis": {"widht": 3}}}, "width"),
        ({"settings": {"thesis": {"decoder": "joined"}}}, "joint"),
        ({"num_archs": 15}, "12 architectures"),
        ({"held_out": 1.5}, "held_out = 1.5"),
    ],
)
def test_what_is_wrong_is_named(changes, message, tmp_path):
    with pytest.raises(errors.ConfigError, match=message):
        pretrain.run(config(**changes), str(tmp_path / "run"))


def test_a_mode_and_a_folder_are_needed(tmp_path):
    with pytest.raises(errors.ConfigError, match="train"):
        pretrain.run(config(), str(tmp_path), "trian")
    with pytest.raises(errors.ConfigError, match="--workdir"):
        pretrain.run(config(), "")


def test_the_report_has_the_rows_of_table_3_1_and_the_losses(folder, tmp_path):
    found = report_page.of(folder, tmp_path, tmp_path / "figures")
    cells = found.text("td")
    assert "strict validity" in cells and "improved" in cells
    (file,) = (tmp_path / "figures").glob("*/pretraining.csv")
    lines = file.read_text("utf-8").splitlines()
    losses = [r["train_loss"] for r in metric_log.read(folder) if "train_loss" in r]
    assert sorted(float(line.split(",")[2]) for line in lines[1:]) == sorted(losses)
