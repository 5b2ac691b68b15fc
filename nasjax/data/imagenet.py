"""Folders of JPEGs, one a class, as ImageNet comes; too large for the device.

grain reads ahead in threads or processes and Pillow decodes (extra `imagenet`). The
host makes the crop, the device flips, standardises and cuts out. Which image a batch
holds and how it is cropped follow from seed, step and row alone, so neither the number
of readers nor an interruption changes a batch.
"""

import functools
import importlib.util
import io
import math
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nasjax.core import paths, read_guard, worker_process
from nasjax.core.errors import ConfigError, DataError
from nasjax.core.types import Array, Key
from nasjax.data import augmentation as augmentations
from nasjax.data.dataset import Augmentation, Batch, Dataset, Split, check_positive

if TYPE_CHECKING:
    from PIL.Image import Image

MEAN = (0.485, 0.456, 0.406)
"""Per channel, of the training images on the scale 0..1."""

STD = (0.229, 0.224, 0.225)

_SUFFIXES = (".jpeg", ".jpg")

_ENDLESS = 2**40
"""Length of the training stream in images; grain wants a number."""

_MAX_PIXELS = 2**26
"""The largest image of ImageNet has 6.1e7; a decoded one takes 3 bytes a pixel."""

_MAX_RATIO = 256
"""Long side over short side: `center_crop` makes the short one `image_size`."""

_MAX_FILE = 2**27
"""Bytes of one file; the largest of ImageNet has some 1.5e7."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are outside."""


class Files(NamedTuple):
    """The images of one split.

    Attributes:
      root: folder that `names` are relative to.
      names: bytes `[N]`.
      labels: int32 `[N]`.
    """

    root: str
    names: np.ndarray
    labels: np.ndarray

    def path(self, index: int) -> str:
        return os.path.join(self.root, os.fsdecode(self.names[index]))


def load(
    *,
    dir: str | os.PathLike[str],
    image_size: int = 224,
    num_classes: int = 0,
    seed: int = 0,
    cutout: int = 0,
    num_workers: int = 0,
    num_threads: int = 4,
) -> Dataset:
    """Lists `train/<class>/*.JPEG` and `val/<class>/*.JPEG`; nothing is decoded yet.

    Args:
      dir: the folder that holds `train` and `val`.
      image_size: H and W of a batch, in pixels.
      num_classes: how many classes to draw at random; 0: all of them.
      seed: of that draw.
      cutout: side in pixels of the square that fine-tuning blanks.
      num_workers: processes that decode; 0: none beside this one.
      num_threads: threads in each that decode; 0: none.

    Returns:
      A data set whose `class_names` are the names of the folders, in order.

    Raises:
      ConfigError: grain or Pillow is not installed, or a number is out of range.
      DataError: a folder is missing or empty.
    """
    _require("grain", "PIL")
    if image_size < 1 or num_workers < 0 or num_threads < 0 or cutout < 0:
        raise ConfigError(
            f"imagenet: image_size={image_size} must be positive, cutout={cutout}, "
            f"num_workers={num_workers} and num_threads={num_threads} not negative"
        )
    root = _find(paths.expand(dir))
    classes = _draw_classes(_list_classes(root / "train"), num_classes, seed)
    augmentation = Augmentation(pad=0, flip=True, cutout=cutout)

    def split(folder: str) -> FolderSplit:
        return FolderSplit(
            _list_images(root / folder, classes),
            image_size=image_size,
            augmentation=augmentation,
            num_workers=num_workers,
            num_threads=num_threads,
        )

    return Dataset(
        name="imagenet",
        num_classes=len(classes),
        image_shape=(image_size, image_size, 3),
        augmentation=augmentation,
        train=split("train"),
        test=split("val"),
        class_names=classes,
    )


def _require(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"the data set 'imagenet' needs {module}: pip install nasjax[imagenet]"
            )


def _find(root: pathlib.Path) -> pathlib.Path:
    """The folder that holds `train`: the one given, or the only one inside it."""
    if paths.is_folder(root) and not paths.is_folder(root / "train"):
        found = [path for path in paths.entries(root) if path.is_dir()]
        inner = [folder for folder in found if paths.is_folder(folder / "train")]
        if len(inner) == 1:
            return inner[0]
    return root


def _list_classes(folder: pathlib.Path) -> list[str]:
    """Sorted names of the class folders."""
    if not paths.is_folder(folder):
        raise DataError(
            f"{folder} is not a folder; ImageNet is read from train/<class>/*.JPEG and "
            "val/<class>/*.JPEG"
        )
    names = [entry.name for entry in paths.entries(folder) if entry.is_dir()]
    classes = [name for name in names if not name.startswith(".")]
    if not classes:
        raise DataError(
            f"{folder} holds no class folders; unpack the images to <class>/*.JPEG"
        )
    return classes


def _draw_classes(classes: list[str], number: int, seed: int) -> tuple[str, ...]:
    """`number` of the classes, in order; all for 0."""
    if not 0 <= number <= len(classes):
        raise ConfigError(
            f"imagenet: num_classes={number}, but there are {len(classes)} class "
            "folders; choose fewer, or 0 for all"
        )
    if number == 0:
        return tuple(classes)
    drawn = np.random.default_rng(seed).choice(len(classes), number, replace=False)
    return tuple(classes[index] for index in np.sort(drawn))


def _list_images(folder: pathlib.Path, classes: tuple[str, ...]) -> Files:
    """The JPEGs of each class, sorted by name."""
    names: list[bytes] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        subfolder = folder / name
        if not paths.is_folder(subfolder):
            raise DataError(
                f"{subfolder} is missing; train and val need a folder for each class"
            )
        with paths.told(subfolder):
            found = sorted(
                entry.name
                for entry in os.scandir(subfolder)
                # Hidden ones are no images: macOS puts a ._x.JPEG beside each x.JPEG.
                if entry.name.lower().endswith(_SUFFIXES)
                and not entry.name.startswith(".")
                and entry.is_file()
            )
        if not found:
            raise DataError(
                f"{subfolder} holds no .JPEG files; unpack that class again"
            )
        names += [os.fsencode(f"{name}/{file}") for file in found]
        labels += [label] * len(found)
    return Files(str(folder), np.array(names), np.array(labels, np.int32))


class FolderSplit(Split):
    """Images on disk.

    Attributes:
      files: their names and labels.
      augmentation: what the device does to a crop.
    """

    def __init__(
        self,
        files: Files,
        *,
        image_size: int,
        augmentation: Augmentation,
        num_workers: int = 0,
        num_threads: int = 4,
    ) -> None:
        """See `load` for the arguments."""
        self.files = files
        self.augmentation = augmentation
        self._image_size = image_size
        self._num_workers = num_workers
        self._num_threads = num_threads

    def __len__(self) -> int:
        return len(self.files.labels)

    def take(self, indices: ArrayLike) -> "FolderSplit":
        index = np.asarray(indices, np.int64)
        root, names, labels = self.files
        return FolderSplit(
            Files(root, names[index], labels[index]),
            image_size=self._image_size,
            augmentation=self.augmentation,
            num_workers=self._num_workers,
            num_threads=self._num_threads,
        )

    def train_batches(
        self,
        *,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        augment: bool = True,
        cutout: bool = False,
    ) -> Iterator[Batch]:
        self.check_batch_size(batch_size)
        source = TrainSource(
            self.files,
            image_size=self._image_size,
            batch_size=batch_size,
            seed=seed,
            start_step=start_step,
            augment=augment,
        )
        applied = self.augmentation.select(augment=augment, cutout=cutout)
        return self._stream(source, batch_size, seed, start_step, applied)

    def eval_batches(self, *, batch_size: int) -> Iterator[Batch]:
        check_positive(batch_size)
        source = EvalSource(
            self.files, image_size=self._image_size, batch_size=batch_size
        )
        return self._stream(source, batch_size, 0, 0, Augmentation())

    def _stream(
        self,
        source: "TrainSource | EvalSource",
        batch_size: int,
        seed: int,
        start_step: int,
        applied: Augmentation,
    ) -> Iterator[Batch]:
        """Decoded batches of `source`, finished on the device."""
        import grain

        if self._num_workers:
            _parse_flags()
        key = jax.random.key(seed)
        stream = (
            grain.MapDataset.source(source)
            .batch(batch_size)  # before the workers part, so they share no batch
            .to_iter_dataset(
                grain.ReadOptions(
                    num_threads=self._num_threads,
                    prefetch_buffer_size=2 * self._num_threads,
                )
            )
            .mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self._num_workers),
                worker_init_fn=_start_worker,
            )
        )
        iterator = iter(stream)
        try:
            for step, example in enumerate(iterator, start_step):
                # Copies, since a worker's shared memory goes when `example` does.
                images = jnp.array(example["image"])
                yield Batch(
                    _finish(key, step, images, augmentation=applied),
                    jnp.array(example["label"]),
                    jnp.array(example["weight"]),
                )
        finally:
            iterator.close()


def _start_worker(*_: int) -> None:
    worker_process.start()


def _parse_flags() -> None:
    """grain's processes read absl flags, which only a launch script has parsed."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


@functools.partial(jax.jit, static_argnames="augmentation")
def _finish(
    key: Key, step: int | Array, images: Array, *, augmentation: Augmentation
) -> Array:
    """uint8 `[B, H, W, C]` to float32, augmented with `fold_in(key, step)`."""
    key = jax.random.fold_in(key, step)
    return augmentations.augment_batch(key, images, augmentation, mean=MEAN, std=STD)


class TrainSource:
    """grain's random-access source of training images, by position in the stream."""

    def __init__(
        self,
        files: Files,
        *,
        image_size: int,
        batch_size: int,
        seed: int,
        start_step: int,
        augment: bool,
    ) -> None:
        """See `Split.train_batches` for the arguments."""
        self._files = files
        self._image_size = image_size
        self._batch_size = batch_size
        self._seed = seed % 2**64
        self._start_step = start_step
        self._augment = augment

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, position: int) -> dict[str, Any]:
        size = len(self._files.labels)
        step, row = divmod(int(position), self._batch_size)
        step += self._start_step
        epoch, slot = divmod(step, size // self._batch_size)
        order = _permutation(self._seed, epoch, size)
        index = order[slot * self._batch_size + row]
        image = decode(self._files.path(index))
        if self._augment:
            rng = np.random.default_rng((self._seed, 1, step, row))
            pixels = resize(image, self._image_size, random_box(rng, *image.size))
        else:
            pixels = center_crop(image, self._image_size)
        return _example(pixels, self._files.labels[index], 1)


class EvalSource:
    """grain's random-access source of all images in order, to whole batches."""

    def __init__(self, files: Files, *, image_size: int, batch_size: int) -> None:
        """See `Split.eval_batches` for the arguments."""
        self._files = files
        self._image_size = image_size
        self._length = -(-len(files.labels) // batch_size) * batch_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> dict[str, Any]:
        if position >= len(self._files.labels):
            blank = np.zeros((self._image_size, self._image_size, 3), np.uint8)
            return _example(blank, 0, 0)
        image = decode(self._files.path(position))
        pixels = center_crop(image, self._image_size)
        return _example(pixels, self._files.labels[position], 1)


def _example(pixels: np.ndarray, label: int, weight: int) -> dict[str, Any]:
    return {"image": pixels, "label": np.int32(label), "weight": np.float32(weight)}


@functools.lru_cache(maxsize=4)  # two epochs meet at a border, for each of two splits
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    order = np.random.default_rng((seed, 0, epoch)).permutation(size)
    return order.astype(np.int32)


def decode(path: str) -> "Image":
    """The image as RGB; `DataError` when Pillow cannot read it."""
    from PIL import Image, UnidentifiedImageError

    what, remedy = "cannot be decoded", "replace the file"
    with read_guard.guard(path, what, remedy=remedy):
        # In memory, where reading ends with the file: a PNG's chunk may declare 2 GB,
        # which a file on disk would make room for.
        file = io.BytesIO(read_guard.read_file(path, max_bytes=_MAX_FILE))
        try:
            with warnings.catch_warnings():
                # Pillow warns of what is refused below.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                # One "JPEG" of ImageNet is a PNG.
                image = Image.open(file, formats=("JPEG", "PNG"))
            strip = max(image.size) > _MAX_RATIO * min(image.size)
            if strip or image.width * image.height > _MAX_PIXELS:
                raise DataError(
                    f"{path}: refused: {image.width} x {image.height} pixels; {remedy}"
                )
            if image.mode[0] in "IF":  # Pillow would clip to 255, not scale
                raise DataError(
                    f"{path}: refused: more than 8 bits a channel (Pillow's mode "
                    f"{image.mode}); convert it to 8"
                )
            if image.mode == "P" and "transparency" in image.info:
                # Pillow warns of the direct way.
                return image.convert("RGBA").convert("RGB")
            return image.convert("RGB")
        except UnidentifiedImageError as error:
            raise DataError(f"{path} is not a JPEG; {remedy}") from error
        except (SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} {what} ({error}); {remedy}") from error


def random_box(rng: np.random.Generator, width: int, height: int) -> Box:
    """A crop of 8-100 % of the area and of aspect ratio 3/4-4/3 (Szegedy et al., 2015).

    After ten misses, the largest centred crop within these ratios, as in torchvision.
    """
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        crop_width = round(math.sqrt(area * ratio))
        crop_height = round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = int(rng.integers(0, width - crop_width + 1))
            top = int(rng.integers(0, height - crop_height + 1))
            return left, top, left + crop_width, top + crop_height
    crop_width = min(width, max(1, round(height * 4 / 3)))
    crop_height = min(height, max(1, round(width * 4 / 3)))
    left = (width - crop_width) // 2
    top = (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def resize(image: "Image", size: int, box: Box) -> np.ndarray:
    """uint8 `[size, size, 3]`: the box of the image, bilinear with antialiasing."""
    from PIL import Image

    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))


def center_crop(image: "Image", size: int) -> np.ndarray:
    """uint8 `[size, size, 3]`: short side to 256/224 of `size`, then the centre."""
    from PIL import Image

    short = round(size * 256 / 224)
    width, height = (side * short // min(image.size) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)))
