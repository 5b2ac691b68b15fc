"""Surrogates of your own learning curves, or of a table's, by cross-validation.

C=configs/nasbench_x11/curves.py
python launch/nasbench_x11.py --mode=fit --config=$C --workdir=runs/curves \\
    --config.data.name=FILE.csv
python launch/nasbench_x11.py --mode=fit --config=$C:nasbench_nlp --workdir=runs/nlp \\
    --config.data.name=TABLE.safetensors
Presets: csv (one row a training: columns whose names fit `columns.epochs` are its
curve, the others its features; `first_epochs` adds the start of the curve to them; made
for files such as those of Baker et al., 2018), long (one row an epoch), arrays
(.safetensors with curves by metric and `features` or `archs`; the `curves.safetensors`
of launch/train_architecture.py needs no preset) and nasbench_nlp (NAS-Bench-NLP11 from
converted logs, with the thesis' fixed rounds). `--config.folds=0` fits and saves.
"""

import ml_collections

PRESETS = ("csv", "long", "arrays", "nasbench_nlp")


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
            "first_epochs": 3 if preset in ("csv", "long") else 0,
        }
    )
    config.data.columns = ml_collections.ConfigDict(
        {
            "epochs": "acc_{epoch}",  # or a regular expression with one group
            "epoch_zero": "first",  # epoch 0 is the first; "untrained": before training
            "features": (),  # (): all columns that are named nowhere else
            "text": (),  # categories that look like numbers
            "drop": (),  # left out, as what was measured after the training
            "index": (),  # names of a training, no features
            "unit": "",  # fraction, percent or loss; "": as the metric says
            "unfinished": "leave_out",  # trainings without all epochs, or "refuse"
            "epoch_column": "epoch" if preset == "long" else "",
            "value_column": "accuracy" if preset == "long" else "",
            "delimiter": "",  # "": as the header shows
            "decimal": "",  # "": as the numbers show
            "thousands": "",
            "encoding": "",  # "": UTF-8, or as its byte order mark says
        }
    )
    if preset == "long":
        config.data.columns.index = ("id",)
    config.surrogates = ("svd_lgb_gkde",)
    config.keep_all_metrics = ()
    config.folds = 5
    config.surrogate = ml_collections.ConfigDict(
        {
            "rank": 0,
            "centered": False,
            "num_rounds": 3000,  # at most
            "early_stopping": 50,  # rounds without progress; 0: num_rounds, as thesis
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
        config.surrogate.early_stopping = 0
    return config
