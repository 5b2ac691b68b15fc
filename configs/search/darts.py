"""Searches in the DARTS space with real trainings on CIFAR-10 (table 3.4).

python launch/search.py --mode=drive --config=configs/search/darts.py
    --config.embeddings=FILE --config.protocol.data.dir=PATH --workdir=runs/darts
FILE: embeddings of cells, such as runs/arch2vec_darts/embeddings_thesis.safetensors of
configs/arch2vec/darts.py. Every search trains 100 cells for 50 epochs and sees the mean
validation accuracy of the last 5; the best cell of each is drawn (figure 3.7) and
printed with the commands that evaluate it on CIFAR-10 (the errors of table 3.4: 600
epochs, mean of 5 seeds) and on ImageNet (table 3.5).
Presets: full, cpu (20 cells of 3 cells and 10 epochs),
smoke (digits, 3 tiny trainings by random search, under a minute).

full and cpu have not been run: 100 trainings of 50 epochs a search are GPU days.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")
ALGORITHMS = ("random_search", "bananas", "arch2vec_rl", "arch2vec_bo")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.algorithms = ALGORITHMS
    config.budget = ml_collections.ConfigDict({"queries": 100})
    config.embeddings = ""  # of the arch2vec searches
    table = config.get_ref("embeddings")
    config.settings = ml_collections.ConfigDict(
        {
            "random_search": {},
            "bananas": {
                "features": "path_one_hot_truncated",
                "predictor_options": {"epochs": 150},
            },
            "arch2vec_rl": {"algorithm": "latent_reinforce", "table": table},
            "arch2vec_bo": {"algorithm": "latent_dngo", "table": table},
        }
    )
    config.protocol = ml_collections.ConfigDict()
    config.protocol.space = "darts_shared"
    config.protocol.train_fraction = 0.9
    config.protocol.label_epochs = 5
    config.protocol.data = ml_collections.ConfigDict({"name": "cifar10", "dir": ""})
    config.protocol.network = ml_collections.ConfigDict(
        {"num_cells": 8, "channels": 32}
    )
    config.protocol.training = ml_collections.ConfigDict(
        {
            "epochs": 50,
        }
    )
    if preset == "cpu":
        config.budget.queries = 20
        config.settings.arch2vec_rl.episode_length = 4
        config.settings.arch2vec_bo.num_init = 10
        config.protocol.network.num_cells = 3
        config.protocol.network.channels = 8
        config.protocol.training.epochs = 10
    if preset == "smoke":
        config.algorithms = ("random_search",)
        config.budget.queries = 3
        config.settings.bananas.update({"batch_size": 2, "capacity": 10})
        config.settings.arch2vec_rl.episode_length = 2
        config.settings.arch2vec_bo.update({"num_init": 2, "batch_size": 2})
        config.protocol.data = ml_collections.ConfigDict({"name": "digits"})
        config.protocol.train_fraction = 0.8
        config.protocol.label_epochs = 1
        config.protocol.network.num_cells = 3
        config.protocol.network.channels = 4
        config.protocol.network.auxiliary = False  # it reads larger maps
        config.protocol.training.batch_size = 64
        config.protocol.training.epochs = 1
    return config
