"""CIFAR-100 from the official files, in the python or the binary form.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

import os
from typing import NamedTuple

from nasjax.core import errors, paths
from nasjax.data import batch_content, batch_files, split_files
from nasjax.data.arrays import ArraySplit
from nasjax.data.dataset import Augmentation, Dataset

MEAN = (0.5071, 0.4867, 0.4408)
"""Per channel, of the 50,000 training images on the scale 0..1."""

STD = (0.2675, 0.2565, 0.2761)

COARSE_NAMES = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables "
    "household_electrical_devices household_furniture insects large_carnivores "
    "large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people "
    "reptiles small_mammals trees vehicles_1 vehicles_2"
)

FINE_NAMES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy "
    "bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock "
    "cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish "
    "forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion "
    "lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange "
    "orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine "
    "possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank "
    "telephone television tiger tractor train trout tulip turtle wardrobe whale "
    "willow_tree wolf woman worm"
)


class Classes(NamedTuple):
    """Attributes:
    key: of the labels in a file.
    names: of the classes, in the order of the labels.
    """

    key: str
    names: tuple[str, ...]


CLASSES = {
    "fine": Classes("fine_labels", tuple(FINE_NAMES.split())),
    "coarse": Classes("coarse_labels", tuple(COARSE_NAMES.split())),
}
"""100 classes, or the 20 superclasses that they belong to."""


def load(
    *, dir: str | os.PathLike[str], labels: str = "fine", split: str = ""
) -> Dataset:
    """Reads `train` and `test` of a folder.

    Args:
      dir: `cifar-100-python`, `cifar-100-binary` or the folder that holds one of them.
        Files may have any number of images.
      labels: "fine" for 100 classes, "coarse" for 20.
      split: name of a file in `dir`, or its path, that cuts the test images into
        validation and test. NAS-Bench-201's is `cifar100-test-split.txt` of its code,
        5,000 images each; it was drawn once, and no seed gives it again.
        "": all images of `test` are test images, and there is no validation.

    Returns:
      A data set of 32x32x3 images; pad 4, crop, flip, and cutout 16.

    Raises:
      ConfigError: unknown `labels`.
      DataError: a file is missing, truncated, of another form, holds a label out of
        range or as many labels as it has not images, or is a pickle with anything but
        arrays in it; or the split is malformed or of another data set.
    """
    if labels not in CLASSES:
        raise errors.unknown_name("kind of labels of CIFAR-100", labels, CLASSES)
    kind, (key, names) = batch_files.CIFAR100, CLASSES[labels]
    root = paths.expand(dir)
    folder, suffix = batch_files.find(kind, root)
    augmentation = Augmentation(pad=4, flip=True, cutout=16)

    def read(name: str) -> ArraySplit:
        path = folder / f"{name}{suffix}"
        pixels, found = batch_content.read(kind, path, labels=key)
        return ArraySplit(
            batch_content.images(pixels, kind.side),
            found,
            mean=MEAN,
            std=STD,
            augmentation=augmentation,
        )

    (train,) = (read(name) for name in kind.train)
    valid, test = split_files.cut(
        read(kind.test), split, (folder, root), keys=split_files.TEST_KEYS
    )
    return Dataset(
        name=kind.name,
        num_classes=len(names),
        image_shape=(kind.side, kind.side, 3),
        augmentation=augmentation,
        train=train,
        test=test,
        class_names=names,
        valid=valid,
    )
