"""The embedded benchmark digits311: DARTS' genotypes on noisy digits.

C=configs/nasbench_x11/digits311.py
python launch/nasbench_x11.py --mode=build --config=$C --workdir=runs/digits311
python launch/nasbench_x11.py --mode=fit --config=$C:shipped --workdir=runs/fit311
2,500 random genotypes, 1,500 whose two cells are equal and 2,000 that searches found,
300 of them with five seeds: 7,200 trainings; a killed build continues, and
--config.build.start_from=installed goes on from what is in the package. build writes
WORKDIR/digits311.safetensors; --mode=install with either folder puts its trainings or
its surrogate into the package. A tenth of the trainings is held out to judge by.
Presets: full (all eighteen surrogates with 300 small trees, and noise fitted to seeds),
shipped (the package's, every metric), smoke.

No run is recorded yet.
"""

import ml_collections

PRESETS = ("full", "shipped", "smoke")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.build = ml_collections.ConfigDict(
        {"benchmark": "digits311", "num_processes": 2}
    )
    config.data = ml_collections.ConfigDict(
        {
            "name": "digits311",
            "features": "nasbench311_paths",
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
