"""Surrogates from the command's configuration to its files, on made-up curves."""

import json
import pathlib

import numpy as np
import official_surrogates as official
import pytest
import shared

from nasjax import nasbench
from nasjax.core import arrays
from nasjax.core.errors import ConfigError, DataError, WorkdirError
from nasjax.jobs import nasbench_x11
from nasjax.nasbench import digits201, digits201_build
from nasjax.nasbench.surrogate import storage

KEYS = {"avg_r2", "final_r2", "avg_kt", "final_kt", "avg_kl", "final_kl", "fit_seconds"}


def load_config(name, preset):
    import importlib.util

    path = shared.ROOT / "configs" / "nasbench_x11" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"config_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plain = json.loads(module.get_config(preset).to_json())
    return plain


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The smoke preset on the embedded benchmark, with 10 trees."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config("digits211", "smoke")
    config["data"]["num_train"] = 200
    config["surrogate"]["num_rounds"] = 10
    config["surrogates"] = ["svd_lgb_gkde", "svd_lgb_std"]
    config["keep_all_metrics"] = ["svd_lgb_std"]
    outcome = nasbench_x11.run(config, str(folder), "fit")
    return config, folder, outcome


def test_fit_writes_the_tables(run):
    config, folder, outcome = run
    written = json.loads((folder / "result.json").read_text())
    assert set(written["surrogates"]) == {"svd_lgb_gkde", "svd_lgb_std"}
    seeds = len(nasbench.load("digits201").seeds)
    expected = KEYS if seeds > 2 else KEYS - {"avg_kl", "final_kl"}
    for scores in written["surrogates"].values():
        assert expected <= set(scores)
        # 200 functions and 10 trees already rank better than chance.
        assert scores["final_kt"] > 0.2
    assert {row["settings"]["metric"] for row in written["tables"]["5.3"]} <= KEYS
    for number in ("5_1", "5_3", "5_6"):
        assert (folder / "figures" / f"figure_{number}.svg").exists()
    assert written["studies"]["ranks"][5]["rank"] == 6


def test_saved_surrogates_are_benchmarks(run):
    _, folder, outcome = run
    surrogate = nasbench.load(folder / "surrogates" / "svd_lgb_std.safetensors")
    assert set(surrogate.models) == {
        f"{s}_{m}" for s in ("train", "valid", "test") for m in ("accuracy", "loss")
    }
    evaluation = surrogate.mean(np.array([3, 1, 3, 3, 1, 3]), 30)
    assert 0.2 < float(evaluation.valid) < 1 and 0.2 < float(evaluation.test) < 1
    assert 0.01 < float(evaluation.cost) < 10
    assert surrogate.version == outcome["surrogates"]["svd_lgb_std"]["version"]


def test_evaluate_gives_the_same_scores(run):
    config, folder, outcome = run
    again = nasbench_x11.run(config, str(folder), "evaluate")
    for name, scores in again["surrogates"].items():
        for key in ("avg_r2", "final_kt"):
            assert scores[key] == pytest.approx(outcome["surrogates"][name][key])


def test_sample_writes_curves(run):
    config, folder, _ = run
    config = {**config, "sample": {"surrogate": "", "num_archs": 2, "num_samples": 3}}
    nasbench_x11.run(config, str(folder), "sample")
    curves = arrays.load(folder / "samples.safetensors")["valid_accuracy"]
    assert curves.shape == (2, 3, 30) and curves.min() >= 0 and curves.max() <= 1
    assert curves.std(axis=1).max() > 0
    assert (folder / "figures" / "figure_5_7.svg").exists()
    config["sample"]["surrogate"] = "svd_lgb_gkd"
    with pytest.raises(ConfigError, match="did you mean 'svd_lgb_gkde'"):
        nasbench_x11.run(config, str(folder), "sample")


def test_a_run_continues_with_the_next_surrogate(run, monkeypatch):
    config, folder, outcome = run
    monkeypatch.setattr(
        nasbench_x11.surrogates.fitting, "fit_mean", lambda *_: pytest.fail("refitted")
    )
    again = nasbench_x11.run(config, str(folder), "fit")
    assert again["surrogates"] == outcome["surrogates"]
    with pytest.raises(WorkdirError):
        nasbench_x11.run({**config, "seed": 1}, str(folder), "fit")


def write_csv(path, random):
    """Curves that the architecture decides, and whose start shows a part of it."""
    rows = ["width," + ",".join(f"acc_{t}" for t in range(1, 9))]
    for _ in range(120):
        width, extra = random.integers(1, 20), random.normal()
        level = 0.3 + 0.02 * width + 0.05 * extra
        curve = level * (1 - np.exp(-np.arange(1, 9) / 2))
        rows.append(",".join([str(width), *(f"{v:.4f}" for v in curve)]))
    path.write_text("\n".join(rows))


def test_cross_validation_of_a_users_csv(tmp_path, capsys):
    write_csv(tmp_path / "mine.csv", np.random.default_rng(0))
    config = load_config("curves", "csv")
    config["data"]["name"] = str(tmp_path / "mine.csv")
    config["folds"] = 2
    config["surrogate"] |= {"num_rounds": 200, "rank": 2}
    outcome = nasbench_x11.run(config, str(tmp_path / "run"), "fit")
    table = outcome["cross_validation"]["svd_lgb_gkde"]
    assert set(table) == {"all features", "architecture only", "measured only"}
    scores = {name: row["final_r2"]["mean"] for name, row in table.items()}
    assert scores["all features"] > scores["architecture only"] > 0.3
    assert 0 <= table["all features"]["final_kt"]["p_value"] <= 1
    assert "above measured only" in capsys.readouterr().out


def test_mistakes_are_named(tmp_path):
    config = load_config("digits211", "smoke")
    cases = {
        "a surrogate is COMPRESSION_REGRESSOR_NOISE": {"surrogates": ["svd"]},
        "did you mean 'lgb'": {"surrogates": ["svd_lgbm_std"]},
        "keep at least 10": {"data": {**config["data"], "num_train": 5000}},
        "did you mean 'valid_accuracy'": {
            "data": {**config["data"], "metric": "valid_acuracy"}
        },
    }
    for number, (message, change) in enumerate(cases.items()):
        with pytest.raises((ConfigError, DataError), match=message):
            nasbench_x11.run({**config, **change}, str(tmp_path / str(number)), "fit")
    with pytest.raises(DataError, match="run --mode=fit first"):
        nasbench_x11.run(config, str(tmp_path / "none"), "evaluate")
    with pytest.raises(ConfigError, match="no section `build`"):
        nasbench_x11.run(config, str(tmp_path / "b"), "build")


def test_build_reports_what_was_built(tmp_path, monkeypatch, capsys):
    calls = []

    def build(folder, **settings):
        calls.append((folder, settings))
        folder.mkdir(exist_ok=True)
        output = folder / digits201.NAME
        output.write_bytes(digits201.FILE.read_bytes())
        return output

    monkeypatch.setattr(digits201_build, "build", build)
    monkeypatch.setattr(digits201_build, "complete_seeds", lambda folder: [0])
    config = {"build": {"seeds": [0], "num_processes": 3}}
    nasbench_x11.run(config, str(tmp_path), "build")
    assert calls == [(pathlib.Path(tmp_path), {"seeds": [0], "num_processes": 3})]
    assert "seeds 0" in capsys.readouterr().out
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["functions"] == 5260
    assert 0.9 < written["reliability"]["all"] < 1


def test_import_of_an_official_checkpoint(tmp_path, capsys):
    content = official.joblib_bytes(
        official.svd_surrogate(num_features=188, num_epochs=50)
    )
    official.write_folder(
        tmp_path / "nbnlp11", official.ensemble_files([content], "svd_lgb")
    )
    output = tmp_path / "ours.safetensors"
    nasbench_x11.import_official(str(tmp_path / "nbnlp11"), str(output))
    assert "valid_loss of 50 epochs, 1 distinct members" in capsys.readouterr().out
    assert storage.load(output).space == "nasbench_nlp"
    with pytest.raises(ConfigError, match="--output is missing"):
        nasbench_x11.import_official("x", "")
