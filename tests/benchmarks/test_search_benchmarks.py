"""The scripts that time searches, at a tiny size, and their references."""

import importlib.util
import json
import pathlib
import random

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
TINY = {
    "latent_dngo": {"queries": 26, "epochs": 2},
    "latent_reinforce": {"queries": 32},
    "bananas": {"queries": 30, "epochs": 2, "members": 1, "layers": 1},
}


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def predictors():
    return load("search_predictors")


@pytest.mark.parametrize("name", TINY)
def test_searches_with_models_are_timed_against_plain_ones(predictors, name, capsys):
    size = predictors.SIZES[name]._replace(trials=2, chunk=1, **TINY[name])
    predictors.measure(name, size, rounds=2)
    line = json.loads(capsys.readouterr().out)
    assert line["benchmark"] == "search_predictors" and line["config"] == name
    assert line["queries"] == size.queries and line["trials"] == 2
    assert line["reference_cpu_s"] > 0


@pytest.mark.parametrize("name", TINY)
def test_plain_searches_train_every_cell_once(predictors, name):
    size = predictors.SIZES[name]._replace(**TINY[name])
    rows = np.array(predictors.setting(name, size)[2]())
    assert len(rows) >= size.queries
    assert len(set(predictors.CLASS[rows])) == len(rows)


def test_the_reference_of_bananas_goes_on_where_all_mutants_are_known(predictors):
    rng, known = np.random.default_rng(0), set(predictors.CLASS)
    assert predictors.new_mutants(rng, [5, 6, 7], known) == []
    left = predictors.CLASS[123]
    rows = predictors.random_new(rng, known - {left}, 4)
    assert len(rows) == 4 and predictors.CLASS[rows[0]] == left
    parent = 777
    near = predictors.new_mutants(rng, [parent] * 5, set())
    assert len(set(predictors.CLASS[near])) == len(near) <= 24
    edits = (predictors.CELLS[near] != predictors.CELLS[parent]).sum(axis=1)
    assert (edits == 1).all()


def test_trials_of_evolution_are_timed_against_python(capsys):
    script = load("search_trials")
    table = script.make_table(np.random.default_rng(0))
    size = script.Size(trials=6, queries=40, rounds=2, reference_trials=6)
    script.CONFIGS["tiny"] = {"population_size": 10, "sample_size": 3}
    script.measure("tiny", table, size)
    line = json.loads(capsys.readouterr().out)
    assert line["benchmark"] == "search_trials" and line["trials"] == 6
    assert 0.8 < line["mean_best_ours"] < 1.2
    known = script.python_table(table)
    history = script.plain_evolution(known, random.Random(1), 30, 5, 2)
    assert len(history) == 30 and all(
        row[1] in {v for v, *_ in known[row[0]]} for row in history
    )
