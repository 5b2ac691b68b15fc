"""The curves that `launch/train_architecture.py` recorded, to fit surrogates to."""

import pathlib

import jax
import numpy as np

from nasjax.core import arrays, errors, paths, read_guard
from nasjax.jobs.train_architecture import run
from nasjax.nasbench.surrogate import features as feature_registry
from nasjax.nasbench.surrogate.curve_data import CurveData

FEATURES = {
    "nasbench101": "nasbench111_cell",
    "nasbench201": "nasbench211_paths",
    "darts": "nasbench311",
    "nasbench_nlp": "nasbench_nlp11_cell",
}
"""Features of each space that need nothing but the architecture."""


def is_file(path: pathlib.Path) -> bool:
    """Whether a file is `curves.safetensors` of `launch/train_architecture.py`."""
    if path.suffix != ".safetensors" or not paths.is_file(path):
        return False
    return arrays.load_metadata(path).get("form") == run.FORM


@read_guard.guarded("not curves of trainings", remedy="train them again")
def read(
    path: pathlib.Path, features_name: str, seed: int
) -> tuple[CurveData, dict[str, np.ndarray]]:
    """One row each architecture, so that no architecture is on both sides of a split.

    Architectures with a training that diverged, or too large for the features, are
    left out; a note says how many.

    Args:
      path: `curves.safetensors`.
      features_name: of the registry; "" for those of `FEATURES`.
      seed: place of the seed whose curves are the data.

    Returns:
      The data, and by metric float64 `[N, S - 1, T]`, the curves of the other seeds.

    Raises:
      ConfigError: the features are of another space or need measurements, or there is
        no such seed.
      DataError: the file is damaged, or every architecture would be left out.
    """
    tree, facts = arrays.load(path), arrays.load_metadata(path)
    features = _features(features_name, facts["space"])
    num_seeds = len(np.unique(tree["seeds"]))
    if seed != int(seed) or not 0 <= seed < num_seeds:
        raise errors.ConfigError(
            f"config.data.benchmark_seed is {seed}, but {path} has trainings of "
            f"{num_seeds} seeds: pass 0 to {num_seeds - 1}"
        )
    # Rows are trainings, architecture by architecture; later epochs were not trained.
    runs = {
        name: _by_seed(values, num_seeds)[:, :, : facts["epochs"]]
        for name, values in tree.items()
        if name.endswith(("_accuracy", "_loss")) and np.isfinite(values).any()
    }
    seconds = _by_seed(tree["seconds"], num_seeds)[:, seed, : facts["epochs"]].sum(-1)
    archs = tree["archs"][::num_seeds].astype(np.int32)
    kept, notes = _kept(path, features, archs, runs)
    curves = {name: values[kept, seed] for name, values in runs.items()}
    encode = jax.jit(jax.vmap(features.encode))
    data = CurveData(
        features=np.asarray(encode(archs[kept]), np.float64),
        curves=curves,
        epochs=tuple(range(1, facts["epochs"] + 1)),
        seconds=seconds[kept],
        archs=archs[kept],
        space=facts["space"],
        features_name=features.name,
        data_set=facts["data_set"],
        notes=notes,
    )
    if num_seeds == 1:
        return data, {}
    others = {name: np.delete(v[kept], seed, axis=1) for name, v in runs.items()}
    return data, others


def _by_seed(values: np.ndarray, num_seeds: int) -> np.ndarray:
    """float64 `[A, S, T]`."""
    return values.reshape(-1, num_seeds, values.shape[-1]).astype(np.float64)


def _features(name: str, space: str) -> feature_registry.Features:
    if not name and space not in FEATURES:
        raise errors.ConfigError(
            f"no features are known for the space {space}; known: {', '.join(FEATURES)}"
        )
    features = feature_registry.make(name or FEATURES[space])
    if features.space != space:
        raise errors.ConfigError(
            f"the features {name} are of {features.space}, the trainings of {space}: "
            f"pass --config.data.features={FEATURES.get(space, '')}"
        )
    if features.extras:
        raise errors.ConfigError(
            f"the features {name} need {len(features.extras)} measurements: pass "
            f"--config.data.features={FEATURES[space]}, and first epochs as "
            "--config.data.first_epochs=3"
        )
    return features


def _kept(
    path: pathlib.Path,
    features: feature_registry.Features,
    archs: np.ndarray,
    runs: dict[str, np.ndarray],
) -> tuple[np.ndarray, tuple[str, ...]]:
    """bool `[A]`, and a note about those that are not kept."""
    whole = np.all([np.isfinite(v).all(axis=(1, 2)) for v in runs.values()], axis=0)
    fits = np.asarray(jax.jit(jax.vmap(features.fits))(archs))
    counts = {
        "with a training that diverged": int(np.sum(~whole)) if runs else len(archs),
        f"too large for the features {features.name}": int(np.sum(~fits)),
    }
    reasons = "; ".join(f"{count} {why}" for why, count in counts.items() if count)
    kept = np.broadcast_to(whole & fits, len(archs))
    if not runs or not kept.any():
        raise errors.DataError(
            f"{path}: none of {len(archs)} architectures can be used: {reasons}"
        )
    return kept, (f"architectures left out: {reasons}",) * bool(reasons)
