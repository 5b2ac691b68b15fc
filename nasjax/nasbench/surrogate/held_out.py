"""How good a fitted surrogate is on the architectures that were held out."""

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.nasbench.surrogate import baselines, evaluation, model
from nasjax.nasbench.surrogate.noise import seeds
from nasjax.nasbench.surrogate.study import Experiment

KEYS = ("avg_r2", "final_r2", "avg_kt", "final_kt", "avg_kl", "final_kl")
"""The columns of table 5.3."""


def judge(experiment: Experiment, fitted: model.CurveModel) -> dict[str, float]:
    """The numbers of table 5.3 on the held-out architectures."""
    data, rows = experiment.data, experiment.test
    predicted = predict(fitted.members, data.features[rows])
    truth = data.curves[experiment.metric][rows]
    scores = evaluation.evaluate(truth, predicted, unit=experiment.unit)
    if experiment.repeats is not None:
        repeats = experiment.repeats[rows]
        against_mean = evaluation.evaluate(
            repeats.mean(axis=1), predicted, unit=experiment.unit
        )
        scores |= {f"mean_of_seeds_{name}": v for name, v in against_mean.items()}
        if fitted.noise is not None and repeats.shape[1] > 1:
            divergence = evaluation.average_kl(
                experiment.key, fitted.noise, predicted, repeats
            )
            scores |= divergence._asdict()
    return scores


def judge_baselines(experiment: Experiment) -> dict[str, dict[str, float]]:
    """The same numbers, but of noise, of a mean curve and a ridge on the features."""
    data, train, rows = experiment.data, experiment.train, experiment.test
    truth = data.curves[experiment.metric]
    predicted = baselines.predict(
        data.features[train], truth[train], data.features[rows]
    )
    return {
        name: evaluation.evaluate(truth[rows], curves, unit=experiment.unit)
        for name, curves in predicted.items()
    }


def predict(members: tuple[model.Member, ...], features: np.ndarray) -> np.ndarray:
    """Mean curves float64 `[N, T]`."""
    curve = jax.jit(
        lambda members, x: jnp.mean(
            jnp.stack([jax.vmap(member.predict)(x) for member in members]), axis=0
        )
    )
    return np.asarray(curve(members, jnp.asarray(features)), np.float64)


def judge_seed_noise(
    experiment: Experiment, fitted: model.CurveModel
) -> dict[str, float]:
    """Divergence of noise that is fitted to the training functions' seeds."""
    assert experiment.repeats is not None
    if experiment.repeats.shape[1] < 2:
        return {}
    runs = experiment.repeats[experiment.train]
    noise = seeds.fit(runs)
    predicted = predict(fitted.members, experiment.data.features[experiment.test])
    divergence = evaluation.average_kl(
        experiment.key, noise, predicted, experiment.repeats[experiment.test]
    )
    return dict(divergence._asdict())
