"""Readers of LightGBM's and XGBoost's models against the libraries themselves."""

import json

import lightgbm
import numpy as np
import pytest
from reference import plain_forest

from nasjax.core import arrays, errors
from nasjax.nasbench.surrogate.trees import lightgbm_text, tree_arrays, xgboost_json

ROWS, COLUMNS = 300, 4
LIGHTGBM = {
    "numbers": {},
    "averaged": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    "dropped": {"boosting": "dart", "drop_rate": 0.5},
    "zero_is_missing": {"zero_as_missing": True},
    "nothing_is_missing": {"use_missing": False},
    "categories": {"categorical_feature": [0, 1], "max_cat_to_onehot": 1},
    "single_categories": {"categorical_feature": [0, 1], "max_cat_to_onehot": 64},
    "absolute": {"objective": "regression_l1"},
    "constant": {"min_data_in_leaf": ROWS},
}
XGBOOST = {
    "numbers": {},
    "by_gain": {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0},
    "dropped": {"booster": "dart", "rate_drop": 0.5},
    "several_at_once": {"num_parallel_tree": 3, "subsample": 0.5},
    "exact": {"tree_method": "exact"},
    "categories": {"kinds": "ccqq", "max_cat_to_onehot": 1},
    "single_categories": {"kinds": "ccqq", "max_cat_to_onehot": 64},
    "pruned": {"gamma": 2.0, "tree_method": "exact", "max_depth": 6},
}


def make_data(seed=0):
    """Small integers and real numbers, some missing and some zero; targets."""
    rng = np.random.default_rng(seed)
    x = np.empty((ROWS, COLUMNS))
    x[:, 0] = rng.integers(0, 7, ROWS)
    x[:, 1] = rng.integers(0, 40, ROWS)
    x[:, 2:] = rng.normal(size=(ROWS, 2))
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 2:][rng.random((ROWS, 2)) < 0.2] = 0.0
    clean = np.nan_to_num(x, nan=-2.0)
    y = np.sin(3 * clean[:, 0]) + clean[:, 1] % 3 + clean[:, 2] * (clean[:, 3] > 0)
    return x, y + 0.1 * rng.normal(size=ROWS)


def make_inputs():
    """Inputs to predict: seen ones, unseen categories, fractions, huge numbers."""
    x, _ = make_data(seed=1)
    x[:5, 0] = [50, -1, 3.7, 1000, 0.5]
    x[5:9, 2] = [1e-36, -1e-36, 1e30, -1e30]
    return x


def fit_lightgbm(**options):
    x, y = make_data()
    categorical = options.pop("categorical_feature", "auto")
    parameters = {"num_leaves": 12, "min_data_in_leaf": 5, "seed": 3, "verbosity": -1}
    parameters |= {"min_data_per_group": 5, "cat_smooth": 1.0, "num_threads": 1}
    parameters |= {"objective": "regression"} | options
    data = lightgbm.Dataset(
        x, y, categorical_feature=categorical, params=dict(parameters)
    )
    return lightgbm.train(parameters, data, num_boost_round=12)


def fit_xgboost(**options):
    xgboost = pytest.importorskip("xgboost")
    x, y = make_data()
    kinds = list(options.pop("kinds", "qqqq"))
    rounds = options.pop("rounds", 12)
    target = options.pop("target", y)
    parameters = {"max_depth": 4, "seed": 3, "nthread": 1, "verbosity": 0} | options
    data = xgboost.DMatrix(x, target, feature_types=kinds, enable_categorical=True)
    return xgboost.train(parameters, data, num_boost_round=rounds), kinds


def xgboost_inputs(kinds):
    """XGBoost itself refuses categories that it has not seen and negative ones."""
    x = make_inputs()
    if "c" in kinds:
        x[:5, 0] = [0, 1, 2, 3, 6]
    return x


@pytest.mark.parametrize("options", LIGHTGBM.values(), ids=LIGHTGBM.keys())
def test_a_walk_through_lightgbm_s_text_predicts_what_lightgbm_does(options):
    booster = fit_lightgbm(**options)
    model = lightgbm_text.parse(booster)
    x = make_inputs()
    np.testing.assert_allclose(
        plain_forest.predict(model, x), booster.predict(x), rtol=0, atol=1e-12
    )


def test_models_hold_what_their_options_say():
    kinds = {
        name: lightgbm_text.parse(fit_lightgbm(**o)) for name, o in LIGHTGBM.items()
    }
    rules = {name: set((m.kind >> 2).tolist()) for name, m in kinds.items()}
    assert tree_arrays.NAN_IS_MISSING in rules["numbers"]
    assert tree_arrays.ZERO_IS_MISSING in rules["zero_is_missing"]
    assert rules["nothing_is_missing"] == {tree_arrays.NAN_IS_ZERO}
    assert (kinds["categories"].kind & tree_arrays.CATEGORICAL).any()
    assert np.diff(kinds["categories"].set_start).max() > 1
    assert set(kinds["constant"].num_leaves.tolist()) == {1}


def test_a_booster_that_stopped_early_keeps_its_best_trees():
    x, y = make_data()
    data, held = lightgbm.Dataset(x, y), lightgbm.Dataset(*make_data(seed=7))
    parameters = {"objective": "regression", "verbosity": -1, "num_threads": 1}
    stop = lightgbm.early_stopping(2, verbose=False)
    booster = lightgbm.train(
        parameters, data, num_boost_round=60, valid_sets=[held], callbacks=[stop]
    )
    model = lightgbm_text.parse(booster)
    assert model.num_trees == booster.best_iteration < 60
    found = plain_forest.predict(model, x[:50])
    np.testing.assert_allclose(found, booster.predict(x[:50]), atol=1e-12)


def test_an_xgboost_regressor_that_stopped_early_keeps_its_best_trees():
    xgboost = pytest.importorskip("xgboost")
    x, y = make_data()
    regressor = xgboost.XGBRegressor(n_estimators=60, early_stopping_rounds=2, n_jobs=1)
    regressor.fit(x, y, eval_set=[make_data(seed=7)], verbose=False)
    model = xgboost_json.parse(regressor)
    assert model.num_trees == regressor.best_iteration + 1
    assert model.num_trees < regressor.get_booster().num_boosted_rounds()
    found = plain_forest.predict(model, x[:50])
    np.testing.assert_allclose(found, regressor.predict(x[:50]), atol=3e-6)


@pytest.mark.parametrize("name", ["numbers", "averaged", "categories"])
def test_treelite_reads_the_same_trees(name):
    treelite = pytest.importorskip("treelite")
    booster = fit_lightgbm(**LIGHTGBM[name])
    text = booster.model_to_string()
    x = make_inputs()[9:]  # treelite refuses or clips what is no category
    theirs = treelite.frontend.from_lightgbm(booster)
    expected = np.asarray(treelite.gtil.predict(theirs, x)).reshape(-1)
    found = plain_forest.predict(lightgbm_text.parse(text), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", XGBOOST.values(), ids=XGBOOST.keys())
def test_a_walk_through_xgboost_s_json_predicts_what_xgboost_does(options):
    xgboost = pytest.importorskip("xgboost")
    booster, kinds = fit_xgboost(**dict(options))
    x = xgboost_inputs(kinds)
    data = xgboost.DMatrix(x, feature_types=kinds, enable_categorical=True)
    expected = booster.predict(data)
    for form in (
        booster,
        booster.save_raw("json"),
        json.loads(booster.save_raw("json")),
    ):
        found = plain_forest.predict(xgboost_json.parse(form), x)
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", ["numbers", "categories", "pruned"])
def test_xgboost_s_dump_holds_the_same_trees(name):
    booster, kinds = fit_xgboost(**dict(XGBOOST[name]))
    saved = xgboost_json.parse(booster)
    dump = booster.get_dump(dump_format="json")
    dumped = xgboost_json.parse_dump(dump, num_features=COLUMNS, base_score=saved.bias)
    x = xgboost_inputs(kinds)
    np.testing.assert_allclose(
        plain_forest.predict(dumped, x), plain_forest.predict(saved, x), atol=1e-6
    )
    assert dumped.num_features == COLUMNS and dumped.num_trees == saved.num_trees


def test_a_number_that_equals_a_threshold_goes_right_in_xgboost():
    xgboost = pytest.importorskip("xgboost")
    x = np.repeat([-1.0, 0.0], 20)[:, None]
    y = np.repeat([0.0, 1.0], 20)
    parameters = {"tree_method": "hist", "nthread": 1, "max_depth": 1}
    data = xgboost.DMatrix(x, y)
    booster = xgboost.train(parameters, data, num_boost_round=1)
    model = xgboost_json.parse(booster)
    assert (model.threshold < 0).all() and (model.threshold >= -1).all()
    np.testing.assert_allclose(
        plain_forest.predict(model, x), booster.predict(data), atol=1e-6
    )


def changed(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("num_class=1", "num_class=3", "num_class=3"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3", "several outputs"),
        ("objective=regression", "objective=binary sigmoid:1", "objective=binary"),
        ("objective=regression", "objective=poisson", "objective=poisson"),
        ("objective=regression", "objective=regression sqrt", "regression sqrt"),
        ("version=v4", "version=v9", "version=v9"),
        ("is_linear=0", "is_linear=1", "is_linear=1"),
        ("pandas_categorical:null", 'pandas_categorical:[["a"]]', "pandas_categorical"),
        ("decision_type=", "decision_type=14 ", "differ in length"),
        ("end of trees", "", "truncated"),
        ("\nTree=11\n", "\nTrunk=11\n", "truncated"),
        ("split_feature=", "split_feature=x ", "split_feature"),
        ("split_feature=", "split=", "split in tree 0 is not known"),
        ("leaf_value=", "leaf_count=", "has no leaf_value"),
        ("max_feature_idx=3", "max_feature_idx=0", "does not have"),
        ("leaf_value=", "leaf_value=nan ", "differ in length"),
        ("tree\n", "forest\n", "not the text"),
    ],
)
def test_a_lightgbm_text_that_is_not_understood_is_refused_by_name(old, new, reason):
    text = changed(fit_lightgbm().model_to_string(), old, new)
    with pytest.raises(errors.DataError, match=reason):
        lightgbm_text.parse(text)


def test_an_unknown_decision_is_refused_by_name():
    lines = fit_lightgbm().model_to_string().split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("decision_type="))
    lines[at] = "decision_type=14 " + lines[at].partition(" ")[2]
    with pytest.raises(errors.DataError, match="decision_type=14"):
        lightgbm_text.parse("\n".join(lines))


def test_trees_that_are_no_trees_are_refused():
    lines = fit_lightgbm().model_to_string().split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("left_child="))
    for wrong, reason in ((["0"], "no tree"), (["99"], "out of range")):
        words = lines[at].partition("=")[2].split()
        broken = [*lines[:at], "left_child=" + " ".join(wrong + words[1:])]
        with pytest.raises(errors.DataError, match=reason):
            lightgbm_text.parse("\n".join(broken + lines[at + 1 :]))


def test_linear_leaves_of_lightgbm_itself_are_refused():
    x, y = make_data()
    data = lightgbm.Dataset(np.nan_to_num(x), y, params={"linear_tree": True})
    parameters = {"linear_tree": True, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, data, num_boost_round=2)
    with pytest.raises(errors.DataError, match="is_linear"):
        lightgbm_text.parse(booster)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"booster": "gblinear"}, "booster=gblinear"),
        ({"objective": "reg:logistic", "target": np.arange(ROWS) % 2}, "reg:logistic"),
        (
            {
                "objective": "multi:softmax",
                "num_class": 3,
                "target": np.arange(ROWS) % 3,
            },
            "num_class=3",
        ),
        ({"target": np.ones((ROWS, 2))}, "num_target=2"),
    ],
)
def test_an_xgboost_model_of_another_kind_is_refused_by_name(options, reason):
    booster, _ = fit_xgboost(rounds=2, **options)
    with pytest.raises(errors.DataError, match=reason):
        xgboost_json.parse(booster)


def test_an_xgboost_model_that_cannot_be_read_says_why():
    booster, _ = fit_xgboost(rounds=2)
    with pytest.raises(errors.DataError, match="not JSON"):
        xgboost_json.parse("{'learner'")
    with pytest.raises(errors.DataError, match="learner is missing"):
        xgboost_json.parse("{}")
    with pytest.raises(errors.DataError, match="pass a Booster"):
        xgboost_json.parse(3)
    model = json.loads(booster.save_raw("json"))
    tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["left_children"][0] = tree["right_children"][0]
    with pytest.raises(errors.DataError, match="reached twice"):
        xgboost_json.parse(model)
    with pytest.raises(errors.DataError, match="no condition"):
        xgboost_json.parse_dump(
            ['{"nodeid": 0, "split": "f0", "children": []}'],
            num_features=1,
            base_score=0.0,
        )


def test_arrays_of_several_models_come_back_from_a_file(tmp_path):
    names = ("numbers", "categories", "constant")
    models = [lightgbm_text.parse(fit_lightgbm(**LIGHTGBM[name])) for name in names]
    stored, metadata = tree_arrays.to_arrays(models)
    arrays.save(tmp_path / "trees.safetensors", stored, metadata=metadata)
    loaded = tree_arrays.from_arrays(
        arrays.load(tmp_path / "trees.safetensors"),
        arrays.load_metadata(tmp_path / "trees.safetensors"),
    )
    assert list(loaded) == models
    assert len(set(loaded)) == 3
    del stored["left"]
    with pytest.raises(errors.DataError, match="left"):
        tree_arrays.from_arrays(stored, metadata)
    with pytest.raises(errors.DataError, match="format"):
        tree_arrays.from_arrays(stored, {**metadata, "format": 99})
