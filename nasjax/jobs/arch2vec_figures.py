"""What the embeddings tell: figures 3.2 to 3.5 and 3.8 to 3.10, and their numbers."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import nasbench, spaces
from nasjax.core import chunks
from nasjax.core.types import LAST
from nasjax.encoders.arch2vec import forms, supervised
from nasjax.jobs import arch2vec_analysis as analysis
from nasjax.jobs import arch2vec_walks as walks
from nasjax.jobs.arch2vec_training import Config
from nasjax.report import cell_walks, latent_space
from nasjax.report.latent_space import Map, Prediction
from nasjax.search import supervised_bo

SUPERVISED = "supervised"
_CHUNK = 4_096


class Representation(NamedTuple):
    """One way to embed architectures.

    Attributes:
      vectors: float32 `[M, D]`, of all architectures of the run.
      embed: `(archs [L, G]) -> vectors [L, D]`.
    """

    vectors: np.ndarray
    embed: Callable[[np.ndarray], np.ndarray]


def examine(
    key: jax.Array,
    config: Config,
    archs: np.ndarray,
    learnt: Mapping[str, Representation],
    folder: pathlib.Path,
) -> dict[str, Any]:
    """Draws the figures and returns what `result.json` says of them.

    Args:
      key: of everything that is drawn at random.
      config: of the job: `space`, and `analysis`: `benchmark` (`name` or `path` of a
        table with accuracies, and its `data_set` and `schedule`; neither: no figures
        of accuracy), `num_train` (architectures that accuracies are predicted from and
        that the supervised counterpart learns from), `num_seeds`, `num_walks`,
        `walk_length`, `random_walk` and `num_points` of the map.
      archs: int32 `[M, G]`.
      learnt: representations by variant.
      folder: figures go to `folder/figures`.

    Raises:
      DataError: the table is missing or damaged or records no test score.
      ConfigError: it is of another space.
    """
    section, place = config["analysis"], folder / "figures"
    everything = dict(learnt)
    found: dict[str, Any] = {}
    rows, accuracy = accuracies(section, archs)
    if len(rows):
        key_fit = jax.random.fold_in(key, 0)
        everything[SUPERVISED] = fit_supervised(
            key_fit, config["space"], archs, rows, accuracy, section["num_train"]
        )
        found["predictive"] = _predict(
            jax.random.fold_in(key, 1), section, rows, accuracy, everything, place
        )
        _draw_maps(section, rows, accuracy, everything, place)
    found["neighbours"] = _walk(
        jax.random.fold_in(key, 2), config, archs, everything, place
    )
    found["distances"] = _distances(
        jax.random.fold_in(key, 3), config, everything, place
    )
    return found


def accuracies(section: Config, archs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows int64 `[K]` that the benchmark knows, and their mean test scores `[K]`.

    Where it has no test score, the validation score stands in. Without a benchmark
    there is none.
    """
    options = {k: v for k, v in section["benchmark"].items() if v}
    name = options.pop("path", "") or options.pop("name", "")
    options.pop("name", None)
    if not name:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    table = nasbench.load(name, **options)
    mean = jax.jit(jax.vmap(lambda table, arch: table.mean(arch, LAST), (None, 0)))
    evaluation = chunks.apply(functools.partial(mean, table), archs, _CHUNK)
    score = evaluation.test
    if np.isnan(score).all():
        score = evaluation.valid
    rows = np.flatnonzero(np.isfinite(score))
    return rows, score[rows]


def fit_supervised(
    key: jax.Array,
    space: str,
    archs: np.ndarray,
    rows: np.ndarray,
    accuracy: np.ndarray,
    num_train: int,
) -> Representation:
    """The encoder without pre-training, fitted to accuracies as in a search.

    Args:
      key: of the fit and the architectures.
      space: a key of `forms.FORMS`.
      archs: int32 `[M, G]`.
      rows: int64 `[K]`, rows with an accuracy.
      accuracy: `[K]`.
      num_train: architectures to fit to.
    """
    network = supervised.network(space)
    key_rows, key_fit = jax.random.split(key)
    chosen = np.asarray(jax.random.permutation(key_rows, len(rows)))[:num_train]
    predictor = supervised_bo.network_dngo(network)
    known = jnp.asarray(archs[rows[chosen]])
    state = jax.jit(predictor.fit)(
        key_fit,
        known,
        jnp.asarray(accuracy[chosen], jnp.float32),
        jnp.ones(len(chosen), bool),
    )
    embed_some = functools.partial(
        jax.jit(network.embed), state.params["network"], state.moments
    )

    def embed(archs: np.ndarray) -> np.ndarray:
        return chunks.apply(embed_some, archs, _CHUNK)

    return Representation(embed(archs), embed)


def _predict(
    key: jax.Array,
    section: Config,
    rows: np.ndarray,
    accuracy: np.ndarray,
    learnt: Mapping[str, Representation],
    place: pathlib.Path,
) -> dict[str, Any]:
    """Accuracy from embeddings by Gaussian processes (figure 3.2)."""
    found, panels = {}, {}
    size = min(section["num_train"], len(rows) // 2)
    for name, representation in learnt.items():
        vectors = representation.vectors[rows]
        predictions = [
            analysis.predict(
                jax.random.fold_in(key, seed), vectors, accuracy, num_train=size
            )
            for seed in range(section["num_seeds"])
        ]
        found[name] = analysis.predictive_performance(accuracy, predictions)
        first = predictions[0]
        true = accuracy[first.tested]
        high = true > found[name]["restricted_above"]["threshold"]
        if high.any():
            means = {k: found[name]["restricted_above"][k] for k in ("rmse", "pearson")}
            note = "\n".join(
                f"{k} {value['mean']:.3f}" for k, value in means.items() if value
            )
            panels[name] = Prediction(true[high], first.predicted[high], note)
    if panels:
        latent_space.draw_predictions(panels, place / "predicted")
    return found


def _draw_maps(
    section: Config,
    rows: np.ndarray,
    accuracy: np.ndarray,
    learnt: Mapping[str, Representation],
    place: pathlib.Path,
) -> None:
    """t-SNE maps coloured by accuracy (figure 3.4)."""
    panels = {}
    for name, representation in learnt.items():
        chosen, points = analysis.tsne(
            representation.vectors[rows], num_points=section["num_points"]
        )
        panels[name] = Map(points, accuracy[chosen])
    latent_space.draw_maps(panels, place / "map", limits=None)


def _walk(
    key: jax.Array,
    config: Config,
    archs: np.ndarray,
    learnt: Mapping[str, Representation],
    place: pathlib.Path,
) -> dict[str, Any]:
    """Walks to the nearest neighbour (figures 3.5 and 3.8 to 3.10)."""
    section, space, found, drawn = config["analysis"], config["space"], {}, {}
    length = min(section["walk_length"], len(archs))
    start = int(jax.random.randint(key, (), 0, len(archs)))
    for name, representation in learnt.items():
        vectors = representation.vectors
        found[name] = walks.mean_walk_edits(
            key, vectors, archs, space, num_starts=section["num_walks"], length=length
        )
        rows = walks.nearest_walk(vectors, start, length=length)
        drawn[name] = walks.drawn_walk(archs[rows], space)
    cell_walks.draw_walks(
        drawn, place / "neighbours", mark_changes=space == "nasbench201"
    )
    return found


def _distances(
    key: jax.Array,
    config: Config,
    learnt: Mapping[str, Representation],
    place: pathlib.Path,
) -> dict[str, Any]:
    """L2 distance against edit distance (figure 3.3)."""
    space = config["space"]
    options = {"none": True} if space == "darts_shared" else {}
    made = spaces.make(forms.form(space).space, **options)
    length = config["analysis"]["random_walk"]
    walk = walks.random_walk(key, made, length=length)
    found, panels = {}, {}
    for name, representation in learnt.items():
        pairs = walks.distance_against_edits(walk, space, representation.embed)
        found[name] = {"spearman": pairs.spearman(), "pairs": len(pairs.edits)}
        panels[name] = pairs.by_edits(max_edits=8)
    latent_space.draw_distances(panels, place / "distances")
    return found
