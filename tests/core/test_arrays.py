import json
import os
import typing

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from flax import struct
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasjax.core import arrays, errors
from nasjax.nasbench import table_file

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NAMES = st.text("abcxyz_0123é ", min_size=1, max_size=6)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(np.dtype(d), SHAPES))
TREES = st.recursive(
    st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=4),
    lambda trees: st.dictionaries(NAMES, trees | ARRAYS, min_size=1, max_size=3),
    max_leaves=6,
)


class Pair(typing.NamedTuple):
    first: typing.Any
    second: typing.Any


class Node(struct.PyTreeNode):
    weights: typing.Any
    pairs: typing.Any


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert x.dtype == y.dtype and x.shape == y.shape
        assert x.tobytes() == y.tobytes()


def raw_file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@settings(max_examples=60, deadline=None)
@given(tree=TREES)
def test_any_tree_of_dicts_round_trips(tree, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    arrays.save(path, tree)
    assert_same(arrays.load(path), tree)
    assert_same(arrays.load(path, template=tree), tree)
    for key, value in safetensors.numpy.load_file(path).items():
        view = arrays.memory_map(path)[key]
        assert view.dtype == value.dtype and view.shape == value.shape
        assert view.tobytes() == value.tobytes()


def test_structures_come_back_through_a_template(tmp_path):
    tree = Node(
        weights={"conv": jnp.arange(6.0).reshape(2, 3).T, "half": jnp.bfloat16(1.5)},
        pairs=[Pair(np.int32(3), 7), Pair(2.5, True), (jnp.zeros((0, 2)),)],
    )
    arrays.save(tmp_path / "a", tree)
    back = arrays.load(tmp_path / "a", template=tree)
    assert_same(back, tree)
    assert type(back.pairs[0].second) is int and type(back.pairs[1].second) is bool
    back.weights["conv"][0, 0] = 1  # writable
    shapes = jax.eval_shape(lambda: tree.weights)
    arrays.save(tmp_path / "b", tree.weights)
    assert_same(arrays.load(tmp_path / "b", template=shapes), tree.weights)
    assert set(arrays.load(tmp_path / "a")["pairs"]) == {"0", "1", "2"}


def test_a_bare_array_and_an_empty_tree_round_trip(tmp_path):
    arrays.save(tmp_path / "a", np.arange(3))
    assert_same(arrays.load(tmp_path / "a"), np.arange(3))
    arrays.save(tmp_path / "b", {})
    assert arrays.load(tmp_path / "b") == {}


def test_other_byte_orders_and_strides_are_saved_by_value(tmp_path):
    tree = {
        "big": np.arange(5, dtype=">i4"),
        "flip": np.arange(6).reshape(2, 3)[:, ::-1],
    }
    arrays.save(tmp_path / "a", tree)
    back = arrays.load(tmp_path / "a")
    np.testing.assert_array_equal(back["big"], tree["big"])
    np.testing.assert_array_equal(back["flip"], tree["flip"])


def test_metadata_round_trip_and_those_of_others_are_strings(tmp_path):
    metadata = {"space": "nasbench201", "epochs": [12, 200], "nested": {"a": None}}
    arrays.save(tmp_path / "a", {"x": np.zeros(2)}, metadata=metadata)
    assert arrays.load_metadata(tmp_path / "a") == metadata
    arrays.save(tmp_path / "a", {"x": np.zeros(2)})
    assert arrays.load_metadata(tmp_path / "a") == {}
    safetensors.numpy.save_file({"x": np.zeros(2)}, tmp_path / "b", {"format": "np"})
    assert arrays.load_metadata(tmp_path / "b") == {"format": "np"}


def test_the_same_tree_gives_the_same_bytes(tmp_path):
    tree = {"b": np.ones(3, np.float32), "a": {"c": np.arange(4)}}
    arrays.save(tmp_path / "a", tree, metadata={"x": 1, "y": 2})
    arrays.save(tmp_path / "b", dict(reversed(tree.items())), metadata={"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_memory_maps_are_views_of_the_file_and_read_only(tmp_path):
    arrays.save(tmp_path / "a", {"x": np.arange(1000), "empty": np.zeros((0, 3))})
    views = arrays.memory_map(tmp_path / "a")
    base = views["x"]
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap) and type(views["x"]) is np.ndarray
    for view in views.values():
        with pytest.raises(ValueError):
            view[...] = 0
    arrays.save(tmp_path / "a", {"x": np.zeros(3)})  # replaced under the views
    np.testing.assert_array_equal(views["x"], np.arange(1000))


def test_bfloat16_of_another_writer_is_read(tmp_path):
    values = np.array([1.5, -2, np.inf], ml_dtypes.bfloat16)
    spec = {"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    view = arrays.memory_map(raw_file(tmp_path / "a", spec, values.tobytes()))["x"]
    assert_same(view, values)


@jax.tree_util.register_pytree_with_keys_class
class Clashing:
    """A node two of whose children have names that read the same."""

    def tree_flatten_with_keys(self):
        entry = jax.tree_util.DictKey
        return ((entry(1), 0.0), (entry("1"), 0.0)), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls()


@pytest.mark.parametrize(
    "tree, problem",
    [
        ({"a/b": np.zeros(1)}, "'a/b'"),
        ({"__metadata__": np.zeros(1)}, "__metadata__"),
        ({"x": Clashing()}, "'x/1' names two leaves"),
        ({"a": {"key": "text"}}, "'a/key'"),
        ({"x": np.array([None])}, "'x'"),
        ({"x": jax.random.key(0)}, "key_data"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_nothing_written(tree, problem, tmp_path):
    with pytest.raises((TypeError, ValueError), match=problem):
        arrays.save(tmp_path / "a", tree)
    assert os.listdir(tmp_path) == []


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    arrays.save(tmp_path / "a", {"x": np.arange(3)})

    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        arrays.save(tmp_path / "a", {"x": np.arange(9)})
    assert os.listdir(tmp_path) == ["a"]
    assert_same(arrays.load(tmp_path / "a"), {"x": np.arange(3)})


@pytest.mark.parametrize(
    "template, problem",
    [
        (
            {"w": np.zeros((2, 3), np.float32)},
            r"'w' should be float32\[2, 3\], .*\[2\]",
        ),
        ({"w": np.zeros(2, np.int32)}, r"'w' should be int32\[2\], found float32\[2\]"),
        ({"v": np.zeros(2, np.float32)}, "'v' is missing"),
        ({"w": np.zeros(2, np.float32)}, "'b' is not expected"),
    ],
)
def test_a_file_that_is_not_the_template_names_the_key(template, problem, tmp_path):
    path = tmp_path / "model.safetensors"
    arrays.save(path, {"w": np.zeros(2, np.float32), "b": np.zeros(1)})
    with pytest.raises(errors.DataError, match=problem) as error:
        arrays.load(path, template=template)
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path):
    for read in (arrays.load, arrays.load_metadata, arrays.memory_map):
        with pytest.raises(errors.DataError, match="no such file"):
            read(tmp_path / "none")
        with pytest.raises(errors.DataError, match=str(tmp_path)):
            read(tmp_path)


def test_every_truncation_is_found(tmp_path):
    arrays.save(tmp_path / "a", {"x": np.arange(3, dtype=np.int32), "y": np.ones(2)})
    whole = (tmp_path / "a").read_bytes()
    cut = tmp_path / "cut"
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        with pytest.raises(errors.DataError, match=str(cut)):
            arrays.load(cut)
    cut.write_bytes(whole + b"\0")
    with pytest.raises(errors.DataError, match="1 bytes follow"):
        arrays.load(cut)


def entry(dtype="U8", shape=(2,), offsets=(0, 2)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "header, problem",
    [
        (b"{", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"x": 1, "x": 2}', "a key appears twice"),
        ({"x": 3}, "'x' has no description"),
        ({"x": entry(dtype="F4")}, "'x' has the unsupported type 'F4'"),
        ({"x": entry(dtype=["U8"])}, "unsupported"),
        ({"x": entry(shape=(-2, -1))}, "malformed"),
        ({"x": entry(shape=(True, 2))}, "malformed"),
        ({"x": entry(shape=(2.0,))}, "malformed"),
        ({"x": entry(offsets=(0, 2, 4))}, "malformed"),
        ({"x": entry(offsets=(-2, 0))}, "malformed"),
        ({"x": entry(offsets=(2, 0))}, "do not fit"),
        ({"x": entry(dtype="F64")}, "do not fit"),
        ({"x": entry(shape=(2**62, 2**62))}, "do not fit"),
        ({"x": entry(shape=(2**70,), offsets=(0, 2**70))}, "truncated"),
        ({"x": entry(), "y": entry(offsets=(1, 3))}, "overlaps"),
        ({"x": entry(), "y": entry()}, "overlaps"),
        ({"x": entry(offsets=(1, 3))}, "gap"),
        ({"x": entry(shape=(1,), offsets=(0, 1))}, "1 bytes follow"),
        ({"x": entry(), "__metadata__": {"a": 1}}, "map of strings"),
        ({"x": entry(), "__metadata__": []}, "map of strings"),
    ],
)
def test_malformed_headers_are_named(header, problem, tmp_path):
    path = raw_file(tmp_path / "bad", header, b"\0\0")
    with pytest.raises(errors.DataError, match=problem) as error:
        arrays.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_huge_header_length_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "a").write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(errors.DataError, match="truncated or not"):
        arrays.load(tmp_path / "a")


def test_keys_below_another_array_are_refused(tmp_path):
    spec = {"a": entry(shape=(1,), offsets=(0, 1))}
    spec["a/b"] = entry(shape=(1,), offsets=(1, 2))
    with pytest.raises(errors.DataError, match="'a/b' lies below"):
        arrays.load(raw_file(tmp_path / "a", spec, b"\0\0"))


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_flipped_header_byte_is_an_error_or_a_readable_file(
    position, value, tmp_path_factory
):
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    arrays.save(path, {"a": np.arange(3), "b": {"c": np.ones((2, 2), np.float32)}})
    content = bytearray(path.read_bytes())
    length = 8 + int.from_bytes(content[:8], "little")
    content[position % length] = value
    path.write_bytes(content)
    try:
        mine = arrays.memory_map(path)
    except errors.DataError:
        return
    theirs = safetensors.numpy.load(bytes(content))
    assert {k: v.tobytes() for k, v in mine.items()} == {
        k: v.tobytes() for k, v in theirs.items()
    }


# --- checksums ------------------------------------------------------------------


@pytest.fixture(params=["whole", "rows"])
def sealed(request, tmp_path):
    """A file of each of our writers."""
    path = tmp_path / "x.safetensors"
    tree = {"a": np.arange(5, dtype=np.int32), "b": np.ones((5, 2), np.float32)}
    description = {"form": "x", "text": '"nasjax crc32:00000000":'}
    if request.param == "whole":
        arrays.save(path, tree, metadata=description)
        return path
    with table_file.streaming(path, description) as writer:
        for i in range(5):
            writer.append({key: values[i] for key, values in tree.items()})
    return path


def test_a_flipped_bit_anywhere_is_refused(sealed, tmp_path):
    content = sealed.read_bytes()
    assert arrays.load(sealed)["a"].tolist() == list(range(5))
    path = tmp_path / "damaged"
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        for read in (arrays.load, arrays.load_metadata, arrays.memory_map):
            with pytest.raises(errors.DataError, match="damaged") as caught:
                read(path)
            assert str(caught.value).isprintable()


def test_a_damaged_number_is_said_to_be_one(sealed):
    content = bytearray(sealed.read_bytes())
    content[-1] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(errors.DataError, match="x.safetensors: its checksum differs"):
        arrays.load(sealed)


def test_files_without_checksum_load_and_are_told_once(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(arrays.logging, "warning", lambda *args: told.append(args[1]))
    path, foreign = tmp_path / "old.safetensors", tmp_path / "foreign.safetensors"
    old = {"nasjax": json.dumps({"form": "x"})}
    safetensors.numpy.save_file({"a": np.arange(3)}, path, metadata=old)
    safetensors.numpy.save_file(
        {"a": np.arange(3)}, foreign, metadata={"by": "another"}
    )
    for _ in range(2):
        assert arrays.load(path)["a"].tolist() == [0, 1, 2]
        assert arrays.load_metadata(path) == {"form": "x"}
        assert arrays.load_metadata(foreign) == {"by": "another"}
    assert told == [str(path)]


def test_a_replaced_file_is_compared_again(tmp_path):
    path = tmp_path / "x.safetensors"
    for number in range(3):
        arrays.save(path, {"a": np.full(3, number)})
        assert arrays.load(path)["a"].tolist() == [number] * 3
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(errors.DataError, match="checksum differs"):
        arrays.load(path)


@pytest.mark.parametrize(
    "shape", [[1] * 100, [0, 2**79], [0] * 33, [0, 2**63], [2**79] * 32]
)
def test_shapes_of_hostile_headers(shape, tmp_path):
    path = raw_file(
        tmp_path / "x",
        {"x": {"dtype": "U8", "shape": shape, "data_offsets": [0, 0]}},
        b"",
    )
    with pytest.raises(errors.DataError, match="x: "):
        arrays.load(path)


def test_pipes_and_metadata_of_other_kinds(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.DataError, match="not a plain file"):
        arrays.load(tmp_path / "pipe")
    safetensors.numpy.save_file(
        {"a": np.zeros(1)}, tmp_path / "x", metadata={"nasjax": "[1]"}
    )
    with pytest.raises(errors.DataError, match="not a JSON object"):
        arrays.load_metadata(tmp_path / "x")
