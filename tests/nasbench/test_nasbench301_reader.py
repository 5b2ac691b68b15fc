"""NAS-Bench-301 boosters of several library versions, read without the libraries."""

import base64
import json
import os
import pathlib
import pickle
import zlib

import lightgbm
import numpy as np
import official_files
import official_surrogates as official
import pytest

from nasjax.core import safe_pickle
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import boosters, nasbench301, xgboost_snapshot
from nasjax.nasbench.surrogate.trees import xgboost_json

STORED = pathlib.Path(__file__).with_name("xgboost_pickles.json")
VERSIONS = ("0.90", "1.2.0", "1.3.3", "1.7.6")


@pytest.fixture(scope="module")
def stored():
    """Boosters that those versions of XGBoost pickled, rows and their predictions."""
    content = json.loads(STORED.read_text())
    pickles = {
        version: zlib.decompress(base64.b64decode(text))
        for version, text in content["pickles"].items()
    }
    assert tuple(pickles) == VERSIONS
    return pickles, np.array(content["rows"]), np.array(content["predictions"])


@pytest.fixture(scope="module")
def booster():
    features, curves = official.data()
    train = lightgbm.Dataset(features, curves[:, -1], free_raw_data=False)
    options = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}
    return lightgbm.train(options, train, 4)


def read(content):
    return nasbench301.read_member(content, "file")


def plain_predictions(text, rows):
    """Walks every tree of a model's JSON."""
    learner = json.loads(text)["learner"]
    total = np.full(len(rows), float(learner["learner_model_param"]["base_score"]))
    for tree in learner["gradient_booster"]["model"]["trees"]:
        for i, row in enumerate(rows):
            node = 0
            while tree["left_children"][node] >= 0:
                value = row[tree["split_indices"][node]]
                go_left = value < tree["split_conditions"][node]
                node = tree["left_children" if go_left else "right_children"][node]
            total[i] += tree["split_conditions"][node]
    return total


@pytest.mark.parametrize("version", VERSIONS)
def test_xgboost_of_every_form(stored, version):
    pickles, rows, predictions = stored
    member = read(pickles[version])
    assert member.library == "xgboost" and member.num_features == 4
    assert member.decoder is None and member.kernel is None and member.num_epochs == 1
    (text,) = member.models
    np.testing.assert_allclose(plain_predictions(text, rows), predictions, rtol=1e-6)
    # Fields and numbers are those of the newest form, as far as that has them.
    model = json.loads(text)["learner"]["gradient_booster"]["model"]
    newest = json.loads(read(pickles["1.7.6"]).models[0])
    newest = newest["learner"]["gradient_booster"]["model"]
    for tree, other in zip(model["trees"], newest["trees"], strict=True):
        for key in (
            "left_children",
            "right_children",
            "split_indices",
            "parents",
            "id",
        ):
            assert tree[key] == other[key], key
        for key in ("split_conditions", "base_weights", "sum_hessian", "loss_changes"):
            np.testing.assert_allclose(tree[key], other[key], rtol=1e-5, atol=1e-4)
        assert list(map(bool, tree["default_left"])) == list(
            map(bool, other["default_left"])
        )
    assert model["tree_info"] == newest["tree_info"]


def test_the_same_trees_whatever_the_form(stored):
    parsed = [xgboost_json.parse(read(data).models[0]) for data in stored[0].values()]
    assert parsed[0].num_trees == 3
    for trees in parsed[1:]:
        assert trees == parsed[0]


def test_the_installed_xgboost_reads_the_text(stored):
    xgboost = pytest.importorskip("xgboost")
    pickles, rows, predictions = stored
    ours = xgboost.Booster()
    ours.load_model(bytearray(read(pickles["1.7.6"]).models[0], "utf-8"))
    found = ours.predict(xgboost.DMatrix(rows))
    np.testing.assert_allclose(found, predictions, rtol=1e-6)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_installed_xgboost(protocol):
    xgboost = pytest.importorskip("xgboost")
    features, curves = official.data()
    data = xgboost.DMatrix(features, curves[:, -1])
    for kind in ("gbtree", "dart"):
        # XGBoost 3.4 warns that dart and gblinear are deprecated.
        options = {"booster": kind, "max_depth": 3, "nthread": 1, "verbosity": 0}
        theirs = xgboost.train(options, data, 4)
        (text,) = read(pickle.dumps(theirs, protocol)).models
        ours = xgboost.Booster()
        ours.load_model(bytearray(text, "utf-8"))
        np.testing.assert_array_equal(ours.predict(data), theirs.predict(data))
    options = {"booster": "gblinear", "nthread": 1, "verbosity": 0}
    linear = xgboost.train(options, data, 2)
    with pytest.raises(DataError, match="file: a booster of kind 'gblinear'"):
        read(pickle.dumps(linear, protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_lightgbm_text_is_kept(booster, protocol):
    member = read(pickle.dumps(booster, protocol))
    assert member.library == "lightgbm" and member.num_features == 5
    assert member.models == (booster.model_to_string(),)
    features, _ = official.data(seed=2)
    ours = lightgbm.Booster(model_str=member.models[0])
    np.testing.assert_array_equal(ours.predict(features), booster.predict(features))


def test_the_download_with_its_networks_left_out(tmp_path, stored, booster, capsys):
    pickles, _, _ = stored
    trees = [pickles["1.2.0"], pickles["1.2.0"], pickles["1.3.3"]]
    files = {
        **official.ensemble_files([b"weights"] * 2, "gnn_gin", "gnn_gin_v1.0/"),
        **official.ensemble_files(trees, "xgb", "xgb_v1.0/"),
    }
    runtime = official.member_files(pickle.dumps(booster), "lgb_time")
    files |= {f"lgb_runtime_v1.0/{name}": data for name, data in runtime.items()}
    official_files.write_zip(tmp_path / "models.zip", files)
    runtime, accuracy = nasbench301.read(tmp_path / "models.zip")
    assert "left out 2 members" in capsys.readouterr().out
    assert (accuracy.name, accuracy.copies) == ("xgb_v1.0", (2, 1))
    assert (runtime.name, runtime.copies) == ("lgb_runtime_v1.0", (1,))
    assert nasbench301.is_runtime(runtime) and not nasbench301.is_runtime(accuracy)


class Reduces:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_calls_are_refused_and_not_made(tmp_path, booster, protocol):
    mark = tmp_path / "mark"
    for content in (
        Reduces(os.system, f"touch {mark}"),
        [booster, Reduces(os.system, f"touch {mark}")],
        Reduces(bytearray, Reduces(os.system, f"touch {mark}")),
    ):
        with pytest.raises(DataError, match="^file: refused"):
            read(pickle.dumps(content, protocol))
    assert not mark.exists()


def test_truncated_and_damaged_files_are_named(booster, stored):
    for data in (pickle.dumps(booster), stored[0]["1.2.0"]):
        for end in range(0, len(data), len(data) // 40):
            with pytest.raises(DataError, match="^file: .*(truncated|empty|download)"):
                read(data[:end])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_truncated_model_inside_a_whole_pickle(stored, version):
    value = safe_pickle.load(stored[0][version], allow=boosters.ALLOW)
    handle = bytes(value.state["handle"])
    for end in (0, 1, 5, 60, 500, len(handle) // 4):
        with pytest.raises(DataError, match="^file: "):
            xgboost_snapshot.model_json(handle[:end], name="file")
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(handle)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            json.loads(xgboost_snapshot.model_json(damaged, name="file"))
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "value, message",
    [
        ([1], "expected, not list"),
        (lightgbm.LGBMRegressor(), "expected, not Estimator"),
        (np.arange(3), "expected, not"),
    ],
)
def test_other_objects_are_named(value, message):
    with pytest.raises(DataError, match=f"^file: not of the official .*{message}"):
        read(pickle.dumps(value))


def test_a_booster_without_its_text(booster):
    data = pickle.dumps(booster, 2)
    assert b"tree\nversion" in data
    with pytest.raises(DataError, match="file: a booster without its model"):
        read(data.replace(b"tree\nversion", b"TREE\nversion"))


def test_networks_are_refused_by_name(tmp_path):
    files = official.ensemble_files([b"weights"], "gnn_gin")
    official.write_folder(tmp_path, files)
    with pytest.raises(DataError, match="technique 'gnn_gin'.*xgb, lgb"):
        nasbench301.read(tmp_path)
    data = b"\x80\x02ctorch.nn\nLinear\n)\x81."
    with pytest.raises(DataError, match="technique 'a torch network'"):
        read(data)
