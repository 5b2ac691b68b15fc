"""HM-NAS on ImageNet, mobile setting (table 2.4): search on 100 classes, then 1,000.

python launch/hmnas.py --config=configs/imagenet.py --config.data.dir=PATH \
    --workdir=runs/imagenet        (PATH/train/WNID/*.JPEG, PATH/val/WNID/*.JPEG)
Presets: full, the stem of total stride 4 and three reductions (6.0M parameters and
1,209M MACs before masking); darts, DARTS' stem of stride 8 with two reductions (3.0M,
299M: less than table 2.4 reports after masking, so that table cannot be of this
layout); smoke.

full and darts have not been run: the thesis' budget is five GPU days.
"""

import ml_collections

PRESETS = ("full", "darts", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.data = ml_collections.ConfigDict(
        {
            "name": "imagenet",
            "dir": "",
            "image_size": 224,
            "num_classes": 100,
            "seed": 0,
            "cutout": 0,
            "num_workers": 16,
        }
    )
    config.supernet = ml_collections.ConfigDict(
        {
            "num_cells": 5,
            "channels": 24,
            "reductions": (2, 3, 4),
            "stem": "imagenet4",
        }
    )
    config.training = ml_collections.ConfigDict()
    config.masking = ml_collections.ConfigDict(
        {
            "weight_travel": 1.0,  # rates 1e-4 and 1e-5 of 1,000 steps an epoch
            "arch_travel": 0.1,
            "recalibration_batches": 100,
        }
    )
    config.finetuning = ml_collections.ConfigDict(
        {
            "epochs": 60,
            "learning_rate": 1e-2,
            "schedule": "step",
            "weight_decay": 3e-5,
            "cutout": False,
            "num_classes": 1000,
        }
    )
    if preset == "darts":
        config.supernet.stem = "imagenet8"
        config.supernet.reductions = (1, 3)
    if preset == "smoke":
        config.batch_size = 16
        config.data.image_size = 32
        config.data.num_classes = 2
        config.data.num_workers = 0
        config.supernet.num_cells = 2
        config.supernet.num_steps = 2
        config.supernet.channels = 4
        config.supernet.reductions = (1,)
        config.training.epochs = 2
        config.training.warmup_epochs = 1
        config.masking.epochs = 2
        config.masking.decay_epoch = 1
        config.finetuning.epochs = 1
        config.finetuning.num_classes = 3
    return config
