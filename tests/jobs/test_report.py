"""The report as a job: what stands on the page, its numbers as CSV, damaged folders."""

import copy
import csv
import json
import pathlib
import runpy
import shutil

import jax
import numpy as np
import pytest
import report_page
import search_files

from nasjax.core import arrays, errors, result
from nasjax.experiments import plots
from nasjax.jobs import config_door
from nasjax.jobs.report import parts, rank_section, reproduction, run, workdirs
from nasjax.jobs.search import problem, settings, trials
from nasjax.search.history import History

NAMES = ("regularized_evolution", "random_search")
TRIALS, QUERIES = 12, 20
CONFIG = {
    "seed": 0,
    "num_trials": TRIALS,
    "benchmark": {"data_set": "cifar10", "schedule": 12},
    "report": {"schedule": 200},
    "budget": {"queries": QUERIES, "seconds": 0.0},
    "algorithms": list(NAMES),
    "controls": ["random_search"],
    "settings": {"regularized_evolution": {"population_size": 8, "sample_size": 4}},
}
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished search: its folder, its table and its configuration."""
    folder = tmp_path_factory.mktemp("report")
    config = copy.deepcopy(CONFIG)
    table = search_files.write(folder / "table.safetensors")
    config["benchmark"]["path"] = str(table)
    trials.run(config, str(folder / "run"))
    return folder / "run", config


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished search, to be damaged."""
    return pathlib.Path(shutil.copytree(finished[0], tmp_path / "copy"))


def change(folder, **values):
    """Writes other values into `result.json`."""
    path = folder / "result.json"
    result.write(path, result.read(path) | values)


def report(folders, tmp_path, figures=""):
    path = tmp_path / "page.html"
    run.run([str(folder) for folder in folders], str(path), str(figures))
    return report_page.read(path)


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_search_has_numbers_intervals_controls_curves_and_cells(finished, tmp_path):
    folder, _ = finished
    found = report_page.of(folder, tmp_path)
    outcome = result.read(folder / "result.json")
    cells = found.text("td")
    for name, row in outcome["algorithms"].items():
        assert name in cells
        assert f"{100 * row['final_test_mean']:.3f}" in cells
        assert parts.interval(row["ci95"], 3, scale=100) in cells
        assert row["best"] in found.text("code")
    against = outcome["comparisons"]["regularized_evolution"]["random_search"]
    assert f"{100 * against['difference']:+.3f}" in cells
    assert f"{TRIALS} pairs, sign flips" in cells
    captions = found.text("figcaption")
    assert f"{TRIALS} trials each" in captions and "95\u00a0% intervals" in captions
    # Two regrets and a distribution, and a cell for each algorithm.
    assert found.count("figure") == 5 and found.count("svg") >= 5
    versions = outcome["versions"]
    assert f"jax {versions['jax']}" in found.text("dd")


def test_the_csv_files_hold_what_is_drawn(finished, tmp_path):
    folder, _ = finished
    report([folder], tmp_path, tmp_path / "figures")
    place = tmp_path / "figures" / "run"
    names = ("regret_queries", "regret_seconds", "ecdf")
    for name in names:
        assert (place / f"{name}.svg").read_bytes()[:5] == b"<?xml"
        assert (place / f"{name}.pdf").read_bytes()[:5] == b"%PDF-"
    curves = arrays.load(folder / "curves.safetensors")
    found = plots.results_of_run(result.read(folder / "result.json"), curves)
    drawn = plots.regret_plot(found).figure.axes
    rows = read_csv(place / "regret_queries.csv")
    for axes, split in zip(drawn, ("valid", "test"), strict=True):
        for line, name in zip(axes.lines, NAMES, strict=True):
            own = [r for r in rows if (r["algorithm"], r["split"]) == (name, split)]
            x, y = ([float(r[key]) for r in own] for key in ("queries", "mean"))
            np.testing.assert_array_equal(line.get_xdata(), x)
            np.testing.assert_array_equal(line.get_ydata(), y)
            band = curves[name][f"queries_{split}"]
            for end in ("mean", "low", "high"):
                np.testing.assert_array_equal(
                    [float(r[end]) for r in own], 100 * band[end]
                )
    ends = read_csv(place / "ecdf.csv")
    drawn = plots.ecdf_plot(found).figure.axes
    for axes, split in zip(drawn, ("valid", "test"), strict=True):
        for line, name in zip(axes.lines, NAMES, strict=True):
            own = [r for r in ends if (r["algorithm"], r["split"]) == (name, split)]
            # The line begins at 0 and ends at the right of the panel.
            shown = [float(r["final regret"]) for r in own]
            np.testing.assert_array_equal(line.get_xdata()[1:-1], shown)
            finals = np.sort(100 * curves[name]["final"][split])
            np.testing.assert_array_equal(shown, np.unique(finals))


def test_a_notebook_draws_the_same_from_histories(finished):
    folder, config = finished
    made = problem.load(
        config_door.read(settings.Trials, config_door.enter("launch/search.py", config))
    )
    tree = arrays.load(folder / "trials.safetensors")
    histories = {
        name: History(**tree[name] | {"archs": tree[name]["archs"].astype(np.int32)})
        for name in NAMES
    }
    ours = plots.results_of_histories(histories, made)
    theirs = plots.results_of_run(
        result.read(folder / "result.json"), arrays.load(folder / "curves.safetensors")
    )
    assert ours._replace(curves={}, finals={}) == theirs._replace(curves={}, finals={})
    jax.tree.map(np.testing.assert_array_equal, ours.finals, theirs.finals)
    jax.tree.map(np.testing.assert_array_equal, ours.curves, theirs.curves)


def test_the_configuration_of_the_page_makes_the_run_again(finished, tmp_path):
    folder, _ = finished
    found = report([folder], tmp_path, tmp_path / "figures")
    file = tmp_path / "figures" / "run" / reproduction.CONFIG_FILE
    config = runpy.run_path(str(file))["get_config"]()
    assert config.to_dict() == result.read(folder / "config.json")
    assert file.read_text("utf-8").strip() in found.text("code")
    command = f"python launch/search.py --config={file.name} --workdir=runs/again"
    assert command in found.text("code")


def test_names_settings_and_cells_from_files_are_text(copied, tmp_path):
    outcome = result.read(copied / "result.json")
    rows = outcome["algorithms"]
    rows[EVIL] = rows.pop("random_search")
    for cell in rows[EVIL]["found"]:
        cell["arch"] = f"arch {EVIL}"
    against = outcome["comparisons"]["regularized_evolution"]
    against[EVIL] = against.pop("random_search")
    outcome["report"]["data_set"] = f"data $ {EVIL}"
    outcome["config"]["settings"][EVIL] = {EVIL: EVIL, '"""': "'''\\"}
    outcome["versions"][EVIL] = EVIL
    outcome["notes"], outcome["warnings"] = [f"note {EVIL}"], [f"warning {EVIL}"]
    result.write(copied / "result.json", outcome)
    tree = arrays.load(copied / "curves.safetensors")
    tree["<b>"] = tree.pop("random_search")
    arrays.save(copied / "curves.safetensors", tree)
    folder = copied.rename(copied.with_name("<i>&'\""))
    found = report([folder], tmp_path, tmp_path / "figures")
    assert found.count("b") == 0 and str(folder) in found.text("code")
    for text in (f"note {EVIL}", f"warning {EVIL}", f"arch {EVIL}", f"data $ {EVIL}"):
        assert text in found.text()
    (file,) = (tmp_path / "figures").glob("*/config.py")
    config = runpy.run_path(str(file))["get_config"]()
    assert config.settings.to_dict()[EVIL] == {EVIL: EVIL, '"""': "'''\\"}


def damage(folder, name):
    """What is wrong with a folder, and a word of the line that says so."""
    path = folder / "result.json"
    if name == "torn":
        path.write_text(path.read_text()[:-200])
    elif name == "unfinished":
        path.unlink()
    elif name == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    elif name == "list":
        path.write_text("[1, 2]")
    elif name == "another":
        path.write_text('{"a": 1}')
    elif name == "absent":
        shutil.rmtree(folder)
    elif name == "types":
        change(folder, algorithms=["a", "b"])
    elif name == "nulls":
        change(folder, report=None)
    else:
        change(folder, config={"algorithms": 3, "benchmark": 4})


DAMAGES = {
    "torn": "not a JSON file",
    "unfinished": "the run is not finished",
    "empty": "holds no run",
    "list": "not a JSON object",
    "another": "not the result of a job",
    "absent": "there is no such folder",
    "types": "not a result that can be shown",
    "nulls": "not a result that can be shown",
    "config": "not a result that can be shown",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_a_line_and_the_others_are_shown(
    name, copied, tmp_path, capsys
):
    good = pathlib.Path(shutil.copytree(copied, tmp_path / "good"))
    (good / "curves.safetensors").unlink()  # the page is made sooner without
    damage(copied, name)
    found = report([copied, good], tmp_path)
    (line,) = [t for tag, t in found.texts if tag == "p" and DAMAGES[name] in t]
    assert str(copied) in line
    assert "Search: nasbench201 on cifar10" in found.text("h2")
    assert found.text("h1") == "nasjax: 1 run"
    assert f"left out: {copied}" in capsys.readouterr().out


def test_files_beside_the_result_can_be_missing_or_damaged(copied, tmp_path):
    (copied / "curves.safetensors").write_bytes(b"no arrays")
    outcome = result.read(copied / "result.json")
    for row in outcome["algorithms"].values():
        for cell in row["found"]:
            cell["genes"] = [9] * 6
    change(copied, algorithms=outcome["algorithms"])
    found = report([copied], tmp_path)
    told = [text for tag, text in found.texts if tag == "p"]
    assert any("curves.safetensors" in text for text in told)
    assert any("genes that are no architecture" in text for text in told)
    assert found.count("figure") == 0 and "random_search" in found.text("td")


def test_older_curves_have_no_final_regrets(copied, tmp_path):
    tree = arrays.load(copied / "curves.safetensors")
    for own in tree.values():
        del own["final"]
    arrays.save(copied / "curves.safetensors", tree)
    found = report([copied], tmp_path)
    assert "no trial has a final regret; run the same command again" in found.text("p")
    assert found.count("figure") == 4


def test_no_run_at_all_is_a_page_and_no_folder_an_error(tmp_path):
    found = report([tmp_path / "nothing"], tmp_path)
    assert "No finished run was found." in found.text("p")
    with pytest.raises(errors.ConfigError, match="--workdirs"):
        run.run([], str(tmp_path / "page.html"))
    with pytest.raises(errors.ConfigError, match="--output"):
        run.run([str(tmp_path)], "")


def on(folder, data_set, tmp_path, **means):
    """A search of the same algorithms on another data set, with other mean scores."""
    made = workdirs.read(folder)
    outcome = copy.deepcopy(dict(made.outcome))
    for name, mean in means.items():
        outcome["algorithms"][name]["final_test_mean"] = mean
    outcome["report"]["data_set"] = data_set
    return made._replace(folder=tmp_path / data_set, outcome=outcome)


def test_ranks_need_three_data_sets(finished, tmp_path):
    means = {"random_search": 0.8, "regularized_evolution": 0.9}
    one, *others = [on(finished[0], name, tmp_path, **means) for name in "abcde"]
    assert rank_section.build([one]) == []
    (told,) = rank_section.build([one, others[0]])
    assert "Searches on 2 data sets" in told and "tested from 3 on" in told
    again = one._replace(folder=tmp_path / "again")
    plot, told = rank_section.build([one, *others, again])
    assert f"{tmp_path}/again: nasbench201/a again, not ranked" in told
    assert "2 algorithms over 5 data sets" in plot.caption
    ranks = dict(zip(plot.columns["algorithm"], plot.columns["mean rank"], strict=True))
    assert ranks == {"regularized_evolution": 1.0, "random_search": 2.0}
    assert "not all alike" in plot.caption
    alone = [run.outcome["algorithms"].pop("random_search") for run in [one, *others]]
    (told,) = rank_section.build([one, *others])
    assert "two algorithms" in told and len(alone) == 5


def test_folders_of_one_name_are_apart_and_one_named_twice_is_one(copied, tmp_path):
    (copied / "curves.safetensors").unlink()  # the page is made sooner without
    first, second = (shutil.copytree(copied, tmp_path / x / "run") for x in "ab")
    found = report([first, second, first], tmp_path, tmp_path / "figures")
    assert found.text("h1") == "nasjax: 2 runs"
    assert (tmp_path / "figures" / "run-2" / "config.py").exists()


def test_a_path_that_is_none_is_a_line(tmp_path):
    found = report(["~nobody_of_that_name/x", "a\0b", "x" * 5000], tmp_path)
    assert [a.get("class") for _, a in found.tags].count("warning") == 4


def test_searches_inside_a_folder_are_found(finished, tmp_path):
    outer = tmp_path / "outer"
    inside = shutil.copytree(finished[0], outer / "search" / "cifar10")
    (outer / "search" / "result.json").write_text("{}")
    (outer / "search" / "tables").mkdir()
    found = workdirs.expand([str(outer)])
    assert found == [outer / "search", pathlib.Path(inside)]
    assert workdirs.expand([str(outer / "search")]) == [outer / "search"]
    (outer / "pretraining.json").write_text("{}")
    assert workdirs.expand([str(outer)]) == [outer, *found]
    shutil.rmtree(inside)
    assert workdirs.expand([str(outer)]) == [outer]


def places(tree, path=()):
    """Paths of all values of a JSON object."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))
        else:
            yield (*path, key)


WRONG = (None, "x", -1, 1e308, True, [], {}, [[1]], {"a": {}}, "\x00$\\frac", 10**400)


def test_any_wrong_value_in_a_result_is_shown_or_refused(copied, tmp_path):
    (copied / "curves.safetensors").unlink()  # the page is made sooner without
    outcome = result.read(copied / "result.json")
    everywhere = [path for path in places(outcome) if path]
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        changed = copy.deepcopy(outcome)
        *above, last = everywhere[rng.integers(len(everywhere))]
        inner = changed
        for key in above:
            inner = inner[key]
        inner[last] = WRONG[rng.integers(len(WRONG))]
        (copied / "result.json").write_text(json.dumps(changed))
        path = tmp_path / "page.html"
        run.run([str(copied)], str(path))
        found = report_page.read(path)
        refused += found.text("h1") == "nasjax: 0 runs"
    assert 0 < refused < 150
