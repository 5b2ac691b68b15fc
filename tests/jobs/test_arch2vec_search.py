"""Searches with embeddings on several data sets: tables, budgets, lists, bad input."""

import copy

import jax
import numpy as np
import pytest
import report_page
import search_files

from nasjax.core import arrays, errors, result
from nasjax.experiments import comparison, search_inputs
from nasjax.jobs import config_door
from nasjax.jobs.arch2vec import search as arch2vec_search
from nasjax.jobs.report import run as report
from nasjax.jobs.search import algorithms, chunks, clusters, problem, settings
from nasjax.jobs.search import tables as search_summary
from nasjax.jobs.search import trials as search
from nasjax.nasbench import table_file
from nasjax.search import embedding_table
from nasjax.search.algorithm import SearchAlgorithm, as_argument
from nasjax.spaces import nasbench201

CELLS = nasbench201.enumerate_cells()
TRIALS = 3
DATA_SET = {
    "data_set": "cifar10",
    "schedule": 12,
    "epoch": 0,
    "report_schedule": 200,
    "queries": 6,
    "seconds": 0.0,
    "queries_of": "",
}
SECTION = {
    "seed": 0,
    "num_trials": TRIALS,
    "controls": ["random_search"],
    "tables": {"thesis": ""},
    "benchmark": {"name": "", "path": "", "listed": False, "average": False},
    "data_sets": {
        "another": {
            **DATA_SET,
            "data_set": "cifar100",
            "schedule": 200,
            "queries": 0,
            "queries_of": "cifar10",
        },
        "cifar10": DATA_SET,
    },
    "algorithms": ["random_search", "no_policy", "arch2vec_rl"],
    "settings": {
        "random_search": {"row": "RS"},
        "no_policy": {
            "algorithm": "latent_control",
            "table": "thesis",
            "episode_length": 4,
        },
        "arch2vec_rl": {
            "algorithm": "latent_reinforce",
            "row": "arch2vec-RL",
            "table": "thesis",
            "episode_length": 4,
            "num_hidden": 4,
            "num_trials": 2,
            "against": ["no_policy", "random_search"],
        },
        "supervised_rl": {
            "algorithm": "supervised_reinforce",
            "table": "thesis",
            "episode_length": 4,
            "num_hidden": 4,
            "network_options": {"width": 4, "num_layers": 1, "variant": "released"},
        },
    },
}


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """No figures, which take most of the time of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.figures, "draw", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A benchmark, and a working directory with embeddings of every third cell.

    Those of the run's own seed lie where `--mode=train` writes them.
    """
    folder = tmp_path_factory.mktemp("arch2vec")
    file = search_files.write(folder / "table.safetensors")
    embed(folder / "run", CELLS[::3])
    embed(folder / "run" / "seeds" / "1" / "thesis", CELLS[::3], seed=1)
    return file, folder / "run"


def embed(folder, cells, seed=0):
    folder.mkdir(exist_ok=True, parents=True)
    table = embedding_table.random_projection(
        jax.random.key(seed), nasbench201.make(), cells, num_features=4
    )
    arrays.save(
        folder / "embeddings_thesis.safetensors",
        {"archs": np.asarray(table.archs, np.int8), "vectors": table.vectors},
    )


def config(file, **changes):
    section = copy.deepcopy(SECTION) | changes
    section["benchmark"] = {**section["benchmark"], "path": str(file)}
    seeds = {"seed": 0, "pretraining_seeds": [0, 1]}
    given = {"space": "nasbench201", "variants": ["thesis"], **seeds}
    return given | {"search": section}


@pytest.fixture(scope="module")
def finished(places):
    file, folder = places
    return folder, arch2vec_search.run(config(file), folder)


def rows_of(outcome, table, **settings):
    return [
        row
        for row in outcome["tables"][table]
        if settings.items() <= row["settings"].items()
    ]


def test_rows_hold_what_the_searches_found_and_the_thesis_says(finished):
    folder, outcome = finished
    assert result.read(folder / "search" / "result.json") == result.to_json(outcome)
    for label in ("cifar10", "another"):
        own = result.read(folder / "search" / label / "result.json")
        for name, found in own["algorithms"].items():
            for split in ("valid", "test"):
                (row,) = rows_of(
                    outcome, "3.3", data_set=label, algorithm=name, split=split
                )
                mean = found[f"final_{split}_mean"]
                assert row["value"] == (None if mean is None else 100 * mean)
                trials = {"arch2vec_rl": 2 * 2, "no_policy": 2 * TRIALS}
                assert row["num_seeds"] == trials.get(name, TRIALS)
                assert row["clusters"] == (2 if name in trials else None)
            (row,) = rows_of(outcome, "figure 3.6", data_set=label, algorithm=name)
            assert row["value"] == 100 * found["regret_mean"]
    # Six queries are not the thesis' budget.
    assert {row["thesis"] for row in outcome["tables"]["3.3"]} == {None}
    (row,) = rows_of(outcome, "3.3", data_set="another", row="RS", split="test")
    assert row["value"] is None and search_files.ABSENT in str(outcome["notes"])
    lines = [line for line in outcome["statements"] if line.startswith("cifar10: arch")]
    assert "no_policy" in lines[0] and "4 pairs, 2 embeddings, paired t" in lines[0]
    assert "random_search" in lines[1] and "2 embeddings, Welch's t" in lines[1]


def test_intervals_and_tests_are_over_embeddings(finished):
    folder, outcome = finished
    own = result.read(folder / "search" / "cifar10" / "result.json")
    trials = arrays.load(folder / "search" / "cifar10" / "trials.safetensors")
    found, control = own["algorithms"]["arch2vec_rl"], own["algorithms"]["no_policy"]
    assert trials["arch2vec_rl"]["mask"].shape[0] == found["num_trials"] == 4
    means = np.array(found["embedding_means"])
    t = 12.706204736  # of one degree of freedom
    half = t * means.std(ddof=1) / np.sqrt(2)
    assert found["final_test_mean"] == pytest.approx(means.mean())
    np.testing.assert_allclose(
        found["ci95"], [means.mean() - half, means.mean() + half], rtol=1e-6
    )
    # Its own control has the same embeddings and keys, but three trials with each.
    versus = own["comparisons"]["arch2vec_rl"]["no_policy"]
    assert versus["clusters"] == [2, 2] and versus["num_pairs"] == 4
    assert own["comparisons"]["no_policy"].keys() == {"random_search"}
    assert len(control["embedding_means"]) == 2
    first = trials["no_policy"]["archs"][:, 0]
    assert not np.array_equal(first[:3], first[3:])


def searches(file):
    """The searches of the configuration, and one of their data sets."""
    section = arch2vec_search._section(config(file))
    return section, section.data_sets["cifar10"]


def read(wanted):
    return config_door.read(settings.Trials, wanted)


def test_trials_of_an_embedding_are_those_of_a_run_with_it_alone(finished, places):
    """One program serves all embeddings, and each has its own."""
    file, folder = places
    section, chosen = searches(file)
    paths = [
        str(folder / "embeddings_thesis.safetensors"),
        str(folder / "seeds" / "1" / "thesis" / "embeddings_thesis.safetensors"),
    ]
    wanted = arch2vec_search.search_config(section, chosen, {"thesis": paths}, 0)
    budget = read(wanted).budget
    made = problem.load(read(wanted))
    inputs = search_inputs.SearchInputs(made.space, made.reward, budget.queries)
    wanted["algorithms"] = ["arch2vec_rl"]
    (both,) = algorithms.entries(read(wanted), inputs, made.evaluate)
    wanted["settings"]["arch2vec_rl"]["table"] = paths[1]
    (alone,) = algorithms.entries(read(wanted), inputs, made.evaluate)
    keys = clusters.keys(read(wanted), both, 1)
    assert len(keys) == 2
    history = chunks._run_chunk(keys, 2, alone, made, budget).history
    trials = arrays.load(folder / "search" / "cifar10" / "trials.safetensors")
    np.testing.assert_array_equal(history.archs, trials["arch2vec_rl"]["archs"][2:])
    own = clusters.with_arrays(both.algorithm, both.others[0]())
    same = [jax.tree.structure(as_argument(a)) for a in (both.algorithm, own)]
    assert same[0] == same[1]


def test_what_hides_its_embedding_is_not_given_anothers():
    first = SearchAlgorithm(lambda key: key, lambda key, state: 1, lambda *_: 0)
    other = SearchAlgorithm(lambda key: key, lambda key, state: 2, lambda *_: 0)
    assert clusters.with_arrays(first, other) is other


def test_the_thesis_stands_beside_its_own_settings(finished):
    _, outcome = finished
    known = {
        "benchmark": {
            "space": "nasbench201",
            "data_set": "cifar10",
            "metric": "accuracy",
            "epoch": 12,
            "last_epoch": 12,
            "listed": False,
        }
    }
    known["report"] = known["benchmark"] | {"epoch": 200, "last_epoch": 200}
    known["config"] = {"budget": {"queries": 0, "seconds": 12e3}}
    facts = search_summary.facts(known)
    assert search_summary.thesis("3.3", "arch2vec-RL", "test", facts) == {
        "thesis": 94.12,
        "thesis_std": 0.42,
    }
    # Another data set has as many queries as CIFAR-10, after 200 epochs.
    for part, epoch in (("benchmark", 200), ("report", 200)):
        changes = {"data_set": "cifar100", "epoch": epoch, "last_epoch": epoch}
        known[part] = known[part] | changes
    like = {"data_set": "cifar10", "schedule": 12, "queries": 0, "seconds": 12_000}
    known["config"] = {"budget": {"queries": 102, "seconds": 0.0, "like": like}}
    facts = search_summary.facts(known)
    assert search_summary.thesis("3.3", "RS", "valid", facts)["thesis"] == 72.17
    like["schedule"] = 200
    facts = search_summary.facts(known)
    assert search_summary.thesis("3.3", "RS", "valid", facts)["thesis"] is None


def test_a_later_data_set_has_as_many_queries(finished):
    rows = rows_of(finished[1], "3.3", data_set="another")
    assert {row["settings"]["queries"] for row in rows} == {6.0}
    taken = {"a": {"queries": 7.0}, "b": {"queries": 8.5}, "c": {"queries": 9.25}}
    assert arch2vec_search._mean_queries({"algorithms": taken}) == 8


def test_an_encoder_that_learns_searches_the_same_rows(places):
    file, folder = places
    section, chosen = searches(file)
    embeddings = {"thesis": [str(folder / "embeddings_thesis.safetensors")] * 2}
    wanted = arch2vec_search.search_config(section, chosen, embeddings, 0)
    made = problem.load(read(wanted))
    inputs = search_inputs.SearchInputs(made.space, made.reward, 6)
    wanted["algorithms"] = ["supervised_rl"]
    (entry,) = algorithms.entries(read(wanted), inputs, made.evaluate)
    assert entry.kind == "supervised_reinforce" and entry.size == 4
    state = jax.eval_shape(entry.algorithm.init, jax.random.key(0))
    assert state.visited.shape == (len(CELLS[::3]),)
    assert state.params["network"]["head"]["kernel"].shape == (4, 16)
    del wanted["settings"]["supervised_rl"]["table"]
    (entry,) = algorithms.entries(read(wanted), inputs, made.evaluate)
    state = jax.eval_shape(entry.algorithm.init, jax.random.key(0))
    assert state.visited.shape == (len(CELLS),)


def test_latent_searches_meet_rows_of_the_embeddings_only(finished):
    folder, _ = finished
    trials = arrays.load(folder / "search" / "cifar10" / "trials.safetensors")
    known = {tuple(cell) for cell in CELLS[::3].tolist()}
    found = trials["arch2vec_rl"]
    archs = found["archs"][found["mask"]].tolist()
    assert {tuple(arch) for arch in archs} <= known
    everywhere = trials["random_search"]["archs"].reshape(-1, 6).tolist()
    assert not {tuple(arch) for arch in everywhere} <= known


def test_a_second_call_reads_what_the_first_saved(finished, places, monkeypatch):
    file, folder = places
    monkeypatch.setattr(search.chunks, "_run_chunk", None)
    again = arch2vec_search.run(config(file), folder)
    assert again["tables"] == finished[1]["tables"]
    before = (folder / "embeddings_thesis.safetensors").read_bytes()
    embed(folder, CELLS[::3], seed=1)
    with pytest.raises(errors.WorkdirError, match="embeddings.thesis"):
        arch2vec_search.run(config(file), folder)
    (folder / "embeddings_thesis.safetensors").write_bytes(before)


def test_a_list_is_searched_where_the_benchmark_knows_it(tmp_path):
    file = search_files.write(tmp_path / "part.safetensors", rows=slice(0, None, 5))
    embed(tmp_path / "run", CELLS[::3])
    section = config(
        file,
        algorithms=["no_policy"],
        data_sets={"part": DATA_SET},
    ) | {"pretraining_seeds": [0]}
    section["search"]["benchmark"]["listed"] = True
    outcome = arch2vec_search.run(section, tmp_path / "run")
    folder = tmp_path / "run" / "search"
    kept = arrays.load(folder / "tables" / "thesis_0.safetensors")
    every = np.arange(len(CELLS))
    both = every[(every % 3 == 0) & (every % 5 == 0)]
    np.testing.assert_array_equal(kept["archs"], CELLS[both])
    trials = arrays.load(folder / "part" / "trials.safetensors")
    assert np.isfinite(trials["no_policy"]["valid"]).all()
    whole = arrays.load(tmp_path / "run" / "embeddings_thesis.safetensors")
    np.testing.assert_array_equal(kept["vectors"], whole["vectors"][both // 3])
    assert outcome["warnings"] == {"part": []}


def test_known_rows_are_the_first_of_each_cell(tmp_path):
    file = search_files.write(tmp_path / "part.safetensors", rows=slice(0, 100))
    table = table_file.load(file, data_set="cifar10", schedule=12)
    archs = np.concatenate([CELLS[90:110], CELLS[95:100], CELLS[:2]])
    found = arch2vec_search.known_rows(table, archs)
    assert found.tolist() == [*range(10), 25, 26]


@pytest.mark.parametrize(
    ("ends", "p_value", "word"),
    [
        ([-0.001, 0.002], 0.04, "not separated from"),
        ([0.001, 0.003], 0.04, "better than"),
        ([0.001, 0.001], 1.0, "not separated from"),
        ([-0.003, -0.001], 0.01, "worse than"),
    ],
)
def test_a_sentence_claims_what_interval_and_test_allow(ends, p_value, word):
    found = {
        "difference": float(np.mean(ends)),
        "ci95": ends,
        "p_value": p_value,
        "of": "test",
        "num_pairs": 500,
        "clusters": [5, 5],
        "test": "paired t over embeddings",
    }
    told = {"ours": {"no_policy": found}}
    (line,) = comparison.statements("c", told)
    assert f"ours is {word} no_policy" in line
    assert line.endswith("500 pairs, 5 embeddings, paired t over embeddings")
    found["clusters"] = [1, 1]
    (line,) = comparison.statements("c", told)
    assert f"ours with this one embedding is {word} no_policy" in line


def test_settings_that_do_not_fit_are_named(places, tmp_path):
    file, folder = places
    with pytest.raises(errors.ConfigError, match="configs/search/darts.py"):
        arch2vec_search.run({"space": "darts_shared"}, folder)
    with pytest.raises(errors.ConfigError, match="data_sets is empty"):
        arch2vec_search.run(config(file, data_sets={}), folder)
    with pytest.raises(errors.ConfigError, match="queries_of = 'b' must name"):
        bad = {"a": {**DATA_SET, "queries_of": "b"}}
        arch2vec_search.run(config(file, data_sets=bad), folder)
    with pytest.raises(errors.DataError, match="seed 0; .* --mode=pretrain first"):
        arch2vec_search.run(config(file), tmp_path)
    learnt = {"algorithms": ["supervised_rl"]}
    with pytest.raises(errors.ConfigError, match="variant of the network"):
        settings = copy.deepcopy(SECTION["settings"])
        settings["supervised_rl"]["network_options"]["variant"] = "fixed"
        arch2vec_search.run(config(file, settings=settings, **learnt), folder)
    with pytest.raises(errors.ConfigError, match="did you mean 'width'"):
        settings["supervised_rl"]["network_options"] = {"widht": 4}
        arch2vec_search.run(config(file, settings=settings, **learnt), folder)
    with pytest.raises(errors.ConfigError, match="network 'gim'"):
        settings["supervised_rl"] |= {"network": "gim", "network_options": {}}
        arch2vec_search.run(config(file, settings=settings, **learnt), folder)


def test_the_report_has_the_searches_of_a_folder(finished, tmp_path):
    folder, outcome = finished
    report.run([str(folder)], str(tmp_path / "page.html"))
    found = report_page.read(tmp_path / "page.html")
    heads = found.text("h2")
    assert "Searches in embeddings, all data sets" in heads
    for data_set in ("cifar10", "cifar100"):
        assert f"Search: nasbench201 on {data_set}" in heads
    listed = found.text("li").replace("\u00a0", " ")
    assert all(line in listed for line in outcome["statements"])
    assert "--mode=search" in found.text("code")
