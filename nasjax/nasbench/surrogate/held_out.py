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
    """The numbers of table 5.3 on the held-out architectures.

    Also of the best fifth of them (`top_fifth_...`) and, where the data are several
    samples, of each (`NAME_...`); divergences are of architectures with every seed.
    """
    data, rows = study.data, study.test
    predicted = predict(fitted.members, data.features[rows])
    truth = data.curves[study.metric][rows]
    scores = evaluation.evaluate(truth, predicted, unit=study.unit)
    for name, part in _parts(study).items():
        found = evaluation.evaluate(truth[part], predicted[part], unit=study.unit)
        scores |= {f"{name}_{key}": value for key, value in found.items()}
    whole = study.repeated(rows)
    if len(whole):
        repeats = study.repeats[study.metric][whole]
        means = predicted[np.searchsorted(rows, whole)]
        against_mean = evaluation.evaluate(repeats.mean(axis=1), means, unit=study.unit)
        scores |= {f"mean_of_seeds_{name}": v for name, v in against_mean.items()}
        if fitted.noise is not None and repeats.shape[1] > 1:
            divergence = evaluation.average_kl(study.key, fitted.noise, means, repeats)
            scores |= divergence._asdict()
    return scores


def _parts(study: Study) -> dict[str, np.ndarray]:
    """Places in the held-out rows of what is judged apart."""
    data, rows = study.data, study.test
    final = data.curves[study.metric][rows, -1]
    better = final if study.metric.endswith("accuracy") else -final
    parts = {"top_fifth": np.argsort(-better)[: max(2, len(rows) // 5)]}
    if data.group is not None:
        groups = data.group[rows]
        parts |= {
            name: np.flatnonzero(groups == number)
            for number, name in enumerate(data.groups)
        }
    return {name: part for name, part in parts.items() if len(part) > 1}


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
    """Divergence of noise that is fitted to seeds of the training architectures."""
    train, test = study.repeated(study.train), study.repeated(study.test)
    if not (len(train) and len(test)) or study.repeats[study.metric].shape[1] < 2:
        return {}
    repeats = study.repeats[study.metric]
    noise = seeds.fit(repeats[train])
    predicted = predict(fitted.members, study.data.features[test])
    divergence = evaluation.average_kl(study.key, noise, predicted, repeats[test])
    return dict(divergence._asdict())
