"""How well accuracies are predicted from each encoding: one table a benchmark.

Learned encodings have a row over their pre-training seeds, those of CATE from the
working directory and others from files; all see the same labelled architectures.
"""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nasjax import encoders, nasbench, spaces
from nasjax.core import arrays, batching, errors, paths, progress, result, stopwatch
from nasjax.core.types import LAST, SearchSpace
from nasjax.experiments import encoding_quality, search_inputs
from nasjax.jobs import config_door
from nasjax.jobs.cate import pretrain
from nasjax.jobs.cate.settings import Config, Quality
from nasjax.search import embedding_table, gene_features

RESULT_FILE = "result.json"
FOLDER = "encodings"
"""Below the working directory."""
NUM_PROJECTIONS = 5
"""Seeds of the random projection."""
_CHUNK = 4096


def judge(filled: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Predicts accuracies from all encodings and returns `encodings/result.json`.

    Args:
      filled: `settings.Config`, and keys of a user's own.
      folder: working directory of the pre-training.

    Raises:
      ConfigError: a setting does not fit.
      DataError: embeddings or accuracies are missing or damaged.
    """
    config = config_door.read(Config, filled)
    wanted = config.quality
    space = spaces.make(config.pretraining.space)
    files = _files(config, folder)
    place = folder / FOLDER
    with stopwatch.Stopwatch(place) as watch:
        archs = _architectures(wanted, space, files)
        accuracy, metric = accuracies(wanted, archs)
        known = np.flatnonzero(np.isfinite(accuracy))
        key = jax.random.key(wanted.seed)
        if wanted.num_archs and len(known) > wanted.num_archs:
            order = np.asarray(jax.random.permutation(key, len(known)))
            known = known[np.sort(order[: wanted.num_archs])]
        archs, accuracy = archs[known], accuracy[known]
        tables = {}
        for labels in wanted.labels:
            tables[str(labels)] = _table(wanted, space, files, archs, accuracy, labels)
    outcome = {
        "encodings": tables,
        "benchmark": wanted.benchmark,
        "metric": metric,
        "num_archs": len(archs),
        "seconds": watch.seconds,
        "config": dict(filled),
        "versions": result.versions(),
    }
    result.write(place / RESULT_FILE, outcome)
    show(outcome, place)
    return outcome


def accuracies(wanted: Quality, archs: np.ndarray) -> tuple[np.ndarray, str]:
    """Mean final scores float64 `[N]`, NaN where there is none; of which split."""
    if not wanted.benchmark:
        raise errors.ConfigError(
            "no accuracies: pass --config.quality.benchmark=NAME or FILE"
        )
    options = {"data_set": wanted.data_set} if wanted.data_set else {}
    benchmark = nasbench.load(wanted.benchmark, **options)

    # An argument of the program: its arrays are not copied into it.
    ask = jax.jit(jax.vmap(lambda known, arch: known.mean(arch, LAST), (None, 0)))
    found = batching.map_batched(functools.partial(ask, benchmark), archs, _CHUNK)
    metric = "valid" if np.isnan(found.test).all() else "test"
    return np.asarray(getattr(found, metric), np.float64), metric


def vectors(
    name: str, space: SearchSpace, archs: np.ndarray, files: Sequence[str] = ()
) -> list[np.ndarray]:
    """Encodings float32 `[N, D]` of architectures, one a seed.

    Args:
      name: of an encoding.
      space: of the architectures.
      archs: int32 `[N, G]`.
      files: of embeddings, one a seed, where the encoding is learned.

    Raises:
      DataError: a file lacks an architecture.
    """
    if files:
        return [_rows(path, space, archs) for path in files]
    if name == search_inputs.RANDOM_PROJECTION:
        tables = (
            embedding_table.random_projection(jax.random.key(seed), space, archs)
            for seed in range(NUM_PROJECTIONS)
        )
        return [np.asarray(table.vectors) for table in tables]
    encode: Any = gene_features.one_hot(space)
    if name != search_inputs.ONE_HOT:
        encode = encoders.make(name, space.name)
    return [batching.map_batched(jax.jit(jax.vmap(encode)), archs, _CHUNK)]


def _files(config: Config, folder: pathlib.Path) -> dict[str, list[str]]:
    """By learned encoding the file of each seed."""
    own = config.pretraining
    found = {
        name: [
            str(pretrain.place_of(folder, seed, name) / pretrain.EMBEDDINGS_FILE)
            for seed in own.seeds
        ]
        for name in own.variants
    }
    for name, given in config.quality.tables.items():
        found[name] = [given] if isinstance(given, str) else list(given)
    for name, names in found.items():
        for path in names:
            if not paths.exists(path):
                raise errors.DataError(
                    f"{name}: there is no {path}; run --mode=pretrain first, or pass "
                    f"--config.quality.tables.{name}=FILE"
                )
    return found


def _architectures(
    wanted: Quality, space: SearchSpace, files: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Those that every file embeds, int32 `[N, G]`, in the order of their genes."""
    shared: np.ndarray | None = None
    for names in files.values():
        for path in names:
            rows = np.unique(_load(path, space)["archs"], axis=0)
            if shared is None:
                shared = rows
                continue
            both, counts = np.unique(
                np.concatenate([shared, rows]), axis=0, return_counts=True
            )
            shared = both[counts == 2]
    if shared is None or not len(shared):
        raise errors.DataError(
            "no architecture is embedded by all files of "
            f"{', '.join(files) or 'no encoding'}"
        )
    return shared.astype(np.int32)


def _rows(path: str, space: SearchSpace, archs: np.ndarray) -> np.ndarray:
    """The vectors of a file in the order of `archs`."""
    tree = _load(path, space)
    _, first = np.unique(tree["archs"], axis=0, return_index=True)
    stored = np.asarray(tree["archs"], np.int32)[first]
    place = np.searchsorted(_as_bytes(stored), _as_bytes(archs))
    place = np.minimum(place, len(stored) - 1)
    if not np.array_equal(stored[place], archs):
        raise errors.DataError(f"{path} does not embed all architectures")
    rows = first[place]
    if "codes" in tree:
        rows = np.asarray(tree["codes"])[rows]
    return np.asarray(tree["vectors"], np.float32)[rows]


def _load(path: str, space: SearchSpace) -> Mapping[str, np.ndarray]:
    """A table that is checked."""
    search_inputs.read_table(path, space)
    tree: Mapping[str, np.ndarray] = arrays.load(path)
    return tree


def _as_bytes(archs: np.ndarray) -> np.ndarray:
    """`[N]` whose order is that of the rows int32 `[N, G]`."""
    wide = np.ascontiguousarray((archs.astype(np.int64) + 2**31).astype(">u4"))
    return wide.view(f"S{wide.shape[1] * 4}").reshape(-1)


def _table(
    wanted: Quality,
    space: SearchSpace,
    files: Mapping[str, Sequence[str]],
    archs: np.ndarray,
    accuracy: np.ndarray,
    labels: int,
) -> dict[str, dict[str, Any]]:
    names = list(dict.fromkeys([*files, *wanted.encodings, *wanted.controls]))
    draws = {}
    key = jax.random.fold_in(jax.random.key(wanted.seed), labels)
    for name in progress.progress(names, description=f"{labels} labels"):
        draws[name] = [
            encoding_quality.rank_correlations(
                key,
                rows,
                accuracy,
                num_labels=labels,
                num_draws=wanted.num_draws,
                num_tested=wanted.num_tested,
            )
            for rows in vectors(name, space, archs, files.get(name, ()))
        ]
    return encoding_quality.summarize(draws, wanted.controls)


def show(outcome: Mapping[str, Any], place: pathlib.Path) -> None:
    """Prints the table, the best first."""
    for labels, table in outcome["encodings"].items():
        progress.echo(f"Kendall's tau from {labels} labels ({outcome['metric']})")
        for name, row in sorted(table.items(), key=lambda item: -item[1]["tau"]):
            low, high = row["ci95"]
            line = f"  {name:28}{row['tau']:.3f} ({low:.3f} - {high:.3f})"
            for control, found in row["against"].items():
                line += f"; {found['difference']:+.3f} than {control}"
            progress.echo(line)
    progress.echo(f"{place / RESULT_FILE}")
