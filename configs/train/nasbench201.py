"""NAS-Bench-201's trainings of a cell on its three data sets (Dong and Yang, 2020).

python launch/train_architecture.py --config=configs/train/nasbench201.py
    --config.data.dir=PATH --config.arch=CELL --workdir=runs/nasbench201
The 12-epoch schedule: --config.training.epochs=12 and --config.seeds="(777, 111)". All
cells share one compiled program.
Presets: full (a GPU), cifar10_valid, cifar100, imagenet16 (as full on the images of
NAS-Bench-201), cpu (a small network, 12 epochs), smoke (digits, under a minute).

full trains on 25,000 images of CIFAR-10 and validates on 25,000, which split_seed
draws; --config.train_fraction=1.0 trains on all 50,000. cifar10_valid halves them as
NAS-Bench-201 does. cifar100 trains on 50,000 images and halves the 10,000 test images
for validation and test, imagenet16 does so with 151,700 and 6,000. What is in a half
is a list of NAS-Bench-201's code (https://github.com/D-X-Y/AutoDL-Projects,
configs/nas-benchmark), whose file must lie in data.dir; --config.data.split= does
without it, and without validation.

full, cifar10_valid, cifar100, imagenet16 and cpu have not been run; the path is tested
on digits.
"""

import ml_collections

PRESETS = ("full", "cifar10_valid", "cifar100", "imagenet16", "cpu", "smoke")

SPLITS = {
    "cifar10_valid": ("cifar10", "cifar-split.txt"),
    "cifar100": ("cifar100", "cifar100-test-split.txt"),
    "imagenet16": ("imagenet16", "imagenet-16-120-test-split.txt"),
}
"""By preset: the data set, and the list of its images for validation."""


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seeds = (777, 888, 999)
    config.space = "nasbench201"
    config.arch = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    config.arch += "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    config.train_fraction = 0.5
    config.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.network = ml_collections.ConfigDict()
    config.training = ml_collections.ConfigDict(
        {
            "epochs": 200,
            "batch_size": 256,
            "learning_rate": 0.1,
            "schedule": "cosine",
            "nesterov": True,
            "weight_decay": 5e-4,
            "clip": 0.0,
            "auxiliary_weight": 0.0,
            "drop_path": 0.0,
            "cutout": False,
        }
    )
    if preset in SPLITS:
        name, config.data.split = SPLITS[preset]
        config.data.name = name
        config.train_fraction = 1.0
    if preset == "imagenet16":
        config.data.verify = True
    if preset == "cpu":
        config.seeds = (777,)
        config.network.num_cells = 1
        config.training.epochs = 12
    if preset == "smoke":
        config.data = ml_collections.ConfigDict({"name": "digits"})
        config.training.batch_size = 64
        config.seeds = (777,)
        config.train_fraction = 0.8
        config.network.channels = 8
        config.network.num_stages = 2
        config.network.num_cells = 1
        config.training.epochs = 2
    return config
