"""arch2vec on all cells of NAS-Bench-201 (tables 3.1 and 3.3): nothing is downloaded.

python launch/arch2vec.py --config=configs/arch2vec/nasbench201.py
    --workdir=runs/arch2vec201
`variants` are rows of table 3.1: thesis (the equations), released (the published code),
improved, and the baselines without_kl, gae and vgae. `settings` changes one, such as
--config.settings="{'improved': {'kl_weight': 0.1}}". Presets: full, smoke.
"""

import ml_collections

PRESETS = ("full", "smoke")
VARIANTS = ("thesis", "released", "improved", "without_kl", "gae", "vgae")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.space = "nasbench201"
    config.variants = VARIANTS
    config.num_archs = 0  # 0: all
    config.held_out = 0.1
    config.epochs = 10
    config.batch_size = 32
    config.learning_rate = 1e-3
    config.num_points = 10_000
    config.settings = ml_collections.ConfigDict({name: {} for name in VARIANTS})
    if preset == "smoke":
        config.variants = ("thesis", "improved")
        config.num_archs = 2_000
        config.epochs = 2
        config.num_points = 1_000
    return config
