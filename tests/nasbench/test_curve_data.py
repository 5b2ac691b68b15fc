"""Curves to fit to, from tables and from users' files."""

import gzip

import numpy as np
import pytest

from nasjax.core import arrays
from nasjax.core.errors import ConfigError, DataError
from nasjax.nasbench.surrogate import curve_data

CSV = """name,kind,depth,same,acc_1,acc_2,acc_3
a,x,3,1,10,20,30
b,y,4,1,20,30,40
c,x,5,1,30,,50
d,y,6,1,15,25,35
"""


def test_csv(tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text(CSV)
    data = curve_data.read(path, scale=0.01)
    # The row with a gap is left out.
    np.testing.assert_allclose(
        data.curves["valid_accuracy"], [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4],
                                        [0.15, 0.25, 0.35]]
    )  # fmt: skip
    # Few texts are one-hot; names are, too, with only four rows.
    assert data.features.shape == (3, 4 + 2 + 1)
    np.testing.assert_array_equal(data.features[:, -1], [3, 4, 6])
    assert data.ignored == {"same": "constant"} and len(data) == 3
    more = data.with_first_epochs(2, "valid_accuracy")
    assert more.num_measured == 2
    np.testing.assert_allclose(more.features[:, -2:], data.curves[
        "valid_accuracy"][:, :2])  # fmt: skip
    packed = tmp_path / "curves.csv.gz"
    packed.write_bytes(gzip.compress(CSV.encode()))
    np.testing.assert_array_equal(
        curve_data.read(packed, scale=0.01).features, data.features
    )


def test_many_texts_are_ignored(tmp_path):
    rows = "".join(f"net{i},{i},0.5,0.6\n" for i in range(30))
    (tmp_path / "x.csv").write_text("net,width,acc_1,acc_2\n" + rows)
    data = curve_data.read(tmp_path / "x.csv")
    assert data.ignored == {"net": "text with 30 values"}
    assert data.features.shape == (30, 1)


def test_arrays(tmp_path):
    path = tmp_path / "x.safetensors"
    random = np.random.default_rng(0)
    tree = {
        "archs": random.integers(0, 5, (4, 6)).astype(np.int8),
        "valid_accuracy": random.random((4, 3), np.float32),
        "seconds": np.ones((4, 3), np.float32),
    }
    arrays.save(path, tree)
    data = curve_data.read(path, features_name="nasbench211")
    assert data.features.shape == (4, 6) and data.space == "nasbench201"
    np.testing.assert_array_equal(data.seconds, np.ones(4))
    with pytest.raises(ConfigError, match="no array `features`"):
        curve_data.read(path)
    arrays.save(path, {**tree, "features": random.random((4, 2))})
    given = curve_data.read(path)
    assert given.features.shape == (4, 2) and given.space == ""
    part = given.take(np.array([2, 0]))
    np.testing.assert_array_equal(part.features, given.features[[2, 0]])


def test_trainings_that_diverged_are_left_out(tmp_path):
    curves = np.ones((3, 4), np.float32)
    curves[1, 2:] = np.nan
    tree = {"features": np.arange(6.0).reshape(3, 2), "train_accuracy": curves}
    tree["valid_accuracy"] = np.full((3, 4), np.nan)  # recorded nowhere
    arrays.save(tmp_path / "x.safetensors", tree)
    data = curve_data.read(tmp_path / "x.safetensors")
    assert set(data.curves) == {"train_accuracy"}
    np.testing.assert_array_equal(data.features, [[0, 1], [4, 5]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column begins with 'acc_'"),
        ("a,acc_1\n1,2\n1,3\n", "no column can be used as a feature"),
    ],
)
def test_files_without_curves_or_features(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        curve_data.read(tmp_path / "x.csv")
    with pytest.raises(DataError, match="no such file"):
        curve_data.read(tmp_path / "y.csv")


def test_arrays_without_curves(tmp_path):
    arrays.save(tmp_path / "x.safetensors", {"features": np.zeros((2, 2))})
    with pytest.raises(DataError, match="no curves; name them train_accuracy"):
        curve_data.read(tmp_path / "x.safetensors")
