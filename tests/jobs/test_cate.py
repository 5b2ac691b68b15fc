"""`launch/cate.py`: pre-training with seeds, quality of encodings, searches."""

import json

import filled
import numpy as np
import pytest

from nasjax.core import arrays
from nasjax.core.errors import ConfigError, DataError
from nasjax.jobs.cate import modes, pretrain
from nasjax.search import embedding_table

CONFIG = {
    "pretraining": {
        "space": "nasbench201",
        "variants": ["cate"],
        "seeds": [0, 1],
        "num_archs": 300,
        "epochs": 1,
        "batch_size": 64,
        "settings": {
            "cate": {
                "variant": "thesis",
                "num_layers": 1,
                "num_cross_layers": 1,
                "width": 8,
                "num_heads": 2,
                "hidden": 8,
                "cross_hidden": 8,
            }
        },
    },
    "quality": {
        "benchmark": "digits201",
        "encodings": ["path_one_hot_truncated"],
        "controls": ["one_hot"],
        "labels": [20],
        "num_draws": 3,
        "num_tested": 30,
        # What two seeds drew are other architectures: few are in both files.
        "num_archs": 0,
    },
    "search": {
        "benchmark": {"name": "digits201"},
        "budget": {"queries": 12},
        "num_trials": 2,
        "algorithms": ["random_search", "cate_dngo_ls"],
        "settings": {
            "random_search": {},
            "cate_dngo_ls": {
                "table": "cate",
                "num_init": 6,
                "predictor_options": {"epochs": 2},
            },
        },
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cate")
    return folder, modes.run(CONFIG, str(folder))


def test_every_seed_leaves_what_it_learnt(run):
    folder, outcome = run
    written = json.loads((folder / "result.json").read_text())
    assert written["seeds"] == [0, 1] and written["num_archs"] == 300
    row = outcome["variants"]["cate"]
    assert row["loss"]["ci95"][0] < row["loss"]["mean"] < row["loss"]["ci95"][1]
    assert 0 <= row["accuracy_operations"]["mean"] <= 1
    assert row["cpu_seconds"]["mean"] > 0
    tables = [
        arrays.load(pretrain.place_of(folder, seed, "cate") / "embeddings.safetensors")
        for seed in (0, 1)
    ]
    # One layer tells few cells apart: rows share vectors.
    assert tables[0]["codes"].shape == (300,) and tables[0]["vectors"].shape[1] == 8
    assert len(tables[0]["vectors"]) == tables[0]["codes"].max() + 1 < 300
    assert not np.array_equal(tables[0]["archs"], tables[1]["archs"])


def test_what_is_finished_is_read_back(run, monkeypatch):
    folder, outcome = run

    def train(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(pretrain, "_train", train)
    again = modes.run(CONFIG, str(folder))
    assert again["variants"] == json.loads(json.dumps(outcome["variants"]))
    file = pretrain.place_of(folder, 1, "cate") / "measured.json"
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    with pytest.raises(AssertionError, match="trained again"):
        modes.run(CONFIG, str(folder))
    file.write_text(text)


def test_other_encoders_are_pretrained_beside_it(run):
    folder, _ = run
    other = {"encoder": "arch2vec", "epochs": 1, "changes": {"width": 8, "latent": 4}}
    settings = CONFIG["pretraining"]["settings"] | {"other": other}
    section = {"variants": ["cate", "other"], "settings": settings, "seeds": [0]}
    config = CONFIG | {"pretraining": CONFIG["pretraining"] | section}
    outcome = modes.run(config, str(folder.parent / "other"))
    row = outcome["variants"]["other"]
    assert row["loss"]["mean"] is None and row["cpu_seconds"]["mean"] > 0
    place = pretrain.place_of(folder.parent / "other", 0, "other")
    table = arrays.load(place / "embeddings.safetensors")
    assert table["vectors"].shape[1] == 4
    section["settings"] = settings | {"other": {"encoder": "darts2vec"}}
    config = CONFIG | {"pretraining": CONFIG["pretraining"] | section}
    with pytest.raises(ConfigError, match="arch2vec"):
        modes.run(config, str(folder.parent / "third"))


def test_encodings_are_compared_on_the_same_labels(run, tmp_path):
    folder, _ = run
    # A second learned encoding, from a file: the first one's own vectors.
    source = pretrain.place_of(folder, 0, "cate") / "embeddings.safetensors"
    config = CONFIG | {
        "pretraining": CONFIG["pretraining"] | {"seeds": [0]},
        "quality": CONFIG["quality"] | {"tables": {"again": str(source)}},
    }
    found = modes.run(config, str(folder), "encodings")["encodings"]["20"]
    assert set(found) == {"cate", "again", "path_one_hot_truncated", "one_hot"}
    assert found["cate"]["tau"] == found["again"]["tau"]
    assert found["again"]["against"]["one_hot"]["difference"] == pytest.approx(
        found["again"]["tau"] - found["one_hot"]["tau"]
    )
    missing = {"tables": {"other": str(tmp_path / "none.safetensors")}}
    with pytest.raises(DataError, match="quality.tables.other=FILE"):
        quality = CONFIG["quality"] | missing
        modes.run(config | {"quality": quality}, str(folder), "encodings")


def test_searches_read_the_embeddings_of_each_seed(run, monkeypatch):
    folder, _ = run
    seen = []
    check = embedding_table.check

    def note(table, space, *, needed):
        seen.append(np.asarray(table.vectors))
        check(table, space, needed=needed)

    monkeypatch.setattr(embedding_table, "check", note)
    outcome = modes.run(CONFIG, str(folder), "search")
    assert outcome["algorithms"]["cate_dngo_ls"]["clusters"] == 2
    stored = arrays.load(
        pretrain.place_of(folder, 1, "cate") / "embeddings.safetensors"
    )
    assert any(np.array_equal(vectors, stored["vectors"]) for vectors in seen)


@pytest.mark.parametrize(
    "section, message",
    [
        ({"variants": ["other"]}, "pretraining.settings.other.variant"),
        ({"variants": []}, "variants is empty"),
        ({"seeds": [0, 0]}, r"seeds = \[0, 0\]"),
        ({"space": "nasbench_nlp"}, "space of CATE"),
    ],
)
def test_mistakes_are_named(section, message, tmp_path):
    config = CONFIG | {"pretraining": CONFIG["pretraining"] | section}
    with pytest.raises(ConfigError, match=message):
        modes.run(config, str(tmp_path))
    with pytest.raises(DataError, match="run --mode=pretrain first"):
        modes.run(CONFIG, str(tmp_path), "search")


def test_the_presets_can_be_made():
    for preset in ("full", "cpu", "smoke"):
        config = filled.plain(load("nasbench201", preset))
        own = pretrain.config_door.enter("launch/cate.py", config)
        made = pretrain.config_door.read(pretrain.Config, own).pretraining
        for name in ("cate", "both"):
            model, recipe = pretrain.configure(made, name)
            assert recipe.batch_size == made.batch_size
            assert model.settings.num_layers == (12 if preset == "full" else 4)


def load(name, preset):
    import runpy

    path = filled.ROOT / "cate" / f"{name}.py"
    return runpy.run_path(str(path))["get_config"](preset)
