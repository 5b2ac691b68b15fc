"""ImageNet16-120's official batches: classes kept, checksums, and bad input."""

import hashlib
import pickle

import numpy as np
import official_images
import pytest

from nasjax import data
from nasjax.core.errors import ConfigError, DataError
from nasjax.data import batch_files, imagenet16
from nasjax.data.dataset import Augmentation

NAMES = [*(f"train_data_batch_{i}" for i in range(1, 11)), "val_data"]
MEAN = np.array([122.68, 116.66, 104.01]) / 255
STD = np.array([63.22, 61.26, 65.09]) / 255


@pytest.fixture
def batches():
    """By file: planes uint8 `[N, 3, 16, 16]` and labels `[N]` of 1..1000."""
    rng = np.random.default_rng(0)
    made = {
        name: (official_images.planes(rng, 4, side=16), rng.integers(1, 1001, 4))
        for name in NAMES
    }
    for number, (_, labels) in enumerate(made.values()):
        labels[:2] = 1 + number, 120 + number % 2  # 121 is the first one left out
    return made


def write(folder, batches, key=str, protocol=3):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (planes, labels) in batches.items():
        mean = planes.reshape(len(planes), -1).mean(0)
        content = official_images.pickled(
            planes, {"labels": labels}, key=key, protocol=protocol, mean=mean
        )
        (folder / name).write_bytes(content)
    return folder


def assert_holds(dataset, batches, num_classes=120):
    for split, names in ((dataset.train, NAMES[:-1]), (dataset.test, NAMES[-1:])):
        parts = zip(*(batches[name] for name in names), strict=True)
        planes, labels = (np.concatenate(part) for part in parts)
        kept = labels <= num_classes
        official_images.assert_holds(split, planes[kept], labels[kept] - 1, MEAN, STD)


def refused(path, *fragments, **options):
    """Loading raises a `DataError` of one line with all fragments and the remedy."""
    with pytest.raises(DataError) as caught:
        data.load("imagenet16", dir=path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in (*fragments, "http"):
        assert fragment in message


@pytest.mark.parametrize(("key", "protocol"), [(str, 3), (str.encode, 2), (str, 5)])
def test_the_first_120_classes_are_kept(tmp_path, batches, key, protocol):
    folder = write(tmp_path / "ImageNet16", batches, key, protocol)
    for place in (folder, folder.parent):
        assert_holds(data.load("imagenet16", dir=place), batches)


def test_other_numbers_of_classes(tmp_path, batches):
    write(tmp_path, batches)
    for number in (11, 1000):
        dataset = data.load("imagenet16", dir=tmp_path, num_classes=number)
        assert dataset.num_classes == number
        assert_holds(dataset, batches, number)
    for number in (0, 1001):
        with pytest.raises(ConfigError, match=f"num_classes={number} must be in 1"):
            data.load("imagenet16", dir=tmp_path, num_classes=number)


def test_description(tmp_path, batches):
    dataset = data.load("imagenet16", dir=write(tmp_path, batches))
    assert (dataset.name, dataset.num_classes) == ("imagenet16", 120)
    assert dataset.image_shape == (16, 16, 3)
    assert dataset.augmentation == Augmentation(pad=2, flip=True, cutout=0)
    assert dataset.valid is None


def test_a_split_numbers_the_images_of_the_classes_kept(tmp_path, batches):
    batches["val_data"] = (batches["val_data"][0], np.array([500, 7, 120, 3]))
    write(tmp_path, batches)
    (tmp_path / "s.txt").write_text(official_images.split_file([2], [0, 1]))
    dataset = data.load("imagenet16", dir=tmp_path, split="s.txt")
    np.testing.assert_array_equal(official_images.content(dataset.valid)[1], [2])
    np.testing.assert_array_equal(official_images.content(dataset.test)[1], [6, 119])


def test_checksums_are_compared_where_asked_for(tmp_path, batches, monkeypatch):
    write(tmp_path, batches)
    sums = {
        name: hashlib.md5((tmp_path / name).read_bytes()).hexdigest() for name in NAMES
    }
    assert imagenet16.MD5.keys() == sums.keys()
    wrong = imagenet16.MD5["val_data"]
    fault = f"val_data is not the official file: its MD5 is not {wrong}"
    refused(tmp_path, fault, verify=True)
    monkeypatch.setattr(imagenet16, "MD5", sums)
    assert len(data.load("imagenet16", dir=tmp_path, verify=True).test) > 0


# --- bad input ------------------------------------------------------------------------


def test_no_batches(tmp_path):
    refused(tmp_path / "absent", f"{tmp_path / 'absent'} is not a folder")
    refused(tmp_path, "no train_data_batch_1;", "unpack ImageNet16")


def test_a_missing_file_is_named(tmp_path, batches):
    for name in ("train_data_batch_10", "val_data"):
        (write(tmp_path / name, batches) / name).unlink()
        refused(tmp_path / name, f"{tmp_path / name / name} is missing", "one folder")


def test_no_image_of_the_classes(tmp_path, batches):
    batches["val_data"] = (batches["val_data"][0], np.full(4, 121))
    refused(write(tmp_path, batches), "val_data holds no image of classes 1..120")


@pytest.mark.parametrize("label", [0, 1001, -1])
def test_a_label_out_of_range_is_named(tmp_path, batches, label):
    batches["train_data_batch_7"][1][2] = label
    write(tmp_path, batches)
    fault = f"label {label} at image 2, not one of 1..1000"
    refused(tmp_path, "train_data_batch_7", fault)


@pytest.mark.parametrize("side", [8, 32, 64])
def test_images_of_another_size_are_named(tmp_path, batches, side):
    planes = np.zeros((2, 3, side, side), np.uint8)
    path = write(tmp_path, batches) / "train_data_batch_3"
    path.write_bytes(official_images.pickled(planes, {"labels": [1, 2]}))
    refused(tmp_path, str(path), f"images of {side}x{side}, not 16x16 pixels")


def test_other_data_sets_are_named(tmp_path, batches):
    planes = np.zeros((2, 3, 32, 32), np.uint8)
    write(tmp_path, {"train_data_batch_1": batches["train_data_batch_1"]})
    with pytest.raises(DataError, match="holds ImageNet16, not CIFAR-10;.*=imagenet16"):
        data.load("cifar10", dir=tmp_path)
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"")
    refused(folder, "holds CIFAR-10, not ImageNet16", "--config.data.name=cifar10")
    folder = write(tmp_path / "renamed", batches)
    both = {"fine_labels": [1, 2], "coarse_labels": [1, 2]}
    (folder / "val_data").write_bytes(official_images.pickled(planes, both))
    refused(folder, "val_data is a file of CIFAR-100, not of ImageNet16")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"labels": [1, 2]}, "3 images and 2 labels"),
        ({"labels": ["n01440764"] * 3}, "labels that are not a list of integers"),
        ({"data": np.zeros((3, 769), np.uint8)}, "shape 3x769, not Nx768"),
        ({"data": np.zeros((3, 768), np.float32)}, "not an array of bytes"),
    ],
)
def test_malformed_entries_are_named(tmp_path, batches, change, fault):
    path = write(tmp_path, batches) / "val_data"
    whole = {"data": np.zeros((3, 768), np.uint8), "labels": [1, 2, 3]}
    path.write_bytes(pickle.dumps(whole | change))
    refused(tmp_path, str(path), fault, batch_files.IMAGENET16_SOURCE)
