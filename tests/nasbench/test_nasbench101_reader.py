"""TFRecord files of the official form, written here and read back; damage is found."""

import json
import struct

import jax
import numpy as np
import official_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official_files import nasbench101_record, tfrecord

from nasjax import nasbench
from nasjax.core import arrays
from nasjax.core.errors import DataError, UnknownArchitecture
from nasjax.nasbench.readers import crc32c, nasbench101
from nasjax.nasbench.readers import tfrecord as reader
from nasjax.spaces import nasbench101_notation as notation

CELLS = [
    "input,output|01/00",
    "input,conv3x3-bn-relu,output|010/001/000",
    "input,maxpool3x3,output|011/001/000",
    "input,conv1x1-bn-relu,maxpool3x3,conv3x3-bn-relu,output|01100/00011/00001/00001/00000",
]


def test_the_checksum_of_known_strings():
    # RFC 3720, appendix B.4.
    known = {
        bytes(32): 0x8A9136AA,
        b"\xff" * 32: 0x62A8AB43,
        bytes(range(32)): 0x46DD794E,
        b"123456789": 0xE3069283,
    }
    for data, crc in known.items():
        rows = np.frombuffer(data, np.uint8)[None]
        assert crc32c.checksums(rows)[0] == crc


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=40), other=st.binary(max_size=40))
def test_checksums_of_many_rows_are_those_of_each(data, other):
    size = min(len(data), len(other))
    rows = np.frombuffer(data[:size] + other[:size], np.uint8).reshape(2, size)
    expected = [
        official_files.masked_crc(data[:size]),
    ]
    expected.append(official_files.masked_crc(other[:size]))
    assert crc32c.masked(crc32c.checksums(rows)).tolist() == expected


doubles = st.floats(allow_nan=False, width=64)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(*[doubles] * 5), max_size=4),
    parameters=st.integers(0, 2**31 - 1),
    checkpoint=st.binary(max_size=200),
)
def test_metrics_round_trip(rows, parameters, checkpoint):
    message = official_files.model_metrics(rows, parameters, 2.5, checkpoint)
    metrics = nasbench101.parse_metrics(message)
    np.testing.assert_array_equal(metrics.evaluations, np.array(rows).reshape(-1, 5))
    assert (metrics.parameters, metrics.total_time) == (parameters, 2.5)


def make_records(epochs=(4, 108), cells=CELLS):
    """Records of three trainings for each cell and budget, and the numbers in them."""
    rng = np.random.default_rng(0)
    records, numbers = [], {}
    for text in cells:
        arch = notation.parse_arch(text)
        for budget in epochs:
            for repeat in range(3):
                table = np.concatenate(
                    [[[0.0], [budget / 2], [budget]], rng.random((3, 4))], axis=1
                )
                numbers[text, budget, repeat] = table
                checkpoint = b"model.ckpt" if repeat == 2 else b""
                parameters = 1000 + len(text)
                record = nasbench101_record(arch, budget, table, parameters, checkpoint)
                records.append(record)
    rng.shuffle(records)
    return records, numbers


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nasbench101")
    records, numbers = make_records()
    (folder / "small.tfrecord").write_bytes(tfrecord(records))
    nasbench.convert(folder / "small.tfrecord", folder / "small.safetensors")
    return folder / "small.safetensors", numbers


def test_every_number_is_in_the_table(converted):
    path, numbers = converted
    table = nasbench.load(path)
    assert table.epochs == (4, 108) and table.metric == "accuracy"
    for text in CELLS:
        arch = notation.parse_arch(text)
        row = int(table.find(arch))
        assert table.facts["parameters"][row] == 1000 + len(text)
        for place, budget in enumerate(table.epochs):
            rows = np.stack([numbers[text, budget, r] for r in range(3)])
            for column, metric in enumerate(("train", "valid", "test"), start=2):
                values = table.curves[f"{metric}_accuracy"].values[row, :, place]
                expected = np.sort(rows[:, 2, column])
                np.testing.assert_allclose(np.sort(values), expected, atol=1e-7)
                half = table.curves[f"halfway_{metric}_accuracy"].values[row, :, place]
                expected = np.sort(rows[:, 1, column])
                np.testing.assert_allclose(np.sort(half), expected, atol=1e-7)
            mean = table.mean(arch, budget)
            np.testing.assert_allclose(mean.valid, rows[:, 2, 3].mean(), rtol=1e-6)
            np.testing.assert_allclose(mean.test, rows[:, 2, 4].mean(), rtol=1e-6)
            np.testing.assert_allclose(mean.cost, rows[:, 2, 1].mean(), rtol=1e-6)


def test_isomorphic_and_unpruned_writings_find_the_same_row(converted):
    table = nasbench.load(converted[0])
    plain = "input,maxpool3x3,output|011/001/000"
    loose = "input,conv1x1-bn-relu,maxpool3x3,output|0111/0000/0001/0000"
    swapped = "input,maxpool3x3,conv3x3-bn-relu,output|0101/0001/0000/0000"
    rows = [int(table.find(notation.parse_arch(t))) for t in (plain, loose, swapped)]
    assert rows[0] == rows[1] == rows[2] >= 0
    absent = notation.parse_arch("input,conv1x1-bn-relu,output|010/001/000")
    with pytest.raises(UnknownArchitecture, match="is not in the table"):
        table.mean(absent, 108)
    assert np.isnan(jax.jit(table.mean)(absent, 108).valid)


def test_the_file_describes_itself(converted):
    path, _ = converted
    sidecar = json.loads(path.with_name("small.safetensors.json").read_text())
    assert sidecar["source"]["file"] == "small.tfrecord"
    assert sidecar["arrays"]["archs"]["shape"] == [4, 27]
    hashes = arrays.memory_map(path)["module_hash"]
    known = {notation.module_hash(notation.parse_arch(text)) for text in CELLS}
    assert {bytes(row).hex() for row in hashes} == known


def refused(tmp_path, content, message):
    path = tmp_path / "bad.tfrecord"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        nasbench.convert(path, tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.tfrecord"]


def test_a_flipped_bit_anywhere_is_found(tmp_path):
    content = tfrecord(make_records((108,), CELLS[:1])[0][:2])
    rng = np.random.default_rng(0)
    for place in [0, 8, 12, *rng.integers(0, len(content), 12).tolist()]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        refused(tmp_path, bytes(flipped), "checksum|truncated|a record of")


def test_truncation_and_other_content_are_found(tmp_path):
    records, _ = make_records((108,), CELLS[:1])
    content = tfrecord(records)
    refused(tmp_path, content[:-1], "truncated")
    refused(tmp_path, content[: len(content) // 2], "truncated")
    refused(tmp_path, b"", "holds no record")
    refused(tmp_path, struct.pack("<Q", 2**60) + bytes(20), "a record of 1152921504606")
    for record, message in [
        (b"not json", "not of the NAS-Bench-101 form"),
        (b"[1, 2]", "not of the NAS-Bench-101 form"),
        (b"[" * 60_000, "not of the NAS-Bench-101 form"),
        (json.dumps(["x", 108, "0100", "input,output", "?"]).encode(), "form"),
        (
            json.dumps([*json.loads(records[0])[:1], 5, "0100", "x", ""]).encode(),
            "form",
        ),
    ]:
        refused(tmp_path, tfrecord([record]), message)
    refused(tmp_path, tfrecord([*records, records[0]]), "more than 3 trainings")


def test_two_hashes_of_one_cell_are_refused(tmp_path):
    records, _ = make_records((108,), CELLS[1:2])
    other = json.loads(records[0])
    other[0] = "f" * 32
    refused(tmp_path, tfrecord([*records, json.dumps(other).encode()]), "two module")


def test_official_names_have_their_checksum_compared(tmp_path):
    path = tmp_path / "nasbench_only108.tfrecord"
    path.write_bytes(tfrecord(make_records()[0]))
    with pytest.raises(
        DataError, match="its sha256 is .* which should be 4c39c3936e36"
    ):
        nasbench.convert(path, tmp_path / "out.safetensors")


def test_records_larger_than_a_block_of_the_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_BLOCK", 100)
    records, _ = make_records()
    (tmp_path / "a.tfrecord").write_bytes(tfrecord(records))
    found = [r for block in reader.read(tmp_path / "a.tfrecord") for r in block]
    assert found == records


@pytest.mark.parametrize(
    "change",
    [
        {"test": 50.0},
        {"valid": -0.1},
        {"seconds": -1.0},
        {"seconds": float("inf")},
        {"train": float("nan")},
        {"parameters": 2**31},
        {"parameters": 2**63},
    ],
)
def test_numbers_that_no_training_has_are_refused(tmp_path, change):
    row = {"seconds": 9.0, "train": 0.9, "valid": 0.8, "test": 0.7, **change}
    parameters = row.pop("parameters", 1000)
    rows = [[epoch, *row.values()] for epoch in (0, 54, 108)]
    arch = notation.parse_arch(CELLS[0])
    record = official_files.nasbench101_record(arch, 108, rows, parameters)
    refused(tmp_path, tfrecord([record]), "record 0: not of the NAS-Bench-101 form")


def test_fields_of_other_types_are_refused(tmp_path):
    record = json.loads(make_records((108,), CELLS[:1])[0][0])
    for place, value in [
        (0, "not hexadecimal"),
        (0, ["a"]),
        (0, "ab"),
        (1, [108]),
        (1, {"108": 1}),
        (2, list(record[2])),
        (2, record[2] + "1"),
        (3, ["input", "output"]),
        (4, 17),
    ]:
        changed = [*record]
        changed[place] = value
        content = tfrecord([json.dumps(changed).encode()])
        refused(tmp_path, content, "not of the NAS-Bench-101 form")


@settings(max_examples=30, deadline=None)
@given(pieces=st.lists(st.binary(max_size=30), min_size=1, max_size=12))
def test_checksums_of_pieces_of_any_length(pieces):
    pieces.sort(key=len, reverse=True)
    data = np.frombuffer(b"".join(pieces), np.uint8)
    lengths = np.array([len(piece) for piece in pieces])
    starts = np.cumsum(lengths) - lengths
    found = crc32c.masked(crc32c.checksums_of(data, starts, lengths))
    assert found.tolist() == [official_files.masked_crc(piece) for piece in pieces]
