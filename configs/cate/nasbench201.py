"""CATE on all cells of NAS-Bench-201, judged on the embedded digits201.

python launch/cate.py --config=configs/cate/nasbench201.py --workdir=runs/cate201
python launch/cate.py --config=configs/cate/nasbench201.py --workdir=runs/cate201
    --mode=encodings
python launch/cate.py --config=configs/cate/nasbench201.py --workdir=runs/cate201
    --mode=search
`pretraining.variants` are models: cate (the thesis'), both (whose heads see edges and
dependencies), or another with `pretraining.settings.NAME.variant`; arch2vec and dvae
are what they are compared with. Accuracies are those of digits201, or of
--config.quality.benchmark=TABLE; embeddings of other encoders come in as
--config.quality.tables.NAME=FILE.
Presets: full (the thesis' 12 and 24 layers), cpu (4 and 4), smoke.

No run is recorded yet.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")
ALGORITHMS = (
    "random_search",
    "regularized_evolution",
    "local_search",
    "bo_dngo",
    "one_hot_dngo_ls",
    "projection_dngo_ls",
    "cate_dngo",
    "cate_dngo_ls",
)


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.pretraining = ml_collections.ConfigDict(
        {"space": "nasbench201", "variants": ("cate", "both", "arch2vec", "dvae")}
    )
    config.pretraining.settings = ml_collections.ConfigDict(
        {
            "cate": {"variant": "thesis"},
            "both": {"variant": "thesis", "mask": "both"},
            "arch2vec": {"encoder": "arch2vec", "variant": "thesis", "epochs": 10},
            "dvae": {"encoder": "dvae", "variant": "cpu", "epochs": 10},
        }
    )
    config.quality = ml_collections.ConfigDict(
        {
            "benchmark": "digits201",
            "encodings": (
                "adjacency_one_hot",
                "adjacency_categorical",
                "path_one_hot",
                "path_one_hot_truncated",
                "path_categorical",
            ),
        }
    )
    config.search = ml_collections.ConfigDict(
        {
            "benchmark": {"name": "digits201"},
            "budget": {"queries": 150},
            "num_trials": 200,
            "algorithms": ALGORITHMS,
            "settings": {
                "random_search": {},
                "regularized_evolution": {"population_size": 20, "sample_size": 10},
                "local_search": {"num_init": 10},
                "bo_dngo": {"features": "adjacency_one_hot"},
                "one_hot_dngo_ls": {"algorithm": "cate_dngo_ls", "table": "one_hot"},
                "projection_dngo_ls": {
                    "algorithm": "cate_dngo_ls",
                    "table": "random_projection",
                    "table_seed": (0, 1, 2, 3, 4),
                    "num_trials": 40,
                },
                "cate_dngo": {
                    "table": "cate",
                    "num_trials": 40,
                    "against": ("one_hot_dngo_ls", "projection_dngo_ls"),
                },
                "cate_dngo_ls": {
                    "table": "cate",
                    "num_trials": 40,
                    "against": ("one_hot_dngo_ls", "projection_dngo_ls"),
                },
            },
        }
    )
    if preset in ("cpu", "smoke"):
        small = {"num_layers": 4, "num_cross_layers": 4}
        for name in ("cate", "both"):
            config.pretraining.settings[name].update(small)
    if preset == "smoke":
        config.pretraining.update(
            {"seeds": (0,), "variants": ("cate",), "num_archs": 600, "epochs": 1}
        )
        config.pretraining.batch_size = 128
        config.quality.update({"labels": (50,), "num_draws": 4, "num_tested": 200})
        config.search.budget.queries = 32
        config.search.num_trials = 4
        for name in ("projection_dngo_ls", "cate_dngo", "cate_dngo_ls"):
            config.search.settings[name].num_trials = 2
    return config
