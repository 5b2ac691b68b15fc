"""NAS-Bench-NLP's training of a recurrent cell on a text (Klyuchnikov et al., 2022).

python launch/train_architecture.py --config=configs/train/nasbench_nlp.py
    --config.data.name=FOLDER --config.arch=RECIPE --workdir=runs/nasbench_nlp
FOLDER holds the word files of the Penn Treebank or WikiText-2 (ptb.train.txt, ... or
wiki.train.tokens, ...). Losses are in nats a token; there is no accuracy.
Presets: full (a GPU, 90 seconds an epoch in the thesis), cpu (a small model, 5 epochs),
smoke (an artificial language, under a minute).

full and cpu have not been run; the path is tested on an artificial language.
"""

import ml_collections

PRESETS = ("full", "cpu", "smoke")

CELL = (
    '{"i": {"op": "linear", "input": ["x", "h_prev_0"]},'
    ' "h_new_0": {"op": "activation_tanh", "input": ["i"]}}'
)
"""The simple recurrent cell."""


def get_config(preset: str = "full") -> ml_collections.ConfigDict:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    config = ml_collections.ConfigDict()
    config.space = "nasbench_nlp"
    config.arch = CELL
    config.data = ml_collections.ConfigDict({"name": ""})
    config.training = ml_collections.ConfigDict()
    if preset == "cpu":
        config.training.embedding_size = 64
        config.training.hidden_size = 96
        config.training.num_layers = 2
        config.training.epochs = 5
    if preset == "smoke":
        config.data = ml_collections.ConfigDict(
            {"name": "markov", "num_words": 12, "num_train": 2000, "num_eval": 400}
        )
        config.training.embedding_size = 16
        config.training.hidden_size = 16
        config.training.num_layers = 1
        config.training.batch_size = 8
        config.training.eval_batch_size = 8
        config.training.window = 20
        config.training.epochs = 2
    return config
