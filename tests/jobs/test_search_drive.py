"""Searches with real trainings: results, resume, lost workers, bad input."""

import copy
import dataclasses
import json
import os
import pathlib
import shutil
import signal
from typing import Any

import jax
import numpy as np
import pytest
import report_page

from nasjax import search as searches
from nasjax import spaces
from nasjax.core import arrays, errors, result
from nasjax.core.types import Evaluation
from nasjax.jobs.search import executors, trials
from nasjax.search.loops import scan
from nasjax.training import architecture, protocol

QUERIES = 4
CONFIG = {
    "seed": 0,
    "num_trials": 1,
    "executor": "in_process",
    "workers": 2,
    "address": "",
    "ask_ahead": 2,
    "algorithms": ["regularized_evolution", "random_search"],
    "controls": ["random_search"],
    "budget": {"queries": QUERIES, "seconds": 0.0},
    "settings": {"regularized_evolution": {"population_size": 2, "sample_size": 2}},
    "protocol": {
        "space": "nasbench201",
        "train_fraction": 0.75,
        "data": {"name": "synthetic", "num_train": 96, "num_test": 24, "channels": 1},
        "network": {"channels": 4, "num_stages": 1, "num_cells": 1, "patch": 2},
        "training": {
            "epochs": 2,
            "batch_size": 24,
            "learning_rate": 0.1,
            "clip": 0.0,
            "auxiliary_weight": 0.0,
            "drop_path": 0.0,
            "cutout": False,
        },
    },
}
NAMES = CONFIG["algorithms"]


def config(**values):
    return copy.deepcopy(CONFIG) | values


@dataclasses.dataclass(frozen=True)
class KilledOnce:
    """A trainer whose first process dies after one epoch of a training."""

    trainer: Any
    mark: str

    def __call__(self, key, arch, epoch, trained, folder):
        if not os.path.exists(self.mark):
            pathlib.Path(self.mark).touch()
            self.trainer(key, arch, 1, 0, folder)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.trainer(key, arch, epoch, trained, folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One undisturbed run in this process: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("drive") / "run"
    return folder, trials.run(config(), str(folder), "drive")


def found(folder):
    """All that does not depend on time."""
    tree = arrays.load(folder / "trials.safetensors")
    return {
        name: {key: values for key, values in node.items() if key != "seconds"}
        for name, node in tree.items()
    }


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_the_history_is_that_of_trainings_with_the_keys_of_the_loop(finished, tmp_path):
    folder, _ = finished
    tree = arrays.load(folder / "trials.safetensors")["random_search"]
    assert tree["archs"].shape == (1, QUERIES, 6) and tree["mask"].all()
    assert (np.diff(tree["seconds"][0]) > 0).all()
    key = jax.random.split(jax.random.key(0), 1)[0]
    key = jax.random.fold_in(scan.split_keys(key).trials, tree["trial"][0, 2])
    read = protocol.read(CONFIG["protocol"])
    curves = architecture.train_architecture(
        key, tree["archs"][0, 2].astype(np.int32), read, tmp_path / "alone"
    )
    assert curves.metrics["valid_accuracy"][-1] == tree["valid"][0, 2]
    assert curves.metrics["test_accuracy"][-1] == tree["test"][0, 2]


def test_the_result_names_the_best_architecture(finished, capsys):
    folder, outcome = finished
    stored = result.read(folder / "result.json")
    assert stored == result.to_json(outcome)
    tree = arrays.load(folder / "trials.safetensors")
    for name in NAMES:
        row, trial = stored["algorithms"][name], tree[name]
        best = int(np.argmax(trial["valid"][0]))
        assert row["best"] == spaces.make("nasbench201").format_arch(
            trial["archs"][0, best].astype(np.int32)
        )
        assert row["final_valid_mean"] == pytest.approx(trial["valid"][0, best])
        assert row["final_test_mean"] == pytest.approx(trial["test"][0, best])
        assert row["regret_mean"] is None and row["queries"] == QUERIES
    assert "random_search" in stored["comparisons"]["regularized_evolution"]
    for name in ("error_queries", "error_seconds"):
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 1000
    with open(folder / "metrics.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert [row["step"] for row in rows] == list(range(1, 2 * QUERIES + 1))
    assert not list(folder.glob("trainings/*/*"))


def test_a_stopped_search_goes_on_and_ends_with_the_same_history(
    finished, tmp_path, monkeypatch
):
    folder, _ = finished
    whole, calls = architecture.Trainer.__call__, []

    def stopping(self, *arguments):
        calls.append(arguments)
        if len(calls) == QUERIES + 2:
            raise searches.Stopped(143)
        return whole(self, *arguments)

    monkeypatch.setattr(architecture.Trainer, "__call__", stopping)
    with pytest.raises(searches.Stopped):
        trials.run(config(), str(tmp_path / "run"), "drive")
    trials.run(config(), str(tmp_path / "run"), "drive")
    same(found(tmp_path / "run"), found(folder))
    assert len(calls) == 2 * QUERIES + 1
    with open(tmp_path / "run" / "metrics.jsonl", encoding="utf-8") as file:
        steps = [json.loads(line)["step"] for line in file]
    assert steps == list(range(1, 2 * QUERIES + 1))
    # Where trainings run does not matter to the folder; all is done here.
    trials.run(config(executor="processes"), str(tmp_path / "run"), "drive")
    same(found(tmp_path / "run"), found(folder))


def rows(folder):
    with open(folder / "metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_a_search_whose_newest_state_is_damaged_writes_no_row_twice(finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder, tmp_path / "run")
    for name in NAMES:
        newest = tmp_path / "run" / "searches" / name / "0" / str(QUERIES)
        for file in filter(pathlib.Path.is_file, newest.rglob("*")):
            file.write_bytes(file.read_bytes()[:-1])
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"stage": "random_search", "st')
    trials.run(config(), str(tmp_path / "run"), "drive")
    same(found(tmp_path / "run"), found(folder))
    wanted = {(name, told) for name in NAMES for told in range(1, QUERIES + 1)}
    written = rows(tmp_path / "run")
    assert len(written) == len(wanted)
    assert {(row["stage"], row["told"]) for row in written} == wanted
    assert len({row["step"] for row in written}) == len(wanted)


def test_a_search_is_continued_with_more_queries(finished, tmp_path):
    folder, outcome = finished
    shutil.copytree(folder, tmp_path / "run")
    more = config(budget={"queries": QUERIES + 1, "seconds": 0.0})
    longer = trials.run(more, str(tmp_path / "run"), "drive")
    assert longer["seconds"] > outcome["seconds"]
    for name, tree in found(tmp_path / "run").items():
        assert tree["mask"].shape == (1, QUERIES + 1) and tree["mask"].all()
        same({key: x[:, :QUERIES] for key, x in tree.items()}, found(folder)[name])
    written = rows(tmp_path / "run")
    assert [row["step"] for row in written] == list(range(1, 2 * QUERIES + 3))
    assert [row["told"] for row in written[-2:]] == [QUERIES + 1] * 2
    with pytest.raises(errors.WorkdirError, match="4 steps, more than num_steps = 3"):
        trials.run(config(budget={"queries": 3, "seconds": 0.0}), str(folder), "drive")


def test_a_capacity_that_is_the_budget_cannot_be_raised(tmp_path):
    def bananas(queries, **settings):
        own = {"num_init": 2, "batch_size": 1, "num_candidates": 4}
        return config(
            algorithms=["bananas"],
            settings={"bananas": own | settings},
            budget={"queries": queries, "seconds": 0.0},
        )

    trials.run(bananas(2), str(tmp_path / "open"), "drive")
    with pytest.raises(errors.WorkdirError, match="set settings.bananas.capacity"):
        trials.run(bananas(3), str(tmp_path / "open"), "drive")
    trials.run(bananas(2, capacity=8), str(tmp_path / "set"), "drive")
    trials.run(bananas(3, capacity=8), str(tmp_path / "set"), "drive")
    assert found(tmp_path / "set")["bananas"]["mask"].sum() == 3


@pytest.mark.slow
def test_a_worker_of_two_is_killed_and_the_history_is_the_same(
    finished, tmp_path, monkeypatch
):
    pytest.importorskip("distributed")
    folder, _ = finished
    mark = str(tmp_path / "killed")
    monkeypatch.setattr(
        executors, "CachedTrainer", lambda trainer: KilledOnce(trainer, mark)
    )
    # The first algorithm is enough: the search of the second has a key of its own.
    settings = config(executor="dask", algorithms=NAMES[:1])
    trials.run(settings, str(tmp_path / "run"), "drive")
    assert os.path.exists(mark)
    same(found(tmp_path / "run")[NAMES[0]], found(folder)[NAMES[0]])


def test_trainings_that_diverge_have_no_score(tmp_path, monkeypatch):
    nothing = Evaluation(np.nan, np.nan, 1.0, ())
    monkeypatch.setattr(architecture.Trainer, "__call__", lambda *_: nothing)
    settings = config(algorithms=["random_search"])
    outcome = trials.run(settings, str(tmp_path / "run"), "drive")
    row = outcome["algorithms"]["random_search"]
    assert row["trials_without_score"] == 1 and row["final_valid_mean"] is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"executor": "ray"}, "dask, in_process, processes"),
        ({"workers": 0}, "workers = 0"),
        ({"ask_ahead": 0}, "ask_ahead = 0"),
        ({"budget": {"queries": 0, "seconds": 5.0}}, "budget.queries"),
        ({"algorithms": ["latent_contol"]}, "latent_control"),
        ({"protocol": CONFIG["protocol"] | {"space": "darts_"}}, "darts"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_key(values, message, tmp_path):
    with pytest.raises(errors.NasjaxError, match=message) as error:
        trials.run(config(**values), str(tmp_path / "run"), "drive")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_configuration_of_trials_cannot_be_driven(tmp_path):
    settings = config()
    del settings["protocol"]
    with pytest.raises(errors.ConfigError, match="configs/search/digits.py"):
        trials.run(settings, str(tmp_path / "run"), "drive")


def test_the_report_shows_errors_where_no_optimum_is_known(finished, tmp_path):
    folder, outcome = finished
    found = report_page.of(folder, tmp_path, tmp_path / "figures")
    assert "regret" not in found.text("th") and "trained" in found.text("p")
    assert "python launch/search.py --mode=drive" in found.text("code")
    place = tmp_path / "figures" / "run"
    assert {p.name for p in place.glob("*.csv")} == {
        "ecdf.csv",
        "error_queries.csv",
        "error_seconds.csv",
    }
    for row in outcome["algorithms"].values():
        assert row["best"] in found.text("code")
