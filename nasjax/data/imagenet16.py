"""ImageNet16-120: the first 120 classes of ImageNet at 16x16 pixels, official batches.

Chrabaszcz, Loshchilov and Hutter, A Downsampled Variant of ImageNet as an Alternative
to the CIFAR Datasets, 2017, made the files; Dong and Yang, NAS-Bench-201, 2020, chose
the classes: 151,700 images to train on and 6,000 to validate and test on.
"""

import os

import numpy as np

from nasjax.core import paths
from nasjax.core.errors import ConfigError, DataError
from nasjax.data import batch_content, batch_files, split_files
from nasjax.data.arrays import ArraySplit
from nasjax.data.dataset import Augmentation, Dataset

MEAN = (122.68 / 255, 116.66 / 255, 104.01 / 255)
"""Per channel on the scale 0..1, of NAS-Bench-201's code."""

STD = (63.22 / 255, 61.26 / 255, 65.09 / 255)

MD5 = {
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    "val_data": "3410e3017fdaefba8d5073aaa65e4bd6",
}
"""Of the files that NAS-Bench-201 was trained on, as its code lists them."""


def load(
    *,
    dir: str | os.PathLike[str],
    num_classes: int = 120,
    split: str = "",
    verify: bool = False,
) -> Dataset:
    """Reads `train_data_batch_1` to `_10` and `val_data` of a folder.

    Files are read one after the other, and of each only the classes asked for are kept.

    Args:
      dir: the folder of the eleven files, or one that holds it. Files may have any
        number of images.
      num_classes: how many of the 1,000 classes, from the first on.
      split: name of a file in `dir`, or its path, that cuts the images of `val_data`
        into validation and test. NAS-Bench-201's is `imagenet-16-120-test-split.txt` of
        its code, 3,000 images each; it was drawn once, and no seed gives it again.
        "": all of them are test images, and there is no validation.
      verify: whether files must have the checksums of `MD5`.

    Returns:
      A data set of 16x16x3 images; pad 2, crop and flip, and no cutout.

    Raises:
      ConfigError: `num_classes` is not in 1..1000.
      DataError: a file is missing, truncated, of another form or size of images, not
        the official one though `verify` asks for it, holds a label outside 1..1000 or
        as many labels as it has not images, or is a pickle with anything but arrays in
        it; none holds an image of the classes; or the split is malformed or of another
        data set.
    """
    kind = batch_files.IMAGENET16
    (labels,) = kind.labels
    if not 1 <= num_classes <= labels.last:
        raise ConfigError(
            f"{kind.name}: num_classes={num_classes} must be in 1..{labels.last}"
        )
    root = paths.expand(dir)
    folder, _ = batch_files.find(kind, root)
    augmentation = Augmentation(pad=2, flip=True, cutout=0)

    def read(*names: str) -> ArraySplit:
        parts = [
            batch_content.read(
                kind,
                folder / name,
                max_label=num_classes,
                md5=MD5[name] if verify else "",
            )
            for name in names
        ]
        pixels, found = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not len(pixels):
            raise DataError(
                f"{folder / names[0]} holds no image of classes 1..{num_classes}; get "
                f"{kind.title} again from {kind.source}"
            )
        return ArraySplit(
            batch_content.images(pixels, kind.side),
            found,
            mean=MEAN,
            std=STD,
            augmentation=augmentation,
        )

    valid, test = split_files.cut(
        read(kind.test), split, (folder, root), keys=split_files.TEST_KEYS
    )
    return Dataset(
        name=kind.name,
        num_classes=num_classes,
        image_shape=(kind.side, kind.side, 3),
        augmentation=augmentation,
        train=read(*kind.train),
        test=test,
        valid=valid,
    )
