"""`launch/search.py` from the command line, as a user calls it."""

import json

import pytest
import search_files


@pytest.fixture
def run(script):
    return lambda *arguments: script("launch/search.py", *arguments)


def stored(folder):
    with open(folder / "result.json", encoding="utf-8") as file:
        return json.load(file)


@pytest.mark.slow
def test_all_algorithms_on_the_embedded_benchmark(run, tmp_path):
    process = run(
        "--config=configs/search/digits201.py:small", f"--workdir={tmp_path}/run"
    )
    assert process.returncode == 0, process.stderr
    assert "against: difference to the control at the end of the line" in process.stdout
    outcome = stored(tmp_path / "run")
    assert len(outcome["algorithms"]) == 13
    for row in outcome["algorithms"].values():
        assert 0.5 < row["final_test_mean"] < 1 and row["regret_mean"] >= 0
        # Four trials, with each of five projections where there are several.
        assert row["num_trials"] == 4 * (row["clusters"] or 1) and row["queries"] == 32
    for name in ("trials.safetensors", "figures/regret_queries.svg"):
        assert (tmp_path / "run" / name).exists()


@pytest.mark.slow
def test_a_table_from_a_file(run, tmp_path):
    file = search_files.write(tmp_path / "table.safetensors")
    process = run(
        "--config=configs/search/nasbench201.py:smoke",
        f"--config.benchmark.path={file}",
        "--config.algorithms=('random_search',)",
        "--config.num_trials=3",
        f"--workdir={tmp_path}/run",
    )
    assert process.returncode == 0, process.stderr
    row = stored(tmp_path / "run")["tables"]["3.3"][1]
    # Thirty queries are not the thesis' budget.
    assert row["settings"]["row"] == "RS" and row["thesis"] is None


@pytest.mark.slow
def test_real_trainings_from_the_command_line(run, tmp_path):
    process = run(
        "--config=configs/search/digits.py:smoke",
        "--mode=drive",
        f"--workdir={tmp_path}/run",
    )
    assert process.returncode == 0, process.stderr
    row = stored(tmp_path / "run")["algorithms"]["regularized_evolution"]
    assert row["queries"] == 3 and row["best"] in process.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits201.py", "--config.budget.querys=1"), "budget.queries"),
        (("digits201.py:smok",), "smoke"),
        (("digits201.py", "--config.algorithms=('randm_search',)"), "random_search"),
        (("digits201.py", "--mode=drive"), "is a configuration of launch/search.py;"),
        (("digits.py", "--mode=drive", "--config.executor=ray"), "dask"),
        (("nasbench201.py", "--config.benchmark.path=no.safetensors"), "no such file"),
    ],
)
def test_bad_input_is_one_line_and_a_status(run, arguments, message, tmp_path):
    file, *rest = arguments
    process = run(f"--config=configs/search/{file}", *rest, f"--workdir={tmp_path}/run")
    assert process.returncode == 1
    assert message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
