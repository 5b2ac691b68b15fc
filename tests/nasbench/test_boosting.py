"""Fitting of boosted chains against scikit-learn's chain of the same regressors."""

import dataclasses
import sys

import jax
import lightgbm
import numpy as np
import pytest
from reference import plain_forest
from sklearn.multioutput import RegressorChain

from nasjax.core import errors
from nasjax.nasbench.surrogate.trees import boosting

SMALL = boosting.LightGBM(num_rounds=15, reg_lambda=1.0, min_child_samples=5)
SMALL_XGB = boosting.XGBoost(num_rounds=15, reg_lambda=1.0)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, (250, 5)).astype(np.float64)
    first = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] % 3
    second = first**2 + 0.1 * rng.normal(size=250)
    return x, np.stack([first, second], axis=1)


def predict(chain, x):
    """Plain predictions of the fitted trees; nothing is compiled."""
    seen = np.asarray(x, np.float64)
    found = []
    for trees in chain.source:
        found.append(plain_forest.predict(trees, seen))
        if chain.chained:
            seen = np.concatenate([seen, found[-1][:, None]], axis=1)
    return np.stack(found, axis=1)


def test_defaults_are_nas_bench_x11_s():
    settings = boosting.settings("lightgbm")
    assert settings == boosting.LightGBM()
    assert dataclasses.astuple(settings)[:4] == (3000, 40, 18, 0.02182249761978233)
    assert settings.min_child_weight == 0.582192788716
    assert settings.reg_alpha == 0.011489772418204284
    assert settings.reg_lambda == 134.50743557010372
    assert boosting.settings("xgboost").num_rounds == 3000
    released = boosting.settings("xgboost", "released")
    assert (released.num_rounds, released.pass_seed) == (100, False)
    assert not boosting.settings("lightgbm", "released").pass_seed
    with pytest.raises(errors.ConfigError, match="did you mean 'lightgbm'"):
        boosting.settings("lightgmb")
    with pytest.raises(errors.ConfigError, match="variant"):
        boosting.settings("lightgbm", "fixed")


def test_presets_are_smaller_forests_of_both_libraries():
    lightgbm_settings = boosting.settings("lightgbm", preset="compact")
    assert lightgbm_settings == boosting.LightGBM(
        num_rounds=600,
        num_leaves=32,
        learning_rate=0.03,
        min_child_samples=5,
        reg_alpha=0.0,
        reg_lambda=1.0,
    )
    small = boosting.settings("xgboost", preset="small")
    assert (small.num_rounds, small.max_leaves, small.learning_rate) == (300, 16, 0.05)
    assert (small.min_child_weight, small.reg_alpha, small.reg_lambda) == (5, 0, 1)
    for preset in boosting.PRESETS:
        for library in boosting.LIBRARIES:
            assert boosting.settings(library, preset=preset).max_depth == 18
    with pytest.raises(errors.ConfigError, match="did you mean 'compact'"):
        boosting.settings("lightgbm", preset="compat")
    with pytest.raises(errors.ConfigError, match="has only 'thesis'"):
        boosting.settings("lightgbm", "released", "small")


def test_a_chain_is_sklearn_s_chain_of_the_same_regressors(data):
    x, y = data
    chain = boosting.fit_chain(x, y, SMALL, seed=4)
    regressor = lightgbm.LGBMRegressor(
        n_estimators=SMALL.num_rounds,
        num_leaves=SMALL.num_leaves,
        max_depth=SMALL.max_depth,
        learning_rate=SMALL.learning_rate,
        min_child_weight=SMALL.min_child_weight,
        min_child_samples=SMALL.min_child_samples,
        reg_alpha=SMALL.reg_alpha,
        reg_lambda=SMALL.reg_lambda,
        random_state=4,
        n_jobs=1,
        verbose=-1,
    )
    expected = RegressorChain(regressor).fit(x, y).predict(x[:40])
    np.testing.assert_allclose(predict(chain, x[:40]), expected, atol=1e-12)
    found = jax.jit(chain.predict_batch)(x[:12].astype(np.float32))
    np.testing.assert_allclose(found, expected[:12], atol=1e-5)
    assert chain.num_components == 2 and chain.num_features == 5


@pytest.mark.parametrize("settings", [SMALL, SMALL_XGB], ids=["lightgbm", "xgboost"])
def test_members_differ_by_their_seeds_where_something_is_drawn(data, settings):
    if settings is SMALL_XGB:
        pytest.importorskip("xgboost")
    x, y = data
    fit = boosting.fit_chain
    assert fit(x, y, settings, 0).source == fit(x, y, settings, 1).source
    drawing = boosting.for_ensemble(settings)
    assert fit(x, y, drawing, 0).source == fit(x, y, drawing, 0).source
    assert fit(x, y, drawing, 0).source != fit(x, y, drawing, 1).source
    released = dataclasses.replace(drawing, pass_seed=False)
    assert fit(x, y, released, 0).source == fit(x, y, released, 1).source


def test_independent_components_are_single_models(data):
    x, y = data
    both = boosting.fit_chain(x, y, SMALL, 0, chained=False)
    alone = boosting.fit_chain(x, y[:, 1:], SMALL, 0)
    assert not both.chained and both.source[1] == alone.source[0]


def test_xgboost_fits_what_xgboost_predicts(data):
    xgboost = pytest.importorskip("xgboost")
    x, y = data
    chain = boosting.fit_chain(x, y[:, :1], SMALL_XGB, 0)
    regressor = xgboost.XGBRegressor(
        n_estimators=15,
        grow_policy="lossguide",
        max_leaves=40,
        max_depth=18,
        learning_rate=SMALL_XGB.learning_rate,
        min_child_weight=SMALL_XGB.min_child_weight,
        reg_alpha=SMALL_XGB.reg_alpha,
        reg_lambda=1.0,
        n_jobs=1,
    )
    expected = regressor.fit(x, y[:, 0]).predict(x[:40])
    np.testing.assert_allclose(predict(chain, x[:40])[:, 0], expected, atol=3e-6)
    assert max(chain.source[0].num_leaves) <= 40


@pytest.mark.parametrize("settings", [SMALL, SMALL_XGB], ids=["lightgbm", "xgboost"])
def test_categories_are_split_as_sets(data, settings):
    if settings is SMALL_XGB:
        pytest.importorskip("xgboost")
    x, y = data
    categories = x.copy()
    categories[::17, 1] = np.nan
    fitted = boosting.fit_chain(categories, y, settings, 0, categorical=[0, 1])
    trees = fitted.source[0]
    categorical = (trees.kind & 1) != 0
    assert categorical.any()
    assert set(trees.feature[categorical].tolist()) <= {0, 1}
    assert not np.isin(trees.feature[~categorical], [0, 1]).any()
    for wrong in (-1.0, 0.5):
        categories[3, 0] = wrong
        with pytest.raises(errors.DataError, match="column 0"):
            boosting.fit_chain(categories, y, settings, 0, categorical=[0, 1])


@pytest.mark.parametrize(
    "change, error, reason",
    [
        (lambda x, y, s: (x[:9], y, s), errors.DataError, "same N"),
        (lambda x, y, s: (x[:0], y[:0], s), errors.DataError, "empty"),
        (
            lambda x, y, s: (x, np.where(y > 1, np.nan, y), s),
            errors.DataError,
            "targets",
        ),
        (lambda x, y, s: (x / 0.0, y, s), errors.DataError, "infinite"),
        (
            lambda x, y, s: (x, y, dataclasses.replace(s, bagging_fraction=1.5)),
            errors.ConfigError,
            "bagging_fraction=1.5",
        ),
        (
            lambda x, y, s: (x, y, dataclasses.replace(s, num_rounds=0)),
            errors.ConfigError,
            "num_rounds=0",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_cannot_be_fitted_is_a_named_error(data, change, error, reason):
    with pytest.raises(error, match=reason):
        boosting.fit_chain(*change(*data, SMALL), 0)


def test_xgboost_is_asked_for_only_where_it_is_needed(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    boosting.fit_chain(*data, dataclasses.replace(SMALL, num_rounds=1), 0)
    boosting._xgboost.cache_clear()
    with pytest.raises(errors.ConfigError, match=r"pip install 'nasjax\[xgb\]'"):
        boosting.fit_chain(*data, SMALL_XGB, 0)
