"""A genotype of the DARTS space on ImageNet, mobile setting (tables 3.5 and 4.3).

python launch/train_architecture.py --config=configs/train/darts_imagenet.py
    --config.data.dir=PATH --config.arch="Genotype(...)" --config.label=NAME
    --workdir=runs/darts_imagenet
224x224 images, random resized crop, flip and colour jitter; C=48, 14 cells, 250 epochs,
the rate times .97 after each. The test images are ImageNet's 50,000 validation images.
Presets: full (GPUs), cpu (100 classes of 64x64 pixels, 8
cells), smoke (synthetic images, under a minute).

full and cpu have not been run; the path is tested on synthetic images.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), "
    "('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), "
    "('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
"""The second-order cell of DARTS (Liu et al., 2019); the thesis prints no genotypes."""


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.space = "darts"
    config.arch = DARTS_V2
    config.color_jitter = (0.4, 0.4, 0.4, 0.2)
    config.tables = ("3.5", "4.3")
    config.label = "DARTS"
    config.data = ml_collections.ConfigDict(
        {"name": "imagenet", "dir": "", "image_size": 224, "num_classes": 0}
    )
    config.network = ml_collections.ConfigDict(
        {
            "num_cells": 14,
            "channels": 48,
            "stem": "imagenet",
        }
    )
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 250,
            "batch_size": 128,
            "learning_rate": 0.1,
            "schedule": "exponential",
            "weight_decay": 3e-5,
            "label_smoothing": 0.1,
            "drop_path": 0.0,
            "cutout": False,
        }
    )
    if preset == "cpu":
        config.data.image_size = 64
        config.data.num_classes = 100
        config.network.num_cells = 8
        config.network.channels = 16
        config.network.auxiliary = False  # it reads larger maps
        config.training.epochs = 10
    if preset == "smoke":
        config.data = ml_collections.ConfigDict(
            {"name": "synthetic", "num_train": 192, "num_test": 48, "image_size": 32}
        )
        config.color_jitter = ()
        config.network.num_cells = 3
        config.network.channels = 4
        config.network.auxiliary = False
        config.training.batch_size = 64
        config.training.epochs = 2
    return config
