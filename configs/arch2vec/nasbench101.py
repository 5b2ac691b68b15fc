"""arch2vec on all 423,624 cells of NAS-Bench-101 (tables 3.1 and 3.2).

python launch/arch2vec.py --config=configs/arch2vec/nasbench101.py
    --workdir=runs/arch2vec101
python launch/arch2vec.py --mode=pretrain --config=configs/arch2vec/nasbench101.py
    --workdir=runs/arch2vec101
python launch/arch2vec.py --mode=search --config=configs/arch2vec/nasbench101.py
    --workdir=runs/arch2vec101 --config.search.benchmark.path=TABLE
`variants` are rows of table 3.1: thesis (the equations), released (the published code),
improved, and the baselines without_kl, gae and vgae. `settings` changes one, such as
--config.settings.improved.kl_weight=0.1. Figures of accuracy
need --config.analysis.benchmark.path=TABLE. pretrain trains the variants with each of
`pretraining_seeds`; searches with an embedding have `num_trials` trials with that of
each seed and are compared with controls of the same embeddings.
Presets: full, listed (searches on a table of a part of the space), smoke.

Measured (docs/results/arch2vec.md): --mode=train of full, one seed: held-out cells
reconstructed, valid points and unique ones among them, .885, .350 and .999 (thesis),
.920, .436 and .998 (released), 1.000, .760 and .984 (improved); 384, 363 and 669 CPU
seconds. Five seeds and --mode=search (table 3.2) have not been run: searches need the
full official table.
"""

import ml_collections

PRESETS = ("full", "listed", "smoke")
VARIANTS = ("thesis", "released", "improved", "without_kl", "gae", "vgae")
# Controls of searches by a predictor: the same over one-hot genes, over a projection.
EMBEDDED = ("one_hot_bo", "projection_bo", "random_search")
ALGORITHMS = (
    "random_search",
    "regularized_evolution",
    "reinforce",
    "bo_dngo",
    "bananas",
    "no_policy",
    "no_policy_released",
    "no_policy_improved",
    "no_policy_projection",
    "arch2vec_rl",
    "arch2vec_rl_released",
    "arch2vec_rl_improved",
    "arch2vec_bo",
    "arch2vec_bo_released",
    "arch2vec_bo_improved",
    "projection_rl",
    "projection_bo",
    "one_hot_bo",
    "supervised_rl",
    "supervised_bo",
)
DISCRETE = ("regularized_evolution", "reinforce", "bo_dngo", "bananas")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.pretraining_seeds = (0, 1, 2, 3, 4)  # of --mode=pretrain and of searches
    config.space = "nasbench101"
    config.variants = VARIANTS
    config.epochs = 8
    config.analysis = ml_collections.ConfigDict()
    config.search = search(preset)
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


def search(preset: str) -> ml_collections.ConfigDict:
    """Table 3.2 and figure 3.6: 108 epochs, 1,000,000 seconds of training."""
    section = ml_collections.ConfigDict()
    section.benchmark = ml_collections.ConfigDict({"name": "nasbench101"})
    section.data_sets = ml_collections.ConfigDict({"nasbench101": {"seconds": 1e6}})
    rl = {"discount": 0.8, "baseline": 0.95}
    one_by_one = {"vectorized": False, "chunk_size": 1}
    section.settings = ml_collections.ConfigDict(
        {
            "random_search": {"row": "Random Search"},
            "regularized_evolution": {
                "row": "RE",
                "population_size": 100,
                "sample_size": 10,
            },
            "reinforce": {
                "row": "RL",
                "learning_rate": 0.1,
                # Seven vertices, as in the published searches.
                "gene_ranges": (*((0, 1),) * 21, *((0, 2),) * 5, (7, 7)),
            },
            "bo_dngo": {"row": "BO", "features": "adjacency_one_hot"},
            "bananas": {
                "row": "BANANAS",
                "features": "path_one_hot_truncated",
                "predictor_options": {"epochs": 150},
                "num_trials": 30,
                "chunk_size": 5,
            },
            "no_policy": {
                "algorithm": "latent_control",
                "table": "thesis",
                "num_trials": 100,
                "against": ("random_search",),
            },
            "no_policy_released": {
                "algorithm": "latent_control",
                "table": "released",
                "variant": "released",
                "num_trials": 100,
                "against": ("random_search",),
            },
            "no_policy_improved": {
                "algorithm": "latent_control",
                "table": "improved",
                "num_trials": 100,
                "against": ("random_search",),
            },
            "no_policy_projection": {
                "algorithm": "latent_control",
                "table": "random_projection",
                "table_seed": (0, 1, 2, 3, 4),
                "num_trials": 100,
                "against": ("random_search",),
            },
            "arch2vec_rl": {
                "row": "arch2vec-RL",
                "algorithm": "latent_reinforce",
                "table": "thesis",
                "num_trials": 100,
                "against": ("no_policy", "random_search"),
                **rl,
            },
            "arch2vec_rl_released": {
                "row": "arch2vec-RL",
                "algorithm": "latent_reinforce",
                "table": "released",
                "variant": "released",
                "num_trials": 100,
                "against": ("no_policy_released", "random_search"),
                **rl,
            },
            "arch2vec_rl_improved": {
                "algorithm": "latent_reinforce",
                "table": "improved",
                "num_trials": 100,
                "against": ("no_policy_improved", "random_search"),
                **rl,
            },
            "arch2vec_bo": {
                "row": "arch2vec-BO",
                "algorithm": "latent_dngo",
                "table": "thesis",
                "num_trials": 20,
                "capacity": 600,
                "against": EMBEDDED,
            },
            "arch2vec_bo_released": {
                "row": "arch2vec-BO",
                "algorithm": "latent_dngo",
                "table": "released",
                "variant": "released",
                "num_trials": 20,
                "capacity": 600,
                "against": EMBEDDED,
            },
            "arch2vec_bo_improved": {
                "algorithm": "latent_dngo",
                "table": "improved",
                "num_trials": 20,
                "capacity": 600,
                "against": EMBEDDED,
            },
            "projection_rl": {
                "algorithm": "latent_reinforce",
                "table": "random_projection",
                "table_seed": (0, 1, 2, 3, 4),
                "num_trials": 100,
                "against": ("no_policy_projection", "random_search"),
                **rl,
            },
            "projection_bo": {
                "algorithm": "latent_dngo",
                "table": "random_projection",
                "table_seed": (0, 1, 2, 3, 4),
                "num_trials": 20,
                "capacity": 600,
                "against": ("one_hot_bo", "random_search"),
            },
            # The same predictor ranks the same table by plain one-hot genes.
            "one_hot_bo": {
                "algorithm": "latent_dngo",
                "table": "one_hot",
                "num_trials": 100,
                "capacity": 600,
            },
            "supervised_rl": {
                "row": "RL (supervised)",
                "algorithm": "supervised_reinforce",
                "num_trials": 10,
                **one_by_one,
                **rl,
            },
            "supervised_bo": {
                "row": "BO (supervised)",
                "algorithm": "supervised_bo",
                "num_trials": 5,
                "capacity": 600,
                **one_by_one,
            },
        }
    )
    section.algorithms = ALGORITHMS
    if preset == "smoke":
        section.num_trials = 4
        section.settings.supervised_rl.num_trials = 1
        section.settings.supervised_bo.num_trials = 1
    if preset == "listed":
        # A table of a part of the space without test accuracies.
        section.benchmark.listed = True
        section.data_sets.nasbench101.queries = 100
        section.data_sets.nasbench101.seconds = 0.0
        section.algorithms = tuple(name for name in ALGORITHMS if name not in DISCRETE)
    return section
