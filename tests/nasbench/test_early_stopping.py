"""Rounds that held-out rows choose, and the cheap baselines of every fit."""

import dataclasses

import jax
import lightgbm
import numpy as np
import pytest
import sklearn.linear_model
import xgboost

from nasjax.core import errors
from nasjax.nasbench.surrogate import baselines, early_stopping, evaluation, fitting
from nasjax.nasbench.surrogate.trees import boosting

N, D, T = 90, 4, 5
QUICK = {"learning_rate": 0.2, "reg_lambda": 1.0}
"""Settings that overfit within three hundred rounds."""
LIBRARIES = [boosting.LightGBM(num_rounds=300), boosting.XGBoost(num_rounds=300)]


def draw(noise=0.3, seed=0, size=N):
    """Curves that one feature decides, under noise."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(size, D))
    level = 0.5 + 0.05 * np.sign(x[:, :1])
    rise = 1 - np.exp(-np.arange(1, T + 1) / 2)
    return x, level * rise + 0.05 * noise * random.normal(size=(size, T))


def predict(booster, rows, count):
    """The library's own prediction with the first trees."""
    if isinstance(booster, lightgbm.Booster):
        return booster.predict(rows, num_iteration=count)
    return booster.predict(xgboost.DMatrix(rows), iteration_range=(0, count))


@pytest.mark.parametrize("settings", LIBRARIES, ids=["lightgbm", "xgboost"])
def test_rounds_are_the_libraries_own(settings):
    """The error of held-out rows is least there, by the boosters' own predictions."""
    x, y = draw()
    settings = dataclasses.replace(settings, **QUICK)
    rounds = early_stopping.choose_rounds(x, y[:, :2], settings, 3, patience=15)
    order = np.random.default_rng(3).permutation(N)
    train, held_out = order[:72], order[72:]
    for j, found in enumerate(rounds):
        seen = np.concatenate([x, y[:, :j]], axis=1)
        long = dataclasses.replace(settings, num_rounds=found + 15)
        booster = boosting.train(seen[train], y[train, j], long, 3)
        losses = []
        for count in range(1, found + 16):
            values = predict(booster, seen[held_out], count)
            losses.append(np.mean((values - y[held_out, j]) ** 2))
        assert losses[found - 1] == pytest.approx(min(losses), rel=1e-5)
        assert 1 <= found < 300


def test_the_model_of_all_rows_has_these_rounds():
    x, y = draw()
    settings = fitting.Settings(rank=2, num_rounds=200, early_stopping=10, noise="none")
    mean = fitting.fit_mean(jax.random.key(0), x, y, settings)
    chain = mean.members[0].regressor
    assert [trees.num_trees for trees in chain.source] == list(mean.rounds[0])
    assert min(mean.rounds[0]) < 200
    fixed = fitting.fit_mean(
        jax.random.key(0), x, y, dataclasses.replace(settings, early_stopping=0)
    )
    assert fixed.rounds == ((200, 200),)
    again = fitting.fit_mean(jax.random.key(0), x, y, settings)
    assert again.rounds == mean.rounds


@pytest.mark.parametrize("settings", LIBRARIES, ids=["lightgbm", "xgboost"])
def test_it_fits_noise_less_than_fixed_rounds(settings):
    """Where little can be learned, the mean is nearly what is left."""
    x, y = draw(noise=6)
    test_x, test_y = draw(noise=6, seed=1, size=400)
    settings = dataclasses.replace(settings, **QUICK)
    rounds = early_stopping.choose_rounds(x, y[:, :1], settings, 0, patience=20)
    errors_of = {}
    booster = boosting.train(x, y[:, 0], settings, 0)
    for name, count in (("stopped", rounds[0]), ("fixed", 300)):
        predicted = predict(booster, test_x, count)
        errors_of[name] = np.mean((predicted - test_y[:, 0]) ** 2)
    assert errors_of["stopped"] < 0.9 * errors_of["fixed"]
    assert errors_of["stopped"] < 1.1 * np.var(test_y[:, 0])


def test_bad_settings_are_named():
    x, y = draw()
    with pytest.raises(errors.ConfigError, match="early_stopping is 0"):
        early_stopping.choose_rounds(x, y, LIBRARIES[0], 0, patience=0)
    with pytest.raises(errors.DataError, match="1 rows cannot be split"):
        early_stopping.choose_rounds(x[:1], y[:1], LIBRARIES[0], 0, patience=5)


# --- baselines ----------------------------------------------------------------------


@pytest.mark.parametrize("features", [D, 120])
def test_ridge_is_sklearns(features):
    random = np.random.default_rng(features)
    x = random.normal(size=(40, features)) * random.uniform(0.1, 9, features) + 3
    y = x[:, :1] * 0.3 + random.normal(size=(40, T))
    ours = baselines.fit_ridge(x, y)
    theirs = sklearn.linear_model.RidgeCV(
        alphas=baselines.PENALTIES, gcv_mode="svd", alpha_per_target=False
    )
    scaled = (x - x.mean(0)) / x.std(0)
    theirs.fit(scaled, y)
    assert ours.penalty == theirs.alpha_
    np.testing.assert_allclose(ours.predict(x), theirs.predict(scaled), rtol=1e-4)


def test_the_leave_one_out_error_is_that_of_refitting():
    """The penalty that is chosen has the least error of N refits."""
    x, y = draw(noise=2, size=15)
    scaled = (x - x.mean(0)) / x.std(0)
    losses = {}
    for penalty in baselines.PENALTIES:
        left = []
        for i in range(15):
            rest = np.delete(np.arange(15), i)
            model = sklearn.linear_model.Ridge(alpha=penalty).fit(scaled[rest], y[rest])
            left.append(model.predict(scaled[i : i + 1])[0] - y[i])
        losses[penalty] = np.mean(np.square(left))
    assert baselines.fit_ridge(x, y).penalty == min(losses, key=losses.get)


def test_the_mean_curve_and_missing_features():
    x, y = draw()
    holes = x.copy()
    holes[::7, 1] = np.nan
    holes[:, 3] = np.nan  # a column without any value
    predicted = baselines.predict(holes, y, holes[:9])
    np.testing.assert_allclose(predicted["mean curve"], np.tile(y.mean(0), (9, 1)))
    mean = np.nanmean(holes[:, 1])
    filled = np.where(np.isnan(holes), [0, mean, 0, 0], holes)
    model = baselines.fit_ridge(holes, y)
    np.testing.assert_allclose(model.predict(holes), model.predict(filled), rtol=1e-4)
    with pytest.raises(errors.DataError, match="infinite"):
        baselines.fit_ridge(np.full((3, 1), np.inf), y[:3])


@pytest.mark.parametrize("regressor", fitting.REGRESSORS)
def test_missing_features_are_allowed_everywhere(regressor):
    """An unknown width is no reason to leave a training out."""
    x, y = draw(noise=0.1)
    x[::5, 1] = np.nan
    x[3, 0] = np.nan
    settings = fitting.Settings(
        regressor=regressor, rank=2, num_rounds=60, noise="none"
    )
    mean = fitting.fit_mean(jax.random.key(0), x, y, settings)
    predicted = np.asarray(jax.vmap(mean.members[0].predict)(x.astype(np.float32)))
    assert np.isfinite(predicted).all()
    assert evaluation.evaluate(y, predicted)["avg_r2"] > 0.3
    x[3, 0] = np.inf
    with pytest.raises(errors.DataError, match="infinite"):
        fitting.fit_mean(jax.random.key(0), x, y, settings)


def test_a_held_out_part_is_seen_by_the_library():
    """`boosting.train` without rows held out is the library's own training."""
    x, y = draw()
    settings = dataclasses.replace(LIBRARIES[0], **QUICK)
    plain = boosting.train(x, y[:, 0], settings, 0)
    assert isinstance(plain, lightgbm.Booster) and plain.num_trees() == 300
    stopped = boosting.train(
        x[:70], y[:70, 0], settings, 0, held_out=(x[70:], y[70:, 0]), patience=5
    )
    assert 0 < stopped.best_iteration < 300
