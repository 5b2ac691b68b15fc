"""arch2vec on all cells of NAS-Bench-201 (tables 3.1 and 3.3).

python launch/arch2vec.py --config=configs/arch2vec/nasbench201.py
    --workdir=runs/arch2vec201
python launch/arch2vec.py --mode=pretrain --config=configs/arch2vec/nasbench201.py
    --workdir=runs/arch2vec201
python launch/arch2vec.py --mode=search --config=configs/arch2vec/nasbench201.py
    --workdir=runs/arch2vec201 --config.search.benchmark.path=TABLE
`variants` are rows of table 3.1: thesis (the equations), released (the published code),
improved, and the baselines without_kl, gae and vgae. `settings` changes one, such as
--config.settings.improved.kl_weight=0.1. Figures of accuracy
are of the embedded digits201, or of --config.analysis.benchmark.path=TABLE. pretrain
trains the variants with each of `pretraining_seeds`; searches with an embedding have
`num_trials` trials with that of each seed and are compared with controls of the same
embeddings.
Presets: full, smoke.

Measured (docs/results/arch2vec.md): --mode=pretrain of full, mean of five seeds:
held-out cells reconstructed, valid points and unique ones among them, 100.0, 66.1 and
86.1 % (thesis), 100.0, 76.2 and 96.7 % (released), 100.0, 100.0 and 72.2 % (improved);
21 to 29, 18 to 35 and 35 to 41 CPU seconds a seed. --mode=search (table 3.3) has not
been run with embeddings of five seeds.
"""

import ml_collections

PRESETS = ("full", "smoke")
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


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.pretraining_seeds = (0, 1, 2, 3, 4)  # of --mode=pretrain and of searches
    config.space = "nasbench201"
    config.variants = VARIANTS
    config.analysis = ml_collections.ConfigDict({"benchmark": {"name": "digits201"}})
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
    """Table 3.3. Searches on CIFAR-10 see 12 epochs and have 12,000 seconds; on the
    other data sets they see 200 epochs and have as many queries."""
    section = ml_collections.ConfigDict()
    section.benchmark = ml_collections.ConfigDict({"name": "nasbench201"})
    # As many queries as on CIFAR-10.
    later = {"schedule": 200, "report_schedule": 200, "queries_of": "cifar10"}
    section.data_sets = ml_collections.ConfigDict(
        {
            "cifar10": {
                "data_set": "cifar10",
                "schedule": 12,
                "report_schedule": 200,
                "seconds": 12_000.0,
            },
            "cifar100": {**later, "data_set": "cifar100"},
            "ImageNet16-120": {**later, "data_set": "ImageNet16-120"},
        }
    )
    rl = {"discount": 0.4, "baseline": 0.4}
    one_by_one = {"vectorized": False, "chunk_size": 1}
    section.settings = ml_collections.ConfigDict(
        {
            "random_search": {"row": "RS"},
            "regularized_evolution": {
                "row": "RE",
                "population_size": 10,
                "sample_size": 3,
            },
            "reinforce": {"row": "REINFORCE", "learning_rate": 0.1},
            "bo_dngo": {"features": "adjacency_one_hot"},
            "bananas": {
                "features": "path_one_hot",
                "predictor_options": {"epochs": 150},
                "num_trials": 60,
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
                "num_trials": 100,
                "against": EMBEDDED,
            },
            "arch2vec_bo_released": {
                "row": "arch2vec-BO",
                "algorithm": "latent_dngo",
                "table": "released",
                "variant": "released",
                "num_trials": 20,
                "against": EMBEDDED,
            },
            "arch2vec_bo_improved": {
                "algorithm": "latent_dngo",
                "table": "improved",
                "num_trials": 100,
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
                "num_trials": 100,
                "against": ("one_hot_bo", "random_search"),
            },
            # The same predictor ranks the same table by plain one-hot genes.
            "one_hot_bo": {
                "algorithm": "latent_dngo",
                "table": "one_hot",
                "num_trials": 100,
            },
            "supervised_rl": {
                "algorithm": "supervised_reinforce",
                "num_trials": 100,
                **one_by_one,
                **rl,
            },
            "supervised_bo": {
                "algorithm": "supervised_bo",
                "num_trials": 30,
                "capacity": 128,
                **one_by_one,
            },
        }
    )
    section.algorithms = ALGORITHMS
    if preset == "smoke":
        section.num_trials = 4
        section.benchmark.name = "digits201"
        section.data_sets = ml_collections.ConfigDict({"digits": {"queries": 32}})
        # Pre-training's smoke preset has no released variant.
        section.algorithms = (
            "random_search",
            "no_policy",
            "arch2vec_rl",
            "arch2vec_bo",
            "supervised_rl",
        )
        section.settings.arch2vec_bo.predictor_options = {"epochs": 5}
        section.settings.supervised_rl.num_trials = 1
        section.settings.supervised_rl.network_options = {"width": 16}
    return section
