"""Random NAS-Bench-201 cells on scikit-learn's digits: nothing is downloaded.

python launch/train_architecture.py --config=configs/train/digits.py
    --workdir=runs/train_digits
A miniature skeleton: patches of 2x2 pixels as channels, one stage of one cell. One
compiled program trains them all, and a surrogate of learning curves can be fitted to
the result.
Presets: full (50 cells, 30 epochs), smoke (3 cells, 2 epochs, under a minute).

No run of full is recorded.
"""

import ml_collections

PRESETS = ("full", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.space = "nasbench201"
    config.arch = "random"
    config.num_archs = 50
    config.train_fraction = 0.7
    config.data = ml_collections.ConfigDict({"name": "digits"})
    config.network = ml_collections.ConfigDict(
        {
            "num_stages": 1,
            "num_cells": 1,
            "patch": 2,
            "affine": False,
        }
    )
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 30,
            "batch_size": 64,
            "learning_rate": 0.4,
            "schedule": "cosine",
            "nesterov": True,
            "weight_decay": 5e-4,
            "clip": 0.0,
            "auxiliary_weight": 0.0,
            "drop_path": 0.0,
            "cutout": False,
        }
    )
    if preset == "smoke":
        config.num_archs = 3
        config.network.channels = 8
        config.training.epochs = 2
    return config
