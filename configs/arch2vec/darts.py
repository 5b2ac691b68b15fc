"""arch2vec on 600,000 DARTS cells of the mobile setting (table 3.1).

python launch/arch2vec.py --config=configs/arch2vec/darts.py
    --workdir=runs/arch2vec_darts
`variants` are rows of table 3.1: thesis (the equations), released (the published code),
improved, and the baselines without_kl, gae and vgae. `settings` changes one, such as
--config.settings.improved.kl_weight=0.1.
Presets: full, smoke.

Measured (docs/results/arch2vec.md): --mode=train of full, one seed: held-out cells
reconstructed, valid points and unique ones among them, .849, .145 and 1.000 (thesis),
.829, .290 and 1.000 (released), .999, .603 and 1.000 (improved); 904, 932 and 1,788 CPU
seconds. Five seeds have not been run.
"""

import ml_collections

PRESETS = ("full", "smoke")
VARIANTS = ("thesis", "released", "improved", "without_kl", "gae", "vgae")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.pretraining_seeds = (0, 1, 2, 3, 4)  # of --mode=pretrain and of searches
    config.space = "darts_shared"
    config.variants = VARIANTS
    config.analysis = ml_collections.ConfigDict()
    if preset == "smoke":
        config.pretraining_seeds = (0,)
        config.variants = ("thesis",)
        config.num_archs = 2_000
        config.epochs = 2
        config.num_points = 1_000
        config.analysis.num_seeds = 2
        config.analysis.num_walks = 10
        config.analysis.random_walk = 100
        config.analysis.num_points = 500
    return config
