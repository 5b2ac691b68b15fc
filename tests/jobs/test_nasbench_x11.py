"""Surrogates from the command's configuration to its files, on made-up curves."""

import itertools
import json
import pathlib
import re
import shutil

import filled
import jax
import numpy as np
import official_surrogates as official
import pytest
import report_page
import shared

from nasjax import nasbench
from nasjax.core import arrays
from nasjax.core.errors import ConfigError, DataError, WorkdirError
from nasjax.experiments import forecasts
from nasjax.jobs.nasbench_x11 import build as pieces
from nasjax.jobs.nasbench_x11 import modes, surrogates
from nasjax.jobs.nasbench_x11.settings import Build
from nasjax.nasbench import digits201
from nasjax.nasbench.surrogate import storage, study
from nasjax.report import surrogate_curves

KEYS = {"avg_r2", "final_r2", "avg_kt", "final_kt", "avg_kl", "final_kl", "fit_seconds"}


def load_config(name, preset):
    import importlib.util

    path = shared.ROOT / "configs" / "nasbench_x11" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"config_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return filled.fill(module.get_config(preset))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The smoke preset on the embedded benchmark, with 10 trees."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config("digits211", "smoke")
    config["data"]["num_train"] = 200
    config["surrogate"]["num_rounds"] = 10
    config["surrogates"] = ["svd_lgb_gkde", "svd_lgb_std"]
    config["keep_all_metrics"] = ["svd_lgb_std"]
    outcome = modes.run(config, str(folder), "fit")
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


def test_baselines_stand_beside_every_fit(run, capsys):
    config, folder, outcome = run
    for scores in (outcome, modes.run(config, str(folder), "evaluate")):
        assert set(scores["baselines"]) == {"mean curve", "ridge"}
        assert scores["baselines"]["mean curve"]["final_kt"] == 0
        assert scores["baselines"]["ridge"]["final_r2"] > 0.3
    assert re.search(r"^ridge +\d", capsys.readouterr().out, re.MULTILINE)
    # The thesis' fixed rounds are those of its tables.
    full = load_config("digits211", "full")["surrogate"]
    assert (full["num_rounds"], full["early_stopping"]) == (0, 0)
    assert outcome["surrogates"]["svd_lgb_std"]["rounds"] == [[10] * 6]


def test_every_panel_has_noise_of_its_own(run, monkeypatch):
    config, folder, _ = run
    drawn = []
    monkeypatch.setattr(
        surrogate_curves,
        "draw_predictions",
        lambda panels, *_: drawn.extend(panels) or [""],
    )
    config = {**config, "sample": {"surrogate": "", "num_archs": 2, "num_samples": 3}}
    modes.run(config, str(folder), "sample")
    noise = np.stack([panel.noisy - panel.predicted for panel in drawn])
    inside = np.stack([(p.noisy > 0) & (p.noisy < 1) for p in drawn]).all(axis=0)
    for i, j in itertools.combinations(range(len(noise)), 2):
        assert np.abs(noise[i] - noise[j])[inside].max() > 1e-3
    assert len(noise) == 9
    np.testing.assert_array_equal(drawn[0].epochs, np.arange(1, 31))


def test_a_surrogate_keeps_the_epochs_of_the_file(tmp_path):
    random = np.random.default_rng(0)
    rows = ["width,acc_2,acc_30,acc_4"]
    for width in random.integers(1, 30, 80):
        level = 0.3 + 0.02 * width
        rows.append(f"{width},{0.5 * level},{level},{0.8 * level}")
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    config = load_config("curves", "csv")
    config["data"] |= {"name": str(tmp_path / "mine.csv"), "first_epochs": 0}
    config |= {"folds": 0, "surrogates": ["svd_lgb_none"]}
    config["surrogate"] |= {"num_rounds": 50, "rank": 1}
    outcome = modes.run(config, str(tmp_path / "run"), "fit")
    path = tmp_path / "run" / "surrogates" / "svd_lgb_none.safetensors"
    surrogate = nasbench.load(path)
    assert surrogate.epochs == (2, 4, 30)
    curve = surrogate.mean_curve(np.array([20.0]))
    assert float(surrogate.mean(np.array([20.0]), 4).valid) == pytest.approx(
        float(curve[1])
    )
    with pytest.raises(DataError, match="no epoch 3; there are 2, 4, 30"):
        surrogate.mean(np.array([20.0]), 3)
    assert outcome["features"] == ["width"]


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
    again = modes.run(config, str(folder), "evaluate")
    for name, scores in again["surrogates"].items():
        for key in ("avg_r2", "final_kt"):
            assert scores[key] == pytest.approx(outcome["surrogates"][name][key])


def test_sample_writes_curves(run):
    config, folder, _ = run
    config = {**config, "sample": {"surrogate": "", "num_archs": 2, "num_samples": 3}}
    modes.run(config, str(folder), "sample")
    curves = arrays.load(folder / "samples.safetensors")["valid_accuracy"]
    assert curves.shape == (2, 3, 30) and curves.min() >= 0 and curves.max() <= 1
    assert curves.std(axis=1).max() > 0
    assert (folder / "figures" / "figure_5_7.svg").exists()
    config["sample"]["surrogate"] = "svd_lgb_gkd"
    with pytest.raises(ConfigError, match="did you mean 'svd_lgb_gkde'"):
        modes.run(config, str(folder), "sample")


def test_a_run_continues_with_the_next_surrogate(run, monkeypatch):
    config, folder, outcome = run
    monkeypatch.setattr(
        modes.surrogates.fitting, "fit_mean", lambda *_: pytest.fail("refitted")
    )
    again = modes.run(config, str(folder), "fit")
    assert again["surrogates"] == outcome["surrogates"]
    with pytest.raises(WorkdirError):
        modes.run({**config, "seed": 1}, str(folder), "fit")


@pytest.mark.parametrize("content", [b"", b'{"avg_r2": ', b"[]", b"{}", b"\xff\xfe"])
def test_damaged_scores_are_judged_again(run, content, tmp_path, caplog):
    config, folder, outcome = run
    shutil.copytree(folder, tmp_path / "run")
    path = tmp_path / "run" / "surrogates" / "svd_lgb_std.json"
    path.write_bytes(content)
    assert surrogates._read_report(path) is None
    assert "svd_lgb_std.json" in caplog.text and "fitted again" in caplog.text
    if content == b"{}":
        again = modes.run(config, str(tmp_path / "run"), "fit")
        for name, scores in again["surrogates"].items():
            for key in KEYS & set(scores) - {"fit_seconds"}:
                assert scores[key] == outcome["surrogates"][name][key]


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
    outcome = modes.run(config, str(tmp_path / "run"), "fit")
    assert config["surrogate"]["early_stopping"] == 50  # of one's own curves
    table = outcome["cross_validation"]["svd_lgb_gkde"]
    cheap = outcome["baselines"]
    assert set(cheap) == {"mean curve", "ridge"} and set(cheap["ridge"]) == set(table)
    assert cheap["ridge"]["all features"]["final_r2"]["mean"] > 0.9  # it is linear
    assert cheap["mean curve"]["no features"]["final_r2"]["mean"] <= 0
    assert outcome["features"][0] == "width" and outcome["epochs"] == list(range(1, 9))
    assert set(table) == {"all features", "architecture only", "measured only"}
    scores = {name: row["final_r2"]["mean"] for name, row in table.items()}
    assert scores["all features"] > scores["architecture only"] > 0.3
    assert 0 <= table["all features"]["final_kt"]["p_value"] <= 1
    shown = capsys.readouterr().out
    for words in ("above measured only", "mean curve      no features", "ridge "):
        assert words in shown
    assert "mine.csv: curve: 8 epochs, 1 to 8; from 'acc_1' to 'acc_8'" in shown
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["notes"] == outcome["notes"] and written["baselines"]


def test_mistakes_are_named(tmp_path):
    config = load_config("digits211", "smoke")
    cases = {
        "a surrogate is COMPRESSION_REGRESSOR_NOISE": {"surrogates": ["svd"]},
        "did you mean 'lgb'": {"surrogates": ["svd_lgbm_std"]},
        "keep at least 10": {"data": {**config["data"], "num_train": 9000}},
        "a noise of gkde, std": {"surrogates": ["svd_lgb,svd_xgb"]},
        "config.surrogates is empty": {"surrogates": []},
        "did you mean 'svd_lgb_std'": {"keep_all_metrics": ["svd_lgb_sd"]},
        "no seed number 99: .* pass --config.data.benchmark_seed=0 to 4": {
            "data": {**config["data"], "benchmark_seed": 99}
        },
        "data.benchmark_seed = -1 must be in 0": {
            "data": {**config["data"], "benchmark_seed": -1}
        },
        "did you mean 'valid_accuracy'": {
            "data": {**config["data"], "metric": "valid_acuracy"}
        },
    }
    for number, (message, change) in enumerate(cases.items()):
        with pytest.raises((ConfigError, DataError), match=message):
            modes.run({**config, **change}, str(tmp_path / str(number)), "fit")
    with pytest.raises(DataError, match="run --mode=fit first"):
        modes.run(config, str(tmp_path / "none"), "evaluate")
    with pytest.raises(ConfigError, match="needs the keys 'build'"):
        modes.run(config, str(tmp_path / "b"), "build")


def test_names_in_one_text_are_several():
    """`--config.surrogates=svd_lgb_std,svd_xgb_std` reaches the job as one text."""
    config = load_config("digits211", "smoke")
    config["surrogates"] = ["svd_lgb_std, svd_xgb_std"]
    found = study.surrogates(config["surrogates"], **config["surrogate"])
    assert [settings.name for settings in found] == ["svd_lgb_std", "svd_xgb_std"]


def test_settings_of_samples_are_checked(run):
    config, folder, _ = run
    for key, value in (("num_archs", 0), ("num_archs", 10**6), ("num_samples", 0)):
        sample = {"surrogate": "", "num_archs": 2, "num_samples": 3, key: value}
        with pytest.raises(ConfigError, match=f"sample.{key} (=|is) {value}"):
            modes.run({**config, "sample": sample}, str(folder), "sample")


def test_build_reports_what_was_built(tmp_path, monkeypatch, capsys):
    calls = []

    def build(folder, settings):
        calls.append((folder, settings))
        folder.mkdir(exist_ok=True)
        output = folder / digits201.NAME
        output.write_bytes(digits201.FILE.read_bytes())
        return output

    monkeypatch.setattr(pieces, "build", build)
    config = {"build": {"seeds": [0], "num_processes": 3}}
    modes.run(config, str(tmp_path), "build")
    asked = Build("digits201", (0,), 3)
    assert calls == [(pathlib.Path(tmp_path), asked)]
    assert "seeds 0" in capsys.readouterr().out
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["architectures"] == 5260
    assert 0.9 < written["reliability"]["all"] < 1


def test_import_of_an_official_checkpoint(tmp_path, capsys):
    content = official.joblib_bytes(
        official.svd_surrogate(num_features=188, num_epochs=50)
    )
    official.write_folder(
        tmp_path / "nbnlp11", official.ensemble_files([content], "svd_lgb")
    )
    output = tmp_path / "ours.safetensors"
    modes.import_official(str(tmp_path / "nbnlp11"), str(output))
    assert "valid_loss of 50 epochs, 1 distinct members" in capsys.readouterr().out
    assert storage.load(output).space == "nasbench_nlp"
    with pytest.raises(ConfigError, match="--output is missing"):
        modes.import_official("x", "")


def test_forecasts_are_those_of_the_fitted_surrogate(run):
    config, folder, _ = run
    tree = arrays.load(folder / "forecasts.safetensors")
    facts = arrays.load_metadata(folder / "forecasts.safetensors")
    assert facts == {"surrogate": "svd_lgb_gkde", "metric": "valid_accuracy"}
    made = surrogates.experiment.read(
        surrogates.config_door.read(surrogates.Fits, config)
    )
    fitted = storage.load(folder / "surrogates" / "svd_lgb_gkde.safetensors")
    curve_model = fitted.require("valid_accuracy")
    np.testing.assert_array_equal(tree["rows"], made.test)
    true = made.data.curves["valid_accuracy"][made.test]
    np.testing.assert_array_equal(tree["true"], true)
    # By hand: the last architecture with bands, and the same draws sorted.
    place = tree["drawn"][-1]
    features = made.data.features[tree["rows"][place]]
    mean = curve_model.mean(features)
    np.testing.assert_allclose(tree["predicted"][place], mean, atol=1e-6)
    key = jax.random.split(made.key, len(tree["drawn"]))[-1]
    keys = jax.random.split(key, forecasts.NUM_DRAWS)
    draws = np.sort(jax.vmap(curve_model.sample, (0, None))(keys, features), axis=0)
    for i, level in enumerate(forecasts.LEVELS):
        inside = (tree["low"][-1, i] <= draws) & (draws <= tree["high"][-1, i])
        assert np.abs(inside.mean(axis=0) - level).max() <= 0.01
    found = forecasts.Forecasts(**tree)
    true = true[tree["drawn"]]
    inside = (tree["low"][:, 0] <= true) & (true <= tree["high"][:, 0])
    assert found.coverage(0.95) == inside.mean()
    assert found.coverage(0.5) < found.coverage(0.8) < found.coverage(0.95)


def test_the_report_has_scores_scatter_and_fans(run, tmp_path):
    _, folder, outcome = run
    found = report_page.of(folder, tmp_path, tmp_path / "figures")
    cells = found.text("td")
    for score in (*outcome["surrogates"].values(), *outcome["baselines"].values()):
        assert f"{round(score['final_kt'], 3) + 0.0:.3f}" in cells
    assert found.count("figure") == 2
    (file,) = (tmp_path / "figures").glob("*/surrogate_scatter.csv")
    lines = file.read_text("utf-8").splitlines()[1:]
    tree = arrays.load(folder / "forecasts.safetensors")
    predicted = [float(line.split(",")[2]) for line in lines]
    np.testing.assert_array_equal(predicted, 100 * tree["predicted"][:, -1])
