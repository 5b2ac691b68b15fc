"""NAS-Bench-301's training of a genotype on CIFAR-10 (Siems et al., 2020).

python launch/train_architecture.py --config=configs/train/nasbench301.py
    --config.data.dir=PATH --config.arch="Genotype(...)" --workdir=runs/nasbench301
40,000 images to train on and 10,000 for validation, C=32, 8 cells, 98 epochs.
Presets: full (a GPU), cpu (3 cells, 10 epochs), smoke (digits,
under a minute).

full and cpu have not been run; the path is tested on digits.
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
    config.train_fraction = 0.8
    config.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.network = ml_collections.ConfigDict(
        {
            "num_cells": 8,
            "channels": 32,
        }
    )
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 98,
        }
    )
    if preset == "cpu":
        config.network.num_cells = 3
        config.network.channels = 8
        config.training.epochs = 10
    if preset == "smoke":
        config.data = ml_collections.ConfigDict({"name": "digits"})
        config.training.batch_size = 64
        config.network.num_cells = 3
        config.network.channels = 4
        config.network.auxiliary = False  # it reads larger maps
        config.training.epochs = 2
    return config
