"""All algorithms on NAS-Bench-101 (table 3.2, figure 3.6): 108 epochs.

python launch/search.py --config=configs/search/nasbench101.py --workdir=runs/nb101
    --config.benchmark.path=FILE
FILE: a table that `launch/nasbench_x11.py --mode=convert` made of the official file;
"": that of the data folder. The reward is the validation accuracy of one of three
trainings; the budget of figure 3.6 is 1,000,000 seconds, which takes about 1,000
queries.
Presets: full (500 trials), listed (FILE has only a part of the space: algorithms that
pick from a list, 100 queries), cpu (100 trials of the slow algorithms), smoke.

Not run: it needs the full official table.
"""

import ml_collections

PRESETS = ("full", "listed", "cpu", "smoke")
ALGORITHMS = (
    "random_search",
    "regularized_evolution",
    "local_search",
    "reinforce",
    "bananas",
    "bo_dngo",
    "bo_gp",
    "bo_bohamiann",
    "bo_gcn",
    "neural_predictor",
    "latent_reinforce",
    "latent_control",
    "latent_dngo",
)
SLOW = ("bananas", "bo_bohamiann", "bo_gcn", "bo_gp", "neural_predictor")
PICKERS = (
    "random_search",
    "latent_reinforce",
    "latent_control",
    "latent_dngo",
    "neural_predictor",
)
"""Algorithms that never change an architecture."""


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.benchmark = ml_collections.ConfigDict(
        {
            "name": "nasbench101",
        }
    )
    config.budget = ml_collections.ConfigDict({"seconds": 1e6})
    # Five projections, each with so many trials: intervals are over projections.
    projections = {
        "table": "random_projection",
        "table_size": 16,
        "table_seed": (0, 1, 2, 3, 4),
        "num_trials": 100,
    }
    bits, ops = ((0, 1),) * 21, ((0, 2),) * 5
    config.settings = ml_collections.ConfigDict(
        {
            "random_search": {},
            "regularized_evolution": {"population_size": 100, "sample_size": 10},
            "local_search": {"num_init": 10},
            # The published policy draws cells of seven vertices.
            "reinforce": {
                "learning_rate": 0.1,
                "gene_ranges": (*bits, *ops, (7, 7)),
            },
            "bananas": {
                "features": "path_one_hot_truncated",
                "predictor_options": {"epochs": 150},
            },
            "bo_dngo": {"features": "adjacency_one_hot"},
            "bo_gp": {"features": "adjacency_one_hot"},
            "bo_bohamiann": {"features": "adjacency_one_hot"},
            "bo_gcn": {"predictor_options": {"epochs": 100}},
            "neural_predictor": {"predictor_options": {"epochs": 300}},
            "latent_reinforce": {
                **projections,
                "discount": 0.8,
                "baseline": 0.95,
                "against": ("latent_control", "random_search"),
            },
            "latent_control": {**projections},
            "latent_dngo": {**projections},
        }
    )
    config.algorithms = ALGORITHMS
    if preset == "listed":
        config.algorithms = PICKERS
        config.benchmark.listed = True
        config.budget.queries = 100
        config.budget.seconds = 0.0
    if preset == "cpu":
        for name in SLOW:
            config.settings[name].num_trials = 100
            config.settings[name].chunk_size = 10
    if preset == "smoke":
        config.algorithms = ("random_search", "regularized_evolution")
        config.num_trials = 20
        config.budget.queries = 30
        config.budget.seconds = 0.0
        config.settings.regularized_evolution.population_size = 10
    return config
