"""Table files: whole or not at all, found by data set and schedule, checked on load."""

import json

import numpy as np
import pytest

from nasjax import nasbench
from nasjax.core import arrays, errors
from nasjax.nasbench import loading, table_file
from nasjax.nasbench.table_file import Part
from nasjax.spaces import nasbench201

CELLS = nasbench201.enumerate_cells()[:6].astype(np.int8)


def make(epochs_of=((12, "cifar10"), (200, "cifar10"), (200, "cifar100"))):
    rng = np.random.default_rng(0)
    tree, parts = {"archs": CELLS}, []
    for schedule, data_set in epochs_of:
        key = f"{data_set}_{schedule}"
        tree[key] = rng.random((6, 2, 1), np.float32)
        part = Part(
            data_set=data_set,
            epochs=(schedule,),
            metric="accuracy",
            seeds=(1, 2),
            curves={"valid_accuracy": key, "test_accuracy": key},
            facts={"half": "archs_half"},
            notes={"train_accuracy": "none"},
        )
        parts.append(part)
    tree["archs_half"] = np.arange(6, dtype=np.int32)
    return tree, table_file.describe("nasbench201", {"file": "x"}, parts)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "t.safetensors"
    table_file.save(path, *make())
    return path


def test_data_set_and_schedule_pick_the_arrays(path):
    tree, _ = make()
    for options, key in [
        ({}, "cifar10_200"),
        ({"schedule": 12}, "cifar10_12"),
        ({"data_set": "cifar100"}, "cifar100_200"),
    ]:
        table = nasbench.load(path, **options)
        values = table.curves["valid_accuracy"].values
        np.testing.assert_array_equal(values, tree[key])
        assert (table.data_set, str(table.epochs[-1])) == tuple(key.split("_"))
        assert table.facts["half"].tolist() == list(range(6))
        assert table.notes == (("train_accuracy", "none"),)
        assert table.seconds is None


def test_only_the_metrics_asked_for_are_loaded(path):
    table = nasbench.load(path, metrics=["test_accuracy"])
    assert set(table.curves) == {"test_accuracy"}
    with pytest.raises(errors.ConfigError, match="did you mean 'test_accuracy'"):
        nasbench.load(path, metrics=["test_acuracy"])


def test_mistakes_name_what_there_is(path):
    with pytest.raises(errors.ConfigError, match="did you mean 'cifar100'"):
        nasbench.load(path, data_set="cifar-100")
    with pytest.raises(errors.ConfigError, match="no 90-epoch schedule .* 12, 200"):
        nasbench.load(path, schedule=90)
    with pytest.raises(errors.ConfigError, match="option .*did you mean 'data_set'"):
        nasbench.load(path, dataset="cifar10")


def test_files_that_are_no_tables(path, tmp_path):
    with pytest.raises(errors.DataError, match="no such file"):
        nasbench.load(tmp_path / "absent.safetensors")
    arrays.save(tmp_path / "other.safetensors", {"x": np.zeros(3)})
    with pytest.raises(errors.DataError, match="no benchmark of a known kind"):
        nasbench.load(tmp_path / "other.safetensors")
    with pytest.raises(errors.DataError, match="not a table of this version"):
        table_file.load(tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-4])
    with pytest.raises(errors.DataError, match="truncated"):
        nasbench.load(tmp_path / "cut.safetensors")
    tree, description = make()
    del tree["cifar100_200"]
    table_file.save(tmp_path / "lacking.safetensors", tree, description)
    with pytest.raises(errors.DataError, match="'cifar100_200' is missing"):
        nasbench.load(tmp_path / "lacking.safetensors", data_set="cifar100")


def test_names_stand_for_files_of_a_folder(path, tmp_path, monkeypatch):
    monkeypatch.setenv(loading.DATA_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.DataError, match="--mode=convert .*nasbench201.safe"):
        nasbench.load("nasbench201")
    (tmp_path / "nasbench201.safetensors").write_bytes(path.read_bytes())
    assert nasbench.load("nasbench201", schedule=12).epochs == (12,)
    with pytest.raises(errors.ConfigError, match="did you mean 'nasbench201'"):
        nasbench.load("nasbench_201")
    monkeypatch.setitem(loading.NAMES, "made_up", lambda size=1: size)
    assert nasbench.load("made_up", size=3) == 3
    with pytest.raises(errors.ConfigError, match="known: size"):
        nasbench.load("made_up", length=3)


def test_streamed_rows_give_the_same_file_as_whole_arrays(path, tmp_path):
    tree, description = make()
    with table_file.streaming(tmp_path / "s.safetensors", description) as writer:
        for row in range(6):
            writer.append({key: values[row] for key, values in tree.items()})
    ours, theirs = (arrays.memory_map(p) for p in (tmp_path / "s.safetensors", path))
    assert set(ours) == set(theirs)
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key])
        assert value.dtype == theirs[key].dtype
    sidecars = [
        json.loads(p.with_name(f"{p.name}.json").read_text())
        for p in (tmp_path / "s.safetensors", path)
    ]
    assert sidecars[0] == sidecars[1]
    from safetensors.numpy import load_file  # the format's own reader agrees

    for key, value in load_file(tmp_path / "s.safetensors").items():
        np.testing.assert_array_equal(value, theirs[key])


def test_a_failure_leaves_nothing_behind(tmp_path):
    _, description = make()
    with pytest.raises(ZeroDivisionError):
        with table_file.streaming(tmp_path / "s.safetensors", description) as writer:
            writer.append({"archs": CELLS[0]})
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with table_file.streaming(tmp_path / "s.safetensors", description) as writer:
        writer.append({"archs": CELLS[0]})
        with pytest.raises(ValueError, match="archs: a row of float64"):
            writer.append({"archs": CELLS[0].astype(float)})


def test_fingerprints_of_an_older_library_are_made_again(tmp_path):
    from nasjax.nasbench import index
    from nasjax.spaces import nasbench101_notation as notation

    cells = np.stack([notation.SMALL_CELL, notation.parse_arch("input,output|01/00")])
    tree = {
        "archs": cells.astype(np.int8),
        "fingerprints": np.array([[5, 6], [7, 8]], np.uint32),
        "v": np.zeros((2, 1, 1), np.float32),
    }
    part = Part("cifar10", (108,), "accuracy", (0,), {"valid_accuracy": "v"})
    description = table_file.describe("nasbench101", {}, [part])
    for lanes, expected in ((description["fingerprints"], -1), ([[1, 2, 3]], 1)):
        description = {**description, "fingerprints": lanes}
        table_file.save(tmp_path / "t.safetensors", tree, description)
        table = nasbench.load(tmp_path / "t.safetensors")
        assert int(table.find(cells[1])) == expected
    tree["fingerprints"] = index.fingerprints("nasbench101", cells)
    description = table_file.describe("nasbench101", {}, [part])
    table_file.save(tmp_path / "t.safetensors", tree, description)
    table = nasbench.load(tmp_path / "t.safetensors")
    assert [int(table.find(cell)) for cell in cells] == [0, 1]


def change(path, tmp_path, edit):
    """The table with its description (and arrays) edited and a right checksum."""
    tree, description = make()
    description = json.loads(json.dumps(description))
    edit(tree, description)
    arrays.save(tmp_path / "x.safetensors", tree, metadata=description)
    return tmp_path / "x.safetensors"


def part(**fields):
    return lambda tree, description: description["parts"][0].update(fields)


def array(key, values):
    return lambda tree, description: tree.update({key: values})


OUT_OF_RANGE = CELLS.copy()
OUT_OF_RANGE[2, 3] = 5
TAMPERED = [
    lambda tree, description: description.update(space=["nasbench201"]),
    lambda tree, description: description.update(space="no such space"),
    lambda tree, description: description.update(parts=[]),
    lambda tree, description: description.update(parts={"a": 1}),
    lambda tree, description: description.update(parts=[1]),
    lambda tree, description: description.pop("parts"),
    lambda tree, description: description.pop("fingerprints"),
    lambda tree, description: description["parts"][0].pop("curves"),
    part(surprise=1),
    part(epochs=[]),
    part(epochs=["12"]),
    part(epochs=[12, 3]),
    part(epochs=12),
    part(seeds="12"),
    part(seeds=list(range(9))),
    part(metric=["accuracy"]),
    part(data_set=["cifar10"]),
    part(curves=["cifar10_12"]),
    part(curves={}),
    part(curves={"valid_accuracy": 3}),
    part(curves={"valid_accuracy": "archs"}),
    part(facts={"half": "cifar10_12"}),
    part(seconds=3),
    part(seconds="absent"),
    array("archs", OUT_OF_RANGE),
    array("archs", -OUT_OF_RANGE),
    array("archs", CELLS[:, :5]),
    array("archs", CELLS[:0]),
    array("archs", CELLS.astype(np.float32)),
    array("cifar10_12", np.zeros((6, 9, 1), np.float32)),
    array("cifar10_12", np.zeros((6, 2, 7), np.float32)),
    array("cifar10_12", np.zeros((5, 2, 1), np.float32)),
    array("cifar10_12", np.zeros((6, 2), np.float32)),
    array("cifar10_12", np.zeros((6, 2, 1), np.int32)),
    array("archs_half", np.zeros(7, np.int32)),
]


@pytest.mark.parametrize("number", range(len(TAMPERED)))
def test_tampered_tables_are_one_line(path, tmp_path, number):
    tampered = change(path, tmp_path, TAMPERED[number])
    with pytest.raises(errors.NasjaxError, match="x.safetensors") as caught:
        nasbench.load(tampered, data_set="cifar10", schedule=12)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_fingerprints_that_cells_do_not_have(tmp_path):
    """Equal ones would make a search over all rows of each query."""
    from nasjax.spaces import nasbench101_notation as notation

    cell = notation.parse_arch(
        notation.format_arch(np.array([1] + [0] * 20 + [-1] * 5 + [2]))
    )
    tree = {
        "archs": np.repeat(cell[None].astype(np.int8), 200, 0),
        "fingerprints": np.ones((200, 2), np.uint32),
        "v": np.ones((200, 1, 1), np.float32),
    }
    table_part = Part("x", (108,), "accuracy", (1,), {"valid_accuracy": "v"})
    description = table_file.describe("nasbench101", {}, [table_part])
    for prints in (tree["fingerprints"], np.ones((200, 3), np.uint32)):
        file = tmp_path / "t.safetensors"
        arrays.save(file, {**tree, "fingerprints": prints}, metadata=description)
        with pytest.raises(errors.DataError, match="its architectures are damaged"):
            table_file.load(file)
