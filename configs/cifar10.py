"""HM-NAS on CIFAR-10 (tables 2.2 and 2.3), from the official files in a folder.

python launch/hmnas.py --config=configs/cifar10.py --config.data.dir=PATH \
    --workdir=runs/cifar10
Presets: full (the thesis' settings), cpu (16x16 feature maps, 8 channels), smoke.
The thesis' second-order rows: --config.training.order=exact. On CIFAR-100 or
ImageNet16-120, which the thesis has no rows of: --config.data.name=cifar100 or
imagenet16.

Measured (docs/results/hmnas.md): cpu on 10,000 training and 2,000 test images, one
seed: test accuracies of 61.40 % (supernet), 62.30 % (masked) and 66.15 % (fine-tuned)
with 128,913 of 209,442 parameters; 58 minutes on two shared cores, 35 CPU minutes. full
has not been run: it needs an accelerator.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.supernet = ml_collections.ConfigDict(
        {
            "num_cells": 3,
            "channels": 36,
        }
    )
    config.training = ml_collections.ConfigDict()
    config.masking = ml_collections.ConfigDict()
    config.finetuning = ml_collections.ConfigDict(
        {
            "decay_epoch": 100,
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
