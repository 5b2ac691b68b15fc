"""How well accuracies are predicted from encodings (Yan, 2022, section 4.3).

    draws = encoding_quality.rank_correlations(key, vectors, accuracy, num_labels=100)
    found = encoding_quality.summarize({"cate": [draws], "one_hot": [control]}, ...)

A Gaussian process learns from a few labelled architectures and ranks others. With one
key all encodings see the same ones, so that two of them are compared draw by draw.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import errors, metrics, statistics
from nasjax.core.types import Array, Key
from nasjax.predictors import gp, kernels, scaling

MOST_FITTED = 200
"""Labels that the kernel's parameters are chosen by; the process knows all labels."""


def rank_correlations(
    key: Key,
    vectors: np.ndarray,
    accuracy: np.ndarray,
    *,
    num_labels: int,
    num_draws: int = 100,
    num_tested: int = 1000,
) -> np.ndarray:
    """Kendall's tau of predicted and true accuracies, float64 `[R]`, one a draw.

    Args:
      key: of the architectures that are labelled and tested.
      vectors: `[N, D]`.
      accuracy: `[N]`; those of tested architectures are not read by the process.
      num_labels: architectures that it is given.
      num_draws: R.
      num_tested: others that are ranked, or as many as there are.

    Raises:
      ConfigError: a number does not fit.
      DataError: a vector or an accuracy is not finite.
    """
    vectors = np.asarray(vectors, np.float32)
    accuracy = np.asarray(accuracy, np.float32)
    if not (np.isfinite(vectors).all() and np.isfinite(accuracy).all()):
        raise errors.DataError(
            "a vector or an accuracy is not finite; leave out what was not measured"
        )
    if num_labels < 2 or num_labels + 2 > len(vectors) or num_draws < 1:
        raise errors.ConfigError(
            f"num_labels = {num_labels} and num_draws = {num_draws} of {len(vectors)} "
            "architectures: label at least two, and leave two to be ranked"
        )
    count = min(num_labels + num_tested, len(vectors))
    rows = np.stack(
        [
            np.asarray(
                jax.random.permutation(jax.random.fold_in(key, draw), len(vectors))
            )
            for draw in range(num_draws)
        ]
    )[:, :count]
    predicted = np.asarray(_predict(vectors, accuracy, rows, num_labels))
    tested = accuracy[rows[:, num_labels:]]
    return np.array(
        [
            metrics.kendall_tau(true, ours)
            for true, ours in zip(tested, predicted, strict=True)
        ]
    )


def summarize(
    draws: Mapping[str, Sequence[np.ndarray]], controls: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Means with intervals, and differences from the controls.

    Args:
      draws: by encoding the `rank_correlations` `[R]` of each of its seeds; of an
        encoding that is not learnt are one.
      controls: encodings that all others are compared with, draw by draw; an encoding
        of several seeds with seeds as clusters.

    Returns:
      By encoding `tau`, `ci95`, `num_seeds`, and `against`: by control `difference`,
      `ci95` and `p_value`.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, seeds in draws.items():
        values = np.concatenate(list(seeds))
        clusters = _clusters(seeds)
        mean, low, high = statistics.mean_interval(values, clusters=clusters)
        found[name] = {
            "tau": float(mean),
            "ci95": [float(low), float(high)],
            "num_seeds": len(seeds),
            "num_draws": len(seeds[0]),
            "against": {
                control: _compare(seeds, draws[control])
                for control in controls
                if control != name and control in draws
            },
        }
    return found


def _compare(
    seeds: Sequence[np.ndarray], control: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Each seed against the control, whose seeds are averaged draw by draw."""
    ours = np.concatenate(list(seeds))
    theirs = np.tile(np.mean(list(control), axis=0), len(seeds))
    made = statistics.paired_difference(ours, theirs, clusters=_clusters(seeds))
    return {
        "difference": float(made.mean),
        "ci95": [float(made.low), float(made.high)],
        "p_value": float(made.p_value),
    }


def _clusters(seeds: Sequence[np.ndarray]) -> np.ndarray | None:
    if len(seeds) == 1:
        return None
    return np.repeat(np.arange(len(seeds)), [len(draws) for draws in seeds])


@functools.partial(jax.jit, static_argnums=3)
def _predict(vectors: Array, accuracy: Array, rows: Array, num_labels: int) -> Array:
    """Predicted accuracies `[R, K]` of the tested rows."""

    def one(rows: Array) -> Array:
        labelled, tested = rows[:num_labels], rows[num_labels:]
        mask = jnp.ones(num_labels, bool)
        inputs = scaling.measure(vectors[labelled], mask)
        outputs = scaling.measure(accuracy[labelled], mask)
        x = scaling.apply(inputs, vectors[labelled])
        y = scaling.apply(outputs, accuracy[labelled])
        few = min(num_labels, MOST_FITTED)
        hyper = gp.maximize(kernels.Points(x[:few]), y[:few], mask[:few])
        process = gp.condition(hyper, kernels.Points(x), y, mask)
        mean, variance = gp.predict(process, scaling.apply(inputs, vectors[tested]))
        return scaling.undo(outputs, mean, variance).mean

    predicted: Array = lax.map(one, rows)
    return predicted
