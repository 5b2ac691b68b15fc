"""The convert and query modes: what people type and what they read."""

import numpy as np
import official_files
import pytest
from official_files import nasbench101_record, tfrecord

from nasjax.core import errors
from nasjax.jobs.nasbench_x11 import files as nasbench_x11
from nasjax.nasbench import records
from nasjax.spaces import nasbench101_notation as notation
from nasjax.spaces import nasbench201

CELL = "input,conv3x3-bn-relu,maxpool3x3,output|0111/0011/0001/0000"


def record(table, arch):
    """The text that a query prints."""
    return str(records.query(table, arch))


@pytest.fixture(scope="module")
def nb101(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nb101")
    arch = notation.parse_arch(CELL)
    rows = [[0, 0, 0.1, 0.1, 0.1], [54, 600, 0.5, 0.5, 0.5]]
    records = [
        nasbench101_record(arch, 108, [*rows, [108, 1200, 1.0, valid, 0.9]], 3_000_000)
        for valid in (0.93, 0.94, 0.95)
    ]
    (folder / "a.tfrecord").write_bytes(tfrecord(records))
    nasbench_x11.convert(str(folder / "a.tfrecord"), str(folder / "a.safetensors"))
    return str(folder / "a.safetensors")


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nats")
    results = official_files.nasbench201_results((0, 11))
    official_files.write_tar(folder / "a.tar", official_files.nats_files(results))
    nasbench_x11.convert(str(folder / "a.tar"), str(folder / "a.safetensors"))
    return str(folder / "a.safetensors"), results


def test_the_summary_lists_the_benchmarks(nb101, nats):
    text = records.summary(nb101)
    assert "1 cells of nasbench101" in text and "cifar10, 108 epochs" in text
    lines = records.summary(nats[0]).splitlines()
    assert "2 cells of nasbench201" in lines[0]
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        f"{data_set}, {schedule} epochs"
        for data_set in ("cifar10", "cifar10-valid", "cifar100", "ImageNet16-120")
        for schedule in (200, 12)
    ]


def test_a_record_for_people(nb101):
    text = record(nb101, CELL)
    assert text.splitlines()[0] == CELL
    assert "94.000 %  (seeds 93.000, 94.000, 95.000)" in text
    assert "1200.000 s" in text and "parameters               3 M" in text
    loose = "input,conv3x3-bn-relu,conv1x1-bn-relu,maxpool3x3,output"
    loose += "|01011/00011/00000/00001/00000"
    assert record(nb101, loose).splitlines()[1:] == text.splitlines()[1:]
    key = notation.module_hash(notation.parse_arch(CELL))
    assert key in text and record(nb101, key) == text


def test_an_index_or_a_string(nats):
    path, results = nats
    arch = results[11]["12"]["arch_str"]
    text = record(path, arch)
    assert record(path, "11") == text
    training = results[11]["200"]["all_results"]["cifar10", 888]
    assert f"{training['eval_acc1es']['ori-test@199']:.3f}" in text
    assert "ImageNet16-120, 12 epochs" in text


def test_bad_notation_shows_the_nearest_good_one(nats, nb101):
    path, _ = nats
    good = nasbench201.format_arch([3, 3, 4, 0, 1, 2])
    for bad in (
        "nor_conv_3x3 nor_conv_3x3 avg_pool_3x3 none skip_connect nor_conv_1x1",
        good.replace("+", " "),
        good.replace("avg_pool_3x3", "avg_pol_3x3"),
        good.upper(),
    ):
        with pytest.raises(errors.UnknownArchitecture, match="nearest: ") as caught:
            record(path, bad)
        assert str(caught.value).endswith(f"nearest: '{good}'")
    with pytest.raises(errors.UnknownArchitecture) as caught:
        record(nb101, CELL.replace("/", " ").replace("3x3-bn", "3x3bn"))
    assert f"nearest: '{CELL}'" in str(caught.value)
    for bad in ("nonsense", "", "99999", "0" * 32, "|none~0|"):
        with pytest.raises(errors.NasjaxError) as caught:
            record(path, bad or "?")
        assert "nearest" not in str(caught.value)


def test_what_the_table_lacks(nats, nb101):
    absent = nasbench201.format_arch(nasbench201.enumerate_cells()[5])
    with pytest.raises(errors.UnknownArchitecture, match="has no training of"):
        record(nats[0], absent)
    with pytest.raises(errors.UnknownArchitecture, match="no cell of .* has the hash"):
        record(nb101, "0" * 32)
    with pytest.raises(errors.DataError, match="no such file"):
        record("absent.safetensors", "5")


@pytest.mark.parametrize(
    "call, missing",
    [
        (lambda: nasbench_x11.convert("", "b"), "--input"),
        (lambda: nasbench_x11.convert("a", ""), "--output"),
        (lambda: nasbench_x11.query("", "b"), "--table"),
        (lambda: nasbench_x11.query("a", ""), "--arch"),
    ],
)
def test_missing_arguments(call, missing):
    with pytest.raises(errors.ConfigError, match=f"{missing} is missing"):
        call()


def test_the_script(nats, script, tmp_path):
    """One call converts, one asks, one is told what is wrong."""

    def launch(*arguments):
        return script("launch/nasbench_x11.py", *arguments)

    files = official_files.nats_files(nats[1])
    (tmp_path / "simple").mkdir()
    for name, content in files.items():
        (tmp_path / "simple" / name).write_bytes(content)
    table = tmp_path / "table.safetensors"
    done = launch("--mode=convert", f"--input={tmp_path}/simple", f"--output={table}")
    assert done.returncode == 0, done.stderr
    assert "2 cells of nasbench201" in done.stdout and "architecture 2/2" in done.stderr
    done = launch("--mode=query", f"--table={table}", "--arch=0")
    assert done.returncode == 0 and done.stdout.strip() == record(str(table), "0")
    done = launch("--mode=query", f"--table={table}", "--arch=|none~0|")
    assert done.returncode == 1 and "has 1 nodes with inputs" in done.stderr
    assert done.stderr.count("\n") == 1


def test_values_are_exact_to_the_printed_digit():
    values = np.array([0.943733, np.nan, 0.9], np.float32)
    line = records._values("test_accuracy", values)
    assert line.endswith("92.187 %  (seeds 94.373, 90.000)")
    assert records._values("test_loss", values[1:2]).endswith(" -")
