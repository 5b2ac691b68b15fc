"""Surrogates of your own learning curves, or of a table's, by cross-validation.

C=configs/nasbench_x11/curves.py
python launch/nasbench_x11.py --mode=fit --config=$C --workdir=runs/curves \\
    --config.data.name=FILE.csv
python launch/nasbench_x11.py --mode=fit --config=$C:nasbench_nlp --workdir=runs/nlp \\
    --config.data.name=TABLE.safetensors
Presets: csv (one row a training: columns that begin with `prefix` are the epochs of its
curve, the others its features; `first_epochs` adds the start of the curve to them),
arrays (.safetensors with curves by metric and `features` or `archs`; the
`curves.safetensors` of launch/train_architecture.py needs no preset) and nasbench_nlp
(NAS-Bench-NLP11 from converted logs). `--config.folds=0` fits and saves instead.
"""

import ml_collections

PRESETS = ("csv", "arrays", "nasbench_nlp")


def get_config(preset: str = "csv") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = ml_collections.ConfigDict(
        {
            "name": "",
            "data_set": "",
            "arrays": preset == "arrays",
            "features": "",
            "metric": "valid_accuracy",
            "benchmark_seed": 0,
            "num_train": 0,
            "prefix": "acc_",
            "scale": 1.0,
            "first_epochs": 3 if preset == "csv" else 0,
        }
    )
    config.surrogates = ("svd_lgb_gkde",)
    config.keep_all_metrics = ()
    config.folds = 5
    config.surrogate = ml_collections.ConfigDict(
        {
            "rank": 0,
            "centered": False,
            "num_rounds": 3000,
            "num_members": 1,
            "variant": "thesis",
            "released_clip": 0.03,
            "num_threads": 2,
        }
    )
    config.sample = ml_collections.ConfigDict(
        {"surrogate": "svd_lgb_gkde", "num_archs": 9, "num_samples": 100}
    )
    if preset == "nasbench_nlp":
        config.data.features = "nasbench_nlp11"  # _cell: without measured epochs
        config.data.metric = "valid_loss"
        config.surrogate.released_clip = 3.0
    return config
