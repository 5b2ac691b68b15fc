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

Measured (docs/results/surrogates.md): csv on 486 curves of ResNets on CIFAR-10 (Baker
et al., 2018): R2 .172 on average and .196 at the end, Kendall's tau .297 and .314; 554
seconds with one thread. nasbench_nlp on 127 real recipes: R2 .614 and .576, tau .704
and .649; its time was not recorded. long and arrays have not been run on real data.
"""

import ml_collections

PRESETS = ("csv", "long", "arrays", "nasbench_nlp")


def get_config(preset: str = "csv") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.data = ml_collections.ConfigDict({"columns": {}})
    if preset in ("csv", "long"):
        config.data.first_epochs = 3
    if preset == "long":
        config.data.columns.index = ("id",)
        config.data.columns.epoch_column = "epoch"
        config.data.columns.value_column = "accuracy"
    if preset == "arrays":
        config.data.arrays = True
    config.surrogates = ("svd_lgb_gkde",)
    config.folds = 5
    config.surrogate = ml_collections.ConfigDict(
        {"early_stopping": 50, "num_threads": 2}  # at most 3,000 rounds
    )
    if preset == "nasbench_nlp":
        config.data.features = "nasbench_nlp11"  # _cell: without measured epochs
        config.data.metric = "valid_loss"
        config.surrogate.released_clip = 3.0
        config.surrogate.early_stopping = 0
    return config
