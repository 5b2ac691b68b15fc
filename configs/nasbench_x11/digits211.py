"""Surrogates of the embedded benchmark digits201: table 5.3 on data of our own.

python launch/nasbench_x11.py --mode=fit --workdir=runs/digits211 \\
    --config=configs/nasbench_x11/digits211.py
Presets: full (all eighteen), cpu (svd_lgb_gkde, every metric), smoke (few trees).

Measured (docs/results/surrogates.md): full with --config.keep_all_metrics="()": R2 .884
on average and .981 at the end, Kendall's tau .774 and .847 (svd_lgb_gkde), R2 .890 and
.989, tau .784 and .865 (svd_xgb_gkde); 3,658 seconds for all eighteen.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.data = ml_collections.ConfigDict(
        {"name": "digits201", "features": "nasbench211_paths", "num_train": 1000}
    )
    config.surrogates = ("all",) if preset == "full" else ("svd_lgb_gkde",)
    config.keep_all_metrics = ("svd_lgb_gkde",)
    config.surrogate = ml_collections.ConfigDict({"num_threads": 2})
    if preset == "smoke":
        config.surrogate.num_rounds = 30
        config.data.num_train = 300
        config.keep_all_metrics = ()
    return config
