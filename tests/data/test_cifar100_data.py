"""CIFAR-100 files of both official forms: labels of both kinds, and bad input."""

import json
import pickle

import numpy as np
import official_images
import pytest

from nasjax import data
from nasjax.core.errors import ConfigError, DataError
from nasjax.data import batch_files
from nasjax.data.dataset import Augmentation

MEAN = np.array([129.3, 124.1, 112.4]) / 255
STD = np.array([68.2, 65.4, 70.4]) / 255
"""As NAS-Bench-201's code has them; ours are rounded to four digits."""

SIZES = {"train": 7, "test": 6}


@pytest.fixture
def batches():
    """By file: planes uint8 `[N, 3, 32, 32]`, coarse and fine labels `[N]`."""
    rng = np.random.default_rng(0)
    made = {
        name: [
            official_images.planes(rng, n),
            rng.integers(0, 20, n),
            rng.integers(0, 100, n),
        ]
        for name, n in SIZES.items()
    }
    made["train"][1][0], made["train"][2][0] = 19, 99
    return made


def write_python(folder, batches, key=str, protocol=2):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (planes, coarse, fine) in batches.items():
        labels = {"coarse_labels": coarse, "fine_labels": fine}
        content = official_images.pickled(planes, labels, key=key, protocol=protocol)
        (folder / name).write_bytes(content)
    return folder


def write_binary(folder, batches):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in batches.items():
        (folder / f"{name}.bin").write_bytes(official_images.records(*content))
    return folder


def assert_holds(dataset, batches, labels="fine"):
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        planes, coarse, fine = batches[name]
        official_images.assert_holds(
            split,
            planes,
            {"coarse": coarse, "fine": fine}[labels],
            np.round(MEAN, 4),
            np.round(STD, 4),
        )


def refused(path, *fragments, **options):
    """Loading raises a `DataError` of one line with all fragments and the remedy."""
    with pytest.raises(DataError) as caught:
        data.load("cifar100", dir=path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in (*fragments, "http"):
        assert fragment in message


@pytest.mark.parametrize("labels", ["fine", "coarse"])
@pytest.mark.parametrize("key", [str, str.encode])
def test_python_form(tmp_path, batches, key, labels):
    folder = write_python(tmp_path / "cifar-100-python", batches, key)
    for place in (folder, folder.parent):
        dataset = data.load("cifar100", dir=place, labels=labels)
        assert_holds(dataset, batches, labels)


@pytest.mark.parametrize("labels", ["fine", "coarse"])
def test_binary_form(tmp_path, batches, labels):
    folder = write_binary(tmp_path / "cifar-100-binary", batches)
    for place in (folder, folder.parent):
        dataset = data.load("cifar100", dir=place, labels=labels)
        assert_holds(dataset, batches, labels)


def test_description(tmp_path, batches):
    write_binary(tmp_path, batches)
    fine = data.load("cifar100", dir=tmp_path)
    assert (fine.name, fine.num_classes, len(fine.class_names)) == (
        "cifar100",
        100,
        100,
    )
    assert fine.image_shape == (32, 32, 3)
    assert fine.augmentation == Augmentation(pad=4, flip=True, cutout=16)
    # Labels count the names in the order of the alphabet.
    assert list(fine.class_names) == sorted(fine.class_names)
    coarse = data.load("cifar100", dir=tmp_path, labels="coarse")
    assert (coarse.num_classes, len(coarse.class_names)) == (20, 20)
    assert list(coarse.class_names) == sorted(coarse.class_names)
    with pytest.raises(ConfigError, match=r"'fin' \(did you mean 'fine'\?\)"):
        data.load("cifar100", dir=tmp_path, labels="fin")


# --- validation -----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["beside", "elsewhere"])
def test_a_split_cuts_the_test_images(tmp_path, batches, place):
    folder = write_python(tmp_path / "cifar-100-python", batches)
    lists = {"beside": folder, "elsewhere": tmp_path}[place] / "lists.txt"
    lists.write_text(official_images.split_file([4, 0, 2], [1, 3, 5]))
    split = {"beside": "lists.txt", "elsewhere": str(lists)}[place]
    dataset = data.load("cifar100", dir=folder, split=split)
    labels = batches["test"][2]
    assert len(dataset.train) == 7
    for found, rows in ((dataset.valid, [4, 0, 2]), (dataset.test, [1, 3, 5])):
        np.testing.assert_array_equal(official_images.content(found)[1], labels[rows])


def test_without_a_split_there_is_no_validation(tmp_path, batches):
    dataset = data.load("cifar100", dir=write_python(tmp_path, batches))
    assert dataset.valid is None
    train, valid = dataset.split_train(0.5, seed=0)
    assert (len(train), len(valid)) == (4, 3)


def test_training_images_are_not_cut_where_there_are_images_to_validate_on(
    tmp_path, batches
):
    write_python(tmp_path, batches)
    (tmp_path / "s.txt").write_text(official_images.split_file([0, 1, 2], [3, 4, 5]))
    dataset = data.load("cifar100", dir=tmp_path, split="s.txt")
    with pytest.raises(ConfigError, match=r"cifar100 has images.*data\.split="):
        dataset.split_train(0.5, seed=0)


def test_an_absent_or_foreign_split_is_named(tmp_path, batches):
    write_python(tmp_path, batches)
    refused(tmp_path, f"{tmp_path / 'a.txt'}: no such file", "AutoDL", split="a.txt")
    (tmp_path / "s.txt").write_text(official_images.split_file([0, 1], [3, 4]))
    refused(tmp_path, "s.txt lists 4 images", "there are 6", split="s.txt")


# --- bad input ------------------------------------------------------------------------


def test_no_such_folder_and_archives(tmp_path):
    refused(tmp_path / "absent", f"{tmp_path / 'absent'} is not a folder")
    archive = tmp_path / "cifar-100-python.tar.gz"
    archive.write_bytes(b"\x1f\x8b")
    refused(archive, f"{archive} is not a folder", "unpack it")


def test_a_folder_without_batches(tmp_path):
    refused(tmp_path, str(tmp_path), "no train nor train.bin", "unpack CIFAR-100")


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_file_is_named(tmp_path, batches, missing):
    (write_python(tmp_path, batches) / missing).unlink()
    refused(tmp_path, f"{tmp_path / missing} is missing")


@pytest.mark.parametrize("form", ["folder", "binary", "renamed"])
def test_cifar10_is_named(tmp_path, form):
    planes, labels = np.zeros((2, 3, 32, 32), np.uint8), [1, 2]
    remedy = "pass --config.data.name=cifar10"
    if form == "folder":
        content = official_images.pickled(planes, {"labels": labels})
        (tmp_path / "data_batch_1").write_bytes(content)
        refused(tmp_path, "holds CIFAR-10, not CIFAR-100", remedy)
    elif form == "binary":
        for name in ("train.bin", "test.bin"):
            (tmp_path / name).write_bytes(official_images.records(planes, labels))
        refused(tmp_path, "train.bin is a file of CIFAR-10, not of CIFAR-100", remedy)
    else:
        for name in ("train", "test"):
            content = official_images.pickled(planes, {"labels": labels})
            (tmp_path / name).write_bytes(content)
        refused(tmp_path, "train is a file of CIFAR-10, not of CIFAR-100", remedy)


def test_truncated_files_are_named(tmp_path, batches):
    path = write_python(tmp_path / "p", batches) / "test"
    for keep in (0, 1, 100, -3):
        path.write_bytes(path.read_bytes()[:keep])
        refused(tmp_path / "p", str(path))
    path = write_binary(tmp_path / "b", batches) / "train.bin"
    path.write_bytes(path.read_bytes()[:-100])
    refused(tmp_path / "b", str(path), f"{7 * 3074 - 100} bytes", "truncated")
    path.write_bytes(b"")
    refused(tmp_path / "b", str(path), "no images")


@pytest.mark.parametrize("labels", ["fine", "coarse"])
@pytest.mark.parametrize("write", [write_python, write_binary])
def test_a_label_out_of_range_is_named_whichever_are_asked_for(
    tmp_path, batches, write, labels
):
    batches["test"][1][3] = 20
    write(tmp_path, batches)
    refused(tmp_path, "label 20 at image 3, not one of 0..19", labels=labels)
    batches["test"][1][3], batches["test"][2][2] = 0, 100
    write(tmp_path, batches)
    refused(tmp_path, "label 100 at image 2, not one of 0..99", labels=labels)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"fine_labels": [0, 1]}, "3 images and 2 labels"),
        ({"coarse_labels": [0, 1, 2.5]}, "labels that are not a list of integers"),
        ({"coarse_labels": None}, "labels that are not a list of integers"),
        ({"data": np.zeros((3, 3071), np.uint8)}, "shape 3x3071, not Nx3072"),
        ({"data": np.zeros((3, 768), np.uint8)}, "16x16, not 32x32"),
        ({"data": np.zeros((3, 3072), np.int8)}, "not an array of bytes"),
    ],
)
def test_malformed_entries_are_named(tmp_path, batches, change, fault):
    path = write_python(tmp_path, batches) / "train"
    planes = np.zeros((3, 3072), np.uint8)
    whole = {"data": planes, "fine_labels": [0, 1, 2], "coarse_labels": [0, 1, 2]}
    path.write_bytes(pickle.dumps(whole | change))
    refused(tmp_path, str(path), fault)


def test_what_stands_for_a_file_is_named(tmp_path, batches):
    path = write_python(tmp_path, batches) / "test"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused(tmp_path, f"{path}: a Git LFS pointer", batch_files.CIFAR_SOURCE)
    path.write_bytes(json.dumps({}).encode())
    refused(tmp_path, f"{path}: not a pickle")
