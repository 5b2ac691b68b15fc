"""HM-NAS on CIFAR-10 (tables 2.2 and 2.3), from the official files in a folder.

python launch/hmnas.py --config=configs/cifar10.py --config.data.dir=PATH \
    --workdir=runs/cifar10
Presets: full (the thesis' settings: one accelerator, a day or two), cpu (16x16 feature
maps, 8 channels: within an hour on two cores for 10,000 training images), smoke.
The thesis' second-order rows: --config.training.order=exact.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.batch_size = 128
    config.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.supernet = ml_collections.ConfigDict(
        {
            "num_cells": 3,
            "channels": 36,
            "num_steps": 4,
            "reductions": (-1,),  # DARTS' rule: cells L // 3 and 2 L // 3
            "stem": "cifar",
            "stem_stride": 1,
            "stem_multiplier": 3,
            "arch_sharing": "type",
            "operations": (
                "sep_conv_3x3",
                "sep_conv_5x5",
                "dil_conv_3x3",
                "dil_conv_5x5",
                "max_pool_3x3",
                "avg_pool_3x3",
                "skip_connect",
            ),
        }
    )
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 100,
            "warmup_epochs": 10,
            "train_fraction": 0.8,
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 3e-4,
            "clip": 5.0,
            "arch_learning_rate": 3e-4,
            "arch_weight_decay": 1e-3,
            "arch_beta1": 0.5,
            "order": "first",
            "interleave": "step",
            "sigma": "cosine",
            "zero_after": 1.0,
        }
    )
    config.masking = ml_collections.ConfigDict(
        {
            "epochs": 20,
            "decay_epoch": 10,
            "weight_travel": 0.391,  # rates 1e-4 and 1e-5 of 390 steps an epoch
            "arch_travel": 0.0391,
            "threshold": 5e-3,
            "mode": "multiply",
            "recalibration_batches": 50,
        }
    )
    config.finetuning = ml_collections.ConfigDict(
        {
            "epochs": 200,
            "learning_rate": 0.025,
            "schedule": "cosine",
            "decay_epoch": 100,
            "momentum": 0.9,
            "weight_decay": 3e-4,
            "clip": 5.0,
            "cutout": True,
            "affine": False,
            "num_classes": 0,
        }
    )
    if preset != "full":
        config.batch_size = 64
        config.supernet.channels = 8
        config.supernet.stem_stride = 2
        config.training.epochs = 10
        config.training.warmup_epochs = 2
        config.training.arch_learning_rate = 1e-3
        config.masking.epochs = 4
        config.masking.decay_epoch = 3
        config.masking.arch_travel = 0.12
        config.finetuning.epochs = 12
    if preset == "smoke":
        config.supernet.num_cells = 2
        config.supernet.num_steps = 2
        config.supernet.channels = 4
        config.supernet.reductions = (1,)
        config.training.epochs = 1
        config.training.warmup_epochs = 0
        config.masking.epochs = 1
        config.masking.decay_epoch = 1
        config.finetuning.epochs = 1
    return config
