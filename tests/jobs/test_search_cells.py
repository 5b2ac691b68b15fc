"""Found cells: which, how often, drawn in every space, and commands that train them."""

import shlex

import jax
import numpy as np
import pytest

from nasjax import spaces
from nasjax.experiments.search_scores import Scores
from nasjax.jobs.search import cells

SPACES = ("nasbench101", "nasbench201", "nasbench_nlp", "darts", "darts_shared")


def scores(best, valid, test=None):
    test = np.full(len(valid), np.nan) if test is None else test
    finals = {"valid": np.array(valid, float), "test": np.array(test, float)}
    return Scores(
        by_query={split: values[:, None] for split, values in finals.items()},
        by_time={},
        times=np.zeros(0),
        num_queries=np.ones(len(best), int),
        best=np.array(best, np.int32),
        seconds=np.zeros(len(best)),
    )


def test_cells_are_ranked_by_validation_and_counted_over_trials():
    space = spaces.make("nasbench201")
    a, b, c = [3, 2, 1, 0, 4, 3], [2] * 6, [1] * 6
    trials = scores(
        [a, b, a, c, a], [0.9, 0.95, 0.9, np.nan, 0.9], [0.99, 0.8, 0.99, np.nan, 0.99]
    )
    found = cells.found(space, trials)
    assert [cell["genes"] for cell in found] == [b, a]  # c has no score
    assert [cell["trials"] for cell in found] == [1, 3]
    assert found[1] == {
        "arch": space.format_arch(np.array(a)),
        "genes": a,
        "valid": 0.9,
        "test": 0.99,
        "trials": 3,
        "num_trials": 5,
    }
    assert cells.found(space, scores([a], [np.nan])) == []
    # Without validation scores, by how many trials ended there.
    found = cells.found(space, scores([a, b, b], [np.nan] * 3, [0.9, 0.8, 0.8]))
    assert [cell["trials"] for cell in found] == [2, 1]
    many = [[3, i % 3 + 1, 2, i // 3 + 1, 1, 3] for i in range(9)]
    found = cells.found(space, scores(many, np.arange(9.0)))
    assert len(found) == cells.MOST and found[0]["genes"] == many[8]


def test_of_writings_with_trainings_of_their_own_the_best_is_named():
    space = spaces.make("nasbench201")
    low, high = [1, 1, 3, 3, 3, 3], [1, 3, 1, 3, 3, 3]
    prints = jax.vmap(space.fingerprint)(np.array([low, high]))
    assert (prints[0] == prints[1]).all()
    found = cells.found(space, scores([low, high, low], [0.5, 0.9, 0.5]))
    assert [cell["genes"] for cell in found] == [high]
    assert found[0]["valid"] == 0.9 and found[0]["trials"] == 3


def test_isomorphic_cells_are_one():
    space = spaces.make("nasbench101")
    conv, pool, edges = "conv3x3-bn-relu", "maxpool3x3", "0110/0001/0001/0000"
    two = [
        space.parse_arch(f"input,{first},{second},output|{edges}")
        for first, second in ((conv, pool), (pool, conv))
    ]
    assert not np.array_equal(*two)
    (cell,) = cells.found(space, scores(two, [0.9, 0.9]))
    assert cell["trials"] == 2


@pytest.mark.parametrize("name", SPACES)
def test_the_best_cell_is_drawn_in_every_space(name, tmp_path):
    space = spaces.make(name)
    arch = np.asarray(space.sample(jax.random.key(1)))
    found = cells.found(space, scores([arch], [0.5]))
    assert np.array_equal(space.parse_arch(found[0]["arch"]), arch)
    files = cells.draw(name, {"bananas": found, "none": []}, tmp_path)
    assert files and all(file.stat().st_size > 1000 for file in files)
    if name not in cells.DARTS:
        graph = space.to_graph(arch)
        edges = int((np.asarray(graph.adjacency) != 0).sum())
        svg = (tmp_path / "best_cells.svg").read_text()
        assert svg.count('id="edge-0-0-') == edges > 0
        assert svg.count('id="node-0-0-') == int(graph.num_nodes)
        assert "BANANAS (the best of one search)" in svg


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201", "nasbench_nlp"])
def test_commands_give_the_architecture_back(name):
    space = spaces.make(name)
    arch = np.asarray(space.sample(jax.random.key(3)))
    best = {"bananas": space.format_arch(arch)}
    (command,) = cells.commands(name, best)["bananas"]
    words = dict(w.split("=", 1) for w in shlex.split(command) if w.startswith("--"))
    assert np.array_equal(space.parse_arch(words["--config.arch"]), arch)
    assert words["--config"] == f"configs/train/{name}.py"
    assert cells.commands("mine", best) == {}


def test_what_can_be_done_with_a_cell_is_printed(capsys, tmp_path):
    found = [{"arch": "CELL", "trials": 2, "num_trials": 3}]
    rows = {"a": {"found": found}, "b": {"found": []}}
    outcome = {"algorithms": rows, "commands": {}}
    cells.show("nasbench201", outcome, tmp_path / "trials.safetensors")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a: CELL, where 2 of 3 searches end" and len(printed) == 2
    assert "parse_arch" in printed[1] and "trials.safetensors" in printed[1]
