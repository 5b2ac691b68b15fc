"""`launch/hmnas.py` as a user calls it; the smoke in a clean process."""

import json
import os
import sys

import patience
import pytest
import shared

TINY = (
    "--config.supernet.num_steps=1",
    "--config.supernet.channels=2",
    "--config.supernet.operations=('sep_conv_3x3', 'max_pool_3x3', 'skip_connect')",
    "--config.training.epochs=1",
    "--config.training.warmup_epochs=0",
    "--config.masking.epochs=1",
    "--config.finetuning.epochs=1",
)


def run(*arguments):
    return patience.run(
        [sys.executable, "launch/hmnas.py", *arguments], cwd=shared.ROOT, env=os.environ
    )


@pytest.mark.slow
def test_digits_from_the_command_line_and_evaluated_again(script, tmp_path):
    common = ("--config=configs/digits.py:smoke", f"--workdir={tmp_path}/run", *TINY)
    trained = run(*common)
    assert trained.returncode == 0, trained.stderr
    assert "finetuned" in trained.stdout
    with open(tmp_path / "run" / "result.json", encoding="utf-8") as file:
        stored = json.load(file)
    assert stored["config"]["supernet"]["channels"] == 2
    evaluated = script("launch/hmnas.py", *common, "--mode=evaluate")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "as at the end of training" in evaluated.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--config=configs/digits.py", "--config.training.epohcs=1"),
            "training.epochs",
        ),
        (("--config=configs/digits.py:smok",), "smoke"),
        (("--config=configs/cifar10.py",), "--config.data.dir=PATH"),
    ],
)
def test_bad_input_is_one_line_and_a_status(script, arguments, message, tmp_path):
    process = script("launch/hmnas.py", *arguments, f"--workdir={tmp_path}/run")
    assert process.returncode == 1
    assert message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
