"""`launch/train_architecture.py` from the command line, as a user calls it."""

import json

import pytest


@pytest.fixture
def run(script):
    return lambda *arguments: script("launch/train_architecture.py", *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "nasbench101", "nasbench_nlp"])
def test_smoke_from_the_command_line(run, name, tmp_path):
    process = run(
        f"--config=configs/train/{name}.py:smoke", f"--workdir={tmp_path}/run"
    )
    assert process.returncode == 0, process.stderr
    assert "architecture" in process.stdout
    with open(tmp_path / "run" / "result.json", encoding="utf-8") as file:
        assert json.load(file)["architectures"]
    assert (tmp_path / "run" / "curves.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits.py", "--config.training.epohcs=1"), "training.epochs"),
        (("digits.py:smok",), "smoke"),
        (("digits.py:smoke", "--config.arch=|none~0|"), "none~0"),
        (("nasbench201.py",), "--config.data.dir=PATH"),
        (("nasbench_nlp.py",), "--config.data.name=FOLDER"),
        (("nasbench111.py",), "--config.searched=FILE"),
    ],
)
def test_bad_input_is_one_line_and_a_status(run, arguments, message, tmp_path):
    file, *rest = arguments
    process = run(f"--config=configs/train/{file}", *rest, f"--workdir={tmp_path}/run")
    assert process.returncode == 1
    assert message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
