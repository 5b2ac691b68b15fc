"""`launch/arch2vec.py` from the command line, as a user calls it."""

import json

import pytest

SMALL = (
    "--config.variants=('improved',)",
    "--config.num_archs=400",
    "--config.settings.improved.width=16",
    "--config.analysis.num_walks=3",
    "--config.analysis.walk_length=4",
    "--config.analysis.random_walk=20",
    "--config.analysis.num_train=40",
    "--config.analysis.num_points=100",
)


@pytest.fixture
def run(script):
    return lambda *arguments: script("launch/arch2vec.py", *arguments)


@pytest.mark.slow
def test_pre_training_and_what_it_is_good_for(run, tmp_path):
    process = run(
        "--config=configs/arch2vec/nasbench201.py:smoke",
        f"--workdir={tmp_path}/run",
        *SMALL,
    )
    assert process.returncode == 0, process.stderr
    assert "valid (strict)" in process.stdout
    with open(tmp_path / "run" / "result.json", encoding="utf-8") as file:
        outcome = json.load(file)
    assert set(outcome["predictive"]) == {"improved", "supervised"}
    for row in outcome["predictive"].values():
        assert 0 < row["rmse"]["mean"] < 0.3
    assert outcome["neighbours"]["improved"]["mean"] >= 1
    assert outcome["distances"]["improved"]["pairs"] == sum(range(12, 20))
    for name in ("predicted", "map", "neighbours", "distances"):
        assert (tmp_path / "run" / "figures" / f"{name}.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config=configs/arch2vec/nasbench201.py:smok",), "smoke"),
        (
            (
                "--config=configs/arch2vec/nasbench201.py",
                "--config.variants=('thesys',)",
            ),
            "thesis",
        ),
        (("--config=configs/arch2vec/darts.py", "--config.epoch=3"), "epochs"),
        (
            ("--config=configs/arch2vec/darts.py", "--mode=search"),
            "search",
        ),
    ],
)
def test_mistakes_are_one_line(run, arguments, message, tmp_path):
    process = run(*arguments, f"--workdir={tmp_path}/run")
    assert process.returncode == 1
    assert process.stderr.startswith("error:") and message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
