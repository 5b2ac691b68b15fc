"""The surrogate pytree: queries, contract 3, files, and official checkpoints."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import official_surrogates as official
import pytest

from nasjax import nasbench, spaces
from nasjax.core import arrays
from nasjax.core.errors import DataError, UnknownArchitecture
from nasjax.nasbench import table
from nasjax.nasbench.readers import official_surrogates
from nasjax.nasbench.surrogate import features, fitting, model, storage
from nasjax.nasbench.surrogate.noise import epoch_std

EPOCHS = 6


@functools.cache
def fitted():
    """Accuracy and loss of 60 cells by MLPs, with seconds."""
    random = np.random.default_rng(0)
    archs = random.integers(0, 5, (60, 6)).astype(np.int32)
    x = np.asarray(jax.vmap(features.nasbench211_paths)(archs), np.float64)
    level = 0.5 + 0.05 * (archs == 3).sum(1)
    rise = 1 - np.exp(-np.arange(1, EPOCHS + 1))
    accuracy = level[:, None] * rise + 0.01 * random.normal(size=(60, EPOCHS))
    settings = fitting.Settings(regressor="mlp", noise="std", rank=2)
    curves = {"valid_accuracy": accuracy, "valid_loss": 1 - accuracy}
    models = fitting.fit(jax.random.key(0), x, curves, settings)
    surrogate = model.Surrogate(
        models=models,
        seconds=model.Seconds(jnp.float32(60.0)),
        space="nasbench201",
        features="nasbench211_paths",
        data_set="made up",
        epochs=tuple(range(1, EPOCHS + 1)),
        metric="accuracy",
        techniques=settings.techniques,
    )
    return surrogate, archs, accuracy


def test_prediction_is_features_regressor_decompression():
    surrogate, archs, accuracy = fitted()
    curve = jax.jit(jax.vmap(lambda s, a: s.mean_curve(a), (None, 0)))(surrogate, archs)
    member = surrogate.require().members[0]
    by_hand = [
        member.compressor.decompress(
            member.regressor.predict(features.nasbench211_paths(arch))
        )
        for arch in archs[:3]
    ]
    np.testing.assert_allclose(curve[:3], jnp.stack(by_hand), rtol=1e-5)
    assert np.corrcoef(np.asarray(curve)[:, -1], accuracy[:, -1])[0, 1] > 0.8


def test_curve_adds_noise_of_the_key():
    surrogate, archs, _ = fitted()
    keys = jax.random.split(jax.random.key(1), 4000)
    draw = jax.jit(jax.vmap(lambda s, k, a: s.curve(k, a), (None, 0, None)))
    curves = np.asarray(draw(surrogate, keys, archs[0]))
    mean = np.asarray(surrogate.mean_curve(archs[0]))
    noise = surrogate.require().noise
    assert isinstance(noise, epoch_std.EpochNoise)
    # 4,000 draws: the mean is within 5 standard errors.
    np.testing.assert_allclose(
        curves.mean(0), mean, atol=5 * float(noise.std.max()) / 60
    )
    np.testing.assert_allclose(curves.std(0), noise.std, rtol=0.1)
    np.testing.assert_array_equal(curves, draw(surrogate, keys, archs[0]))


def test_noisy_accuracies_stay_in_the_unit_interval():
    surrogate, archs, _ = fitted()
    loud = surrogate.require().replace(noise=epoch_std.EpochNoise(jnp.ones(EPOCHS)))
    x = surrogate.features_of(archs[0])
    curves = jax.vmap(loud.sample, (0, None))(
        jax.random.split(jax.random.key(0), 50), x
    )
    assert curves.min() == 0 and curves.max() == 1


def test_evaluate_is_contract_3():
    surrogate, archs, _ = fitted()
    key = jax.random.key(5)
    whole = surrogate.evaluate(key, archs[0], -1)
    third = surrogate.evaluate(key, archs[0], 3, 1)
    # The same key is the same training, whatever the epoch.
    np.testing.assert_array_equal(third.curve[:3], whole.curve[:3])
    assert np.isnan(third.curve[3:]).all() and third.valid == whole.curve[2]
    assert np.isnan(whole.test)  # no model of the test accuracy
    assert float(whole.cost) == 60 and float(third.cost) == pytest.approx(20)
    mean = surrogate.mean(archs[0], 6)
    np.testing.assert_allclose(mean.curve, surrogate.mean_curve(archs[0]))
    inside = jax.jit(lambda s, e: s.evaluate(key, archs[0], e))
    assert float(inside(surrogate, 3).valid) == pytest.approx(float(third.valid))
    assert np.isnan(inside(surrogate, 7).valid) and np.isnan(inside(surrogate, 0).cost)


def test_unknown_architectures_epochs_and_metrics():
    surrogate, archs, _ = fitted()
    with pytest.raises(UnknownArchitecture, match="no architecture of nasbench201"):
        surrogate.mean_curve(jnp.array([7, 0, 0, 0, 0, 0]))
    bad = jax.jit(lambda s, a: s.mean_curve(a))(
        surrogate, jnp.array([7, 0, 0, 0, 0, 0])
    )
    assert np.isnan(bad).all()
    with pytest.raises(DataError, match="no epoch 9"):
        surrogate.evaluate(jax.random.key(0), archs[0], 9)
    with pytest.raises(DataError, match="test_loss is not modelled.*valid_loss"):
        surrogate.mean_curve(archs[0], "test_loss")
    with pytest.raises(ValueError, match="vmap"):
        surrogate.mean_curve(archs)
    measured = surrogate.replace(space="nasbench_nlp", features="nasbench_nlp11")
    recipe = jnp.zeros(spaces.make("nasbench_nlp").num_genes, jnp.int32)
    with pytest.raises(DataError, match="nasbench_nlp11 need measurements"):
        measured.mean_curve(recipe)


def test_a_curve_is_the_training_of_its_key():
    """What `evaluate` scores for a key is what `curve` returns for it."""
    surrogate, archs, _ = fitted()
    key = jax.random.key(3)
    for metric, sign in (("accuracy", 1), ("loss", -1)):
        judged = surrogate.replace(metric=metric)
        np.testing.assert_allclose(
            judged.evaluate(key, archs[0], -1).curve, sign * judged.curve(key, archs[0])
        )
    other = surrogate.curve(key, archs[0], "valid_loss")
    drawn = other - surrogate.mean_curve(archs[0], "valid_loss")
    assert np.abs(drawn).max() > 0  # with noise of its own
    assert not np.allclose(
        drawn, surrogate.curve(key, archs[0]) - surrogate.mean_curve(archs[0])
    )


def test_the_curves_of_tables_and_surrogates_are_one_contract():
    """The same names, arguments and order; a surrogate may ask for measurements."""
    for name in ("curve", "mean_curve", "evaluate", "mean"):
        ours, theirs = (
            [
                (p.name, p.default)
                for p in inspect.signature(getattr(kind, name)).parameters.values()
                if p.name != "measured"
            ]
            for kind in (model.Surrogate, table.TabularBenchmark)
        )
        assert ours == theirs
    assert not hasattr(model.Surrogate, "sample")
    surrogate, archs, _ = fitted()
    digits = nasbench.load("digits201")
    for benchmark in (surrogate, digits):
        for metric in (None, "valid_accuracy", "valid_loss"):
            drawn = benchmark.curve(jax.random.key(0), archs[0], metric)
            mean = benchmark.mean_curve(archs[0], metric)
            assert drawn.shape == mean.shape == (len(benchmark.epochs),)


@pytest.mark.parametrize("number", [2.5, "3", np.array([1, 2]), None])
def test_no_number_is_rounded(number):
    surrogate, archs, _ = fitted()
    digits, key = nasbench.load("digits201"), jax.random.key(0)
    for benchmark in (surrogate, digits):
        for ask in (
            lambda b: b.evaluate(key, archs[0], number),
            lambda b: b.mean(archs[0], number),
            lambda b: b.evaluate(key, archs[0], 3, number),
        ):
            with pytest.raises(DataError, match="is one whole number"):
                ask(benchmark)
    with pytest.raises(DataError, match="seed's number is one whole number"):
        digits.evaluate_seed(number, archs[0], 3)


def test_no_number_is_clamped():
    surrogate, archs, _ = fitted()
    digits, key = nasbench.load("digits201"), jax.random.key(0)
    genes = archs[0] + 0.5
    inside = jax.jit(lambda b, arch, *at: b.evaluate(key, arch, *at))
    for benchmark in (surrogate, digits):
        last = benchmark.epochs[-1]
        for epoch, trained in ((0, 0), (last + 1, 0), (-2, 0), (3, -1), (3, last + 1)):
            with pytest.raises(DataError, match="epoch"):
                benchmark.evaluate(key, archs[0], epoch, trained)
            traced = inside(benchmark, archs[0], epoch, trained)
            assert np.isnan(traced.cost)
        half = inside(benchmark, archs[0], 2.5, 0)
        assert np.isnan(half.valid) and np.isnan(half.cost)
        for call in (benchmark.mean_curve, lambda a, b=benchmark: b.curve(key, a)):
            with pytest.raises(UnknownArchitecture, match="genes are whole numbers"):
                call(genes)
            np.testing.assert_array_equal(call(archs[0].astype(float)), call(archs[0]))
    seeded = jax.jit(lambda b, i: b.evaluate_seed(i, archs[0], 3).valid)
    for i in (-1, len(digits.seeds)):
        with pytest.raises(DataError, match="no seed number"):
            digits.evaluate_seed(i, archs[0], 3)
        assert np.isnan(seeded(digits, i))


def test_a_million_keys_fit_in_memory():
    """Compiled for 2^20 keys, the temporaries are a few times the result."""
    surrogate, archs, _ = fitted()
    draw = jax.jit(jax.vmap(lambda s, k, a: s.curve(k, a)[-1], (None, 0, None)))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1 << 20))
    program = draw.lower(surrogate, keys, archs[0]).compile()
    memory = program.memory_analysis()
    assert memory.temp_size_in_bytes < (1 << 20) * 4 * EPOCHS * 8


def test_file_round_trip(tmp_path):
    surrogate, archs, _ = fitted()
    path = tmp_path / "surrogate.safetensors"
    saved = storage.save(path, surrogate)
    assert saved.version.startswith("nasjax.surrogate/1 mlp-svd ")
    loaded = nasbench.load(path)
    assert jax.tree.structure(loaded) == jax.tree.structure(saved)
    for ours, theirs in zip(
        jax.tree.leaves(loaded), jax.tree.leaves(saved), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    # The version names the numbers.
    again = storage.save(tmp_path / "again.safetensors", surrogate)
    other = storage.save(
        tmp_path / "other.safetensors",
        surrogate.replace(seconds=model.Seconds(jnp.float32(61.0))),
    )
    assert again.version == saved.version != other.version


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    arrays.save(path, {"a": np.zeros(1)}, metadata={"form": "other"})
    with pytest.raises(DataError, match="form 'other'"):
        storage.load(path)
    node = {"kind": "Popen", "static": {}, "children": {}}
    arrays.save(
        path, {"a": np.zeros(1)}, metadata={"form": storage.FORM, "surrogate": node}
    )
    with pytest.raises(DataError, match="kind 'Popen'"):
        storage.load(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An ensemble of nbnlp11's sizes: two members equal, one different."""
    sizes = {"num_features": 188, "num_epochs": 50}
    objects = [official.svd_surrogate(seed, **sizes) for seed in (0, 0, 3)]
    folder = tmp_path_factory.mktemp("nbnlp11")
    contents = [official.joblib_bytes(each) for each in objects]
    official.write_folder(folder, official.ensemble_files(contents, "svd_lgb"))
    return folder, objects


def test_official_checkpoints_predict_what_the_libraries_do(checkpoint, tmp_path):
    folder, objects = checkpoint
    with jax.enable_x64(True):
        surrogate = official_surrogates.read(folder)
        x, _ = official.data(5, num_features=188, num_epochs=50)
        theirs = np.mean([official.curves_of(each, x) for each in objects], axis=0)
        predict = jax.jit(jax.vmap(model.CurveModel.mean, (None, 0)))
        curves = predict(surrogate.require(), x)
        # Ours are losses, theirs 100 minus losses.
        np.testing.assert_allclose(curves, 100 - theirs, rtol=1e-9)
        assert len(surrogate.require().members) == 2
        assert surrogate.techniques == ("lgb", "svd")
        assert float(surrogate.seconds.predict(x[0])) == 9747
        storage.save(tmp_path / "x.safetensors", surrogate)
        again = predict(storage.load(tmp_path / "x.safetensors").require(), x)
        np.testing.assert_allclose(again, curves, rtol=1e-12)


def test_official_noise_has_the_released_moments(checkpoint):
    """A draw of the first member's kernel, clipped at 3 and halved; sign reversed."""
    folder, objects = checkpoint
    surrogate = official_surrogates.read(folder)
    noise = surrogate.require().noise
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.jit(jax.vmap(noise.sample, (0, None)))
    ours = np.asarray(draw(keys, jnp.zeros(50)))
    theirs = -np.clip(objects[0][5].resample(4000, seed=0).T, -3, 3) / 2
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.12)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.12)


def test_unknown_checkpoints_are_refused(tmp_path):
    content = official.joblib_bytes(official.svd_surrogate())
    official.write_folder(tmp_path, official.ensemble_files([content], "svd_lgb"))
    with pytest.raises(DataError, match="5 features and 6 epochs"):
        official_surrogates.read(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        official_surrogates.read(tmp_path / "nothing")


def test_settings_are_checked():
    from nasjax.core.errors import ConfigError

    with pytest.raises(ConfigError, match="did you mean 'lgb'"):
        fitting.Settings(regressor="lgbm")
    with pytest.raises(ConfigError, match="num_members must be at least 1"):
        fitting.Settings(num_members=0)
    with pytest.raises(ConfigError, match="early_stopping is -1"):
        fitting.Settings(early_stopping=-1)
    with pytest.raises(ConfigError, match="the variant released always has"):
        fitting.Settings(early_stopping=5, variant="released")
    with pytest.raises(ConfigError, match="did you mean 'compact'"):
        fitting.Settings(boosting="compat")
    with pytest.raises(ConfigError, match="released has chained=True and boosting"):
        fitting.Settings(variant="released", chained=False)
    assert fitting.Settings().name == "svd_lgb_gkde"


def test_the_size_of_forests_and_whether_they_are_chained():
    rng = np.random.default_rng(0)
    x = rng.random((60, 4))
    y = x[:, :1] * np.linspace(0.5, 0.9, EPOCHS) + 0.1 * rng.random((60, EPOCHS))

    def chain(**options):
        settings = fitting.Settings(noise="none", rank=2, **options)
        return fitting.fit_mean(jax.random.key(0), x, y, settings).members[0].regressor

    small = chain(boosting="small", chained=False)
    assert not small.chained
    # Both components see the architecture only.
    assert [trees.num_features for trees in small.source] == [4, 4]
    assert [trees.num_trees for trees in small.source] == [300, 300]
    # Leaves of at least five of 60 rows.
    assert 3 < max(trees.num_leaves.max() for trees in small.source) <= 12
    few = chain(num_rounds=20)
    assert few.chained and [trees.num_trees for trees in few.source] == [20, 20]
    model = fitting.fit_seconds(x, 1 + x[:, 0], fitting.Settings(boosting="small"))
    assert model.models[0].source[0].num_trees == 300


def tampered(tmp_path, content, edit):
    """A surrogate file whose metadata were edited, with a right checksum."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    metadata = arrays.load_metadata(path)
    edit(metadata["surrogate"])
    arrays.save(path, dict(arrays.memory_map(path)), metadata=metadata)
    return path


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s["static"].update(space=["nasbench201"]),
        lambda s: s["static"].update(features=3),
        lambda s: s["static"].update(epochs=[]),
        lambda s: s["static"].update(epochs=["1"]),
        lambda s: s["static"].update(epochs=[3, 1]),
        lambda s: s["static"].update(epochs=[1, 2]),
        lambda s: s["static"].update(techniques="lgb"),
        lambda s: s["static"].pop("metric"),
        lambda s: s["static"].update(surprise=1),
        lambda s: s["children"].pop("models"),
        lambda s: s["children"]["models"].update(kind="list"),
        lambda s: s["children"]["models"].update(kind=["dict"]),
        lambda s: s["children"]["models"]["children"].update(x={"kind": "none"}),
        lambda s: s.update(kind="SVD"),
        lambda s: s.clear(),
    ],
)
def test_tampered_surrogates_are_one_line(tmp_path, edit):
    from fuzz import targets

    path = tampered(tmp_path, targets.saved(targets.surrogate_bytes), edit)
    with pytest.raises(DataError, match="x.safetensors") as caught:
        storage.load(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
