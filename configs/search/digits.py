"""Searches with real trainings on scikit-learn's digits: nothing is downloaded.

python launch/search.py --mode=drive --config=configs/search/digits.py
    --workdir=runs/live
--config.executor=dask (with `pip install 'nasjax[cluster]'`) or =processes trains in
`workers` processes; what is found is the same, for it depends on `ask_ahead` only.
Cells of NAS-Bench-201 in the miniature skeleton of configs/train/digits.py.
Presets: full (40 trainings of 12 epochs for each algorithm), smoke (3 trainings of one
epoch, under a minute).

No run of full is recorded.
"""

import ml_collections

PRESETS = ("full", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.ask_ahead = 2  # proposals in flight
    config.algorithms = ("regularized_evolution", "random_search")
    config.budget = ml_collections.ConfigDict({"queries": 40})
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
    config.protocol.data = ml_collections.ConfigDict({"name": "digits"})
    config.protocol.network = ml_collections.ConfigDict(
        {
            "num_stages": 1,
            "num_cells": 1,
            "patch": 2,
            "affine": False,
        }
    )
    config.protocol.training = ml_collections.ConfigDict(
        {
            "epochs": 12,
            "batch_size": 64,
            "learning_rate": 0.4,
            "schedule": "cosine",
            "nesterov": True,
            "weight_decay": 5e-4,
            "clip": 0.0,
            "auxiliary_weight": 0.0,
            "drop_path": 0.0,
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
