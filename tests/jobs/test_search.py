"""Trials of searches as a job: numbers by hand, resume, missing metrics, bad input."""

import copy
import inspect
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import search_files
from flax import struct

from nasjax import search as searches
from nasjax import spaces
from nasjax.core import arrays, errors, result, statistics
from nasjax.experiments import search_inputs, search_problem, search_scores
from nasjax.jobs import config_door
from nasjax.jobs.search import chunks, settings, tables
from nasjax.jobs.search import problem as problems
from nasjax.jobs.search import trials as search
from nasjax.nasbench import table_file
from nasjax.nasbench.surrogate import model

NAMES = ("random_search", "regularized_evolution")
TRIALS, QUERIES = 12, 30
CONFIG = {
    "seed": 0,
    "num_trials": TRIALS,
    "epoch": 0,
    "benchmark": {"name": "", "path": "", "data_set": "cifar10", "schedule": 12},
    "report": {"path": "", "data_set": "", "schedule": 200},
    "budget": {"queries": QUERIES, "seconds": 0.0},
    "algorithms": list(NAMES),
    "controls": ["random_search"],
    "settings": {
        "regularized_evolution": {"population_size": 8, "sample_size": 4},
        "other": {"algorithm": "random_search", "num_trials": 3},
    },
}


def config(file, **values):
    made = copy.deepcopy(CONFIG) | values
    made["benchmark"] = {**CONFIG["benchmark"], **values.get("benchmark", {})}
    made["benchmark"]["path"] = str(file)
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return search_files.write(tmp_path_factory.mktemp("table") / "table.safetensors")


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    """One uninterrupted run: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("search") / "run"
    return folder, search.run(config(file), str(folder))


def load(given):
    return problems.load(config_door.read(settings.Trials, given))


def trials(folder):
    return arrays.load(folder / "trials.safetensors")


def same(first, second):
    """Equality of two trees of arrays, NaN included."""
    jax.tree.map(np.testing.assert_array_equal, first, second)


def without_times(outcome):
    stored = result.to_json(outcome) | {"seconds": 0}
    for row in stored["algorithms"].values():
        row["cpu_seconds"] = 0
    return stored


def test_trials_hold_what_the_table_says(finished, file):
    folder, _ = finished
    table = table_file.load(file, data_set="cifar10", schedule=12)
    for name in NAMES:
        tree = trials(folder)[name]
        assert tree["archs"].shape == (TRIALS, QUERIES, 6)
        assert tree["archs"].dtype == np.int8
        assert tree["mask"].all()
        rows = jax.vmap(table.find)(tree["archs"].reshape(-1, 6).astype(np.int32))
        for split in ("valid", "test"):
            recorded = np.asarray(table.curves[f"{split}_accuracy"].values)[rows, :, 0]
            drawn = tree[split].reshape(-1, 1)
            assert (recorded == drawn).any(axis=1).all()
        costs = 120.0 + 10 * tree["archs"].sum(axis=2)
        np.testing.assert_array_equal(tree["seconds"], np.cumsum(costs, axis=1))
    assert not np.array_equal(*(trials(folder)[name]["archs"] for name in NAMES))


@pytest.fixture
def undrawn(monkeypatch):
    """Runs without figures, which take most of their time."""
    monkeypatch.setattr(search.figures, "draw", lambda *_, **__: None)


def by_hand(tree, table):
    """Mean score of the incumbent after every query, by plain loops."""
    found = {}
    rows = {tuple(arch): row for row, arch in enumerate(np.asarray(table.archs))}
    for split in ("valid", "test"):
        runs = np.asarray(table.curves[f"{split}_accuracy"].values, np.float64)
        means = runs[:, :, 0].mean(axis=1)
        scores = np.empty(tree["valid"].shape)
        for trial, (archs, rewards) in enumerate(
            zip(tree["archs"], tree["valid"], strict=True)
        ):
            best = 0
            for query in range(len(rewards)):
                if rewards[query] > rewards[best]:
                    best = query
                scores[trial, query] = means[rows[tuple(archs[best])]]
        found[split] = scores, means.max()
    return found


def test_numbers_of_an_algorithm_are_those_computed_by_hand(finished, file):
    folder, outcome = finished
    report = table_file.load(file, data_set="cifar10", schedule=200)
    stored = result.read(folder / "result.json")
    assert stored == result.to_json(outcome)
    finals = {}
    for name in NAMES:
        scores = by_hand(trials(folder)[name], report)
        row = stored["algorithms"][name]
        finals[name], optimum = scores["test"][0][:, -1], scores["test"][1]
        expected = {
            "final_test_mean": finals[name].mean(),
            "final_valid_mean": scores["valid"][0][:, -1].mean(),
            "final_test_std": finals[name].std(ddof=1),
            "regret_mean": optimum - finals[name].mean(),
            "found_optimum": (finals[name] > optimum - 1e-6).mean(),
            "queries": QUERIES,
            "num_trials": TRIALS,
            "trials_without_score": 0,
            "simulated_seconds": trials(folder)[name]["seconds"][:, -1].mean(),
        }
        for key, value in expected.items():
            np.testing.assert_allclose(row[key], value, rtol=2e-6, err_msg=key)
        interval = statistics.mean_interval(finals[name])
        np.testing.assert_allclose(row["ci95"], [*interval[1:]], rtol=1e-6)
        assert row["regret_of"] == "test" and row["cpu_seconds"] > 0
        curves = arrays.load(folder / "curves.safetensors")[name]["queries_test"]
        mean = (optimum - scores["test"][0]).mean(axis=0)
        np.testing.assert_allclose(curves["mean"], mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(curves["x"], np.arange(1, QUERIES + 1))
        assert (curves["low"] <= curves["mean"]).all()
    evolution, random = finals["regularized_evolution"], finals["random_search"]
    (versus,) = stored["comparisons"]["regularized_evolution"].values()
    paired = statistics.paired_difference(evolution, random)
    np.testing.assert_allclose(versus["difference"], paired.mean, atol=1e-7)
    np.testing.assert_allclose(versus["p_value"], paired.p_value, atol=2e-3)
    assert versus["num_pairs"] == TRIALS and versus["of"] == "test"
    assert list(stored["comparisons"]) == ["regularized_evolution"]


def test_regret_by_time_is_that_of_the_last_complete_evaluation(finished, file):
    folder, _ = finished
    report = table_file.load(file, data_set="cifar10", schedule=200)
    for name in NAMES:
        tree = trials(folder)[name]
        scores, optimum = by_hand(tree, report)["test"]
        curve = arrays.load(folder / "curves.safetensors")[name]["seconds_test"]
        for k in (0, 40, 99):
            done = (tree["seconds"] <= curve["x"][k] * (1 + 1e-6)).sum(axis=1)
            values = [optimum - run[n - 1] for run, n in zip(scores, done, strict=True)]
            np.testing.assert_allclose(curve["mean"][k], np.mean(values), atol=2e-6)
        assert (np.diff(curve["x"]) > 0).all()


def test_figures_log_and_facts_are_written(finished, capsys):
    folder, outcome = finished
    for name in ("regret_queries", "regret_seconds", "ecdf"):
        for kind in ("svg", "png"):
            assert (folder / "figures" / f"{name}.{kind}").stat().st_size > 1000
    with open(folder / "metrics.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    assert {row["stage"] for row in rows} == set(NAMES)
    assert rows[-1]["step"] == QUERIES and rows[-1]["test_regret"] >= 0
    assert outcome["benchmark"] == {
        "space": "nasbench201",
        "data_set": "cifar10",
        "metric": "accuracy",
        "epoch": 12,
        "last_epoch": 12,
        "listed": False,
        "version": "",
    }
    assert outcome["report"]["epoch"] == 200
    assert outcome["optimum"]["kind"] == "table"
    assert outcome["warnings"] == [] and outcome["versions"]["jax"]


def test_every_algorithm_names_its_best_cells(finished, capsys):
    folder, outcome = finished
    stored = result.read(folder / "result.json")
    for name in NAMES:
        row, tree = stored["algorithms"][name], trials(folder)[name]
        best = row["found"][0]
        assert row["best"] == best["arch"] and len(row["found"]) <= 5
        genes = spaces.make("nasbench201").parse_arch(best["arch"])
        assert genes.tolist() == best["genes"]
        ends = tree["archs"][np.arange(TRIALS), tree["valid"].argmax(axis=1)]
        # Other writings of the same cell count as well.
        assert best["trials"] >= (ends == best["genes"]).all(axis=1).sum() >= 1
        values = [cell["valid"] for cell in row["found"]]
        assert values == sorted(values, reverse=True)
        assert "configs/train/nasbench201.py" in stored["commands"][name][0]
    assert (folder / "figures" / "best_cells.svg").exists()


def test_rows_of_table_3_3_have_no_thesis_numbers_of_another_budget(finished):
    _, outcome = finished
    rows = outcome["tables"]["3.3"]
    assert len(rows) == 2 * len(NAMES)
    found = {(r["settings"]["row"], r["settings"]["split"]): r for r in rows}
    row = found["RE", "test"]
    assert (row["thesis"], row["thesis_std"]) == (None, None)
    numbers = outcome["algorithms"]["regularized_evolution"]
    np.testing.assert_allclose(row["value"], 100 * numbers["final_test_mean"])
    np.testing.assert_allclose(row["ci95"], 100 * np.array(numbers["ci95"]), rtol=1e-6)
    # The same with the thesis' budget.
    config = outcome["config"] | {"budget": {"queries": 0, "seconds": 12_000}}
    facts = tables.facts(outcome | {"config": config})
    found = tables.thesis("3.3", "RE", "test", facts)
    assert found == {"thesis": 93.84, "thesis_std": 0.43}
    assert row["num_seeds"] == TRIALS


def test_a_second_run_of_the_same_workdir_returns_the_same_result(
    finished, file, undrawn
):
    folder, outcome = finished
    again = search.run(config(file), str(folder))
    assert result.to_json(again) | {"seconds": 0} == (
        result.to_json(outcome) | {"seconds": 0}
    )
    with pytest.raises(errors.WorkdirError, match="config.num_trials"):
        search.run(config(file, num_trials=5), str(folder))


def test_a_stopped_run_goes_on_and_its_chunks_are_the_same_trials(
    finished, file, tmp_path, monkeypatch, undrawn
):
    folder, _ = finished
    settings = copy.deepcopy(CONFIG["settings"])
    settings["regularized_evolution"]["chunk_size"] = 5
    chunked = config(file, settings=settings, algorithms=["regularized_evolution"])
    whole = chunks._run_chunk
    calls = []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise searches.Stopped(143)
        return whole(*arguments)

    monkeypatch.setattr(chunks, "_run_chunk", stopping)
    with pytest.raises(searches.Stopped):
        search.run(chunked, str(tmp_path / "run"))
    saved = tmp_path / "run" / "algorithms" / "regularized_evolution"
    assert [f.name for f in saved.glob("*.safetensors")] == ["000000.safetensors"]
    search.run(chunked, str(tmp_path / "run"))
    assert len(calls) == 4  # chunks of 4 trials: one of them was there
    assert len(list(saved.glob("*.safetensors"))) == 3
    name = "regularized_evolution"
    same(trials(tmp_path / "run")[name], trials(folder)[name])


def test_a_budget_in_seconds_is_used_up_however_the_bound_is_guessed(
    file, tmp_path, monkeypatch, undrawn
):
    budget = {"queries": 0, "seconds": 3000.0}
    timed = config(file, budget=budget, algorithms=["random_search"])
    outcome = search.run(timed, str(tmp_path / "run"))
    tree = trials(tmp_path / "run")["random_search"]
    ends = np.where(tree["mask"], tree["seconds"], 0).max(axis=1)
    # The dearest cell takes 120 + 240 seconds: one more would have been too much.
    assert (ends <= 3000).all() and (ends > 3000 - 360).all()
    row = outcome["algorithms"]["random_search"]
    np.testing.assert_allclose(row["simulated_seconds"], ends.mean(), rtol=1e-6)
    np.testing.assert_allclose(row["queries"], tree["mask"].sum(axis=1).mean())
    # Looked at elsewhere, the same trials are ended at the same evaluations.
    monkeypatch.setattr(chunks.trials, "_UNSURE", 3)
    monkeypatch.setattr(chunks.trials, "_SHARE", 0.5)
    search.run(timed, str(tmp_path / "again"))
    same(trials(tmp_path / "again")["random_search"], tree)


def test_a_budget_in_epochs_and_incumbents_of_whole_trainings(file, tmp_path, undrawn):
    budget = {"queries": 0, "seconds": 0.0, "epochs": 30}
    limited = config(
        file, budget=budget, algorithms=["random_search"], min_epochs=-1, num_trials=3
    )
    outcome = search.run(limited, str(tmp_path / "run"))
    tree = trials(tmp_path / "run")["random_search"]
    # Trainings of 12 epochs, all to the end: two of them are within 30.
    assert (tree["mask"].sum(axis=1) == 2).all() and (tree["trained"] == 0).all()
    assert outcome["algorithms"]["random_search"]["queries"] == 2
    saved = result.read(tmp_path / "run" / "config.json")
    assert saved["min_epochs"] == -1 and saved["budget"] == budget
    with pytest.raises(errors.ConfigError, match="min_epochs = 2.5 must be a number"):
        search.run(limited | {"min_epochs": 2.5}, str(tmp_path / "other"))


def test_incumbents_of_a_job_are_those_of_enough_epochs():
    """The best stopped early: scores by query and time are those of the others."""
    history = searches.History(
        archs=np.arange(4, dtype=np.int32).reshape(1, 4, 1),
        epochs=np.array([[3, -1, 3, -1]], np.int32),
        mask=np.ones((1, 4), bool),
        valid=np.array([[0.9, 0.2, 0.95, 0.4]], np.float32),
        test=np.zeros((1, 4), np.float32),
        seconds=np.array([[1.0, 2, 3, 4]], np.float32),
        trial=np.arange(4, dtype=np.int32)[None],
        trained=np.zeros((1, 4), np.int32),
    )
    scores = dict.fromkeys(search_scores.SPLITS, np.array([[0.0, 1, 2, 3]]))
    for least, places in ((None, [0, 0, 2, 2]), (-1, [-1, 1, 1, 3]), (3, [0, 0, 2, 2])):
        found = search_scores.places_of(history, least)
        np.testing.assert_array_equal(found[0], places)
        at = {s: v[:, np.maximum(found[0], 0)] for s, v in scores.items()}
        made = search_scores.from_scores(
            history, found, at, 4, np.array([2.5, 4.5]), min_epochs=least
        )
        expected = [np.nan if place < 0 else place for place in places]
        np.testing.assert_array_equal(made.by_query["test"][0], expected)
        np.testing.assert_array_equal(made.by_time["test"][0], [places[1], places[3]])


def test_trials_that_an_older_version_saved_are_read(file, finished):
    folder, _ = finished
    (chunk, *_) = sorted((folder / "algorithms" / "random_search").iterdir())
    made = load(config(file))
    count = len(arrays.load(chunk)["mask"])
    whole = chunks._load(chunk, made, count)
    older = folder.parent / "older.safetensors"
    tree = {name: x for name, x in arrays.load(chunk).items() if name != "trained"}
    arrays.save(older, tree, metadata={"cpu_seconds": whole.cpu_seconds})
    read = chunks._load(older, made, count)
    assert read.cpu_seconds == whole.cpu_seconds and (read.history.trained == 0).all()
    jax.tree.map(np.testing.assert_array_equal, read.history, whole.history)


def test_a_metric_that_is_not_recorded_is_a_dash_with_its_reason(
    file, tmp_path, capsys, undrawn
):
    missing = config(
        file, benchmark={"data_set": "cifar100"}, algorithms=["random_search", "other"]
    )
    outcome = search.run(missing, str(tmp_path / "run"))
    shown = capsys.readouterr().out
    row = result.read(tmp_path / "run" / "result.json")["algorithms"]["random_search"]
    assert row["final_test_mean"] is None and row["ci95"] is None
    assert row["regret_of"] == "valid" and row["regret_mean"] > 0
    assert row["final_valid_ci95"][0] < row["final_valid_mean"]
    assert any(search_files.ABSENT in note for note in outcome["notes"])
    assert search_files.ABSENT in shown
    (line,) = [text for text in shown.splitlines() if text.startswith("random_search ")]
    assert line.split()[2] == "-"
    # An entry with fewer trials has the first of them.
    tree = trials(tmp_path / "run")
    same(tree["other"], jax.tree.map(lambda x: x[:3], tree["random_search"]))
    assert outcome["comparisons"]["other"]["random_search"]["difference"] == 0
    rows = outcome["tables"]["3.3"]
    assert [row["value"] for row in rows if row["settings"]["split"] == "test"] == [
        None,
        None,
    ]


def test_a_list_is_drawn_from_and_not_walked_through(tmp_path, undrawn):
    rows = np.random.default_rng(1).permutation(15625)[:300]
    part = search_files.write(tmp_path / "part.safetensors", rows=np.sort(rows))
    listed = config(part, algorithms=["random_search"], benchmark={"listed": True})
    outcome = search.run(listed, str(tmp_path / "run"))
    tree = trials(tmp_path / "run")["random_search"]
    assert np.isfinite(tree["valid"]).all()
    assert outcome["benchmark"]["listed"] and outcome["warnings"] == []
    table = table_file.load(part, data_set="cifar10", schedule=200)
    best = float(table.optimum("test").value)
    np.testing.assert_allclose(outcome["optimum"]["test"], best)
    with pytest.raises(errors.ConfigError, match="regularized_evolution: it changes"):
        search.run(config(part, benchmark={"listed": True}), str(tmp_path / "no"))
    assert not (tmp_path / "no").exists()
    (doubt,) = load(config(part)).warnings
    assert doubt.startswith("the table knows ") and "benchmark.listed" in doubt


# --- surrogates --------------------------------------------------------------------


class Linear(struct.PyTreeNode):
    """A regressor and a compressor of one number, the last value of a flat curve."""

    weights: jax.Array

    def predict(self, features):
        return self.weights @ features[:, None]

    def decompress(self, code):
        return jnp.broadcast_to(code, (2,))


def surrogate(space="nasbench201", features="nasbench211_one_hot", techniques=()):
    weights = 0.01 * jnp.arange(30.0)
    part = Linear(weights)
    curve = model.CurveModel(
        members=(model.Member(part, part),),
        weights=jnp.ones(1),
        noise=None,
        low=jnp.float32(0),
        high=jnp.float32(10),
    )
    return model.Surrogate(
        models={"valid_accuracy": curve},
        seconds=None,
        space=space,
        features=features,
        data_set="made up",
        epochs=(1, 2),
        metric="accuracy",
        version="surrogate 1 mlp 0123",
        techniques=techniques,
    )


def test_a_surrogate_is_named_and_regret_is_to_the_best_found(
    tmp_path, monkeypatch, caplog
):
    made = surrogate(techniques=("svd", "other"))
    monkeypatch.setattr(problems.nasbench, "load", lambda *_, **__: made)
    settings = config("surrogate", report={}, algorithms=["random_search", "other"])
    outcome = search.run(settings, str(tmp_path / "run"))
    assert outcome["benchmark"]["version"] == "surrogate 1 mlp 0123"
    assert outcome["optimum"] == {
        "valid": pytest.approx(
            trials(tmp_path / "run")["random_search"]["valid"].max()
        ),
        "test": None,
        "kind": "best found",
    }
    assert any("any trial here" in note for note in outcome["notes"])
    rows = outcome["algorithms"]
    assert min(row["found_optimum"] for row in rows.values()) >= 0
    assert outcome["tables"] == {}
    assert not (tmp_path / "run" / "figures" / "regret_seconds.svg").exists()
    with pytest.raises(errors.DataError, match="records no training time"):
        search.run(
            settings | {"budget": {"queries": 0, "seconds": 9.0}},
            str(tmp_path / "no"),
        )


@pytest.mark.parametrize(
    ("kind", "settings", "techniques", "found"),
    [
        ("bananas", {}, ("svd", "mlp"), "mlp"),
        ("bo_dngo", {}, ("mlp", "vae"), "mlp"),
        ("bo_gp", {"features": "vae"}, ("lgb", "vae"), "vae"),
        ("latent_dngo", {"table": "runs/arch2vec-vae.safetensors"}, ("vae",), "vae"),
        ("lce_xgb", {}, ("svd", "xgb"), "xgb"),
        ("regularized_evolution", {}, ("svd", "lgb", "mlp"), None),
    ],
)
def test_a_search_with_the_surrogates_own_technique_warns(
    kind, settings, techniques, found
):
    made = surrogate(techniques=techniques)
    lines = search_problem.bias(made, "mine", kind, settings)
    assert len(lines) == (found is not None)
    if found:
        assert f"mine uses {found}, and so does the surrogate" in lines[0]
        assert made.version in lines[0]


def test_nasbench_nlp11_without_measured_epochs_warns(monkeypatch):
    made = surrogate("nasbench_nlp", "nasbench_nlp11_cell")
    monkeypatch.setattr(problems.nasbench, "load", lambda *_, **__: made)
    (doubt,) = load(config("x", report={})).warnings
    assert "no measured epochs" in doubt
    needing = surrogate("nasbench_nlp", "nasbench_nlp11")
    monkeypatch.setattr(problems.nasbench, "load", lambda *_, **__: needing)
    problem = load(config("x", report={}))
    algorithm = searches.make("random_search", problem.space)
    with pytest.raises(errors.DataError, match="need measurements"):
        search.algorithms.proposal_size(algorithm, problem.evaluate)


# --- inputs ------------------------------------------------------------------------


def test_settings_name_encodings_tables_and_sizes(tmp_path, monkeypatch):
    space = spaces.make("nasbench201")
    seen = {}

    def record(kind):
        def factory(space, **given):
            seen[kind] = given
            return searches.ALGORITHMS["random_search"](space)

        factory.__signature__ = inspect.signature(searches.ALGORITHMS[kind])
        return factory

    kinds = ("bananas", "bo_gp", "latent_control", "latent_dngo")
    registry = dict(searches.ALGORITHMS) | {kind: record(kind) for kind in kinds}
    monkeypatch.setattr(searches, "ALGORITHMS", registry)
    inputs = search_inputs.SearchInputs(space, None, 40)
    arch = space.sample(jax.random.key(0))
    search_inputs.make("bananas", inputs, {})
    assert seen["bananas"]["features"](arch).shape == (84,)
    assert seen["bananas"]["capacity"] == 40
    search_inputs.make(
        "bananas",
        inputs,
        {"features": "path_one_hot_truncated", "features_options": {"max_ops": 1}},
    )
    assert seen["bananas"]["features"](arch).shape == (4,)
    search_inputs.make("bo_gp", inputs, {"table": "random_projection", "capacity": 9})
    assert seen["bo_gp"]["table"].vectors.shape == (15625, 16)
    assert seen["bo_gp"]["capacity"] == 9 and "features" not in seen["bo_gp"]
    search_inputs.make("bo_gp", inputs, {"features": "adjacency_one_hot"})
    assert "table" not in seen["bo_gp"]
    search_inputs.make("latent_control", inputs, {"table_size": 4})
    assert seen["latent_control"]["table"].vectors.shape == (15625, 4)
    vectors = np.eye(3, dtype=np.float32)
    archs = np.asarray(
        jax.vmap(space.sample)(jax.random.split(jax.random.key(1), 3)), np.int8
    )
    file = tmp_path / "embeddings.safetensors"
    arrays.save(file, {"archs": archs, "vectors": vectors})
    search_inputs.make("latent_dngo", inputs, {"table": str(file)})
    np.testing.assert_array_equal(seen["latent_dngo"]["table"].vectors, vectors)
    arrays.save(file, {"archs": archs, "vector": vectors})
    with pytest.raises(errors.DataError, match="did you mean 'vector'"):
        search_inputs.make("latent_dngo", inputs, {"table": str(file)})
    darts = search_inputs.SearchInputs(spaces.make("darts"), None, 40)
    with pytest.raises(errors.ConfigError, match="are not listed"):
        search_inputs.make("latent_control", darts, {})


def test_histories_of_different_length_are_joined_and_masked():
    def part(mask, start):
        mask = np.array(mask, bool)
        count = np.cumsum(np.ones(mask.shape), axis=1).astype(np.float32) + start
        return searches.History(
            archs=np.repeat(count[..., None], 2, axis=2).astype(np.int32),
            epochs=-np.ones(mask.shape, np.int32),
            mask=mask,
            valid=count,
            test=count,
            seconds=count,
            trial=count.astype(np.int32),
            trained=np.zeros(mask.shape, np.int32),
        )

    first = chunks.compress(part([[1, 0, 1], [0, 0, 1]], 0))
    np.testing.assert_array_equal(first.valid, [[1, 3], [3, 1]])
    np.testing.assert_array_equal(first.archs[0, :, 0], [1, 3])
    np.testing.assert_array_equal(first.mask, [[True, True], [True, False]])
    second = chunks.compress(part([[1, 1, 1]], 10))
    joined = chunks.join([chunks.Trials(h, 1.5) for h in (first, second)])
    history = joined.history
    assert joined.cpu_seconds == 3.0
    np.testing.assert_array_equal(
        history.mask, [[True, True, False], [True, False, False], [True] * 3]
    )
    np.testing.assert_array_equal(history.valid[0], [1, 3, -np.inf])
    np.testing.assert_array_equal(history.seconds[0], [1, 3, 3])
    times = search_scores.time_grid([history], 0.0)
    assert times[0] == 11 and times[-1] == 13


def test_a_damaged_chunk_is_run_again(file, tmp_path, undrawn):
    settings = config(file, algorithms=["random_search"], num_trials=4)
    settings["settings"]["random_search"] = {"chunk_size": 2}
    search.run(settings, str(tmp_path / "run"))
    whole = trials(tmp_path / "run")
    saved = tmp_path / "run" / "algorithms" / "random_search"
    for number, length in ((0, 0), (2, 99)):
        chunk = saved / f"{number:06d}.safetensors"
        chunk.write_bytes(chunk.read_bytes()[:length])
    search.run(settings, str(tmp_path / "run"))
    same(trials(tmp_path / "run"), whole)


def test_a_chunk_that_is_something_else_is_run_again(file, tmp_path, undrawn, caplog):
    settings = config(file, algorithms=["random_search"], num_trials=2)
    search.run(settings, str(tmp_path / "run"))
    whole = trials(tmp_path / "run")
    chunk = tmp_path / "run" / "algorithms" / "random_search" / "000000.safetensors"
    tree = arrays.load(chunk)
    short = tree | {"valid": tree["valid"][:, :-1]}
    for wrong in ({"x": tree["archs"]}, tree | {"more": tree["mask"]}, short):
        arrays.save(chunk, wrong, metadata={"cpu_seconds": 1.0})
        search.run(settings, str(tmp_path / "run"))
        same(trials(tmp_path / "run"), whole)
    assert caplog.text.count("trials are run again") == 3


def test_a_stopped_run_says_so(file, tmp_path, undrawn, monkeypatch, capsys):
    whole = chunks._run_chunk

    def signalled(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(*arguments)

    monkeypatch.setattr(chunks, "_run_chunk", signalled)
    settings = config(file, algorithms=["random_search"], num_trials=4)
    settings["settings"]["random_search"] = {"chunk_size": 2}
    with pytest.raises(searches.Stopped):
        search.run(settings, str(tmp_path / "run"))
    line = "stopped in random_search after 2 of 4 trials; the same command continues"
    assert line in capsys.readouterr().out


def test_a_table_of_another_space_than_the_configurations_is_refused(file, tmp_path):
    settings = config(file, benchmark={"name": "nasbench101"})
    with pytest.raises(
        errors.ConfigError, match="of nasbench201, under .* nasbench101"
    ):
        search.run(settings, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"algorithms": []}, "name at least one"),
        ({"algorithms": ["random_search"] * 2}, "none twice"),
        ({"algorithms": ["random_serch"]}, "did you mean 'random_search'"),
        ({"algorithms": [1]}, "unknown algorithm 1; known"),
        ({"controls": ["random_serch"]}, "of controls 'random_serch' .did you mean"),
        ({"settings": {"random_search": None}}, "random_search is None; .* a section"),
        ({"budget": 3}, "config.budget is 3; it must be a section"),
        ({"budget": {"querys": 3}}, "config.budget 'querys' .did you mean 'queries'"),
        ({"benchmark": {"listd": True}}, "config.benchmark 'listd' .* 'listed'"),
        ({"budget": {"queries": 10**9, "seconds": 0.0}}, "may be at most 10,000,000"),
        ({"settings": {"random_search": {"bacth_size": 2}}}, "batch_size"),
        ({"settings": {"random_search": {"chunk_size": -1}}}, "chunk_size = -1"),
        ({"settings": {"random_search": {"algorithm": "nothing"}}}, "search algorithm"),
        ({"settings": {"random_search": {"features": "path"}}}, "features"),
        ({"settings": {"random_search": {"table_size": 4}}}, "table_size"),
        ({"num_trials": 0}, "num_trials = 0"),
        ({"budget": {"queries": 0, "seconds": 0.0}}, "at least one of them"),
        ({"epoch": 13}, "epoch = 13: only epoch 12 is recorded; 0 stands"),
        ({"settings": {"random_search": {"batch_size": 0}}}, "batch_size"),
        (
            {
                "settings": {"reinforce": {"learning_rate": "x"}},
                "algorithms": ["reinforce"],
            },
            "reinforce: it cannot search nasbench201 with its settings",
        ),
        ({"report": {"schedule": 300}}, "300"),
        ({"benchmark": {"data_set": "cifar"}}, "cifar10"),
    ],
)
def test_bad_settings_are_one_line_that_names_the_key(values, message, file, tmp_path):
    with pytest.raises(errors.NasjaxError, match=message) as error:
        search.run(config(file, **values), str(tmp_path / "run"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_mode_and_a_folder_are_needed(file):
    with pytest.raises(errors.ConfigError, match="did you mean 'trials'"):
        search.run(config(file), "x", "trial")
    with pytest.raises(errors.ConfigError, match="--workdir=FOLDER"):
        search.run(config(file), "")
