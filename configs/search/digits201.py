"""All algorithms on the embedded benchmark digits201: nothing is downloaded.

python launch/search.py --config=configs/search/digits201.py --workdir=runs/search
python launch/search.py --config=configs/search/digits201.py --workdir=runs/two
    --config.algorithms="('random_search','local_search')" --config.budget.queries=300
NAS-Bench-201's cells on noisy digits: the reward is the validation accuracy of one of
five trainings, incumbents are judged by means over the trainings.
Presets: full (500 trials each), cpu (500 trials of the fast algorithms, 100 of the slow
ones), small (all algorithms, 4 trials, small predictors), smoke (its quick algorithms,
under a minute).

Measured (docs/results/search.md): cpu without bo_bohamiann: mean test accuracies of
95.08 % (bo_gcn), 95.05 % (reinforce), 95.03 % (bananas), 94.93 %
(regularized_evolution), 94.77 % (local_search), 94.50 % (latent_reinforce), 94.44 %
(latent_control) and 94.38 % (random_search); 3,013 seconds for all twelve, of which
random_search took 3 and bo_gcn 1,115 CPU seconds. bo_bohamiann waits to be measured.
"""

import ml_collections

PRESETS = ("full", "cpu", "small", "smoke")
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
QUICK = (
    "random_search",
    "regularized_evolution",
    "local_search",
    "reinforce",
    "latent_reinforce",
    "latent_control",
)
SLOW = ("bananas", "bo_bohamiann", "bo_gcn", "bo_gp", "neural_predictor")


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.benchmark = ml_collections.ConfigDict(
        {
            "name": "digits201",
        }
    )
    config.budget = ml_collections.ConfigDict({"queries": 150})
    # Five projections, each with so many trials: intervals are over projections.
    projections = {
        "table": "random_projection",
        "table_size": 16,
        "table_seed": (0, 1, 2, 3, 4),
        "num_trials": 100,
    }
    config.settings = ml_collections.ConfigDict(
        {
            "random_search": {},
            "regularized_evolution": {"population_size": 20, "sample_size": 10},
            "local_search": {"num_init": 10},
            "reinforce": {"learning_rate": 0.1},
            "bananas": {
                "features": "path_one_hot",
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
    if preset in ("small", "smoke"):
        shrink(config)
    if preset == "smoke":
        config.algorithms = QUICK
    return config


def shrink(config: ml_collections.ConfigDict) -> None:
    """A few short trials with predictors that are hardly trained."""
    config.num_trials = 4
    config.budget.queries = 32
    settings = config.settings
    settings.regularized_evolution.population_size = 10
    settings.bananas.predictor_options.update({"epochs": 5, "members": 2, "layers": 2})
    settings.bo_dngo.predictor_options = {"epochs": 5}
    settings.bo_gp.predictor_options = {"steps": 5}
    settings.bo_bohamiann.predictor_options = {
        "num_burn_in": 20,
        "num_steps": 40,
        "keep_every": 10,
    }
    settings.bo_gcn.predictor_options.update({"epochs": 2, "width": 16})
    settings.neural_predictor.update({"num_train": 10, "num_best": 10, "num_pool": 100})
    settings.neural_predictor.predictor_options.update({"epochs": 2, "width": 16})
    settings.latent_dngo.predictor_options = {"epochs": 5}
