"""arch2vec (chapter 3): pre-training, what was learnt, embeddings for searches."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax

from nasjax.core import compilation, errors, progress, result, workdir
from nasjax.encoders.arch2vec import corpus, forms, training
from nasjax.encoders.arch2vec import model as models
from nasjax.jobs import arch2vec_figures as figures
from nasjax.jobs import arch2vec_search
from nasjax.jobs import arch2vec_training as variants
from nasjax.jobs.arch2vec_training import Config, Corpus
from nasjax.training import runner

RESULT_FILE = "result.json"
THESIS: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "nasbench101": {
        "gae": (98.75, 29.88, 99.25),
        "vgae": (97.45, 41.18, 99.34),
        "without_kl": (100.0, 30.31, 99.20),
        "arch2vec": (100.0, 44.97, 99.69),
    },
    "nasbench201": {
        "gae": (99.52, 79.28, 78.42),
        "vgae": (98.32, 79.30, 88.42),
        "without_kl": (100.0, 77.09, 96.57),
        "arch2vec": (100.0, 79.41, 98.72),
    },
    "darts_shared": {
        "gae": (97.80, 15.25, 99.65),
        "vgae": (96.80, 25.25, 99.27),
        "without_kl": (99.46, 16.01, 99.51),
        "arch2vec": (99.79, 33.36, 100.0),
    },
}
"""Table 3.1 of the thesis in percent: accuracy, validity, uniqueness."""
_COLUMNS = {
    "accuracy": ("reconstruction_exact", 0),
    "validity": ("validity_released", 1),
    "uniqueness": ("uniqueness", 2),
    "strict validity": ("validity_strict", None),
    "strict uniqueness": ("uniqueness_strict", None),
}
"""By column its field and where the thesis' value is; by the published check, which the
thesis used, and by the rules of the space."""


def pretrain(config: Config, folder: pathlib.Path) -> dict[str, Any]:
    """Trains all variants and returns `result.json`.

    Args:
      config: as in `configs/arch2vec/`.
      folder: working directory.

    Raises:
      ConfigError: a setting does not fit.
      training.loop.Stopped: the process was asked to stop; the same call continues.
    """
    began = time.time()
    forms.form(config["space"])
    for name in config["variants"]:
        variants.variant(config, name)
    compilation.enable_cache()
    workdir.claim(folder, dict(config), ignore=("analysis", "search"))
    graphs = load(config)
    key = jax.random.key(config["seed"])
    trained = {}
    with runner.StageRunner(folder) as stages:
        for name in config["variants"]:
            number = list(models.VARIANTS).index(name)
            key_variant = jax.random.fold_in(key, number + 1)
            trained[name] = variants.run(
                key_variant, name, config, graphs, folder, stages
            )
    found = {name: made.measured for name, made in trained.items()}
    learnt = {name: _representation(made) for name, made in trained.items()}
    examined = figures.examine(
        jax.random.fold_in(key, len(models.VARIANTS) + 1),
        config,
        graphs.archs,
        learnt,
        folder,
    )
    outcome = {
        "variants": found,
        **examined,
        "tables": {"3.1": table(config, found)},
        "num_archs": len(graphs.archs),
        "seconds": time.time() - began,
        "config": dict(config),
        "versions": result.versions(),
    }
    result.write(folder / RESULT_FILE, outcome)
    show(outcome, folder)
    return outcome


def _representation(made: variants.Trained) -> figures.Representation:
    def embed(archs: Any) -> Any:
        return variants.embeddings(made.model, made.weights, archs)

    return figures.Representation(made.vectors, embed)


def load(config: Config) -> Corpus:
    """The architectures of the space, split in two.

    Args:
      config: `space`, `seed`, `num_archs` (0: all) and `held_out`.

    Raises:
      ConfigError: a setting does not fit.
    """
    space, count = config["space"], config["num_archs"]
    key = jax.random.fold_in(jax.random.key(config["seed"]), 0)
    drawn = space == "darts_shared"
    total = (count or corpus.NUM_DARTS) if drawn else 0
    bar = progress.progress(total, description="cells", unit="cell") if drawn else None
    archs = corpus.architectures(
        space,
        key,
        count=count,
        report=bar.update if bar is not None else lambda _: None,
    )
    if bar is not None:
        bar.close()
    form = forms.form(space)
    train, held_out = corpus.split(archs, config["held_out"])
    if len(train) < config["batch_size"]:
        raise errors.ConfigError(
            f"{len(train)} architectures to train on are less than a batch of "
            f"{config['batch_size']}"
        )
    stored = (training.store(form, part) for part in (train, held_out))
    return Corpus(archs, *stored)


def table(config: Config, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of table 3.1 for `result.json`."""
    rows = []
    for name, measured in found.items():
        row = name if name in THESIS[config["space"]] else "arch2vec"
        published = THESIS[config["space"]][row]
        for column, (field, place) in _COLUMNS.items():
            rows.append(
                {
                    "settings": {
                        "space": config["space"],
                        "variant": name,
                        "column": column,
                    },
                    "value": 100 * measured[field],
                    "num_seeds": 1,
                    "thesis": None if place is None else published[place],
                }
            )
    return rows


def show(outcome: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Prints the table."""
    columns = {
        "exact": "reconstruction_exact",
        "element": "reconstruction_elementwise",
        "valid (released)": "validity_released",
        "unique": "uniqueness",
        "valid (strict)": "validity_strict",
        "unique (strict)": "uniqueness_strict",
        "CPU s": "cpu_seconds",
    }
    print(f"{'variant':12}" + "".join(f"{name:>18}" for name in columns))
    for name, measured in outcome["variants"].items():
        cells = (f"{measured[field]:18.4f}" for field in columns.values())
        print(f"{name:12}" + "".join(cells))
    print(f"{folder / RESULT_FILE}")


def run(config: dict[str, Any], folder: str, mode: str = "train") -> dict[str, Any]:
    """Runs a mode and returns `result.json`.

    Args:
      config: as in `configs/arch2vec/`.
      folder: working directory.
      mode: `"train"` or `"search"`.

    Raises:
      NasjaxError: bad configuration, data or working directory.
    """
    if mode not in MODES:
        raise errors.unknown_name("mode", mode, MODES)
    if not folder:
        raise errors.ConfigError("no working directory: pass --workdir=FOLDER")
    return MODES[mode](config, pathlib.Path(folder))


MODES = {"train": pretrain, "search": arch2vec_search.run}
