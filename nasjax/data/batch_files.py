"""Official batch files of small images: CIFAR-10, CIFAR-100 and ImageNet16.

The three are of one form, which `batch_content` reads; `KNOWN` says how they differ,
and tells a folder or file of another one by name.
"""

import dataclasses
import pathlib
from typing import NamedTuple

from nasjax.core import paths
from nasjax.core.errors import DataError

CIFAR_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
IMAGENET16_SOURCE = "https://image-net.org/download-images"


class Labels(NamedTuple):
    """One kind of label that a file holds.

    Attributes:
      key: its name in the mapping of the python version.
      first: the smallest; what is read counts from 0.
      last: the largest.
    """

    key: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class BatchFiles:
    """The official files of one data set.

    Attributes:
      name: of the data set in `data.DATASETS`.
      title: as its authors write it.
      source: where it can be had.
      folders: what its archives unpack to, where they make a folder.
      train: files of training images, without the suffix of the binary version.
      test: the file of test images, likewise.
      side: height and width of an image in pixels.
      labels: what a file holds; a record of the binary version begins with one byte for
        each, in this order.
      suffixes: of the versions: "" for pickles, ".bin" for records.
      signs: files that lie beside the batches and occur nowhere else.
    """

    name: str
    title: str
    source: str
    folders: tuple[str, ...]
    train: tuple[str, ...]
    test: str
    side: int
    labels: tuple[Labels, ...]
    suffixes: tuple[str, ...] = ("", ".bin")
    signs: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        """Bytes of an image: three planes."""
        return 3 * self.side**2

    @property
    def record(self) -> int:
        """Bytes of a record of the binary version."""
        return len(self.labels) + self.pixels

    def files(self, suffix: str) -> list[str]:
        """Names of all files of a version."""
        return [f"{name}{suffix}" for name in (*self.train, self.test)]


CIFAR10 = BatchFiles(
    name="cifar10",
    title="CIFAR-10",
    source=CIFAR_SOURCE,
    folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test="test_batch",
    side=32,
    labels=(Labels("labels", 0, 9),),
    signs=("data_batch_1", "data_batch_1.bin", "batches.meta", "batches.meta.txt"),
)

CIFAR100 = BatchFiles(
    name="cifar100",
    title="CIFAR-100",
    source=CIFAR_SOURCE,
    folders=("cifar-100-python", "cifar-100-binary"),
    train=("train",),
    test="test",
    side=32,
    labels=(Labels("coarse_labels", 0, 19), Labels("fine_labels", 0, 99)),
    signs=("fine_label_names.txt", "coarse_label_names.txt", "fine_label_names"),
)

IMAGENET16 = BatchFiles(
    name="imagenet16",
    title="ImageNet16",
    source=IMAGENET16_SOURCE,
    folders=("ImageNet16", "Imagenet16"),
    train=tuple(f"train_data_batch_{i}" for i in range(1, 11)),
    test="val_data",
    side=16,
    labels=(Labels("labels", 1, 1000),),
    suffixes=("",),
    signs=("train_data_batch_1", "val_data"),
)

KNOWN = (CIFAR10, CIFAR100, IMAGENET16)


def find(kind: BatchFiles, root: pathlib.Path) -> tuple[pathlib.Path, str]:
    """The folder that holds all files of a version, and the suffix of their names.

    Args:
      kind: which data set.
      root: that folder, or one that holds it, up to two levels above.

    Raises:
      DataError: there is none; the message names the file that is missing, or the data
        set that is there instead.
    """
    if not paths.is_folder(root):
        unpack = "; unpack it, and give the folder" if paths.is_file(root) else ""
        raise DataError(
            f"{root} is not a folder{unpack}; {kind.title} is at {kind.source}"
        )
    inner = [folder for folder in paths.entries(root) if folder.is_dir()]
    folders = [root, *(root / name for name in kind.folders)]
    folders += [folder / name for folder in inner for name in ("", *kind.folders)]
    absent = {}
    for folder in folders:
        for suffix in kind.suffixes:
            names = kind.files(suffix)
            missing = [name for name in names if not paths.is_file(folder / name)]
            if not missing:
                return folder, suffix
            if len(missing) < len(names):
                absent[folder / missing[0]] = len(missing)
    if absent:
        nearest = min(absent, key=lambda path: absent[path])
        raise DataError(
            f"{nearest} is missing, and all files of {kind.title} belong into one "
            f"folder; the whole of it is at {kind.source}"
        )
    for folder in (root, *inner):
        for other in KNOWN:
            if other is not kind and _is_of(other, folder):
                raise DataError(
                    f"{folder} holds {other.title}, not {kind.title}; "
                    f"{instead(kind, other)}"
                )
    nouns = " nor ".join(f"{kind.train[0]}{suffix}" for suffix in kind.suffixes)
    raise DataError(
        f"{root} holds no {nouns}; unpack {kind.title} there, from {kind.source}"
    )


def _is_of(kind: BatchFiles, folder: pathlib.Path) -> bool:
    """Whether a folder seems to hold a data set, whole or not."""
    whole = [kind.files(suffix) for suffix in kind.suffixes]
    return folder.name in kind.folders or any(
        all(paths.is_file(folder / name) for name in names)
        for names in [*whole, *([sign] for sign in kind.signs)]
    )


def instead(kind: BatchFiles, other: BatchFiles) -> str:
    """What to do where another data set was found."""
    return (
        f"pass --config.data.name={other.name}, or get {kind.title} from {kind.source}"
    )
