"""What a model predicts beyond its trees: against the libraries, drawn at random."""

import base64
import copy
import json
import pathlib
import pickle
import zlib

import jax
import lightgbm
import numpy as np
import pytest
from reference import plain_forest

from nasjax.core import errors, safe_pickle
from nasjax.nasbench.readers import boosters, xgboost_rounds
from nasjax.nasbench.surrogate.trees import boosting, lightgbm_text, xgboost_json
from nasjax.nasbench.surrogate.trees.forest import Forest

STORED = pathlib.Path(__file__).with_name("xgboost_states.json")
ROWS, COLUMNS = 160, 4


def draw_data(seed):
    """Inputs, some of them missing, one column constant but for that; targets."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, COLUMNS))
    x[:, 0] = rng.integers(0, 9, ROWS)
    x[:, 1][rng.random(ROWS) < 0.3] = 0.0
    x[:, 3] = 1.0
    x[rng.random(x.shape) < 0.2] = np.nan
    clean = np.nan_to_num(x, nan=-3.0)
    y = np.sin(clean[:, 0]) + clean[:, 1] * (clean[:, 2] > 0) + 2 * np.isnan(x[:, 3])
    return x, y + 0.1 * rng.normal(size=ROWS)


def draw_inputs(seed):
    """What was seen, and borders: infinities, tiny and huge numbers, new categories."""
    rng = np.random.default_rng(seed)
    x, _ = draw_data(seed + 1)
    borders = [np.inf, -np.inf, 1e-36, -1e-36, 1e30, -1e300, 0.0, -0.0, np.nan]
    spots = rng.random(x[:, 1:].shape) < 0.15
    x[:, 1:][spots] = rng.choice(borders, spots.sum())
    x[:6, 0] = [50, -1, 3.7, 1e9, np.nan, 0.5]
    return x[:60]


def draw_lightgbm(seed):
    """A fitted booster of random settings."""
    rng = np.random.default_rng(seed)
    pick = rng.choice
    objectives = ["regression", "regression_l1", "huber", "fair", "quantile", "mape"]
    options = {
        "objective": str(pick(objectives)),
        "boosting": str(pick(["gbdt", "dart", "rf"])),
        "use_missing": bool(pick([True, True, False])),
        "zero_as_missing": bool(pick([True, False, False])),
        "max_bin": int(pick([3, 6, 255])),
        "max_cat_to_onehot": int(pick([1, 64])),
        "num_leaves": int(pick([3, 9])),
        "extra_trees": bool(pick([True, False])),
        "learning_rate": 0.4,
        "bagging_freq": 1,
        "bagging_fraction": 0.7,
        "min_data_in_leaf": 5,
        "min_data_per_group": 5,
        "cat_smooth": 1.0,
        "num_threads": 1,
        "verbosity": -1,
        "seed": seed,
    }
    x, y = draw_data(seed)
    categories = [0] if pick([True, False]) else "auto"
    x[:, 0] = np.where(np.isnan(x[:, 0]) & (categories == [0]), 0, x[:, 0])
    data = lightgbm.Dataset(x, y, categorical_feature=categories, params=dict(options))
    held = lightgbm.Dataset(*draw_data(seed + 9), reference=data)
    callbacks, dart = [], options["boosting"] == "dart"
    if not dart and pick([True, False]):
        callbacks = [lightgbm.early_stopping(2, verbose=False)]
    return lightgbm.train(
        options,
        data,
        num_boost_round=14,
        valid_sets=[held],
        callbacks=callbacks,
        keep_training_booster=bool(pick([True, False])),
    )


def numbers_alone():
    """The text of a model of numerical splits."""
    x, y = draw_data(0)
    options = {"objective": "regression", "num_leaves": 5, "min_data_in_leaf": 5}
    options |= {"verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(x, y), num_boost_round=3)
    return booster.model_to_string()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(24))
def test_any_lightgbm_model_predicts_the_same_from_any_form(seed):
    booster, x = draw_lightgbm(seed), draw_inputs(seed)
    expected = booster.predict(x)
    found = {
        "live": lightgbm_text.parse(booster),
        "text": lightgbm_text.parse(booster.model_to_string()),
        "pickle": lightgbm_text.parse(unpickled(booster).text),
    }
    for model in found.values():
        predictions = plain_forest.predict(model, x)
        np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-11)
    if seed < 3:
        with jax.enable_x64(True):
            forest = Forest.build(found["live"])
            predictions = jax.jit(forest.predict_batch)(x)
        np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-11)


def unpickled(model):
    """What the reader of pickles makes of a live model."""
    value = safe_pickle.load(pickle.dumps(model), allow=boosters.ALLOW, name="file")
    return boosters.read(value, name="file")


def draw_xgboost(xgboost, seed):
    """A fitted regressor of random settings, and held-out data that may stop it."""
    rng = np.random.default_rng(seed)
    pick = rng.choice
    objectives = ["reg:squarederror", "reg:pseudohubererror", "reg:absoluteerror"]
    options = {
        "objective": str(pick(objectives)),
        "num_parallel_tree": int(pick([1, 1, 3])),
        "subsample": 0.7,
        "learning_rate": 0.5,
        "base_score": pick([None, 0.25, -3.0]),
        "max_depth": int(pick([1, 3])),
        "tree_method": str(pick(["hist", "exact", "approx"])),
        "early_stopping_rounds": pick([None, 2]),
        "n_estimators": 14,
        "n_jobs": 1,
        "random_state": seed,
    }
    if pick([True, False]):
        options |= {"booster": "dart", "rate_drop": 0.4}
    if options["tree_method"] != "exact" and pick([True, False]):
        options |= {"feature_types": list("cqqq"), "enable_categorical": True}
    if options["objective"] == "reg:absoluteerror":
        options["num_parallel_tree"] = 1  # versions before 3.2 refuse more
    x, y = draw_data(seed)
    model = xgboost.XGBRegressor(**options)
    return model.fit(x, y, eval_set=[draw_data(seed + 9)], verbose=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(16))
def test_any_xgboost_model_predicts_the_same_from_any_form(seed, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    model = draw_xgboost(xgboost, seed)
    # It refuses infinity and categories that it has not seen itself.
    x = np.clip(draw_inputs(seed), -1e38, 1e38)
    x[:6, 0] = [0, 1, 2, 3, np.nan, 6]
    booster = model.get_booster()
    forms = {
        "live": xgboost_json.parse(model),
        "pickle": xgboost_json.parse(unpickled(model).text),
    }
    for ending in ("json", "ubj"):
        model.save_model(tmp_path / f"model.{ending}")
        content = (tmp_path / f"model.{ending}").read_bytes()
        forms[ending] = xgboost_json.parse(content)
    whole = {
        "booster": xgboost_json.parse(booster),
        "pickled booster": xgboost_json.parse(unpickled(booster).text),
        "raw": xgboost_json.parse(bytes(booster.save_raw("json"))),
    }
    kinds = {"feature_types": model.feature_types, "enable_categorical": True}
    every = booster.predict(xgboost.DMatrix(x, **kinds))
    for expected, models in ((model.predict(x), forms), (every, whole)):
        for parsed in models.values():
            found = plain_forest.predict(parsed, x)
            np.testing.assert_allclose(found, expected, rtol=2e-6, atol=3e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_random_forest_of_xgboost_and_its_own_pickle():
    xgboost = pytest.importorskip("xgboost")
    x, y = draw_data(0)
    model = xgboost.XGBRFRegressor(n_estimators=5, n_jobs=1).fit(x, y)
    for parsed in (model, unpickled(model).text):
        found = plain_forest.predict(xgboost_json.parse(parsed), x)
        np.testing.assert_allclose(found, model.predict(x), atol=3e-6)


@pytest.fixture(scope="module")
def stored():
    """Models that older and newer versions of XGBoost have pickled."""
    content = json.loads(STORED.read_text())
    rows = np.array(content["rows"], np.float64)
    return rows, content["models"]


@pytest.mark.parametrize(
    "name",
    ["early_forest 0.90", "early_forest 1.5.2", "early_dart 1.7.6", "early 3.4.1"]
    + ["dart 1.0.2", "dart 3.4.1"],
)
def test_models_of_other_versions(stored, name):
    rows, models = stored
    parsed = xgboost_json.parse(unstored(models[name]).text)
    found = plain_forest.predict(parsed, rows)
    expected = models[name]["predictions"]
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=3e-6)


def unstored(entry):
    content = zlib.decompress(base64.b64decode(entry["pickle"]))
    value = safe_pickle.load(content, allow=boosters.ALLOW, name="file")
    return boosters.read(value, name="file")


def test_a_binary_linear_model_is_told_what_it_is(stored):
    with pytest.raises(errors.DataError) as caught:
        unstored(stored[1]["gblinear 0.90"])
    assert "kind 'gblinear'; only trees" in str(caught.value)
    assert "download" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("missing", [-1.0, 0.0, np.inf, 7])
def test_another_missing_value_than_nan_is_refused(missing):
    xgboost = pytest.importorskip("xgboost")
    x, y = draw_data(0)
    # Fitted before: XGBoost refuses NaN beside another missing value.
    model = xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(x, y)
    model.set_params(missing=missing)
    with pytest.raises(errors.DataError, match="than NaN for a missing value"):
        xgboost_json.parse(model)
    with pytest.raises(errors.DataError, match="file: .* than NaN for a missing value"):
        unpickled(model)
    # Versions up to 1.6 wrote all settings of an estimator into its file.
    content = json.loads(model.get_booster().save_raw("json"))
    settings = json.dumps({"missing": missing, "type": "XGBRegressor"})
    content["learner"]["attributes"]["scikit_learn"] = settings
    with pytest.raises(errors.DataError, match="than NaN for a missing value"):
        xgboost_json.parse(content)
    content["learner"]["attributes"]["scikit_learn"] = '{"missing": NaN}'
    assert xgboost_json.parse(content).num_trees == 2


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_fitted_is_told_so():
    xgboost = pytest.importorskip("xgboost")
    with pytest.raises(errors.DataError, match="not fitted"):
        xgboost_json.parse(xgboost.XGBRegressor())
    with pytest.raises(errors.DataError, match="not fitted"):
        lightgbm_text.parse(lightgbm.LGBMRegressor())


def test_a_pickled_text_without_its_end_is_told_so():
    booster = lightgbm.Booster(model_str=numbers_alone())
    content = pickle.dumps(booster, 2).replace(b"end of trees", b"END OF TREES")
    value = safe_pickle.load(content, allow=boosters.ALLOW, name="file")
    with pytest.raises(errors.DataError, match="file: .* version before 2.2"):
        boosters.read(value, name="file")


@pytest.fixture(scope="module")
def document():
    xgboost = pytest.importorskip("xgboost")
    x, y = draw_data(3)
    options = {"max_depth": 2, "nthread": 1, "verbosity": 0, "num_parallel_tree": 2}
    booster = xgboost.train(options, xgboost.DMatrix(x, y), 3)
    return json.loads(booster.save_raw("json"))


PLACES = {
    "model file": lambda model: model,
    "learner": lambda model: model["learner"],
    "learner_model_param": lambda model: model["learner"]["learner_model_param"],
    "objective": lambda model: model["learner"]["objective"],
    "gradient_booster": lambda model: model["learner"]["gradient_booster"],
    "model": lambda model: inner(model),
    "gbtree_model_param": lambda model: inner(model)["gbtree_model_param"],
    "tree": lambda model: inner(model)["trees"][3],
    "tree_param": lambda model: inner(model)["trees"][5]["tree_param"],
}


def inner(model):
    return model["learner"]["gradient_booster"]["model"]


@pytest.mark.parametrize("place", PLACES)
def test_a_key_of_xgboost_that_is_not_known_is_refused_by_name(document, place):
    changed = copy.deepcopy(document)
    PLACES[place](changed)["leaf_scale"] = [0.5]
    with pytest.raises(errors.DataError, match=f"leaf_scale in {place} is not known"):
        xgboost_json.parse(changed)


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda m: inner(m).update(cats={"enc": [1]}), "categories of a data frame"),
        (lambda m: inner(m).update(cats={"codes": []}), "codes in cats is not known"),
        (lambda m: inner(m).update(weight_drop=[1.0]), "weight_drop and the list"),
        (lambda m: inner(m).update(weight_drop=["x"] * 6), "malformed"),
        (lambda m: inner(m).update(tree_info=[0, 1] * 3), "several outputs"),
        (lambda m: inner(m).update(trees=[3]), "a tree is no JSON object"),
        (lambda m: m["learner"]["gradient_booster"].update(name="dart"), "weight_drop"),
        (lambda m: base_score(m, "[1E0,2E0]"), "base_score has 2 numbers"),
        (lambda m: base_score(m, "nan"), "malformed"),
        (lambda m: m["learner"]["objective"].update(name=["x"]), "objective=a list"),
        (lambda m: m["learner"]["attributes"].update(scikit_learn="{"), "malformed"),
        (
            lambda m: m["learner"]["attributes"].update(
                scikit_learn="{}", best_iteration="x"
            ),
            "malformed|several",
        ),
        (lambda m: m.update(version=["a"]), "malformed"),
    ],
)
def test_what_changes_a_prediction_is_never_dropped(document, change, reason):
    changed = copy.deepcopy(document)
    change(changed)
    if reason == "malformed|several":
        changed["learner"]["attributes"]["scikit_learn"] = '{"type": "XGBRegressor"}'
    with pytest.raises(errors.DataError, match=reason) as caught:
        xgboost_json.parse(changed)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def base_score(model, text):
    model["learner"]["learner_model_param"]["base_score"] = text


def test_base_scores_are_numbers_or_lists_of_one(document):
    scores = {}
    for text in ("2.5E-1", "[2.5E-1]", 0.25, [0.25]):
        changed = copy.deepcopy(document)
        base_score(changed, text)
        scores[str(text)] = xgboost_json.parse(changed).bias
    assert set(scores.values()) == {0.25}


def test_dart_s_weights_count_wherever_they_are_written(document):
    """Until 3.2 beside the trees' model, from 3.4 on in it, where dart is a gbtree."""
    weights = [1.0, 0.5, 0.25, 0.125, 0.0, 2.0]
    new, old = copy.deepcopy(document), copy.deepcopy(document)
    inner(new)["weight_drop"] = weights
    booster = old["learner"]["gradient_booster"]
    old["learner"]["gradient_booster"] = {
        "name": "dart",
        "gbtree": booster,
        "weight_drop": weights,
    }
    plain, found = xgboost_json.parse(document), xgboost_json.parse(new)
    assert xgboost_json.parse(old) == found
    scale = np.repeat(weights, plain.num_leaves)
    np.testing.assert_allclose(found.value, plain.value * scale, rtol=1e-12)
    # An estimator that stopped after its second round.
    for model in (new, old):
        model["learner"]["attributes"] = {
            "best_iteration": "1",
            "scikit_learn": '{"_estimator_type": "regressor"}',
        }
        assert xgboost_json.parse(model).num_trees == 4


def test_a_newer_version_is_told_once(document, capsys):
    xgboost_json._tell_newer.cache_clear()
    for version in ([3, 4, 9], [3, 99, 0], [3, 99, 1], [4, 0, 0]):
        xgboost_json.parse({**document, "version": version})
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == [
        "a model of XGBoost 3.99",
        "a model of XGBoost 4.0",
    ]


def test_a_node_of_a_dump_that_is_not_known_is_refused():
    dump = ['{"nodeid": 0, "leaf": 0.5, "scale": 2}']
    with pytest.raises(errors.DataError, match="scale in a node is not known"):
        xgboost_json.parse_dump(dump, num_features=1, base_score=0.0)


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("\nversion=", "\nscale=2\nversion=", "scale in the header"),
        ("\nversion=", "\nrenewed\nversion=", "renewed in the header"),
        ("\nnum_leaves=", "\nleaf_scale=2\nnum_leaves=", "leaf_scale in tree 0"),
        ("\nend of trees", "\nend of trees\ntemperature:2", "temperature:2 after"),
        ("objective=regression", "objective=regression log", "regression log"),
        ("end of parameters", "end of parameters\nlinks:log", "links:log after"),
    ],
)
def test_a_key_of_lightgbm_that_is_not_known_is_refused_by_name(old, new, reason):
    text = numbers_alone()
    assert old in text
    with pytest.raises(errors.DataError, match=reason):
        lightgbm_text.parse(text.replace(old, new, 1))


@pytest.mark.parametrize("bound", ["inf", "-inf", "1e300"])
def test_a_threshold_may_be_infinite(bound):
    lines = numbers_alone().split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("threshold="))
    size = len(lines[at].split())
    lines[at] = "threshold=" + " ".join([bound] * size)
    # Sizes in bytes are what LightGBM itself finds its trees by.
    lines = [line for line in lines if not line.startswith("tree_sizes=")]
    text = "\n".join(lines)
    x = draw_inputs(5)
    x[np.abs(x) == 1e300] = 5.0  # no float32
    expected = lightgbm.Booster(model_str=text).predict(x)
    model = lightgbm_text.parse(text)
    assert float(bound) in model.threshold
    found = plain_forest.predict(model, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    tables = jax.jit(Forest.build(model).predict_batch)(x.astype(np.float32))
    single = plain_forest.predict(model, x.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(tables, single, rtol=0, atol=1e-5)


def test_a_nan_is_no_threshold():
    text = numbers_alone()
    at = text.index("threshold=") + len("threshold=")
    end = min(text.index(" ", at), text.index("\n", at))
    with pytest.raises(errors.DataError, match="not finite"):
        lightgbm_text.parse(text[:at] + "nan" + text[end:])


WRONG = [None, True, -1, 0.5, 10**30, 1e300, np.nan, np.inf, "x", "", [], {}, [[]]]
WRONG += [[None], ["a"], [1] * 5, {"a": 1}, 2**31, 2**32, "9" * 20, "-1", [np.inf]]


def places(value, path=()):
    """Paths to everything in a JSON object; of lists the first three items."""
    yield path
    items = list(value.items()) if isinstance(value, dict) else []
    items = list(enumerate(value[:3])) if isinstance(value, list) else items
    for key, item in items:
        yield from places(item, (*path, key))


def read_or_refused(parse, content):
    """A damaged model is read or refused in one line; nothing else is raised."""
    try:
        parse(content)
    except errors.DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 500


@pytest.mark.filterwarnings("error")
def test_damaged_json_is_read_or_refused_in_one_line(document):
    rng = np.random.default_rng(0)
    paths = list(places(document))[1:]
    for _ in range(500):
        changed = copy.deepcopy(document)
        *above, last = paths[rng.integers(len(paths))]
        holder = changed
        for key in above:
            holder = holder[key]
        holder[last] = WRONG[rng.integers(len(WRONG))]
        read_or_refused(xgboost_json.parse, changed)


@pytest.mark.filterwarnings("error")
def test_damaged_texts_are_read_or_refused_in_one_line():
    rng = np.random.default_rng(0)
    lines = numbers_alone().partition("\nparameters:")[0].split("\n")
    words = ["", "-1", "x", "nan", "inf", "1e400", "9" * 20, str(2**32), "0.5", "0 -"]
    for _ in range(300):
        at = rng.integers(len(lines))
        name = lines[at].partition("=")[0]
        changed = [*lines[:at], f"{name}={rng.choice(words)}", *lines[at + 1 :]]
        read_or_refused(lightgbm_text.parse, "\n".join(changed))
        content = bytearray("\n".join(lines).encode())
        content[rng.integers(len(content))] = rng.integers(1, 127)
        read_or_refused(lightgbm_text.parse, content.decode())


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_chain_is_fitted_to_features_of_which_some_are_missing(library):
    """A column that says something only by what is missing in it."""
    if library == "xgboost":
        pytest.importorskip("xgboost")
    x, y = draw_data(4)
    few = {"num_rounds": 8, "reg_lambda": 1.0, "learning_rate": 0.5}
    settings = boosting.LIBRARIES[library](**few)
    chain = boosting.fit_chain(x, np.stack([y, y**2], 1), settings, 0)
    missing, present = x.copy(), x.copy()
    missing[:, 3], present[:, 3] = np.nan, 1.0
    first = chain.source[0]
    gap = plain_forest.predict(first, missing) - plain_forest.predict(first, present)
    assert gap.mean() > 0.5


@pytest.mark.filterwarnings("ignore")
def test_a_best_iteration_of_numpy_is_one():
    booster, x = draw_lightgbm(1), draw_inputs(1)
    booster.best_iteration = np.int64(3)
    expected = booster.predict(x)
    model = lightgbm_text.parse(unpickled(booster).text)
    predictions = plain_forest.predict(model, x)
    np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-11)
    booster.best_iteration = 2.5
    with pytest.raises(errors.DataError, match="best_iteration .* of type float"):
        unpickled(booster)


def test_xgboost_s_text_may_be_indented_and_marked():
    xgboost = pytest.importorskip("xgboost")
    x, y = draw_data(0)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(x, y), 2)
    plain = bytes(booster.save_raw("json"))
    expected = plain_forest.predict(xgboost_json.parse(plain), x)
    indented = json.dumps(json.loads(plain), indent=1)
    for text in (indented, indented.encode(), b"\xef\xbb\xbf" + plain, b" " + plain):
        predictions = plain_forest.predict(xgboost_json.parse(text), x)
        np.testing.assert_array_equal(predictions, expected)


@pytest.mark.parametrize("missing", [np.float32("nan"), float("nan"), None])
def test_nan_of_any_type_is_missing(missing):
    xgboost_rounds.check_missing(missing, "model")


@pytest.mark.parametrize("missing, told", [(-999, "=-999"), ("x", "=a str")])
def test_what_else_is_missing_is_told(missing, told):
    with pytest.raises(errors.DataError, match=told):
        xgboost_rounds.check_missing(missing, "model")
