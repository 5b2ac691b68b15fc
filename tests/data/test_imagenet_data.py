"""Folders of JPEGs: crops, positions, readers, classes and bad input."""

import importlib.util
import itertools
import math
import os
import pathlib
import resource

import numpy as np
import pytest
from PIL import Image

from nasjax import data
from nasjax.core.errors import ConfigError, DataError
from nasjax.data import imagenet
from nasjax.data.dataset import Augmentation

CLASSES = ("n01", "n02", "n03", "n04")
WIDTH, HEIGHT = 40, 30


def write_images(root, num_train=5, num_val=2):
    """Noise below a colour that tells every image from the others."""
    rng = np.random.default_rng(0)
    for split, num in (("train", num_train), ("val", num_val)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                pixels = rng.integers(0, 40, (HEIGHT, WIDTH, 3), np.uint8)
                pixels += np.array([50 * label, 40 * i, 0], np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}_{i}.JPEG", quality=95)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture
def fresh(tmp_path):
    """A folder of its own, to break."""
    return write_images(tmp_path, num_train=1, num_val=1)


def load(root, **options):
    options = {"image_size": 16, "num_threads": 0, **options}
    return data.load("imagenet", dir=str(root), **options)


def first(split, num, **options):
    options = {"batch_size": 6, "seed": 3, **options}
    batches = split.train_batches(**options)
    try:
        return list(itertools.islice(batches, num))
    finally:
        batches.close()


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def raw(images):
    """Undoes the standardisation: back to 0..255."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return (np.asarray(images, np.float64) * std + mean) * 255


def test_description(root):
    dataset = load(root, cutout=4)
    assert (dataset.name, dataset.num_classes) == ("imagenet", 4)
    assert dataset.image_shape == (16, 16, 3)
    assert dataset.augmentation == Augmentation(pad=0, flip=True, cutout=4)
    assert dataset.class_names == CLASSES
    assert (len(dataset.train), len(dataset.test)) == (20, 8)
    assert dataset.train.steps_per_epoch(6) == 3


def test_evaluation_is_the_resized_centre_in_order(root):
    split = load(root).test
    batches = list(split.eval_batches(batch_size=6))
    images, labels, weights = (
        np.concatenate(part) for part in zip(*batches, strict=True)
    )
    assert images.shape == (12, 16, 16, 3)
    np.testing.assert_array_equal(weights, [1] * 8 + [0] * 4)
    np.testing.assert_array_equal(labels[:8], np.repeat(np.arange(4), 2))
    for index, found in enumerate(raw(images[:8])):
        name = CLASSES[index // 2]
        with Image.open(root / "val" / name / f"{name}_{index % 2}.JPEG") as image:
            # Short side 16 * 256 / 224 = 18.3 -> 18; 40 * 18 / 30 = 24.
            small = np.asarray(image.resize((24, 18), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(found, small[1:17, 4:20], atol=1e-3)


@pytest.mark.parametrize("size", [1, 16, 37, 224])
@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (5, 300), (31, 31)])
def test_any_size_from_any_shape(size, shape):
    image = Image.new("RGB", shape)
    assert imagenet.center_crop(image, size).shape == (size, size, 3)
    box = imagenet.random_box(np.random.default_rng(0), *shape)
    assert imagenet.resize(image, size, box).shape == (size, size, 3)


def test_random_boxes_have_the_stated_areas_and_ratios():
    rng = np.random.default_rng(0)
    boxes = np.array([imagenet.random_box(rng, 500, 400) for _ in range(3000)])
    left, top, right, bottom = boxes.T
    assert left.min() >= 0 and top.min() >= 0
    assert right.max() <= 500 and bottom.max() <= 400
    width, height = right - left, bottom - top
    area, ratio = width * height / (500 * 400), width / height
    assert 0.079 < area.min() < 0.1 and 0.9 < area.max() <= 1
    assert 0.74 < ratio.min() < 0.77 and 1.3 < ratio.max() < 1.35
    # Both ends of the range of positions occur.
    assert left.min() == 0 and right.max() == 500
    assert top.min() == 0 and bottom.max() == 400
    small = area < 0.5  # these fit at any ratio, so none were rejected
    assert abs(np.log(ratio[small]).mean()) < 0.02
    assert abs(area[small].mean() - (0.08 + 0.5) / 2) < 0.01


def test_an_extreme_shape_falls_back_to_a_centred_crop():
    rng = np.random.default_rng(0)
    for width, height, box in (
        (1000, 30, (480, 0, 520, 30)),  # 30 * 4 / 3 = 40 pixels wide
        (30, 1000, (0, 480, 30, 520)),  # 30 / (3 / 4) = 40 pixels high
    ):
        assert imagenet.random_box(rng, width, height) == box


def test_an_epoch_shows_no_image_twice(root):
    split = load(root).train
    batches = first(split, 6, augment=False)
    # Class and colour of the green channel name the image.
    shown = [
        (int(label), round((raw(image)[..., 1].mean() - 20) / 40))
        for batch in batches
        for image, label in zip(batch.images, batch.labels, strict=True)
    ]
    assert len(set(shown[:18])) == len(set(shown[18:])) == 18
    assert shown[:18] != shown[18:]
    assert all(0 <= index < 5 for _, index in shown)


def test_labels_belong_to_the_images(root):
    for batch in first(load(root).train, 4):
        red = raw(batch.images)[..., 0].mean((1, 2))
        np.testing.assert_array_equal(np.round((red - 20) / 50), batch.labels)
        assert batch.labels.dtype == np.int32
        np.testing.assert_array_equal(batch.weights, np.ones(6, np.float32))


@pytest.mark.parametrize("start", [1, 3, 7])
def test_restart_gives_the_same_batches(root, start):
    split = load(root, cutout=4).train
    whole = first(split, start + 2, cutout=True)
    assert_same(whole[start:], first(split, 2, cutout=True, start_step=start))


@pytest.mark.parametrize("readers", [{"num_threads": 3}, {"num_workers": 2}])
def test_batches_do_not_depend_on_the_readers(root, readers):
    expected = first(load(root).train, 5, start_step=2)
    assert_same(first(load(root, **readers).train, 5, start_step=2), expected)
    expected = list(load(root).test.eval_batches(batch_size=3))
    found = list(load(root, **readers).test.eval_batches(batch_size=3))
    assert_same(found, expected)


def test_seed_and_step_change_the_crops(root):
    split = load(root).train.take([4])
    batches = first(split, 3, batch_size=1) + first(split, 3, batch_size=1, seed=4)
    assert len({np.asarray(batch.images).tobytes() for batch in batches}) == 6


def test_cutout_blanks_to_the_mean_colour(root):
    split = load(root, cutout=4).train
    (plain,) = first(split, 1)
    (cut,) = first(split, 1, cutout=True)
    changed = ~np.isclose(cut.images, plain.images, atol=1e-5).all(axis=3)
    np.testing.assert_array_equal(np.asarray(cut.images)[changed], 0)
    assert np.all((changed.sum((1, 2)) >= 4) & (changed.sum((1, 2)) <= 16))


def test_parts_are_disjoint(root):
    dataset = load(root)
    one, other = dataset.split_train(0.6, seed=0)
    assert (len(one), len(other)) == (12, 8)
    names = {*one.files.names.tolist(), *other.files.names.tolist()}
    assert names == set(dataset.train.files.names.tolist())


def test_a_random_subset_of_the_classes(root):
    subsets = [load(root, num_classes=2, seed=seed).class_names for seed in range(60)]
    assert set(subsets) == set(itertools.combinations(CLASSES, 2))
    assert load(root, num_classes=2, seed=5).class_names == subsets[5]
    dataset = load(root, num_classes=2, seed=5)
    assert (dataset.num_classes, len(dataset.train), len(dataset.test)) == (2, 10, 4)
    (batch,) = dataset.test.eval_batches(batch_size=4)
    np.testing.assert_array_equal(batch.labels, [0, 0, 1, 1])
    red = raw(batch.images)[..., 0].mean((1, 2))
    kept = [CLASSES.index(name) for name in dataset.class_names]
    np.testing.assert_array_equal(np.round((red - 20) / 50), np.repeat(kept, 2))


def test_a_batch_larger_than_the_split_names_both(root):
    with pytest.raises(ConfigError, match=r"batch size 21 .* 20 images"):
        load(root).train.train_batches(batch_size=21, seed=0)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"num_classes": 5}, "num_classes=5, but there are 4"),
        ({"num_classes": -1}, "num_classes=-1"),
        ({"image_size": 0}, "image_size=0"),
        ({"num_workers": -1}, "num_workers=-1"),
    ],
)
def test_numbers_out_of_range_are_named(root, options, fault):
    with pytest.raises(ConfigError, match=fault):
        load(root, **options)


@pytest.mark.parametrize("module", ["grain", "PIL"])
def test_a_missing_library_names_the_extra(root, monkeypatch, module):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    with pytest.raises(ConfigError, match=rf"{module}: pip install nasjax\[imagenet\]"):
        load(root)


def test_missing_folders_are_named(fresh, tmp_path):
    with pytest.raises(DataError, match="absent/train is not a folder"):
        load(tmp_path / "absent")
    (fresh / "val" / "n03" / "n03_0.JPEG").unlink()
    with pytest.raises(DataError, match=r"val/n03 holds no \.JPEG files"):
        load(fresh)
    (fresh / "val" / "n03").rmdir()
    with pytest.raises(DataError, match="val/n03 is missing"):
        load(fresh)
    (fresh / "empty" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="empty/train holds no class folders"):
        load(fresh / "empty")


@pytest.mark.parametrize(
    ("damage", "readers"),
    [
        ("truncated", {}),
        ("text", {}),
        ("text", {"num_threads": 2}),
        ("truncated", {"num_workers": 1}),
    ],
)
def test_a_corrupt_image_is_named(fresh, damage, readers):
    path = fresh / "train" / "n02" / "n02_0.JPEG"
    path.write_bytes(path.read_bytes()[:400] if damage == "truncated" else b"no image")
    with pytest.raises(DataError, match="n02_0.JPEG.*replace the file"):
        first(load(fresh, **readers).train, 1, batch_size=4)


def test_gray_and_png_images_are_read_as_colour(fresh):
    for path, kind in (("n01/n01_0.JPEG", "JPEG"), ("n02/n02_0.JPEG", "PNG")):
        gray = Image.new("L", (20, 20), 100)
        gray.save(fresh / "val" / path, format=kind)
    (batch,) = load(fresh).test.eval_batches(batch_size=4)
    np.testing.assert_allclose(raw(batch.images[:2]), 100, atol=1e-3)


def test_ratios_are_those_of_the_paper():
    # A square image of area 1 with ratio r has sides sqrt(r) and 1 / sqrt(r).
    rng = np.random.default_rng(1)
    boxes = [imagenet.random_box(rng, 2000, 2000) for _ in range(400)]
    logs = [math.log((r - x) / (b - y)) for x, y, r, b in boxes]
    assert max(map(abs, logs)) < math.log(4 / 3) + 0.01


def test_hidden_files_and_pipes_are_no_images(fresh):
    names = load(fresh).train.files.names.tolist()
    folder = fresh / "train" / "n02"
    (folder / "._n02_0.JPEG").write_bytes(b"\0\5\x16\7 macOS")
    os.mkfifo(folder / "pipe.JPEG")
    assert load(fresh).train.files.names.tolist() == names


def test_one_folder_too_deep_and_homes(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(fresh.parent))
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "ILSVRC2012").symlink_to(fresh)
    expected = load(fresh).train.files.names.tolist()
    assert load(outer).train.files.names.tolist() == expected
    assert load(f"~/{fresh.name}").train.files.names.tolist() == expected


def test_images_of_too_many_pixels_are_refused(tmp_path, monkeypatch):
    from PIL import Image

    path = tmp_path / "x.JPEG"
    Image.new("L", (9_000, 9_000)).save(path, "JPEG", quality=1)
    with pytest.raises(DataError, match="x.JPEG: refused: 9000 x 9000 pixels"):
        imagenet.decode(str(path))
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match="x.JPEG: a Git LFS pointer"):
        imagenet.decode(str(path))


def test_strips_are_refused(tmp_path):
    """65,000 x 1 would become 16,640,000 x 256 before its centre is cut out."""
    from PIL import Image

    path = tmp_path / "x.JPEG"
    Image.new("L", (65_000, 1)).save(path, "JPEG")
    with pytest.raises(DataError, match="x.JPEG: refused: 65000 x 1 pixels"):
        imagenet.decode(str(path))
    Image.new("L", (256, 1)).save(path, "JPEG")
    assert imagenet.center_crop(imagenet.decode(str(path)), 8).shape == (8, 8, 3)


def test_sixteen_bits_a_channel_are_refused(tmp_path):
    """Pillow's conversion clips them: nearly every pixel would be white."""
    from PIL import Image

    path = tmp_path / "x.JPEG"
    Image.fromarray(np.full((4, 4), 30_000, np.uint16)).save(path, "PNG")
    with pytest.raises(DataError, match="x.JPEG: refused: more than 8 bits"):
        imagenet.decode(str(path))


def test_a_chunk_that_says_two_gigabytes_takes_no_room_for_them(tmp_path):
    from PIL import Image

    path = tmp_path / "x.JPEG"
    Image.new("L", (8, 8)).save(path, "PNG")
    content = path.read_bytes()
    place = content.index(b"IDAT") - 4
    length = (2**31 - 1).to_bytes(4, "big")
    path.write_bytes(content[:place] + length + content[place + 4 :])
    limit = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    room = pages * os.sysconf("SC_PAGE_SIZE") + 2**30
    resource.setrlimit(resource.RLIMIT_AS, (room, limit[1]))
    try:
        assert imagenet.decode(str(path)).size == (8, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
