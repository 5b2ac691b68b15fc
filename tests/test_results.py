"""Every number of a table in the text is that of a collected file, which is current."""

import importlib.util
import json

import pytest
import shared

from nasjax.core import result

FOLDER = shared.ROOT / "docs" / "results"

UNQUOTED = {
    "hmnas.md": (
        "| stage | test accuracy (%) | parameters | MACs |",
        "| table | thesis | here | why not comparable, or not matched |",
    ),
    "surrogates.md": (
        "| features | avg. R2 | final R2 | avg. KT | final KT |",
        "| NAME (curves x epochs) | avg. R2 | final R2 | avg. KT | final KT | "
        "first three: avg. R2, final R2, avg. KT, final KT |",
    ),
    "arch2vec.md": (
        "| variant | exact | validity | unique | strict validity | unique, strict | "
        "CPU s | distance | neighbours |",
        "| variant | exact | validity | unique | strict validity | CPU s | distance | "
        "neighbours |",
    ),
    "speed.md": (
        "| what | ours | reference | ours / reference |",
        "| what | ours | plain Python | ours / reference | compilation |",
    ),
}
"""Headers of tables whose numbers no file stands behind yet; to be emptied."""

FACTS = (
    "| chapter | system | folder | state |",
    "| benchmark | cells | official file | size |",
    "| name | paper |",
    "| script | what it runs | guide | results |",
)
"""Headers of tables whose numbers are not measured."""


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


collect, render = load("collect"), load("render")


@pytest.mark.parametrize("path", render.documents(), ids=lambda path: path.name)
def test_the_text_quotes_what_was_collected(path):
    text = path.read_text(encoding="utf-8")
    assert render.render(text, path.name) == text, "run python docs/results/render.py"
    allowed = UNQUOTED.get(path.name, ()) if path.parent == FOLDER else ()
    found = set(render.unquoted(text)) - set(FACTS)
    assert found <= set(allowed), "tables without a collected file"
    assert set(allowed) <= found, "quoted by now: take them out of UNQUOTED"


def test_every_block_is_used_and_every_file_quoted():
    text = "".join(path.read_text(encoding="utf-8") for path in render.documents())
    blocks = sorted((FOLDER / "blocks").glob("*.md"))
    assert [p.stem for p in blocks if f"<!-- results: {p.stem} -->" not in text] == []
    templates = "".join(path.read_text(encoding="utf-8") for path in blocks)
    files = sorted((FOLDER / "data").glob("*.json"))
    assert [p.stem for p in files if f"{p.stem}:" not in templates] == []


@pytest.mark.parametrize(
    "path", sorted((FOLDER / "data").glob("*.json")), ids=lambda path: path.stem
)
def test_collected_numbers_rest_on_the_files_of_this_checkout(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["command"].startswith(("python ", "for ", "make "))
    assert path.stat().st_size <= collect.LARGEST
    for name, digest in document["rests_on"].items():
        assert collect.digest(shared.ROOT / name) == digest, (
            f"{name} has changed since: run {document['command']} again"
        )
    for text in collect.strings(document):
        assert not text.startswith("/"), text


# --- the two scripts -----------------------------------------------------------------


def outcome(shift=0.0):
    """A `result.json` of searches: the fields that tables read."""

    def row(mean, clusters=None):
        mean += shift
        return {
            "final_test_mean": mean,
            "ci95": [mean - 0.001, mean + 0.002],
            "final_valid_mean": mean - 0.01,
            "final_valid_ci95": None,
            "regret_mean": 0.95 - mean,
            "found_optimum": 0.25,
            "num_trials": 500,
            "clusters": clusters,
            "queries": 102.4,
            "cpu_seconds": 1234.5,
        }

    found = {"difference": 0.0025, "ci95": [-0.0001, 0.005], "p_value": 0.0123}
    facts = {"algorithm": "random_search", "split": "test"}
    return {
        "algorithms": {
            "random_search": row(0.94),
            "arch2vec_rl": row(0.9425, 5),
            "own": row(0.9),
        },
        "comparisons": {"arch2vec_rl": {"random_search": found}},
        "tables": {"3.3": [{"settings": facts, "thesis": 93.75}]},
        "config": {"benchmark": {"name": "digits201", "path": "/home/me/table.x"}},
        "archs": list(range(100)),
        "versions": {"jax": "1"},
    }


@pytest.fixture
def data(tmp_path, monkeypatch):
    """What is collected of a folder of searches, where the scripts look for it."""
    folder = tmp_path / "run"
    result.write(folder / "result.json", outcome())
    result.write(folder / "c10" / "result.json", outcome(0.001))
    result.write(folder / "trials" / "0.json", {"not": "collected"})
    (tmp_path / "blocks").mkdir()
    labels = (FOLDER / "labels.json").read_text(encoding="utf-8")
    (tmp_path / "labels.json").write_text(labels, encoding="utf-8")
    monkeypatch.setattr(collect, "DATA", tmp_path / "data")
    monkeypatch.setattr(render, "HERE", tmp_path)
    collect.main(["--name=mine", "--command=python x", f"--workdir={folder}"])
    return tmp_path


def test_what_is_collected_is_small_and_says_what_it_rests_on(data):
    document = json.loads((data / "data" / "mine.json").read_text(encoding="utf-8"))
    assert document.keys() == {"command", "note", "result", "c10", "rests_on"}
    assert "archs" not in document["result"]
    assert document["result"]["config"]["benchmark"]["path"] == "PATH/table.x"
    (file,) = document["rests_on"]
    assert file == "nasjax/nasbench/digits201.safetensors"
    assert document["rests_on"][file] == collect.digest(shared.ROOT / file)
    for folders, message in (([data / "no"], "no such folder"), ([], "nothing was")):
        with pytest.raises(ValueError, match=message):
            collect.collect("python x", [str(folder) for folder in folders])
    lines = data / "lines"
    lines.write_text('a log\n{"config": "a", "ratio": 0.5}\n', encoding="utf-8")
    found = collect.collect("python x", [], str(lines))
    assert found["lines"] == [{"config": "a", "ratio": 0.5}]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("mine:result/algorithms/own/final_test_mean|%2", "90.00"),
        ("mine:result/algorithms/own/final_test_mean|x2", ".90"),
        ("mine:result/algorithms/own/ci95|ci%1", "89.9 - 90.2"),
        ("mine:result/algorithms/own/clusters|0", "-"),
        ("mine:result/algorithms/own/cpu_seconds|,0", "1,234"),
        ("mine:result/algorithms/*/num_trials|0", "500"),
        ("mine:result/tables/3.3/[algorithm=random_search]/thesis|2", "93.75"),
        ("mine:result/comparisons/arch2vec_rl/random_search/difference|%+2", "+0.25"),
        ("mine:command", "python x"),
    ],
)
def test_places_are_filled(data, form, text):
    assert render.block(f"x {{{form}}} y", "b") == f"x {text} y\n"


def test_searches_are_a_table_best_first(data):
    line = "@search mine:result columns=algorithm,test,valid,embeddings,against,thesis"
    lines = render.block(line, "b").splitlines()
    assert lines[0].startswith("| algorithm | test | validation | embeddings | against")
    assert lines[2] == (
        "| arch2vec-RL | 94.25 (94.15 - 94.45) | 93.25 | 5 | "
        "+0.250 (-0.010 to +0.500), p = 0.0123 |  |"
    )
    assert lines[3].startswith("| *control:* random search | 94.00")
    assert lines[3].endswith("| 93.75 |") and lines[4].startswith("| own |")
    line = "@search mine:result columns=algorithm,trials,mean@c10 only=own"
    lines = render.block(line, "b").splitlines()
    assert lines == [
        "| algorithm | trials | c10, test |",
        "| --- | --- | --- |",
        "| own | 500 | 90.100 |",
    ]


def test_the_control_is_the_one_that_the_entry_names_first():
    rows = {"a_random": {"difference": 0.5}, "own_control": {"difference": 0.25}}
    for row in rows.values():
        row |= {"ci95": [0.0, 1.0], "p_value": 0.5}
    run = {"comparisons": {"x": rows}, "config": {}}
    assert render._against(run, "x").startswith("+50.000")
    named = {"settings": {"x": {"against": ["absent", "own_control", "a_random"]}}}
    for config in (named, {"search": named}):
        assert render._against(run | {"config": config}, "x").startswith("+25.000")


def test_a_changed_number_changes_the_text(data):
    (data / "blocks" / "one.md").write_text(
        "| a | b |\n| --- | --- |\n| x | {mine:result/algorithms/own/queries|1} |\n",
        encoding="utf-8",
    )
    text = "before\n<!-- results: one -->\nold\n<!-- end of one -->\nafter\n"
    drawn = render.render(text)
    assert "| x | 102.4 |" in drawn and drawn.startswith("before\n")
    assert render.render(drawn) == drawn
    path = data / "data" / "mine.json"
    path.write_text(path.read_text().replace("102.4", "103.4"), encoding="utf-8")
    assert "| x | 103.4 |" in render.render(drawn)
    assert render.unquoted(drawn) == []
    assert render.unquoted("| h | i |\n| - | - |\n| 1 | 2 |\n| 3 | x |\n") == [
        "| h | i |"
    ]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{none:result}", "no docs/results/data/none.json"),
        ("{mine:result/algorithm/own|1}", r"no 'algorithm' \(there: algorithms"),
        ("{mine:result/tables/3.3/[algorithm=x]/thesis|1}", "0 rows are"),
        ("{mine:result/algorithms/own/queries|y}", "format 'y'"),
        ("| x | 93.2 |", "93.2 is a number in the template"),
        ("@search mine:result columns=algorithm,mean,speed", "column 'speed'"),
    ],
)
def test_templates_that_do_not_fit_are_named(data, template, message):
    with pytest.raises(render.Broken, match=message):
        render.block(template, "b")
    with pytest.raises(render.Broken, match="end of a --> is missing"):
        render.render("<!-- results: a -->\n")
