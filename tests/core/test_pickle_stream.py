"""The streaming machine reads what pickle reads and refuses what safe_pickle does."""

import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.core import safe_pickle
from nasjax.core.errors import DataError
from nasjax.core.pickle_stream import Machine

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time."""

    def __init__(self, content, size):
        self.content, self.size = io.BytesIO(content), size

    def read(self, _=-1):
        return self.content.read(self.size)


def read(content, size=1 << 20, machine=Machine, **arguments):
    arguments = {"allow": safe_pickle.NUMPY, "name": "file", **arguments}
    return machine(Trickle(content, size), **arguments).load()


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
        | st.tuples(inner)
        | st.tuples(inner, inner, inner, inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(content=plain, protocol=st.sampled_from(PROTOCOLS), size=st.integers(1, 40))
def test_plain_data_are_read_as_pickle_reads_them(content, protocol, size):
    assert read(pickle.dumps(content, protocol), size) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_shared_objects(protocol):
    shared = ["shared"]
    content = OrderedDict(a=np.arange(6.0).reshape(2, 3).T, b=shared, c=shared)
    content["d"] = np.float64(2.5)
    ours = read(pickle.dumps(content, protocol))
    np.testing.assert_array_equal(ours["a"], content["a"])
    assert ours["b"] is ours["c"] and ours["d"] == 2.5


@settings(max_examples=300, deadline=None)
@given(data=st.data(), protocol=st.sampled_from(PROTOCOLS))
def test_damage_is_a_data_error_or_plain(data, protocol):
    damaged = bytearray(pickle.dumps({"a": np.arange(4), "b": [1.5, None]}, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        read(bytes(damaged), max_item_bytes=10_000)
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_truncation_is_refused(protocol):
    content = pickle.dumps({"a": ["text", 1.5, 2**40]}, protocol)
    for end in range(len(content)):
        with pytest.raises(DataError, match="^file: "):
            read(content[:end])


class Reduces:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("function", [os.system, eval, getattr])
def test_calls_are_refused_and_not_made(tmp_path, protocol, function):
    mark = tmp_path / "mark"
    inner = Reduces(function, f"touch {mark}")
    for content in (inner, [inner], Reduces(OrderedDict, [("a", inner)])):
        with pytest.raises(DataError, match="refused to load global"):
            read(pickle.dumps(content, protocol))
    assert not mark.exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"\x80\x02cos\nsystem\n)\x81.", "os.system"),
        (b"\x80\x02)K\x01\x81.", "refused to call tuple"),
        (b"\x8c\x03lenK\x01\x85R.", "refused to call str"),
        (b"\x80\x02ccollections\nOrderedDict\n}\x8c\x01xNsb.", "refused to change"),
        (b"\x80\x02cnumpy\ndtype\n}\x8c\x01xNsb.", "refused a state of type"),
        (b"}}\x8c\x01xNsb.", "refused a state of dict"),
        (b"K\x01K\x02K\x03s.", "refused items of int"),
        (b"\x82\x01.", "refused opcode 0x82"),
        (b"\x97.", "refused opcode 0x97"),
        (b"Pabc\n.", "persistent id"),
        (b"\x8c\x03abcQ.", "persistent id"),
        (b"\x80\x06N.", "protocol 6"),
        (b"h\x05.", "refers back"),
        (b"\x8e" + struct.pack("<Q", 2**60) + b"x.", "an item of 1152921504606846976"),
        (b".", "not a pickle"),
        (b"t.", "not a pickle"),
    ],
)
def test_refusals_name_what(content, message):
    with pytest.raises(DataError, match=message):
        read(content)


def test_a_memo_index_costs_nothing():
    assert read(b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff.") is None


class Thin(Machine):
    """Keeps only the sums of lists, and forgets everything that was memoised."""

    def on_items(self, target, pairs):
        self.memo.clear()
        return [(key, sum(value)) for key, value in pairs]


def test_items_can_be_replaced_and_forgotten():
    content = {i: [float(i)] * 10 for i in range(3000)}
    for protocol in (2, 4):
        ours = read(pickle.dumps(content, protocol), machine=Thin)
        assert ours == {i: 10.0 * i for i in range(3000)}
    shared = [1.0]
    with pytest.raises(DataError, match="not the official one"):
        data = pickle.dumps([{"a": shared}, {"b": shared}], 2)
        read(data, machine=Thin)


class Joined(Machine):
    """Raw bytes follow the state of every stub, as joblib writes arrays."""

    def on_build(self, instance):
        return self.read(instance.state["size"])


def test_raw_bytes_between_opcodes_and_pickles_one_after_another():
    stub = b"\x80\x02cjoblib\nWrapper\n)\x81}X\4\0\0\0sizeK\x03sb"
    stream = io.BytesIO(b"](" + stub + b"RAWK\x07e.N.")
    allow = {("joblib", "Wrapper"): safe_pickle.stub("Wrapper")}
    machine = Joined(stream, allow=allow, name="file")
    assert machine.load() == [b"RAW", 7]
    assert machine.load() is None
