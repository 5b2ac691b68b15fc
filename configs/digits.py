"""HM-NAS on scikit-learn's handwritten digits: nothing is downloaded.

python launch/hmnas.py --config=configs/digits.py --workdir=runs/digits
Presets: full, smoke (a small cell, under a minute).

Measured (docs/results/hmnas.md): full, seeds 0, 1 and 2: test accuracies of 99.17,
98.89 and 97.78 % with 113,378, 106,665 and 105,055 of 209,010 parameters; 371, 233 and
249 seconds on a CPU, and 126, 141 and 110 for --mode=control.
"""

import ml_collections

PRESETS = ("full", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.batch_size = 64
    config.data = ml_collections.ConfigDict({"name": "digits"})
    config.supernet = ml_collections.ConfigDict(
        {
            "num_cells": 3,
            "channels": 8,
        }
    )
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 12,
            "warmup_epochs": 1,
            "arch_learning_rate": 3e-3,
        }
    )
    config.masking = ml_collections.ConfigDict(
        {
            "epochs": 6,
            "decay_epoch": 4,
            "weight_travel": 0.39,
            "arch_travel": 0.12,
            "recalibration_batches": 22,
        }
    )
    config.finetuning = ml_collections.ConfigDict(
        {
            "epochs": 8,
            "decay_epoch": 4,
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
