"""Studies of surrogates on arrays: the split, what is fitted, what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.nasbench.surrogate import (
    cross_validation,
    evaluation,
    fitting,
    held_out,
    storage,
    study,
)
from nasjax.nasbench.surrogate.curve_data import CurveData

METRIC = "valid_accuracy"


def curves(count=60, epochs=8):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 3, (count, 4)).astype(np.float32)
    heights = 0.5 + 0.1 * features[:, :2].mean(axis=1, keepdims=True)
    accuracy = heights * (1 - np.exp(-np.arange(1, epochs + 1) / 3))
    accuracy += 0.01 * rng.normal(size=accuracy.shape)
    return CurveData(features, {METRIC: accuracy}, epochs=tuple(range(1, epochs + 1)))


def make(names=("svd_xgb_std",), **arguments):
    settings = study.surrogates(names, rank=2, num_rounds=20)
    return study.make(0, curves(), settings, **{"metric": METRIC, **arguments})


def test_a_surrogate_is_fitted_judged_saved_and_asked_from_arrays(tmp_path):
    made = make()
    surrogate = study.fit(made, "svd_xgb_std")
    scores = held_out.judge(made, surrogate.require(METRIC))
    assert scores["avg_spearman"] > 0.6
    assert set(held_out.judge_baselines(made)) == {"mean curve", "ridge"}
    saved = storage.save(tmp_path / "s.safetensors", surrogate)
    drawn = saved.require(METRIC).sample(jax.random.key(0), made.data.features[0])
    assert drawn.shape == (8,) and np.isfinite(drawn).all()


def test_a_study_with_the_same_seed_has_the_same_split():
    first, again = make(), make()
    np.testing.assert_array_equal(first.train, again.train)
    rows = np.concatenate([first.train, first.test])
    assert sorted(rows) == list(range(60)) and len(first.train) == 48
    assert len(make(num_train=11).fitted) == 11
    assert len(make(train_fraction=0.9).fitted) == 54


def test_samples_and_the_best_fifth_are_judged_apart():
    data = curves()
    group = np.repeat([0, 1], [40, 20])
    data = dataclasses.replace(data, groups=("drawn", "found"), group=group)
    settings = study.surrogates(("svd_xgb_std",), rank=2, num_rounds=20)
    made = study.make(0, data, settings, metric=METRIC, num_train=30)
    scores = held_out.judge(made, study.fit(made, "svd_xgb_std").require(METRIC))
    predicted = held_out.predict(
        study.fit(made, "svd_xgb_std").require(METRIC).members,
        data.features[made.test],
    )
    truth = data.curves[METRIC][made.test]
    for name, part in (
        ("drawn", group[made.test] == 0),
        ("found", group[made.test] == 1),
        ("top_fifth", np.argsort(np.argsort(-truth[:, -1])) < 6),
    ):
        expected = evaluation.evaluate(truth[part], predicted[part])
        assert scores[f"{name}_final_kt"] == pytest.approx(expected["final_kt"])
        assert scores[f"{name}_avg_r2"] == pytest.approx(expected["avg_r2"])


def test_noise_is_judged_on_the_architectures_that_have_every_seed():
    data = curves()
    rng = np.random.default_rng(1)
    repeats = data.curves[METRIC][:, None] + 0.01 * rng.normal(size=(60, 3, 8))
    repeats[::2, 2] = np.nan
    settings = study.surrogates(("svd_xgb_std",), rank=2, num_rounds=20)
    made = study.make(
        0, data, settings, metric=METRIC, num_train=30, repeats={METRIC: repeats}
    )
    assert set(made.repeated(made.test)) == set(made.test[made.test % 2 == 1])
    fitted = study.fit(made, "svd_xgb_std").require(METRIC)
    scores = held_out.judge(made, fitted)
    whole = made.repeated(made.test)
    predicted = held_out.predict(fitted.members, data.features[whole])
    expected = evaluation.average_kl(made.key, fitted.noise, predicted, repeats[whole])
    assert scores["avg_kl"] == pytest.approx(expected.avg_kl, rel=1e-4)
    assert np.isfinite(held_out.judge_seed_noise(made, fitted)["final_kl"])


def test_noise_of_seeds_is_that_of_one_training_in_every_metric():
    """Loss falls where accuracy rises, also in what is drawn."""
    data = curves()
    rng = np.random.default_rng(1)
    above = 0.02 * rng.normal(size=(60, 3, 8))
    accuracy = data.curves[METRIC][:, None] + above
    runs = {METRIC: accuracy, "valid_loss": 2 - 3 * above + 0.01 * rng.normal(size=8)}
    data = dataclasses.replace(data, curves={n: v[:, 0] for n, v in runs.items()})
    settings = study.surrogates(("svd_xgb_seeds",), rank=2, num_rounds=20)
    repeats = {name: values[:, 1:] for name, values in runs.items()}
    made = study.make(0, data, settings, metric=METRIC, num_train=40, repeats=repeats)
    surrogate = study.fit(made, "svd_xgb_seeds", all_metrics=True)
    assert surrogate.joint_noise
    keys = jax.random.split(jax.random.key(0), 200)
    x = jnp.asarray(data.features[0])
    draw = jax.vmap(surrogate.curve, (0, None, None))
    drawn = {name: np.asarray(draw(keys, x, name)) for name in runs}
    both = [values[:, -1] for values in drawn.values()]
    assert np.corrcoef(*both)[0, 1] < -0.95
    scores = jax.vmap(surrogate.evaluate, (0, None, None))(keys, x, 8)
    np.testing.assert_allclose(scores.valid, drawn[METRIC][:, -1], rtol=1e-6)
    mean = np.asarray(surrogate.mean_curve(x, METRIC))
    spread = (drawn[METRIC] - mean).std(axis=0)
    np.testing.assert_allclose(spread, 0.02, rtol=0.4)


def test_noise_of_seeds_needs_seeds():
    settings = study.surrogates(("svd_xgb_seeds",), rank=2, num_rounds=20)
    with pytest.raises(errors.ConfigError, match=r"svd_xgb_gkde"):
        study.make(0, curves(), settings, metric=METRIC, num_train=30)
    with pytest.raises(errors.DataError, match="valid_loss has none"):
        fitting.fit_seed_noise({METRIC: np.ones((3, 2, 4))}, [METRIC, "valid_loss"])


def test_folds_are_judged_from_arrays():
    found = cross_validation.cross_validate(make(folds=3))
    table = found["cross_validation"]["svd_xgb_std"]["all features"]
    assert set(table) == set(cross_validation.COLUMNS)
    assert found["num_archs"] == 60 and found["num_epochs"] == 8


def test_all_metrics_are_modelled_where_that_is_asked_for():
    made = make()
    made.data.curves["train_accuracy"] = made.data.curves[METRIC] + 0.1
    surrogate = study.fit(made, "svd_xgb_std", all_metrics=True)
    assert set(surrogate.models) == {METRIC, "train_accuracy"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "valid_acuracy"}, METRIC),
        ({"num_train": 60}, "num_train 60 of 60"),
        ({"train_fraction": 1.0}, "train_fraction is 1.0"),
        ({"folds": 31}, "folds is 31: pass 2 to 30"),
        ({"names": ["svd_xgb"]}, "COMPRESSION_REGRESSOR_NOISE"),
        ({"names": [" "]}, "surrogates is empty"),
        ({"names": ["svd_lgb_std"], "num_train": 39}, "LightGBM's trees have no split"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(arguments, message):
    with pytest.raises(errors.ConfigError, match=message) as error:
        make(**arguments)
    assert "\n" not in str(error.value)


def test_an_option_that_no_surrogate_has_is_named():
    with pytest.raises(errors.ConfigError, match="config.surrogate 'num_round'"):
        study.surrogates(["svd_xgb_std"], num_round=3)


def test_a_surrogate_that_the_study_lacks_is_named():
    with pytest.raises(errors.ConfigError, match="svd_xgb_std"):
        study.fit(make(), "svd_xgb_sdt")


def test_all_is_table_5_3():
    found = [settings.name for settings in study.surrogates(["all"])]
    assert len(found) == len(set(found)) == 18
    assert set(found) < set(study.names())
    assert all(name.split("_")[1] in fitting.REGRESSORS for name in found)
    more = [s.name for s in study.surrogates(["all", "svd_lgb_seeds", "svd_lgb_std"])]
    assert more == [*found, "svd_lgb_seeds"]


def test_leaves_in_float32_predict_the_same_from_a_smaller_file(tmp_path):
    surrogate = study.fit(make(), "svd_xgb_std")
    features = make().data.features
    curves = []
    for single in (False, True):
        path = tmp_path / f"{single}.safetensors"
        storage.save(path, surrogate, single=single)
        fitted = storage.load(path).require(METRIC)
        curves.append(held_out.predict(fitted.members, features))
    np.testing.assert_array_equal(*curves)
    whole, small = (tmp_path / f"{single}.safetensors" for single in (False, True))
    assert small.stat().st_size < whole.stat().st_size
