"""A genotype of the DARTS space on CIFAR-10, 600 epochs (tables 3.4 and 4.2).

python launch/train_architecture.py --config=configs/train/darts_cifar10.py
    --config.data.dir=PATH --config.arch="Genotype(...)" --config.label=NAME
    --workdir=runs/darts_cifar10
DARTS' evaluation: all 50,000 images, cutout, auxiliary head, drop path; there is no
validation, the test error counts. config.label names the row of the table.
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
    config.seeds = (0, 1, 2, 3, 4)
    config.space = "darts"
    config.arch = DARTS_V2
    config.tables = ("3.4", "4.2")
    config.label = "DARTS"
    config.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.network = ml_collections.ConfigDict()
    config.training = ml_collections.ConfigDict()
    if preset == "cpu":
        config.seeds = (0,)
        config.network.num_cells = 3
        config.network.channels = 8
        config.training.epochs = 10
    if preset == "smoke":
        config.seeds = (0,)
        config.data = ml_collections.ConfigDict({"name": "digits"})
        config.training.batch_size = 64
        config.network.num_cells = 3
        config.network.channels = 4
        config.network.auxiliary = False  # it reads larger maps
        config.training.epochs = 2
    return config
