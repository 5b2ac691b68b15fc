"""Surrogates of the embedded benchmark digits201: table 5.3 on data of our own.

python launch/nasbench_x11.py --mode=fit --workdir=runs/digits211 \\
    --config=configs/nasbench_x11/digits211.py
Presets: full (all eighteen), cpu (svd_lgb_gkde, every metric), smoke (few trees).
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = ml_collections.ConfigDict(
        {
            "name": "digits201",  # a benchmark, a table file, or a .csv of curves
            "data_set": "",  # of a table that has several
            "arrays": False,  # True: `name` is a .safetensors of features and curves
            "features": "nasbench211_paths",
            "metric": "valid_accuracy",
            "benchmark_seed": 0,
            "num_train": 1000,  # 0: four fifths
            "first_epochs": 0,  # values of the curve that are features
            "columns": {},  # of a .csv: see configs/nasbench_x11/curves.py
        }
    )
    config.surrogates = ("all",) if preset == "full" else ("svd_lgb_gkde",)
    config.keep_all_metrics = ("svd_lgb_gkde",)
    config.folds = 0
    config.surrogate = ml_collections.ConfigDict(
        {
            "rank": 0,  # 6 for SVD, 5 for VAE
            "centered": False,
            "num_rounds": 3000,
            "early_stopping": 0,  # rounds without progress; 0: num_rounds, as thesis
            "num_members": 1,
            "variant": "thesis",
            "released_clip": 0.03,
            "num_threads": 2,
        }
    )
    config.sample = ml_collections.ConfigDict(
        {"surrogate": "svd_lgb_gkde", "num_archs": 9, "num_samples": 100}
    )
    if preset == "smoke":
        config.surrogate.num_rounds = 30
        config.data.num_train = 300
        config.keep_all_metrics = ()
    return config
