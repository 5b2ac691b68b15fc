"""Plain data come out as pickle reads them; everything else is refused unexecuted."""

import copyreg
import io
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.core import pickle_scan, safe_pickle
from nasjax.core.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def read(content, **arguments):
    return safe_pickle.load(content, **{"allow": safe_pickle.NUMPY, **arguments})


def short(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


def stack_global(module, name):
    return short(module) + short(name) + b"\x93"


class Reduces:
    """Pickles into a call of `function(*args)`, as an attacker writes it."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


# --- what is read ---------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_of_every_protocol_reads_as_pickle_reads_it(protocol):
    content = {
        "matrix": np.arange(6.0).reshape(2, 3),
        "fortran": np.arange(6.0).reshape(2, 3).T,
        "swapped": np.arange(3, dtype=">i4"),
        "flags": np.array([True, False]),
        "text": np.array(["ab", "c"]),
        "bytes": np.array([b"ab", b"c"]),
        "complex": np.array([1 + 2j]),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.float32(2.5),
        "flag": np.bool_(True),
    }
    data = pickle.dumps(content, protocol)
    ours, theirs = read(data), pickle.loads(data)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype, name
        np.testing.assert_array_equal(ours[name], value)
        assert isinstance(ours[name], np.ndarray) == isinstance(value, np.ndarray)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ordered_dict_and_bytes(protocol):
    from collections import OrderedDict

    content = OrderedDict([("b", b"\x00\xff"), ("a", b""), ("é", "ü\n"), ("n", 2**70)])
    ours = read(pickle.dumps(content, protocol))
    assert list(ours.items()) == list(content.items())


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(content=plain, protocol=st.sampled_from(PROTOCOLS))
def test_plain_data_round_trip(content, protocol):
    data = pickle.dumps(content, protocol)
    assert read(data) == content
    assert pickle_scan.check(data + b"more", name="x") == len(data)


def test_bytes_count_once_and_wide_text_four_times():
    """CIFAR-100's training images are 154 MB of bytes, which Python 2 wrote."""
    size = (2000).to_bytes(4, "little")
    strings = {code: code + size + b"\xc3\xa9" * 1000 + b"." for code in (b"T", b"X")}
    strings[b"B"] = pickle.dumps(b"\xe9" * 2000, 3)
    limit = {"name": "x", "max_objects_bytes": 4000}
    for code in (b"B", b"T"):
        pickle_scan.check(strings[code], **limit)
    with pytest.raises(DataError, match="too many objects"):
        pickle_scan.check(strings[b"X"], **limit)
    with pytest.raises(DataError, match="too many objects"):
        pickle_scan.check(strings[b"T"], encoding="utf-8", **limit)
    assert read(strings[b"T"]) == b"\xc3\xa9" * 1000


@settings(max_examples=300, deadline=None)
@given(data=st.data(), protocol=st.sampled_from(PROTOCOLS))
def test_every_damaged_pickle_is_a_data_error_or_plain(data, protocol):
    content = {"a": np.arange(4), "b": [1.5, "text", (None, b"x")]}
    damaged = bytearray(pickle.dumps(content, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        read(bytes(damaged), max_bytes=10_000)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_truncation_anywhere_is_refused(protocol):
    content = pickle.dumps({"a": np.arange(4), "b": ["text", 1.5]}, protocol)
    for end in range(len(content)):
        with pytest.raises(DataError, match="^file: .*(truncated|empty|download)"):
            read(content[:end], name="file")


def test_python_2_strings_stay_bytes_unless_told():
    content = b"\x80\x02}U\x04dataU\x02\xff\x00s."
    assert read(content) == {b"data": b"\xff\x00"}
    assert read(content, encoding="latin1") == {"data": "\xff\x00"}


def test_sources_and_names(tmp_path):
    path = tmp_path / "x.pickle"
    path.write_bytes(pickle.dumps([1]))
    assert read(path) == read(str(path)) == [1]
    with path.open("rb") as file:
        assert read(file) == [1]
    assert read(io.BytesIO(pickle.dumps([1]))) == [1]
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty: the file is empty"):
        read(tmp_path / "empty")
    with pytest.raises(DataError, match="absent: no such file"):
        read(tmp_path / "absent")
    with pytest.raises(DataError, match="longer than 3 bytes"):
        read(path, max_bytes=3)


def test_numbers_survive_in_memos_beyond_one_byte():
    content = [f"text {i}" for i in range(70_000)] * 2
    for protocol in (0, 2, 4):
        assert read(pickle.dumps(content, protocol)) == content


# --- globals --------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "function, args, named",
    [
        (os.system, ("touch {mark}",), r"(posix|nt|os)\.system"),
        (eval, ("open({mark!r}, 'w')",), r"eval"),
        (exec, ("open({mark!r}, 'w')",), r"exec"),
        (getattr, (1, "real"), r"getattr"),
        (open, ("{mark}", "w"), r"open"),
        (np.load, ("{mark}",), r"load"),
        (pickle.loads, (b"N.",), r"loads"),
    ],
)
def test_calls_are_refused_and_not_made(tmp_path, protocol, function, args, named):
    mark = str(tmp_path / "mark")
    args = tuple(a.format(mark=mark) if isinstance(a, str) else a for a in args)
    with pytest.raises(DataError, match=rf"refused to load global '.*{named}'"):
        read(pickle.dumps({"x": Reduces(function, *args)}, protocol))
    assert not os.path.exists(mark)


def test_call_nested_in_an_allowed_one_is_refused(tmp_path):
    from collections import OrderedDict

    mark = tmp_path / "mark"
    inner = Reduces(os.system, f"touch {mark}")
    with pytest.raises(DataError, match="system"):
        read(pickle.dumps(Reduces(OrderedDict, [("a", inner)])))
    assert not mark.exists()


@pytest.mark.parametrize(
    "module, name",
    [
        ("os", "system"),
        ("builtins", "getattr"),
        ("numpy", "ndarray.tofile"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "OrderedDict.__init__.__globals__"),
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
        ("", "x\ny"),
    ],
)
def test_only_exact_names_of_the_list_are_found(module, name):
    with pytest.raises(DataError, match="refused to load global") as caught:
        read(b"\x80\x04" + stack_global(module, name) + b".")
    assert "\n" not in str(caught.value)


def test_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'm')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="evil_module"):
        read(b"cevil_module\nrun\n.")
    assert not (tmp_path / "m").exists()


def test_instance_opcodes_reach_only_the_list():
    for content in (
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
        b"\x80\x04" + stack_global("os", "system") + b")}\x92.",  # NEWOBJ_EX
    ):
        with pytest.raises(DataError, match="os.system"):
            read(content)
    for content in (
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x02cnumpy\nndarray\nK\x05\x85\x81.",
        b"\x80\x02cnumpy\nndarray\nK\x05\x85R.",
    ):
        with pytest.raises(DataError):
            read(content, allow={**safe_pickle.NUMPY, ("numpy", "ndarray"): len})


# --- state ----------------------------------------------------------------------


def test_state_of_functions_and_types_cannot_be_set():
    before = safe_pickle._encode.__defaults__, dict(vars(safe_pickle._Dtype))
    values = b"N}" + short("__defaults__") + b"N" + short("dtype") + b"Ns"
    for module, name in [
        ("_codecs", "encode"),
        ("collections", "OrderedDict"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
    ]:
        function = b"\x80\x04" + stack_global(module, name)
        for state in (b"}" + short("x") + b"Nsb.", b"N}" + values[2:] + b"\x86b."):
            with pytest.raises(DataError):
                read(function + state)
        slots = b"N}" + short("__defaults__") + b"Ns\x86b."
        with pytest.raises(DataError):
            read(function + slots)
    after = safe_pickle._encode.__defaults__, dict(vars(safe_pickle._Dtype))
    assert before == after


def test_state_of_plain_containers_cannot_be_set():
    for start in (b"}", b"]", b"K\x01", short("text"), b"\x8f"):
        with pytest.raises(DataError):
            read(b"\x80\x04" + start + b"}" + short("__setstate__") + b"Nsb.")


def array(shape=b"K\x04\x85", dtype=b"i4", data=b"\0" * 16, order=b"<"):
    """The protocol-2 form of an array, from its parts."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"C\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\nX"
        + struct.pack("<I", len(dtype))
        + dtype
        + b"K\x00K\x01\x87R(K\x03X"
        + struct.pack("<I", len(order))
        + order
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89B"
        + struct.pack("<I", len(data))
        + data
        + b"tb."
    )


def test_array_parts_are_checked_before_numpy_sees_them():
    np.testing.assert_array_equal(read(array()), [0, 0, 0, 0])
    bad = {
        "dtype 'O8'": array(dtype=b"O8"),
        "dtype 'O'": array(dtype=b"O"),
        "dtype 'V8'": array(dtype=b"V8"),
        "dtype 'i4,O'": array(dtype=b"i4,O"),
        "dtype 'M8'": array(dtype=b"M8"),
        "structured": array(order=b"x"),
        r"shape \(5,\)": array(shape=b"K\x05\x85"),
        r"shape \(2147483647": array(shape=b"J\xff\xff\xff\x7f" * 3 + b"\x87"),
        "not a short tuple of sizes": array(shape=b"J\xff\xff\xff\xff\x85"),
        "shape is not": array(shape=b"K\x04"),
    }
    for message, content in bad.items():
        with pytest.raises(DataError, match=message):
            read(content)


def test_scalar_and_encode_take_only_their_own_form():
    scalar = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n"
    f8 = scalar + b"X\x02\0\0\0f8\x85R"
    assert read(b"\x80\x02" + f8 + b"C\x08" + bytes(8) + b"\x86R.") == 0.0
    with pytest.raises(DataError, match="7 bytes of data"):
        read(b"\x80\x02" + f8 + b"C\x07" + bytes(7) + b"\x86R.")
    with pytest.raises(DataError, match="dtype 'O'"):
        read(b"\x80\x02" + scalar + b"X\x01\0\0\0O\x85RC\x08" + bytes(8) + b"\x86R.")
    assert read(Reduces_encode("\xff", "latin1")) == b"\xff"
    for text, encoding in [("x", "rot13"), ("x", "hex"), (b"x", "latin1"), ("x", 1)]:
        with pytest.raises(DataError, match="_codecs.encode"):
            read(Reduces_encode(text, encoding))


def Reduces_encode(text, encoding):  # noqa: N802 (mirrors the class above)
    import _codecs

    return pickle.dumps(Reduces(_codecs.encode, text, encoding), 2)


# --- sizes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, opcode",
    [
        (b"r\xff\xff\xff\xff.", "LONG_BINPUT of index 4294967295"),
        (b"Nr\x00\x00\x10\x00.", "LONG_BINPUT"),
        (b"Np99999999999\n.", "PUT"),
        (b"Np-1\n.", "PUT"),
        (b"Np" + b"9" * 5000 + b"\n.", "PUT"),
        (b"\x8e" + struct.pack("<Q", 2**40) + b"x.", "BINBYTES8 of 1099511627776"),
        (b"\x96" + struct.pack("<Q", 2**62) + b"x.", "BYTEARRAY8"),
        (b"\x8d" + struct.pack("<Q", 2**63) + b"x.", "BINUNICODE8"),
        (b"B" + struct.pack("<I", 2**32 - 1) + b"x.", "BINBYTES"),
        (b"X" + struct.pack("<I", 2**31) + b"x.", "BINUNICODE"),
        (b"T" + struct.pack("<I", 2**31) + b"x.", "BINSTRING"),
        (b"\x8b" + struct.pack("<I", 2**31) + b"x.", "LONG4"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.", "FRAME"),
    ],
)
def test_declared_sizes_are_refused_before_allocation(content, opcode):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"refused opcode {opcode}"):
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_one_string_encoded_many_times_exhausts_the_budget():
    text = b"X" + struct.pack("<I", 1000) + b"a" * 1000 + b"q\x01"
    call = b"c_codecs\nencode\nh\x01X\x06\0\0\0latin1\x86R"
    content = b"\x80\x02" + text + b"](" + call * 100 + b"e\x86."
    assert len(read(content)[1]) == 100
    with pytest.raises(DataError, match="exceed the size limit"):
        read(content, max_bytes=50_000)


def test_one_buffer_used_for_many_arrays_exhausts_the_budget():
    buffer = b"B" + struct.pack("<I", 1000) + bytes(1000) + b"\x94"
    call = (
        stack_global("numpy._core.numeric", "_frombuffer")
        + b"(h\x00"
        + stack_global("numpy", "dtype")
        + short("u1")
        + b"\x85RM\xe8\x03\x85"
        + short("C")
        + b"tR"
    )
    content = b"\x80\x04" + buffer + b"](" + call * 100 + b"e\x86."
    assert read(content)[1][99].shape == (1000,)
    with pytest.raises(DataError, match="exceed the size limit"):
        read(content, max_bytes=50_000)


# --- other opcodes --------------------------------------------------------------


@pytest.mark.parametrize("content", [b"\x82\x01.", b"\x83\x01\x01.", b"\x84\1\1\0\0."])
def test_extension_codes_are_refused_even_when_cached(content):
    copyreg.add_extension("os", "system", 0x01)
    copyreg._extension_cache[0x01] = os.system
    try:
        with pytest.raises(DataError, match="refused opcode EXT"):
            read(content)
    finally:
        copyreg.remove_extension("os", "system", 0x01)
        copyreg.clear_extension_cache()


@pytest.mark.parametrize("content", [b"Pabc\n.", b"\x8c\x03abcQ."])
def test_persistent_ids_need_a_reader(content):
    with pytest.raises(DataError, match="a persistent id"):
        read(content)
    assert read(content, persistent_load=lambda pid: [pid]) == ["abc"]


@pytest.mark.parametrize("content", [b"\x97.", b"\x98.", b"\xff.", b"?", b"\x80\xff."])
def test_other_opcodes_and_protocols_are_refused(content):
    with pytest.raises(DataError):
        read(b"N" + content)


def test_deep_nesting_is_no_crash():
    assert read(b"(" * 10 + b"t" * 10 + b".") is not None
    deep = b"]" * 100_000 + b"a" * 99_999 + b"."
    assert read(deep)[0][0] is not None


# --- stand-ins of the reader ----------------------------------------------------


def test_stubs_keep_what_the_file_gives_them():
    allow = {("sklearn.svm", "SVR"): safe_pickle.stub("SVR")}
    content = b"\x80\x02csklearn.svm\nSVR\nK\x01\x85\x81}X\1\0\0\0cK\x02sb."
    found = read(content, allow=allow)
    assert (type(found).__name__, found.args, found.state) == ("SVR", (1,), {"c": 2})


def test_a_type_without_setstate_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="lacks __setstate__"):
        read(b"cx\nY\n.", allow={("x", "Y"): dict})
