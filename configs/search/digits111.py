"""All algorithms on digits111, the surrogate of NAS-Bench-101's cells on noisy digits.

python launch/search.py --config=configs/search/digits111.py --workdir=runs/digits111s
The reward is one drawn training of 30 epochs, incumbents are judged without noise;
regret is to the best that any of the searches found, for nobody knows the best of
423,624 cells. A search with the surrogate's own technique is warned of.
Presets: full (500 trials each), cpu (500 trials of the fast algorithms, 100 of the slow
ones), smoke (its quick algorithms, a few trials).

Not run: digits111 is not trained to the end.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")
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


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.benchmark = ml_collections.ConfigDict({"name": "digits111"})
    config.budget = ml_collections.ConfigDict({"queries": 150})
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
            "regularized_evolution": {"population_size": 20, "sample_size": 10},
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
    if preset == "cpu":
        for name in SLOW:
            config.settings[name].num_trials = 100
            config.settings[name].chunk_size = 10
    if preset == "smoke":
        config.algorithms = ("random_search", "regularized_evolution", "local_search")
        config.num_trials = 4
        config.budget.queries = 32
        config.settings.regularized_evolution.population_size = 10
    return config
