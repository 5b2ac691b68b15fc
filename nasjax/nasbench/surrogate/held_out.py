"""How good a fitted surrogate is on the architectures that were held out."""

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.nasbench.surrogate import baselines, evaluation, model
from nasjax.nasbench.surrogate.noise import seeds
from nasjax.nasbench.surrogate.study import Study

KEYS = ("avg_r2", "final_r2", "avg_kt", "final_kt", "avg_kl", "final_kl")
"""The columns of table 5.3."""


def judge(study: Study, fitted: model.CurveModel) -> dict[str, float]:
    """The numbers of table 5.3 on the held-out architectures."""
    data, rows = study.data, study.test
    predicted = predict(fitted.members, data.features[rows])
    truth = data.curves[study.metric][rows]
    scores = evaluation.evaluate(truth, predicted, unit=study.unit)
    if study.repeats is not None:
        repeats = study.repeats[rows]
        against_mean = evaluation.evaluate(
            repeats.mean(axis=1), predicted, unit=study.unit
        )
        scores |= {f"mean_of_seeds_{name}": v for name, v in against_mean.items()}
        if fitted.noise is not None and repeats.shape[1] > 1:
            divergence = evaluation.average_kl(
                study.key, fitted.noise, predicted, repeats
            )
            scores |= divergence._asdict()
    return scores


def judge_baselines(study: Study) -> dict[str, dict[str, float]]:
    """The same numbers, but of noise, of a mean curve and a ridge on the features."""
    data, train, rows = study.data, study.train, study.test
    truth = data.curves[study.metric]
    predicted = baselines.predict(
        data.features[train], truth[train], data.features[rows]
    )
    return {
        name: evaluation.evaluate(truth[rows], curves, unit=study.unit)
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


def judge_seed_noise(study: Study, fitted: model.CurveModel) -> dict[str, float]:
    """Divergence of noise that is fitted to the training functions' seeds."""
    assert study.repeats is not None
    if study.repeats.shape[1] < 2:
        return {}
    runs = study.repeats[study.train]
    noise = seeds.fit(runs)
    predicted = predict(fitted.members, study.data.features[study.test])
    divergence = evaluation.average_kl(
        study.key, noise, predicted, study.repeats[study.test]
    )
    return dict(divergence._asdict())
