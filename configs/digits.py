"""HM-NAS on scikit-learn's handwritten digits: nothing is downloaded.

python launch/hmnas.py --config=configs/digits.py --workdir=runs/digits
Presets: full (two CPU cores, a few minutes), smoke (a small cell, under a minute).
"""

import ml_collections

PRESETS = ("full", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.batch_size = 64
    config.data = ml_collections.ConfigDict({"name": "digits"})
    config.supernet = ml_collections.ConfigDict(
        {
            "num_cells": 3,
            "channels": 8,
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
            "epochs": 12,
            "warmup_epochs": 1,
            "train_fraction": 0.8,
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 3e-4,
            "clip": 5.0,
            "arch_learning_rate": 3e-3,
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
            "epochs": 6,
            "decay_epoch": 4,
            "weight_travel": 0.39,
            "arch_travel": 0.12,
            "threshold": 5e-3,
            "mode": "multiply",
            "recalibration_batches": 22,
        }
    )
    config.finetuning = ml_collections.ConfigDict(
        {
            "epochs": 8,
            "learning_rate": 0.025,
            "schedule": "cosine",
            "decay_epoch": 4,
            "momentum": 0.9,
            "weight_decay": 3e-4,
            "clip": 5.0,
            "cutout": True,
            "affine": False,
            "num_classes": 0,
        }
    )
    if preset == "smoke":
        config.supernet.num_cells = 2
        config.supernet.num_steps = 2
        config.supernet.channels = 4
        config.supernet.reductions = (1,)
        config.training.epochs = 2
        config.masking.epochs = 2
        config.masking.decay_epoch = 1
        config.finetuning.epochs = 2
    return config
