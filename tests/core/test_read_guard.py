"""The guard of all readers: one line for every fault of a file, none of ours hidden."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

from nasjax.core import pickle_scan, pickle_stream, read_guard, safe_pickle
from nasjax.core.errors import ConfigError, DataError


def shared(depth=40, make=lambda x: [x, x]):
    """A value that holds 2^depth values."""
    value = make(0)
    for _ in range(depth):
        value = make(value)
    return value


def raises(function, *arguments):
    return lambda: function(*arguments)


FAULTS = {
    "deflate": raises(zlib.decompress, b"x\x9c damaged"),
    "lzma": raises(lzma.decompress, b"\xfd7zXZ\0damaged"),
    "bzip2": raises(bz2.decompress, b"BZh9damaged"),
    "zip": raises(zipfile.ZipFile, io.BytesIO(b"PK")),
    "tar": lambda: tarfile.open(fileobj=io.BytesIO(b"x" * 512)),
    "json": raises(json.loads, "{"),
    "deep json": raises(json.loads, "[" * 10**5),
    "struct": raises(struct.unpack, "<d", b""),
    "utf-8": raises(b"\xff".decode),
    "key": raises({}.__getitem__, "a\nb"),
    "index": raises([].__getitem__, 3),
    "number": raises(int, "x"),
    "overflow": raises(float, 10**400),
    "pickle": raises(pickle.loads, b"\x80"),
    "csv": lambda: list(csv.reader(["a\0b", "x" * 200_000])),
    "attribute": lambda: [].items(),
    "memory": raises(bytearray, 2**62),
    "not implemented": raises(object().__reduce_ex__, "x"),
    "end": raises(gzip.decompress, gzip.compress(b"x")[:-3]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_content_is_one_line_with_file_and_place(name):
    with pytest.raises(DataError, match="^some.file, row 3: ") as caught:
        with read_guard.guard("some.file", "not a table", remedy="mend it") as place:
            place.at = "row 3"
            FAULTS[name]()
    assert str(caught.value).endswith("; mend it")
    assert str(caught.value).isprintable() and caught.value.__cause__ is not None


def test_faults_of_the_program_stay_what_they_are():
    for slip, kind in [
        (lambda: undefined, NameError),  # noqa: F821
        (lambda: np.no_such_function, AttributeError),
        (raises(__import__, "no_such_module"), ImportError),
    ]:
        with pytest.raises(kind), read_guard.guard("file"):
            slip()
    with pytest.raises(AssertionError), read_guard.guard("file"):
        raise AssertionError("a law that does not hold")
    with pytest.raises(OSError, match="No space"), read_guard.guard("file"):
        raise OSError(28, "No space left on device")
    with pytest.raises(ConfigError, match="^mine$"), read_guard.guard("file"):
        raise ConfigError("mine")
    with pytest.raises(DataError, match="^file: nameless$"), read_guard.guard("file"):
        raise DataError("nameless")
    with pytest.raises(DataError, match="^file: of two lines, .$"):
        with read_guard.guard("file"):
            raise DataError("file: of two\nlines, \0")


def test_no_message_formats_an_object_of_a_file():
    value = shared()
    hashable = shared(10, lambda x: (x, x))
    for error in (KeyError(hashable), ValueError("what", value), TypeError(value)):
        assert len(read_guard.reason(error)) < 200
    assert read_guard.show(value) == "a value of type list"
    assert read_guard.show("x" * 1000) == repr("x" * 60)
    assert read_guard.show(10**1000) == "a value of type int"
    assert read_guard.reason(UnicodeDecodeError("utf-8", b"\xff" * 9, 0, 1, "bad"))


def test_pipes_folders_and_placeholders_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lfs").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    (tmp_path / "page").write_text("\n<!DOCTYPE html><html></html>")
    for name, message in [
        ("pipe", "not a plain file but a pipe"),
        ("", "is a folder"),
        ("absent", "no such file"),
        ("lfs", "a Git LFS pointer"),
        ("page", "an HTML page"),
        ("x" * 300, "cannot be read"),
    ]:
        with pytest.raises(DataError, match=message):
            read_guard.read_file(tmp_path / name)
    (tmp_path / "lfs").write_bytes(b"12345")
    assert read_guard.read_file(tmp_path / "lfs", max_bytes=5) == b"12345"
    with pytest.raises(DataError, match="longer than 4 bytes"):
        read_guard.read_file(tmp_path / "lfs", max_bytes=4)


def test_gzip_up_to_a_size(tmp_path):
    path = tmp_path / "x.csv.gz"
    content = b"a,b\n" * 50_000

    def read(data, max_bytes=200_000):
        path.write_bytes(data)
        with read_guard.open_gzip(path, max_bytes=max_bytes) as file:
            return file.read()

    packed = gzip.compress(content)
    assert read(packed) == content
    assert read(gzip.compress(b"x") + packed + bytes(7), 10**6) == b"x" + content
    for data, message in [
        (packed[:-1], "truncated"),
        (packed[:100] + b"?" * 20 + packed[120:], "damaged compression|truncated"),
        (b"plain", "damaged compression"),
        (gzip.compress(content + b"x"), "exceed the size limit"),
    ]:
        with pytest.raises(DataError, match=message):
            read(data)


def test_json_is_refused_before_it_becomes_many_objects():
    assert read_guard.parse_json('{"a": [1, 2.5, "x"]}', name="x") == {
        "a": [1, 2.5, "x"]
    }
    for text in ("[" + "[]," * 3_000_000 + "0]", b"[" + b"{}," * 2_000_000 + b"0]"):
        with pytest.raises(DataError, match="file: refused: JSON of too many objects"):
            read_guard.parse_json(text, name="file")
    with pytest.raises(DataError, match="file: not JSON"):
        read_guard.parse_json("[" * 100_000, name="file")


def test_meters_count_bytes_objects_and_seconds():
    meter = read_guard.Meter("file", max_bytes=5, max_objects=3, max_seconds=60)
    meter.spend(5)
    meter.count(3)
    with pytest.raises(DataError, match="file: refused.*size limit"):
        meter.spend(1)
    with pytest.raises(DataError, match="file: refused.*too many objects"):
        meter.count(1)
    meter.renew()
    meter.count(3)
    with pytest.raises(DataError, match="more than 0 seconds"):
        read_guard.Meter("file", max_seconds=0).count(1)


# --- pickles that are cheap to write and dear to build --------------------------------

BOTH = pytest.mark.parametrize("reader", ["fast", "streaming"])
LEVELS = 40


def unpickle(reader, content):
    if reader == "fast":
        return safe_pickle.load(content, allow=safe_pickle.NUMPY, name="file")
    machine = pickle_stream.Machine(
        io.BytesIO(content), allow=safe_pickle.NUMPY, name="file"
    )
    return machine.load()


def doubled(as_key, put, get):
    """Tuples of twice the one before; the last is a key, the only way to a hash."""
    body = b"K\x01\x85" + put(0)
    for level in range(LEVELS):
        body += get(level) + b"\x86" + put(level + 1)
    return b"\x80\x04}" + body + b"Ns."


def short_put(index):
    return b"q" + bytes([index])


def short_get(index):
    return b"h" + bytes([index])


@BOTH
def test_deep_tuples_as_keys_do_not_overflow_the_stack(reader):
    deep = b"\x80\x04}" + b")" + b"\x85" * 10**6 + b"Ns."
    with pytest.raises(DataError, match="file: refused: (tuples that are|it holds)"):
        unpickle(reader, deep)
    nested = b"\x80\x04}" + b")" + b"\x85" * 20 + b"Ns."
    assert len(unpickle(reader, nested)) == 1


@BOTH
@pytest.mark.parametrize(
    "put, get",
    [
        (short_put, short_get),
        (lambda i: b"\x94", short_get),
        (lambda i: b"p%d\n" % i, lambda i: b"g%d\n" % i),
        (lambda i: b"p%d\n" % i, lambda i: b"g%04d\n" % i),
        (lambda i: b"r" + struct.pack("<I", i), lambda i: b"j" + struct.pack("<I", i)),
        (lambda i: b"\x80\x04q" + bytes([i]), short_get),
        (lambda i: b"N" + b"b" + short_put(i), short_get),
        # MEMOIZE after a gap: the C unpickler counts entries.
        (lambda i: short_put(i + 60) if i == 0 else b"\x94", None),
    ],
)
def test_tuples_that_hold_each_other_twice_are_refused(reader, put, get):
    if get is None:
        get = lambda i: short_get(i + 60 if i == 0 else i)  # noqa: E731
    body = b"K\x01\x85" + put(0)
    for level in range(LEVELS):
        body += get(level) + get(level) + b"\x86" + put(level + 1)
    with pytest.raises(DataError, match="^file: "):
        unpickle(reader, b"\x80\x04}" + body + b"Ns.")


def test_opcodes_that_take_values_back_are_refused():
    for code in (b"0", b"1", b"2"):
        with pytest.raises(DataError, match="refused opcode (POP|POP_MARK|DUP)"):
            unpickle("fast", b"\x80\x04(N" + code + b".")


@BOTH
def test_values_may_be_shared_and_memoised_in_any_way(reader):
    pair = (1, ("a", 2.5))
    content = {pair: [pair, pair], "b": [(pair, [pair])] * 3, 2**70: {pair}}
    for protocol in range(6):
        assert unpickle(reader, pickle.dumps(content, protocol)) == content


@BOTH
@pytest.mark.parametrize("code", [b"]", b"\x8f", b")"])
def test_many_objects_are_refused(reader, code):
    with pytest.raises(DataError, match="^file: refused: it holds too many objects"):
        unpickle(reader, b"\x80\x04(" + code * 7_500_000 + b"l.")


@BOTH
def test_large_numbers_that_collide_as_keys_are_refused(reader):
    def keys(count):
        numbers = [
            ((2**61 - 1) * (k << 70)).to_bytes(20, "little") for k in range(count)
        ]
        items = b"".join(b"\x8a\x14" + number + b"N" for number in numbers)
        return b"\x80\x04}(" + items + b"u."

    assert len(unpickle(reader, keys(50))) == 50
    with pytest.raises(DataError, match="file: refused: (too many|it holds too many)"):
        unpickle(reader, keys(5_000))


@BOTH
def test_shapes_are_checked_before_they_are_multiplied(reader):
    number = b"\x8a\xff" + b"\x7f" * 255
    shape = b"(" + number * 32 + b"t"
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"C\x01b\x87R(K\x01" + shape + b"cnumpy\ndtype\nX\x02\0\0\0i4K\x00K\x01\x87R"
        b"(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x00tb."
    )
    with pytest.raises(DataError, match="file: refused an array whose shape"):
        unpickle(reader, content)


@BOTH
def test_a_shared_list_in_the_place_of_a_text_is_not_formatted(reader):
    value = b"]q\x00"
    for _ in range(LEVELS):
        value = value[:-2] + b"q\x00" if value == b"]q\x00" else value
    body = b"]q\x00"
    for level in range(LEVELS):
        body += (
            b"](h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
        )
    # The lists stay on the stack below a call of dtype, and of encode.
    for call in (b"cnumpy\ndtype\n", b"c_codecs\nencode\nX\x01\0\0\0a"):
        arity = b"\x85" if b"dtype" in call else b"\x86"
        content = b"\x80\x04(" + body + call + b"h" + bytes([LEVELS]) + arity + b"Rl."
        with pytest.raises(DataError, match="^file: refused .{1,80}list"):
            unpickle(reader, content)


def test_limits_are_far_above_real_files():
    """A NATS file has 25,000 objects and 150 tuples, a batch of CIFAR-10 10,000."""
    curves = {f"ori-test@{i}": i / 7 for i in range(50_000)}
    keys = {("cifar10", seed): curves for seed in range(1000)}
    content = pickle.dumps(keys, 4)
    assert pickle_scan.check(content, name="x") == len(content)


def test_a_guarded_function_names_its_first_argument():
    @read_guard.guarded("not a list", remedy="make it again")
    def read(path, place=0):
        """Its text."""
        return [7][place]

    assert read("file") == 7 and read.__doc__ == "Its text."
    with pytest.raises(DataError, match="^file: not a list .*; make it again$"):
        read("file", place=3)
