"""What the embeddings tell: figures 3.2 to 3.5 and 3.8 to 3.10, and their numbers."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import nasbench, spaces
from nasjax.core import batching
from nasjax.core.types import LAST
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import supervised
from nasjax.experiments import latent_walks as walks
from nasjax.experiments import predictive_performance as analysis
from nasjax.experiments import published
from nasjax.jobs.arch2vec.settings import Analysis, Pretraining
from nasjax.search.latent import supervised_bo

if TYPE_CHECKING:
    from nasjax.report import cell_walks

SUPERVISED = "supervised"
_CHUNK = 4_096
_SHORT_NAMES = {
    "input": "in",
    "output": "out",
    "conv1x1-bn-relu": "1x1",
    "conv3x3-bn-relu": "3x3",
    "maxpool3x3": "MP",
    "nor_conv_1x1": "1x1",
    "nor_conv_3x3": "3x3",
    "avg_pool_3x3": "AP",
    "max_pool_3x3": "MP",
    "skip_connect": "skip",
    "c_{k-2}": "k-2",
    "c_{k-1}": "k-1",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
}


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
    config: Pretraining,
    archs: np.ndarray,
    learnt: Mapping[str, Representation],
    folder: pathlib.Path,
) -> dict[str, Any]:
    """Draws the figures and returns what `result.json` says of them.

    Args:
      key: of everything that is drawn at random.
      config: `space` and `analysis`; other architectures are predicted from with each
        of `num_seeds`.
      archs: int32 `[M, G]`.
      learnt: representations by variant.
      folder: figures go to `folder/figures`.

    Raises:
      DataError: the table is missing or damaged or records no test score.
      ConfigError: it is of another space.
    """
    section, place = config.analysis, folder / "figures"
    everything = dict(learnt)
    found: dict[str, Any] = {}
    rows, accuracy, metric = accuracies(section, archs)
    if len(rows):
        labelled = Labelled(config.space, archs, rows, accuracy, metric)
        key_predict = jax.random.fold_in(key, 1)
        splits = _splits(key_predict, section, len(rows))
        fits = [
            fit_supervised(jax.random.fold_in(key_predict, seed), labelled, split)
            for seed, split in enumerate(splits)
        ]
        everything[SUPERVISED] = fits[0]
        by_seed = {name: [made] * len(splits) for name, made in learnt.items()}
        by_seed[SUPERVISED] = fits
        found["predictive"] = _predict(key_predict, splits, labelled, by_seed, place)
        found["tables"] = {"figure 3.2": _rows_3_2(config, labelled, found)}
        _draw_maps(section, rows, accuracy, everything, place)
    found["neighbours"] = _walk(
        jax.random.fold_in(key, 2), config, archs, everything, place
    )
    found["distances"] = _distances(
        jax.random.fold_in(key, 3), config, everything, place
    )
    return found


class Labelled(NamedTuple):
    """Architectures with an accuracy.

    Attributes:
      space: a key of `graph_inputs.SPECS`.
      archs: int32 `[M, G]`, of the whole run.
      rows: int64 `[K]`, those that have one.
      accuracy: `[K]`, in [0, 1].
      metric: "test", or "valid" where the benchmark has no test score.
    """

    space: str
    archs: np.ndarray
    rows: np.ndarray
    accuracy: np.ndarray
    metric: str


def accuracies(
    section: Analysis, archs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows int64 `[K]` that the benchmark knows, their mean scores `[K]`, of what.

    Where it has no test score, the validation score stands in. Without a benchmark
    there is none.
    """
    options = {k: v for k, v in dataclasses.asdict(section.benchmark).items() if v}
    name = options.pop("path", "") or options.pop("name", "")
    options.pop("name", None)
    if not name:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), ""
    table = nasbench.load(name, **options)
    mean = jax.jit(jax.vmap(lambda table, arch: table.mean(arch, LAST), (None, 0)))
    evaluation = batching.map_batched(functools.partial(mean, table), archs, _CHUNK)
    metric = "valid" if np.isnan(evaluation.test).all() else "test"
    score = getattr(evaluation, metric)
    rows = np.flatnonzero(np.isfinite(score))
    return rows, score[rows], metric


def fit_supervised(
    key: jax.Array, labelled: Labelled, split: analysis.Split
) -> Representation:
    """The encoder without pre-training, fitted to accuracies as in a search.

    It sees the accuracies of the fitted rows only, the same that the Gaussian process
    over its vectors is fitted to: what is predicted is new to both.

    Args:
      key: of the fit.
      labelled: all architectures.
      split: whose `fitted` rows are learnt from.
    """
    fit, embed_with = _supervised(labelled.space)
    known = jnp.asarray(labelled.archs[labelled.rows[split.fitted]])
    accuracy = jnp.asarray(labelled.accuracy[split.fitted], jnp.float32)
    state = fit(key, known, accuracy, jnp.ones(len(known), bool))
    embed_some = functools.partial(embed_with, state.params["network"], state.moments)

    def embed(archs: np.ndarray) -> np.ndarray:
        vectors: np.ndarray = batching.map_batched(embed_some, archs, _CHUNK)
        return vectors

    return Representation(embed(labelled.archs), embed)


@functools.cache
def _supervised(space: str) -> tuple[Any, Any]:
    """Fit and embedding of the encoder, compiled once for all seeds."""
    network = supervised.network(space)
    predictor = supervised_bo.network_dngo(network)
    return jax.jit(predictor.fit), jax.jit(network.embed)


def _splits(key: jax.Array, section: Analysis, count: int) -> list[analysis.Split]:
    """One a seed, the same for all representations."""
    size = min(section.num_train, count // 2)
    keys = [jax.random.fold_in(key, seed) for seed in range(section.num_seeds)]
    return [analysis.split(key, count, num_train=size) for key in keys]


def _predict(
    key: jax.Array,
    splits: Sequence[analysis.Split],
    labelled: Labelled,
    learnt: Mapping[str, Sequence[Representation]],
    place: pathlib.Path,
) -> dict[str, Any]:
    """Accuracy from embeddings by Gaussian processes (figure 3.2).

    Args:
      key: of the fits.
      splits: one a seed.
      labelled: what is predicted.
      learnt: by name the representation of each seed.
      place: folder of the figure.
    """
    from nasjax.report import latent_space  # here: it loads matplotlib
    from nasjax.report.latent_space import Prediction  # here: it loads matplotlib

    found, panels = {}, {}
    accuracy = labelled.accuracy
    for name, representations in learnt.items():
        predictions = [
            analysis.predict(
                jax.random.fold_in(key, seed),
                made.vectors[labelled.rows],
                accuracy,
                split,
            )
            for seed, (made, split) in enumerate(
                zip(representations, splits, strict=True)
            )
        ]
        found[name] = analysis.predictive_performance(accuracy, predictions)
        first = predictions[0]
        true = accuracy[first.tested]
        high = true > found[name]["restricted_above"]["threshold"]
        if high.any():
            panels[name] = Prediction(
                true[high], first.predicted[high], _note(found[name])
            )
    if panels:
        latent_space.draw_predictions(
            panels,
            place / "predicted",
            title="test accuracies above 80 % of one seed"
            if labelled.metric == "test"
            else "validation accuracies above 80 % of one seed",
        )
    return found


def _note(found: Mapping[str, Any]) -> str:
    """Mean errors of all seeds where the accuracy is above the threshold."""
    restricted = found["restricted_above"]
    if restricted["rmse"] is None:
        return ""
    seeds = found["num_seeds"]
    return (
        f"RMSE {100 * restricted['rmse']['mean']:.2f} points\n"
        f"r {restricted['pearson']['mean']:.3f} ({seeds} seeds)"
    )


def _rows_3_2(
    config: Pretraining, labelled: Labelled, found: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of figure 3.2: RMSE and r of all rows, and of those above .8."""
    section, rows = config.analysis, []
    for name, scores in found["predictive"].items():
        for part, numbers in (
            ("all", scores),
            ("above .8", scores["restricted_above"]),
        ):
            known = {
                "space": config.space,
                "num_archs": len(labelled.rows),
                "metric": labelled.metric,
                "num_train": scores["num_train"],
                "num_seeds": section.num_seeds,
                "above": scores["restricted_above"]["threshold"],
                "rows": part,
            }
            row = name if name == SUPERVISED else _PUBLISHED_ROWS.get(name, "")
            for column in ("rmse", "pearson"):
                moments = numbers[column] or {"mean": None, "std": None}
                rows.append(
                    {
                        "settings": {"variant": name, "column": column, **known},
                        "value": moments["mean"],
                        "std": moments["std"],
                        "num_seeds": section.num_seeds,
                        "thesis": published.value("figure 3.2", row, column, known),
                    }
                )
    return rows


_PUBLISHED_ROWS = {"thesis": "arch2vec", "released": "arch2vec"}


def _draw_maps(
    section: Analysis,
    rows: np.ndarray,
    accuracy: np.ndarray,
    learnt: Mapping[str, Representation],
    place: pathlib.Path,
) -> None:
    """t-SNE maps coloured by accuracy (figure 3.4)."""
    from nasjax.report import latent_space  # here: it loads matplotlib
    from nasjax.report.latent_space import Map  # here: it loads matplotlib

    panels = {}
    for name, representation in learnt.items():
        chosen, points = analysis.tsne(
            representation.vectors[rows], num_points=section.num_points
        )
        panels[name] = Map(points, accuracy[chosen])
    latent_space.draw_maps(panels, place / "map", limits=None)


def _walk(
    key: jax.Array,
    config: Pretraining,
    archs: np.ndarray,
    learnt: Mapping[str, Representation],
    place: pathlib.Path,
) -> dict[str, Any]:
    """Walks to the nearest neighbour (figures 3.5 and 3.8 to 3.10)."""
    from nasjax.report import cell_walks  # here: it loads matplotlib

    section, space, found, drawn = config.analysis, config.space, {}, {}
    length = min(section.walk_length, len(archs))
    start = int(jax.random.randint(key, (), 0, len(archs)))
    for name, representation in learnt.items():
        vectors = representation.vectors
        found[name] = walks.mean_walk_edits(
            key, vectors, archs, space, num_starts=section.num_walks, length=length
        )
        rows = walks.nearest_walk(vectors, start, length=length)
        drawn[name] = drawn_walk(archs[rows], space)
    cell_walks.draw_walks(
        drawn, place / "neighbours", mark_changes=space == "nasbench201"
    )
    return found


def drawn_walk(archs: np.ndarray, space: str) -> "cell_walks.Walk":
    """A walk int32 `[L, G]` as `report.cell_walks` draws it; cells are pruned.

    Raises:
      ConfigError: arch2vec does not encode the space.
    """
    from nasjax.report import cell_walks  # here: it loads matplotlib

    form = graph_inputs.spec(space)
    graphs = walks.pruned_graphs(jnp.asarray(archs), form.space)
    names = [_SHORT_NAMES.get(name, name) for name in form.op_names]
    cells = [
        cell_walks.DrawnCell(adjacency[:n, :n], [names[op] for op in ops[:n]])
        for adjacency, ops, n in zip(*map(np.asarray, graphs), strict=True)
    ]
    edits = walks.walk_edits(np.asarray(archs)[None], space)[0]
    return cell_walks.Walk(cells, edits.tolist())


def _distances(
    key: jax.Array,
    config: Pretraining,
    learnt: Mapping[str, Representation],
    place: pathlib.Path,
) -> dict[str, Any]:
    """L2 distance against edit distance (figure 3.3)."""
    from nasjax.report import latent_space  # here: it loads matplotlib

    space = config.space
    options = {"none": True} if space == "darts_shared" else {}
    made = spaces.make(graph_inputs.spec(space).space, **options)
    length = config.analysis.random_walk
    walk = walks.random_walk(key, made, length=length)
    pairs = walks.pairs_of_walk(walk, space)
    found, panels = {}, {}
    for name, representation in learnt.items():
        distances = walks.distance_against_edits(pairs, representation.embed(walk))
        found[name] = {"spearman": distances.spearman(), "pairs": len(pairs.edits)}
        panels[name] = distances.by_edits(max_edits=8)
    latent_space.draw_distances(panels, place / "distances")
    return found
