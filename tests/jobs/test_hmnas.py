"""HM-NAS as a job: results, resume, evaluation, control, other classes, bad input."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import hmnas_run
import jax
import numpy as np
import patience
import pytest
import report_page
import shared
from PIL import Image

from nasjax.core import checkpoint, errors, formulation, result, workdir
from nasjax.jobs import defaults
from nasjax.jobs.hmnas import modes, train
from nasjax.supernet import saved_model, spec
from nasjax.training import loop

SCRIPT = """
import json, sys
from nasjax.jobs.hmnas import modes
modes.run(json.loads(sys.argv[1]), sys.argv[2], "train")
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("hmnas") / "run"
    return folder, modes.run(hmnas_run.config(), str(folder), "train")


def rows(folder):
    with open(folder / "metrics.jsonl", encoding="utf-8") as file:
        return [
            {k: v for k, v in json.loads(line).items() if k != "time"} for line in file
        ]


def start(folder, config):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(config), str(folder)],
        cwd=shared.ROOT,
        env=os.environ | {"PYTHONPATH": str(shared.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_rows(process, folder, count):
    """Waits until the run has logged `count` rows."""
    file = folder / "metrics.jsonl"
    patience.until(
        lambda: file.exists() and file.read_text().count("\n") >= count, process
    )


@pytest.mark.parametrize("damage", ["torn", "lost"])
def test_a_finished_run_whose_log_is_damaged_is_read_back(
    damage, finished, tmp_path, caplog
):
    folder, outcome = finished
    rows = (folder / "metrics.jsonl").read_bytes()
    if damage == "torn":
        (tmp_path / "metrics.jsonl").write_bytes(rows[:-9])
    train.draw(tmp_path, outcome, recalibrated=False)
    drawn = (tmp_path / "figures" / "curves.svg").exists()
    assert drawn == (damage == "torn")
    assert ("metrics.jsonl was lost" in caplog.text) == (damage == "lost")


def test_result_has_the_tables_that_the_job_reproduces(finished):
    folder, outcome = finished
    stored = result.read(folder / "result.json")
    assert stored == result.to_json(outcome)
    assert set(stored["stages"]) == {"supernet", "masked", "finetuned"}
    for row in stored["stages"].values():
        assert 0 <= row["test_accuracy"] <= 1
    params = stored["params"]
    assert params["effective"] <= params["structural"] <= params["dense"]
    assert stored["stages"]["masked"]["params"] == params["effective"]
    assert stored["stages"]["supernet"]["params"] == params["dense"]
    assert stored["macs"]["effective"] < stored["macs"]["dense"]
    assert [r["settings"]["stage"] for r in stored["tables"]["2.3"]] == [
        "supernet",
        "masked",
        "finetuned",
    ]
    assert stored["genotype"]["format"] == "nasjax.genotype/1"
    assert set(stored["edge_importance"]) == {"normal", "reduce"}
    filled = defaults.fill("launch/hmnas.py", hmnas_run.config())
    assert stored["config"] == filled
    for name in ("cell_normal.svg", "cell_reduce.png", "curves.svg"):
        assert (folder / "figures" / name).stat().st_size > 1000


def test_fine_tuning_keeps_masked_weights_bit_zero(finished):
    folder, _ = finished
    saved = saved_model.load(folder / "model.safetensors")
    flat = jax.tree_util.tree_flatten_with_path(saved.params)[0]
    named = {jax.tree_util.keystr(p, simple=True, separator="/"): w for p, w in flat}
    masked_entries = 0
    for path, mask in saved.masks.weights.items():
        entries = named[path][mask == 0]
        masked_entries += entries.size
        assert not entries.view(np.uint32).any(), path
        assert named[path][mask == 1].all(), path
    assert masked_entries > 100


def test_a_second_run_of_the_same_workdir_returns_the_same_result(finished):
    folder, outcome = finished
    again = modes.run(hmnas_run.config(), str(folder), "train")
    assert hmnas_run.without_times(result.to_json(again)) == hmnas_run.without_times(
        result.to_json(outcome)
    )


def test_evaluation_of_the_saved_model_is_bit_equal(finished):
    folder, outcome = finished
    evaluation = modes.run(hmnas_run.config(), str(folder), "evaluate")
    assert evaluation["equal_to_training"]
    for name in ("test_accuracy", "test_loss"):
        assert evaluation[name] == outcome["stages"]["finetuned"][name]
    slim = evaluation["slim"]
    np.testing.assert_allclose(slim["test_loss"], evaluation["test_loss"], rtol=1e-4)
    assert slim["params"] < evaluation["params"]["dense"]


def test_control_has_the_same_sparsity_and_other_masks(finished):
    folder, outcome = finished
    control = modes.run(hmnas_run.config(), str(folder), "control")
    again = modes.run(hmnas_run.config(), str(folder), "control")  # resumes
    control = result.to_json(control)
    assert hmnas_run.without_times(result.to_json(again)) == (
        hmnas_run.without_times(control)
    )
    stored = result.read(folder / "control.json")
    assert hmnas_run.without_times(stored) == hmnas_run.without_times(control)
    assert control["masked"] != {
        k: outcome["stages"]["masked"][k] for k in ("test_accuracy", "test_loss")
    }
    assert control["params"]["dense"] == outcome["params"]["dense"]


def test_control_names_a_result_that_is_damaged(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder, tmp_path / "run")
    for content in ("{}", '{"stages": {"masked": 3}}', '{"sta'):
        (tmp_path / "run" / "result.json").write_text(content)
        with pytest.raises(errors.DataError, match="result.json: .*again"):
            modes.run(hmnas_run.config(), str(tmp_path / "run"), "control")
        workdir.release(tmp_path / "run")


@pytest.mark.slow
def test_killed_at_any_moment_the_run_ends_with_identical_results(finished, tmp_path):
    folder, outcome = finished
    kills = (1, 4, 6)  # in supernet training, in masking, in fine-tuning
    for count in kills:
        with start(tmp_path / "run", hmnas_run.config()) as process:
            wait_for_rows(process, tmp_path / "run", count)
            process.send_signal(signal.SIGKILL)
    with start(tmp_path / "run", hmnas_run.config()) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output
    resumed = result.read(tmp_path / "run" / "result.json")
    expected = result.to_json(outcome)
    assert hmnas_run.without_times(resumed) == hmnas_run.without_times(expected)
    assert rows(tmp_path / "run") == rows(folder)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()


def test_sigterm_saves_inside_an_epoch_and_the_run_continues(
    finished, tmp_path, monkeypatch
):
    folder, outcome = finished
    original = loop.Stage.__init__
    seen = []

    def counting_init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        step = self.step

        def interrupted(state, index):
            seen.append(index)
            if len(seen) == 6:  # not the last step of an epoch
                os.kill(os.getpid(), signal.SIGTERM)
            return step(state, index)

        object.__setattr__(self, "step", interrupted)

    monkeypatch.setattr(loop.Stage, "__init__", counting_init)
    run = str(tmp_path / "run")
    with pytest.raises(loop.Stopped) as stopped:
        modes.run(hmnas_run.config(), run, "train")
    assert stopped.value.code == 128 + signal.SIGTERM
    steps_per_epoch = 4
    saved = checkpoint.Checkpoints(pathlib.Path(run) / "checkpoints" / "supernet")
    assert saved.latest() % steps_per_epoch
    monkeypatch.undo()
    continued = modes.run(hmnas_run.config(), run, "train")
    assert hmnas_run.without_times(result.to_json(continued)) == (
        hmnas_run.without_times(result.to_json(outcome))
    )
    assert rows(pathlib.Path(run)) == rows(folder)


def test_fine_tuning_on_more_classes_gets_a_new_dense_classifier(tmp_path):
    config = hmnas_run.config(
        data={"num_classes": 3},
        training={"epochs": 1, "warmup_epochs": 0},
        masking={"epochs": 1},
        finetuning={"epochs": 1, "num_classes": 7, "affine": True},
    )
    outcome = modes.run(config, str(tmp_path / "run"), "train")
    saved = saved_model.load(tmp_path / "run" / "model.safetensors")
    assert saved.net.num_classes == 7
    assert saved.params["classifier"]["kernel"].shape[1] == 7
    assert "classifier/kernel" not in saved.masks.weights
    assert outcome["params"]["dense"] > outcome["stages"]["supernet"]["params"]
    evaluation = modes.run(config, str(tmp_path / "run"), "evaluate")
    assert evaluation["equal_to_training"]


@pytest.mark.parametrize("order", ["exact", "finite_differences"])
def test_second_order_runs_and_by_epoch_interleaving_too(order, tmp_path):
    config = hmnas_run.config(
        training={"epochs": 2, "order": order, "interleave": "epoch"},
        masking={"epochs": 1},
        finetuning={"epochs": 1},
    )
    modes.run(config, str(tmp_path / "run"), "train")
    supernet = [r for r in rows(tmp_path / "run") if r["stage"] == "supernet"]
    assert supernet[0]["arch_updates"] == 0
    assert supernet[-1]["arch_updates"] > 0


def test_a_loss_that_diverges_names_the_remedy_and_keeps_the_workdir(tmp_path):
    config = hmnas_run.config(training={"learning_rate": 1e30, "clip": 0.0})
    with pytest.raises(errors.DivergedError, match="training.learning_rate"):
        modes.run(config, str(tmp_path / "run"), "train")
    assert (tmp_path / "run" / "config.json").exists()


def test_the_whole_job_in_the_accelerators_formulation(tmp_path):
    config = hmnas_run.config(
        training={"epochs": 1, "warmup_epochs": 0},
        masking={"epochs": 1},
        finetuning={"epochs": 1},
    )
    with formulation.use(formulation.LAX):  # fuses steps and donates their states
        modes.run(config, str(tmp_path / "run"), "train")
        assert modes.run(config, str(tmp_path / "run"), "evaluate")["equal_to_training"]
        modes.run(config, str(tmp_path / "run"), "control")


def test_evaluation_under_another_configuration_is_refused(finished):
    folder, _ = finished
    with pytest.raises(errors.WorkdirError, match="batch_size"):
        modes.run(hmnas_run.config(batch_size=8), str(folder), "evaluate")


def test_a_workdir_of_another_configuration_is_left_alone(finished):
    folder, _ = finished
    before = (folder / "result.json").read_bytes()
    with pytest.raises(errors.WorkdirError, match="batch_size"):
        modes.run(hmnas_run.config(batch_size=8), str(folder), "train")
    assert (folder / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"epohcs": 1}}, "epochs"),
        ({"training": {"order": "second"}}, "training.order"),
        ({"training": {"train_fraction": 1.5}}, "train_fraction"),
        ({"supernet": {"reductions": [0, 1, 1]}}, "reductions"),
        ({"supernet": {"operations": ["sep_conv_4x4"]}}, "sep_conv_"),
        ({"data": {"image_size": 6}, "supernet": {"stem_stride": 2}}, "survive"),
        ({"data": {"name": "digit"}}, "digits"),
        ({"data": {"name": "cifar10", "dir": ""}}, "config.data.dir"),
        ({"masking": {"mode": "add"}}, "multiply"),
        ({"masking": {"threshold": 0.02}}, "masking.threshold"),
        ({"masking": {"recalibration_batches": -1}}, "recalibration_batches"),
        ({"training": {"warmup_epochs": 3}}, "warmup_epochs"),
        ({"training": {"learning_rate": -1.0}}, "training.learning_rate"),
        ({"training": {"train_fraction": 0.9}}, "train_fraction"),
        ({"supernet": {"operations": ["none"]}}, "supernet.operations"),
        ({"supernet": {"operations": ["skip_connect"] * 2}}, "twice"),
        ({"supernet": {"stem_stride": 4}}, "stem_stride"),
        ({"seed": -1}, "seed"),
        (
            {"data": {"name": "digits"}, "finetuning": {"num_classes": 7}},
            "finetuning.num_classes",
        ),
        ({"batch_size": 512}, "batch"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_key(sections, message, tmp_path):
    config = hmnas_run.config(**sections)
    if config["data"]["name"] != "synthetic":
        config["data"] = sections["data"]
    with pytest.raises(errors.NasjaxError, match=message) as error:
        modes.run(config, str(tmp_path / "run"), "train")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_evaluation_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(errors.WorkdirError, match="train first"):
        modes.run(hmnas_run.config(), str(tmp_path / "none"), "evaluate")


def test_nothing_can_be_pruned_is_said(tmp_path, caplog):
    config = hmnas_run.config(
        training={"epochs": 1, "warmup_epochs": 0},
        masking={"epochs": 1, "weight_travel": 1e-3},
        finetuning={"epochs": 1},
    )
    modes.run(config, str(tmp_path / "run"), "train")
    assert "masking.weight_travel" in caplog.text


def test_model_file_of_another_format_is_refused(tmp_path):
    from nasjax.core import arrays

    arrays.save(
        tmp_path / "x.safetensors", {"a": np.zeros(2)}, metadata={"format": "?"}
    )
    with pytest.raises(errors.DataError, match="not a saved HM-NAS network"):
        saved_model.load(tmp_path / "x.safetensors")


def test_saved_description_is_the_same_network(finished):
    folder, _ = finished
    saved = saved_model.load(folder / "model.safetensors")
    assert isinstance(saved.net, spec.SupernetSpec)
    assert saved.net.operations == tuple(hmnas_run.CONFIG["supernet"]["operations"])
    hash(saved.net)


def test_imagenet_folders_from_two_classes_to_three(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 4)):
        for c in range(3):
            folder = tmp_path / "images" / part / f"n0000000{c}"
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 80, (12, 16, 3)) + 80 * c
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.JPEG")
    data = {"name": "imagenet", "dir": str(tmp_path / "images"), "num_classes": 2}
    config = hmnas_run.config(
        batch_size=8,
        supernet={"stem": "imagenet4", "reductions": []},
        training={"epochs": 1, "warmup_epochs": 0},
        masking={"epochs": 1},
        finetuning={"epochs": 1, "num_classes": 3, "schedule": "step"},
    ) | {"data": data | {"image_size": 16, "seed": 0, "num_workers": 0}}
    outcome = modes.run(config, str(tmp_path / "run"), "train")
    saved = saved_model.load(tmp_path / "run" / "model.safetensors")
    assert saved.net.num_classes == 3
    assert 0 < outcome["params"]["effective"] <= outcome["params"]["dense"]


def test_the_report_has_the_stages_curves_and_cells(finished, tmp_path):
    folder, outcome = finished
    found = report_page.of(folder, tmp_path, tmp_path / "figures")
    cells = found.text("td")
    for row in outcome["stages"].values():
        assert f"{100 * (1 - row['test_accuracy']):.2f}" in cells
        assert f"{row['params']:,}" in cells
    # One curve, and a drawing for each cell.
    assert found.count("figure") == 1 + len(outcome["genotype"]["cells"])
    files = sorted(path.name for path in (tmp_path / "figures" / "run").glob("*.csv"))
    assert files == ["cell_normal.csv", "cell_reduce.csv", "curves.csv"]
