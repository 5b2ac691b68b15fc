import importlib.metadata
import json
import os
import pathlib
import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nasjax
from nasjax.core import errors, result

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values),
    max_leaves=10,
)


@given(values=st.dictionaries(st.text(), JSON, max_size=4))
def test_json_values_read_back_exactly(values, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "result.json"
    result.write(path, values)
    assert result.read(path) == values


def test_arrays_and_numpy_numbers_become_json(tmp_path):
    result.write(
        tmp_path / "r.json",
        {
            "z": jnp.float32(0.1),
            "a": (np.int64(2**60), np.bool_(True), np.float64(0.1)),
            "nested": {3: [np.nan, jnp.inf, -np.inf, np.float32("nan")]},
            "array": jnp.arange(4).reshape(2, 2),
            "holes": np.array([1.5, np.nan]),
            "path": pathlib.Path("runs/x"),
        },
    )
    text = (tmp_path / "r.json").read_text()
    assert json.loads(text) == {
        "z": float(np.float32(0.1)),
        "a": [2**60, True, 0.1],
        "nested": {"3": [None, None, None, None]},
        "array": [[0, 1], [2, 3]],
        "holes": [1.5, None],
        "path": "runs/x",
    }
    assert text.startswith('{\n  "a": [') and text.endswith("}\n")


def test_the_order_of_keys_does_not_matter(tmp_path):
    result.write(tmp_path / "a", {"x": 1, "y": {"b": 1, "a": 2}})
    result.write(tmp_path / "b", {"y": {"a": 2, "b": 1}, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_value_without_a_json_form_is_named_and_the_old_file_stays(tmp_path):
    result.write(tmp_path / "r.json", {"x": 1})
    with pytest.raises(
        TypeError, match=r"tables.2\.3\[1\]\.value has no JSON form: set"
    ):
        result.write(tmp_path / "r.json", {"tables": {"2.3": [{}, {"value": {1, 2}}]}})
    assert result.read(tmp_path / "r.json") == {"x": 1}
    assert os.listdir(tmp_path) == ["r.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "[" * 10**5])
def test_what_is_not_a_result_is_a_data_error(content, tmp_path):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(errors.DataError, match="r.json"):
        result.read(tmp_path / "r.json")


def test_a_missing_result_is_a_data_error(tmp_path):
    with pytest.raises(errors.DataError, match="none.json"):
        result.read(tmp_path / "none.json")


def test_versions_are_those_installed():
    versions = result.versions()
    assert versions["python"] == platform.python_version()
    assert versions["nasjax"] == nasjax.__version__
    for package in ("jax", "jaxlib", "flax", "optax", "numpy"):
        assert versions[package] == importlib.metadata.version(package)
    assert versions["backend"] == "cpu"
    assert versions["device"] == jax.devices()[0].device_kind
    assert all(type(value) is str for value in versions.values())
