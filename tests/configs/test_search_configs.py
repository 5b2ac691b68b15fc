"""Configurations of searches: every preset can be read, and what the thesis says."""

import importlib.util

import filled
import jax
import numpy as np
import pytest
import search_files
import search_table
import shared

from nasjax import spaces
from nasjax.experiments import search_inputs
from nasjax.jobs import config_door
from nasjax.jobs.search import algorithms, drive, problem, settings

FOLDER = shared.ROOT / "configs" / "search"
NAMES = sorted(file.stem for file in FOLDER.glob("*.py"))
TRIALS = ("digits111", "digits201", "nasbench101", "nasbench201")

SPACES = {"digits111": "nasbench101", "digits201": "nasbench201"}


def load(name):
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"config_search_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name, preset):
    return filled.fill(load(name).get_config(preset))


def presets(names):
    return [(name, preset) for name in names for preset in load(name).PRESETS]


def test_there_is_one_for_each_benchmark_and_for_real_trainings():
    assert NAMES == ["darts", "digits", *TRIALS]


def few(space):
    """Rows of a small table: only names and sizes of settings are at stake."""
    return np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 40)))


@pytest.mark.parametrize(("name", "preset"), presets(TRIALS))
def test_every_algorithm_of_every_preset_can_be_made(name, preset, monkeypatch):
    config = read(name, preset)
    space = spaces.make(SPACES.get(name, name))
    monkeypatch.setattr(search_inputs, "candidates", lambda inputs: few(inputs.space))
    monkeypatch.setattr(algorithms, "proposal_size", lambda *_: 1)
    made = config_door.read(settings.Trials, config)
    inputs = search_inputs.SearchInputs(space, None, made.budget.queries)
    entries = algorithms.entries(made, inputs, search_table.evaluate)
    assert [entry.name for entry in entries] == list(config["algorithms"])
    assert set(config["algorithms"]) <= set(config["settings"])
    assert set(config["settings"]) == set(load(name).ALGORITHMS)
    assert set(config["controls"]) <= set(config["settings"])
    chunked = {entry.name: entry.num_trials for entry in entries if entry.chunk_size}
    short = preset in ("cpu", "epochs200")
    assert chunked == dict.fromkeys(load(name).SLOW if short else (), 100)


@pytest.mark.parametrize("name", TRIALS)
def test_full_has_all_algorithms_and_500_trials(name):
    config = read(name, "full")
    assert set(config["algorithms"]) == set(config["settings"])
    assert (config["num_trials"], config["seed"]) == (500, 0)


def test_the_thesis_searches_nasbench201_after_12_epochs_and_reports_200():
    config = read("nasbench201", "full")
    assert config["benchmark"]["schedule"] == 12
    assert config["report"]["schedule"] == 200
    assert config["budget"] == {"queries": 0, "seconds": 12_000, "epochs": 0}
    reinforce = config["settings"]["latent_reinforce"]
    assert (reinforce["discount"], reinforce["baseline"]) == (0.4, 0.4)
    later = read("nasbench201", "epochs200")
    assert later["benchmark"]["schedule"] == 200
    assert read("nasbench101", "full")["budget"] == {
        "queries": 0,
        "seconds": 1e6,
        "epochs": 0,
    }


def test_the_files_of_nasbench201_name_what_the_table_has(tmp_path):
    file = search_files.write(tmp_path / "table.safetensors")
    for preset in load("nasbench201").PRESETS:
        config = read("nasbench201", preset)
        config["benchmark"]["path"] = str(file)
        made = problem.load(config_door.read(settings.Trials, config))
        assert made.report.epochs == (200,) and made.warnings == ()
        reward = 200 if preset == "epochs200" else 12
        assert made.reward.epochs == (reward,)


@pytest.mark.parametrize("preset", ["full", "smoke"])
def test_real_trainings_can_be_driven(preset):
    config = config_door.read(settings.Drive, read("digits", preset))
    protocol, entries = drive._check(config)
    assert protocol.space == "nasbench201" and config.budget.queries > 0
    assert all(entry.size == 1 for entry in entries)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_presets_are_refused(name):
    with pytest.raises(ValueError, match="unknown preset 'fulll'"):
        load(name).get_config("fulll")
