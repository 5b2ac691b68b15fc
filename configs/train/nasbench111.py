"""The trainings that NAS-Bench-111 is fitted to: 1,101 cells on CIFAR-10 (chapter 5).

python launch/train_architecture.py --config=configs/train/nasbench111.py
    --config.data.dir=PATH --config.searched=FILE --workdir=runs/nasbench111
As NAS-Bench-101, but batches of 200 images and every epoch recorded. FILE holds the 149
cells that searches have found, one a line; without it --config.table=TABLE, a converted
NAS-Bench-101 table, has 30 trials of searches find them. The rate of .1 is for each of
two TPU shards, as in NAS-Bench-101.
Presets: full (a GPU, about 17 minutes a cell in the thesis), cpu (20 random cells in a
small network, 12 epochs), smoke (two cells on digits, under a minute).

full and cpu have not been run; the path is tested on digits.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.space = "nasbench101"
    config.arch = "nasbench111"
    config.train_fraction = 0.8
    config.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.network = ml_collections.ConfigDict()
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 108,
            "batch_size": 200,
            "optimizer": "rmsprop",
            "learning_rate": 0.2,
            "schedule": "cosine",
            "weight_decay": 1e-4,
            "clip": 0.0,
            "auxiliary_weight": 0.0,
            "drop_path": 0.0,
            "cutout": False,
            "train_sample": 10000,
        }
    )
    if preset == "cpu":
        config.arch = "random"
        config.num_archs = 20
        config.network.stem_channels = 16
        config.network.num_modules = 1
        config.training.epochs = 12
    if preset == "smoke":
        config.arch = "random"
        config.num_archs = 2
        config.data = ml_collections.ConfigDict({"name": "digits"})
        config.training.batch_size = 64
        config.seeds = (0,)
        config.network.stem_channels = 8
        config.network.num_stacks = 2
        config.network.num_modules = 1
        config.training.epochs = 2
        config.training.train_sample = 256
    return config
