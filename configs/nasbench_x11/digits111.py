"""The embedded benchmark digits111: NAS-Bench-101's cells on noisy digits.

C=configs/nasbench_x11/digits111.py
python launch/nasbench_x11.py --mode=build --config=$C --workdir=runs/digits111
python launch/nasbench_x11.py --mode=fit --config=$C:shipped --workdir=runs/fit111
7,000 uniform cells, 91 small ones and 900 that searches found, 500 of them with five
seeds: 10,000 trainings; a killed build continues, and
--config.build.start_from=installed goes on from what is in the package. build writes
WORKDIR/digits111.safetensors; --mode=install with either folder puts its trainings or
its surrogate into the package. A tenth of the trainings is held out to judge by.
Presets: full (all eighteen surrogates with 300 small trees, and noise fitted to seeds),
shipped (the package's, every metric), smoke.

--mode=verify trains 50 of the surrogate's best 100, and ranks --config.verify.table.

Measured (docs/results/data/digits111.json): shipped on 8,491 trainings, which lack
seeds 2 to 4: final Kendall's tau .892 on a tenth held out, half a minute; .70 CPU
seconds a training. full has not been run on them.
"""

import ml_collections

PRESETS = ("full", "shipped", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.build = ml_collections.ConfigDict(
        {"benchmark": "digits111", "num_processes": 2}
    )
    config.data = ml_collections.ConfigDict(
        {
            "name": "digits111",
            "features": "nasbench111_paths",
            "train_fraction": 0.9,
        }
    )
    config.surrogate = ml_collections.ConfigDict({"boosting": "small"})
    config.surrogates = ("all", "svd_lgb_seeds")
    config.sample = ml_collections.ConfigDict({"surrogate": "svd_lgb_seeds"})
    if preset == "shipped":
        config.surrogates = ("svd_lgb_seeds",)
        config.keep_all_metrics = ("svd_lgb_seeds",)
    if preset == "smoke":
        config.surrogates = ("svd_lgb_gkde",)
        config.surrogate.num_rounds = 30
        config.sample.surrogate = "svd_lgb_gkde"
    return config
