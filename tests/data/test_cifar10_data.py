"""CIFAR-10 files of both official forms: round trips, the real ones, and bad input."""

import os
import pathlib
import pickle

import numpy as np
import official_images
import pytest
import shared

from nasjax import data
from nasjax.core.errors import DataError
from nasjax.data import batch_files
from nasjax.data.dataset import Augmentation

NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
SIZES = [3, 4, 2, 5, 1, 6]


@pytest.fixture
def batches():
    """Planes uint8 `[N, 3, 32, 32]` and labels `[N]` of the six files."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 256, (n, 3, 32, 32), np.uint8), rng.integers(0, 10, n))
        for name, n in zip(NAMES, SIZES, strict=True)
    }


def write_python(folder, batches, key=str, protocol=2):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (planes, labels) in batches.items():
        content = official_images.pickled(
            planes, {"labels": labels}, key=key, protocol=protocol
        )
        (folder / name).write_bytes(content)
    return folder


def write_binary(folder, batches):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (planes, labels) in batches.items():
        (folder / f"{name}.bin").write_bytes(official_images.records(planes, labels))
    return folder


def assert_holds(dataset, batches):
    """The splits hold the batches in order, standardised by the usual constants."""
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    for split, names in ((dataset.train, NAMES[:5]), (dataset.test, NAMES[5:])):
        parts = zip(*(batches[name] for name in names), strict=True)
        planes, labels = (np.concatenate(part) for part in parts)
        official_images.assert_holds(split, planes, labels, mean, std)


@pytest.mark.parametrize("parent", [False, True])
@pytest.mark.parametrize("key", [str, str.encode])
def test_python_form(tmp_path, batches, key, parent):
    folder = write_python(tmp_path / "cifar-10-batches-py", batches, key)
    dataset = data.load("cifar10", dir=folder.parent if parent else folder)
    assert_holds(dataset, batches)


@pytest.mark.parametrize("protocol", [0, 4, 5])
def test_python_form_of_other_protocols(tmp_path, batches, protocol):
    write_python(tmp_path, batches, protocol=protocol)
    assert_holds(data.load("cifar10", dir=str(tmp_path)), batches)


@pytest.mark.parametrize("parent", [False, True])
def test_binary_form(tmp_path, batches, parent):
    folder = write_binary(tmp_path / "cifar-10-batches-bin", batches)
    dataset = data.load("cifar10", dir=folder.parent if parent else folder)
    assert_holds(dataset, batches)


def test_a_whole_form_is_preferred_to_a_partial_one(tmp_path, batches):
    write_python(tmp_path, {"data_batch_1": batches["data_batch_1"]})
    write_binary(tmp_path / "cifar-10-batches-bin", batches)
    assert_holds(data.load("cifar10", dir=tmp_path), batches)


def test_description(tmp_path, batches):
    dataset = data.load("cifar10", dir=write_binary(tmp_path, batches))
    assert (dataset.name, dataset.num_classes) == ("cifar10", 10)
    assert dataset.image_shape == (32, 32, 3)
    assert dataset.augmentation == Augmentation(pad=4, flip=True, cutout=16)
    assert dataset.class_names[3] == "cat"
    (batch,) = dataset.test.eval_batches(batch_size=8)
    assert batch.images.shape == (8, 32, 32, 3)


def test_a_split_cuts_the_training_images(tmp_path, batches):
    write_binary(tmp_path, batches)
    order = np.random.default_rng(1).permutation(15)
    lists = official_images.split_file(order[:6], order[6:], ("valid", "train"))
    (tmp_path / "cifar-split.txt").write_text(lists)
    dataset = data.load("cifar10", dir=tmp_path, split="cifar-split.txt")
    labels = np.concatenate([batches[name][1] for name in NAMES[:5]])
    for found, rows in ((dataset.valid, order[:6]), (dataset.train, order[6:])):
        np.testing.assert_array_equal(official_images.content(found)[1], labels[rows])
    assert len(dataset.test) == 6


def test_the_real_files():
    folder = shared.shared_file("data", "cifar-10-batches-py")
    dataset = data.load("cifar10", dir=folder)
    assert (len(dataset.train), len(dataset.test)) == (10_000, 2_000)
    assert_balanced(dataset.train, 1_000)
    assert_balanced(dataset.test, 200)
    batch = next(dataset.train.train_batches(batch_size=500, seed=0, augment=False))
    # The constants are those of all 50,000 images.
    np.testing.assert_allclose(batch.images.mean((0, 1, 2)), 0, atol=0.1)
    np.testing.assert_allclose(batch.images.std((0, 1, 2)), 1, atol=0.1)
    # Neighbouring pixels of a photograph agree: planes and rows were not mixed up.
    images = np.asarray(next(dataset.test.eval_batches(batch_size=100)).images)
    for axis in (1, 2):
        assert np.abs(np.diff(images, axis=axis)).mean() < 0.4 * images.std()


def assert_balanced(split, size):
    labels = np.concatenate(
        [b.labels[b.weights > 0] for b in split.eval_batches(batch_size=512)]
    )
    np.testing.assert_array_equal(np.bincount(labels), [size] * 10)


def refused(path, *fragments):
    """Loading raises a `DataError` of one line with all fragments and the remedy."""
    with pytest.raises(DataError) as caught:
        data.load("cifar10", dir=path)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in (*fragments, batch_files.CIFAR_SOURCE):
        assert fragment in message


def test_no_such_folder(tmp_path):
    refused(tmp_path / "absent", f"{tmp_path / 'absent'} is not a folder")


def test_a_folder_without_batches(tmp_path):
    refused(tmp_path, str(tmp_path), "data_batch_1.bin")


@pytest.mark.parametrize("write", [write_python, write_binary])
@pytest.mark.parametrize("missing", ["data_batch_4", "test_batch"])
def test_a_missing_batch_is_named(tmp_path, batches, write, missing):
    write(tmp_path, batches)
    suffix = ".bin" if write is write_binary else ""
    (tmp_path / f"{missing}{suffix}").unlink()
    refused(tmp_path, str(tmp_path / f"{missing}{suffix}"), "missing")


@pytest.mark.parametrize("keep", [0, 1, 100, -3])
def test_a_truncated_pickle_is_named(tmp_path, batches, keep):
    path = write_python(tmp_path, batches) / "data_batch_3"
    path.write_bytes(path.read_bytes()[:keep])
    refused(tmp_path, str(path))


def test_a_truncated_binary_file_is_named(tmp_path, batches):
    path = write_binary(tmp_path, batches) / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-100])
    refused(tmp_path, str(path), f"{4 * 3073 - 100} bytes", "truncated")
    path.write_bytes(b"")
    refused(tmp_path, str(path), "no images")


@pytest.mark.parametrize("label", [10, 255])
def test_a_label_out_of_range_in_a_binary_file(tmp_path, batches, label):
    batches["data_batch_5"][1][0] = label
    write_binary(tmp_path, batches)
    refused(tmp_path, "data_batch_5.bin", f"label {label} at image 0", "0..9")


@pytest.mark.parametrize("label", [10, -1])
def test_a_label_out_of_range_in_a_pickle(tmp_path, batches, label):
    batches["test_batch"][1][2] = label
    write_python(tmp_path, batches)
    refused(tmp_path, "test_batch", f"label {label} at image 2", "0..9")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"labels": [0, 1]}, "3 images and 2 labels"),
        ({"labels": "cat"}, "labels that are not a list of integers"),
        ({"labels": [0, 1, "cat"]}, "labels that are not a list of integers"),
        ({"labels": [0, 1, 10**30]}, "labels that are not a list of integers"),
        ({"labels": [0, 1, 2.5]}, "labels that are not a list of integers"),
        ({"data": np.zeros((3, 3071), np.uint8)}, "shape 3x3071, not Nx3072"),
        ({"data": np.zeros((3 * 3072,), np.uint8)}, "shape 9216, not Nx3072"),
        ({"data": np.zeros((3, 3072), np.float32)}, "not an array of bytes"),
        ({"data": [1, 2, 3]}, "not an array of bytes"),
        ({"data": None}, "not an array of bytes"),
    ],
)
def test_malformed_entries_are_named(tmp_path, batches, change, fault):
    path = write_python(tmp_path, batches) / "data_batch_1"
    planes = np.zeros((3, 3072), np.uint8)
    path.write_bytes(pickle.dumps({"data": planes, "labels": [0, 1, 2]} | change))
    refused(tmp_path, str(path), fault)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"data": np.zeros((1, 3072), np.uint8)}, "has no 'labels'"),
        ({"labels": [1]}, "has no 'data'"),
        ([1], "is a list, not a mapping"),
    ],
)
def test_other_pickles_are_named(tmp_path, batches, value, fault):
    path = write_python(tmp_path, batches) / "data_batch_1"
    path.write_bytes(pickle.dumps(value))
    refused(tmp_path, str(path), fault)


class Malicious:
    """Pickles as a call that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_runs_code_is_refused(tmp_path, batches):
    path = write_python(tmp_path, batches) / "data_batch_2"
    trace: pathlib.Path = tmp_path / "executed"
    path.write_bytes(pickle.dumps({"data": Malicious(trace), "labels": [0]}))
    refused(tmp_path, str(path), "mkdir")
    assert not trace.exists()


def test_folders_that_hold_it_further_down_and_homes(tmp_path, batches, monkeypatch):
    write_python(tmp_path / "downloads" / "cifar-10-batches-py", batches)
    assert_holds(data.load("cifar10", dir=tmp_path), batches)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_holds(data.load("cifar10", dir="~/downloads"), batches)


def test_cifar100_is_named(tmp_path, batches):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(b"")
    for place in (tmp_path, folder):
        refused(place, f"{folder} holds CIFAR-100, not CIFAR-10", "data.name=cifar100")
    write_python(tmp_path / "renamed", batches)
    content = {"data": np.zeros((1, 3072), np.uint8), "fine_labels": [1]}
    (tmp_path / "renamed" / "data_batch_2").write_bytes(pickle.dumps(content))
    refused(tmp_path / "renamed", "data_batch_2 has no 'labels'")
    content["coarse_labels"] = [1]
    (tmp_path / "renamed" / "data_batch_2").write_bytes(pickle.dumps(content))
    refused(tmp_path / "renamed", "data_batch_2 is a file of CIFAR-100, not")


def test_binary_records_of_cifar100_are_named(tmp_path, batches):
    path = write_binary(tmp_path, batches) / "data_batch_2.bin"
    path.write_bytes(bytes(2 * 3074))
    refused(tmp_path, f"{path} is a file of CIFAR-100, not of CIFAR-10")


@pytest.mark.parametrize(
    "start, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"vwxyz", "not a pickle .it begins with b'vwxyz'"),
    ],
)
def test_what_stands_for_a_batch_is_named(tmp_path, batches, start, message):
    (write_python(tmp_path, batches) / "data_batch_3").write_bytes(start)
    with pytest.raises(
        DataError, match=f"data_batch_3: {message}.*{batch_files.CIFAR_SOURCE}"
    ):
        data.load("cifar10", dir=tmp_path)
    (write_binary(tmp_path / "b", batches) / "data_batch_3.bin").write_bytes(start)
    with pytest.raises(DataError, match="data_batch_3.bin"):
        data.load("cifar10", dir=tmp_path / "b")
