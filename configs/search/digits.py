"""Searches with real trainings on scikit-learn's digits: nothing is downloaded.

python launch/search.py --mode=drive --config=configs/search/digits.py
    --workdir=runs/live
--config.executor=dask (with `pip install 'nasjax[cluster]'`) or =processes trains in
`workers` processes; what is found is the same, for it depends on `ask_ahead` only.
Cells of NAS-Bench-201 in the miniature skeleton of configs/train/digits.py.
Presets: full (40 trainings of 12 epochs for each algorithm), smoke (3 trainings of one
epoch, under a minute).
"""

import ml_collections

PRESETS = ("full", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.num_trials = 1
    config.executor = "in_process"  # processes, dask
    config.workers = 2
    config.address = ""  # of a running Dask scheduler; "": own workers
    config.ask_ahead = 2  # proposals in flight
    config.algorithms = ("regularized_evolution", "random_search")
    config.controls = ("random_search",)
    config.budget = ml_collections.ConfigDict(
        {"queries": 40, "seconds": 0.0, "epochs": 0}  # measured seconds; 0: no limit
    )
    config.min_epochs = 0  # of an incumbent; -1: only trainings to the end
    config.settings = ml_collections.ConfigDict(
        {
            "regularized_evolution": {"population_size": 10, "sample_size": 3},
            "random_search": {},
            "local_search": {"num_init": 5},
        }
    )
    config.protocol = ml_collections.ConfigDict()
    config.protocol.space = "nasbench201"
    config.protocol.train_fraction = 0.7
    config.protocol.split_seed = 0
    config.protocol.label_epochs = 1
    config.protocol.data = ml_collections.ConfigDict({"name": "digits"})
    config.protocol.network = ml_collections.ConfigDict(
        {
            "channels": 16,
            "num_stages": 1,
            "num_cells": 1,
            "patch": 2,
            "affine": False,
            "momentum": 0.1,
        }
    )
    config.protocol.training = ml_collections.ConfigDict(
        {
            "epochs": 12,
            "batch_size": 64,
            "learning_rate": 0.4,
            "schedule": "cosine",
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
            "clip": 0.0,
            "auxiliary_weight": 0.0,
            "drop_path": 0.0,
            "augment": True,
            "cutout": False,
        }
    )
    if preset == "smoke":
        config.algorithms = ("regularized_evolution",)
        config.budget.queries = 3
        config.settings.regularized_evolution.population_size = 2
        config.settings.regularized_evolution.sample_size = 2
        config.protocol.network.channels = 8
        config.protocol.training.epochs = 1
    return config
