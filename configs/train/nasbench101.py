"""NAS-Bench-101's training of a cell on CIFAR-10 (Ying et al., 2019).

python launch/train_architecture.py --config=configs/train/nasbench101.py
    --config.data.dir=PATH --config.arch=CELL --workdir=runs/nasbench101
40,000 images to train on, 10,000 for validation, 10,000 for test. The benchmark's
schedules of 4, 12 and 36 epochs are trainings of their own:
--config.training.epochs=36. Training values are those of 10,000 images with the network
of the epoch's end.
Presets: full (a GPU), cpu (a small network, 12 epochs), smoke (digits, under a minute).

full and cpu have not been run; the path is tested on digits.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seeds = (0, 1, 2)
    config.space = "nasbench101"
    config.arch = "input,conv3x3-bn-relu,conv1x1-bn-relu,output|0101/0011/0001/0000"
    config.train_fraction = 0.8
    config.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.network = ml_collections.ConfigDict()
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 108,
            "batch_size": 256,
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
        config.seeds = (0,)
        config.network.stem_channels = 16
        config.network.num_modules = 1
        config.training.epochs = 12
    if preset == "smoke":
        config.data = ml_collections.ConfigDict({"name": "digits"})
        config.training.batch_size = 64
        config.seeds = (0,)
        config.network.stem_channels = 8
        config.network.num_stacks = 2
        config.network.num_modules = 1
        config.training.epochs = 2
        config.training.train_sample = 256
    return config
