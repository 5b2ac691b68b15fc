"""NAS-Bench-x11 checkpoints made by the real libraries, read without them."""

import os
import pickle
import warnings

import joblib
import joblib.numpy_pickle
import lightgbm
import numpy as np
import official_files
import official_surrogates as official
import pytest

from nasjax.core.errors import DataError
from nasjax.nasbench.readers import imported, nasbench301, nasbench_x11

RANK, NUM_EPOCHS = official.RANK, official.NUM_EPOCHS
OLD_NAMES = {
    b"csklearn.preprocessing._data\n": b"csklearn.preprocessing.data\n",
    b"cscipy.stats._kde\n": b"cscipy.stats.kde\n",
    b"cnumpy._core.multiarray\n": b"cnumpy.core.multiarray\n",
    b"cjoblib.numpy_pickle\n": b"csklearn.externals.joblib.numpy_pickle\n",
}


@pytest.fixture(scope="module")
def objects():
    return official.svd_surrogate()


@pytest.fixture(scope="module")
def content(objects):
    return official.joblib_bytes(objects)


@pytest.fixture(scope="module")
def other(objects):
    """A member with other models."""
    return official.joblib_bytes(official.svd_surrogate(seed=3))


def read(content):
    return nasbench_x11.read_member(content, "file")


def check(member, objects):
    chain, scaler, s, vh, rank, *kernel = objects
    texts = [estimator.booster_.model_to_string() for estimator in chain.estimators_]
    assert member.library == "lightgbm" and list(member.models) == texts
    assert member.order == (0, 1, 2)
    assert (member.num_features, member.num_epochs) == (5, NUM_EPOCHS)
    np.testing.assert_array_equal(member.decoder.mean, scaler.mean_)
    np.testing.assert_array_equal(member.decoder.scale, scaler.scale_)
    np.testing.assert_array_equal(member.decoder.singular_values, s[:rank])
    np.testing.assert_array_equal(member.decoder.basis, vh[:rank])
    if not kernel:
        assert member.kernel is None
        return
    np.testing.assert_array_equal(member.kernel.dataset, kernel[0].dataset)
    np.testing.assert_array_equal(member.kernel.weights, kernel[0].weights)
    np.testing.assert_array_equal(member.kernel.covariance, kernel[0].covariance)
    assert member.kernel.factor == kernel[0].factor
    np.testing.assert_allclose(member.kernel.weights.sum(), 1)


def test_texts_and_arrays_are_those_of_the_libraries(objects, content):
    check(read(content), objects)


def test_without_noise():
    objects = official.svd_surrogate(noise=False)
    check(read(official.joblib_bytes(objects)), objects)


def test_the_member_is_enough_to_predict(objects, content):
    """The chain and the decoder as their docstrings say, against scikit-learn."""
    member, (features, _) = read(content), official.data(seed=7)
    inputs, codes = features, []
    for text in member.models:
        predicted = lightgbm.Booster(model_str=text).predict(inputs)
        codes.append(predicted)
        inputs = np.column_stack([inputs, predicted])
    ours = np.column_stack(codes) * member.decoder.scale + member.decoder.mean
    ours = ours @ np.diag(member.decoder.singular_values) @ member.decoder.basis
    np.testing.assert_allclose(ours, official.curves_of(objects, features), rtol=1e-9)


@pytest.mark.parametrize("compress", [("zlib", 1), ("zlib", 6), ("zlib", 9), "gzip"])
def test_compressed_files(objects, compress):
    check(read(official.joblib_bytes(objects, compress=compress)), objects)


@pytest.mark.parametrize(
    "compress, kind", [("bz2", "bzip2"), ("xz", "xz"), ("lzma",) * 2]
)
def test_other_compression_is_named(objects, compress, kind):
    data = official.joblib_bytes([1], compress=(compress, 1))
    with pytest.raises(DataError, match=f"file: compressed with {kind}.*zlib"):
        read(data)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(objects, protocol):
    check(read(official.joblib_bytes(objects, protocol=protocol)), objects)


def test_files_of_old_versions(objects, monkeypatch):
    """Names of modules before they moved; arrays that are not aligned."""
    wrap = joblib.numpy_pickle.NumpyPickler._create_array_wrapper

    def unaligned(pickler, array):
        wrapper = wrap(pickler, array)
        del wrapper.__dict__["numpy_array_alignment_bytes"]
        return wrapper

    monkeypatch.setattr(
        joblib.numpy_pickle.NumpyPickler, "_create_array_wrapper", unaligned
    )
    data = official.joblib_bytes(objects, protocol=2)
    for new, old in OLD_NAMES.items():
        assert new in data
        data = data.replace(new, old)
    check(read(data), objects)


def test_the_handle_under_its_old_name(objects):
    """LightGBM 2 and 3 call the text `handle`."""
    data = official.joblib_bytes(objects, protocol=2)
    new = b"X\x07\x00\x00\x00_handle"
    assert new in data
    check(read(data.replace(new, b"X\x06\x00\x00\x00handle")), objects)


def test_arrays_in_the_order_of_fortran(objects):
    chain, scaler, s, vh, rank, kernel = objects
    data = official.joblib_bytes(
        [chain, scaler, s, np.asfortranarray(vh), np.int64(rank), kernel]
    )
    check(read(data), objects)


def test_xgboost_chains():
    xgboost = pytest.importorskip("xgboost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = xgboost.XGBRegressor(n_estimators=3, max_depth=2, n_jobs=1)
        objects = official.svd_surrogate(noise=False, estimator=estimator)
    member = read(official.joblib_bytes(objects))
    assert member.library == "xgboost" and len(member.models) == RANK
    assert member.num_features == 5 and member.kernel is None
    booster = xgboost.Booster()
    booster.load_model(bytearray(member.models[1], "utf-8"))
    features = np.column_stack([official.data()[0], np.zeros(60)])
    expected = objects[0].estimators_[1].predict(features)
    found = booster.predict(xgboost.DMatrix(features))
    np.testing.assert_array_equal(found, expected)


# --- ensembles --------------------------------------------------------------------


def test_equal_members_are_one(tmp_path, objects, content, other):
    noisy = [*objects[:5], official.svd_surrogate(seed=5)[5]]
    contents = [content, official.joblib_bytes(noisy), other] + [content] * 8
    files = official.ensemble_files(contents, "svd_lgb")
    official.write_folder(tmp_path / "nb111", files)
    (found,) = nasbench_x11.read(tmp_path / "nb111")
    assert found.name == "nb111" and found.copies == (10, 1)
    check(found.members[0], objects)
    assert found.model_config == {"model": "svd_lgb", "number": 0}
    assert found.data_config == {"seed": 6}
    assert (found.num_features, found.num_epochs) == (5, NUM_EPOCHS)


def test_a_zip_of_several_benchmarks(tmp_path, objects, content, other):
    wide = official.joblib_bytes(official.svd_surrogate(num_features=7))
    files = {
        **official.ensemble_files([content, other], "svd_lgb", "v0.5/nb111/"),
        **official.ensemble_files([wide, wide], "svd_lgb", "v0.5/nb311/"),
        "v0.5/README.md": b"",
    }
    official_files.write_zip(tmp_path / "models.zip", files)
    first, second = nasbench_x11.read(tmp_path / "models.zip")
    assert (first.name, first.copies) == ("v0.5/nb111", (1, 1))
    assert (second.name, second.copies) == ("v0.5/nb311", (2,))
    check(first.members[0], objects)
    assert second.num_features == 7


def test_one_file_with_and_without_configs(tmp_path, objects, content):
    files = official.member_files(content, "svd_lgb")
    official.write_folder(tmp_path / "m", files)
    path = tmp_path / "m" / "surrogate_model.model"
    (found,) = nasbench_x11.read(path)
    check(found.members[0], objects)
    assert found.name == "m" and found.model_config == {"model": "svd_lgb"}
    for name in ("model_config.json", "data_config.json"):
        (tmp_path / "m" / name).unlink()
    (found,) = nasbench_x11.read(path)
    assert found.model_config == found.data_config == {} and found.copies == (1,)


def test_what_a_path_holds(tmp_path, content):
    official.write_folder(
        tmp_path / "x11", official.ensemble_files([content], "svd_lgb")
    )
    files = official.ensemble_files([content], "xgb", "xgb_v1.0/")
    files |= official.ensemble_files([content], "gnn_gin", "gnn/")
    official_files.write_zip(tmp_path / "models.zip", files)
    official_files.write_zip(tmp_path / "logs.zip", {"a.json": "{}"})
    (tmp_path / "broken.zip").write_bytes(b"PK")
    for name, expected in [
        ("x11", (True, False)),
        ("models.zip", (False, True)),
        ("logs.zip", (False, False)),
        ("broken.zip", (False, False)),
        ("absent", (False, False)),
    ]:
        path = tmp_path / name
        found = nasbench_x11.is_x11(path), nasbench301.is_nasbench301(path)
        assert found == expected, name


def test_kind_by_the_sizes():
    def surrogate(num_features, num_epochs):
        text = f"tree\nmax_feature_idx={num_features - 1}\nend of trees"
        decoder = imported.Decoder(*np.ones((3, 1)), np.ones((1, num_epochs)))
        member = imported.Member("lightgbm", (text,), (0,), decoder)
        return imported.ImportedSurrogate("x", (member,), (1,), {}, {})

    assert nasbench_x11.kind(surrogate(30, 108)) == "nasbench111"
    assert nasbench_x11.kind(surrogate(56, 98)) == "nasbench311"
    assert nasbench_x11.kind(surrogate(188, 50)) == "nasbench_nlp11"
    with pytest.raises(DataError, match="x: 5 features and 6 epochs"):
        nasbench_x11.kind(surrogate(5, 6))


# --- refusals ---------------------------------------------------------------------


class Reduces:
    """Pickles into a call of `function(*args)`, as an attacker writes it."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("compress", [0, 3])
@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_calls_are_refused_and_not_made(tmp_path, objects, place, compress):
    mark = tmp_path / "mark"
    objects = list(objects)
    objects[place] = Reduces(os.system, f"touch {mark}")
    with pytest.raises(DataError, match=r"file: refused to load global '.*system'"):
        read(official.joblib_bytes(objects, compress=compress))
    assert not mark.exists()


def test_arrays_of_objects_are_refused(tmp_path, objects):
    """joblib puts a second pickle behind such an array."""
    mark = tmp_path / "mark"
    array = np.array([Reduces(os.system, f"touch {mark}")], object)
    with pytest.raises(DataError, match="refused dtype 'O8'"):
        read(official.joblib_bytes([*objects[:3], array, *objects[4:]]))
    assert not mark.exists()


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3)])
def test_truncation_is_named(objects, compress):
    data = official.joblib_bytes(objects, compress=compress)
    check(read(data), objects)
    for end in [1, 2, 10, *range(100, len(data), len(data) // 25), len(data) - 1]:
        with pytest.raises(DataError, match="^file: .*(truncated|download it again)"):
            read(data[:end])


def test_large_declarations_cost_nothing():
    """A shape that says more than the file holds."""
    stub = joblib.numpy_pickle.NumpyArrayWrapper(
        None, (2**40,), "C", np.dtype("f8"), numpy_array_alignment_bytes=None
    )
    data = pickle.dumps([stub], 2)
    with pytest.raises(DataError, match="file: refused an item of"):
        read(data)
    stub.shape = (-1,)
    with pytest.raises(DataError, match="file: refused an array whose shape"):
        read(pickle.dumps([stub], 2))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda o: o[:4], "a list of 5 or 6"),
        (lambda o: tuple(o), "a list of 5 or 6"),
        (lambda o: [o[1], *o[1:]], "a RegressorChain is expected"),
        (lambda o: [o[0], o[0], *o[2:]], "a StandardScaler is expected"),
        (lambda o: [*o[:5], o[1]], "a gaussian_kde is expected"),
        (lambda o: [*o[:4], 2, o[5]], "3 models for 2 components"),
        (lambda o: [*o[:4], "3", o[5]], "3 models for '3'"),
        (lambda o: [*o[:2], o[2] * np.nan, *o[3:]], "not finite"),
        (lambda o: [*o[:2], o[2][:2], *o[3:]], r"an array of shape \(2,\)"),
        (lambda o: [*o[:3], o[3][:, :4], *o[4:]], r"an array of shape \(6, 60\)"),
        (lambda o: [*o[:3], "text", *o[4:]], "str in the place of an array"),
        (lambda o: [*o[:3], o[3] > 0, *o[4:]], "holds no numbers"),
    ],
)
def test_other_contents_are_named(objects, change, message):
    with pytest.raises(DataError, match=f"file: not of the official .*{message}"):
        read(official.joblib_bytes(change(list(objects))))


def test_models_that_were_not_fitted():
    objects = official.svd_surrogate(noise=False)
    objects[0].estimators_[1] = official.regressor()
    with pytest.raises(DataError, match="file: holds no fitted model"):
        read(official.joblib_bytes(objects))


@pytest.mark.parametrize("model", ["svd_nn", "vae_lgb", "gnn_gin"])
def test_networks_are_refused_by_name(tmp_path, content, model, capsys):
    files = official.ensemble_files([content], model, "a/")
    official.write_folder(tmp_path, files)
    with pytest.raises(DataError, match=f"technique '{model}'.*svd_lgb.*--mode=fit"):
        nasbench_x11.read(tmp_path)
    files = official.ensemble_files([content], "svd_lgb", "b/")
    official.write_folder(tmp_path, files)
    assert len(nasbench_x11.read(tmp_path)) == 1
    assert (
        "left out 1 members of other techniques, such as a/" in capsys.readouterr().out
    )


def test_a_network_without_its_config_is_refused():
    data = b"\x80\x02]ctorch.nn.modules.container\nSequential\n)\x81a."
    with pytest.raises(DataError, match="file: a surrogate of the technique 'a torch"):
        read(data)


def test_paths_that_are_not_there_or_unsafe(tmp_path, content):
    with pytest.raises(DataError, match="absent: no such file or folder"):
        nasbench_x11.read(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no surrogate_model.model"):
        nasbench_x11.read(tmp_path / "empty")
    path = tmp_path / "a.zip"
    for name in ("../surrogate_model.model", "/a/surrogate_model.model", "a/../b.txt"):
        official_files.write_zip(path, {name: content})
        with pytest.raises(DataError, match="refused the member .* leads out"):
            nasbench_x11.read(path)
    files = official.member_files(content, "svd_lgb")
    official.write_folder(tmp_path / "m", {**files, "model_config.json": b"[1]"})
    with pytest.raises(DataError, match="model_config.json: not a JSON object"):
        nasbench_x11.read(tmp_path / "m")
