"""Figures 5.1, 5.3, 5.6 and 5.7, and the studies behind them."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.nasbench.surrogate import compression, held_out, model, residuals, svd
from nasjax.nasbench.surrogate.study import Study


def draw_studies(
    made: Study, fitted: model.CurveModel, folder: pathlib.Path
) -> dict[str, Any]:
    """Figures 5.1, 5.3 and 5.6, and the numbers behind them."""
    from nasjax.report import surrogate_curves  # here: it loads matplotlib

    data, metric = made.data, made.metric
    train = data.curves[metric][made.train]
    # Where some have every seed, their means are the truth.
    repeated, means = made.repeated(made.test), None
    if len(repeated):
        means = made.repeats[metric][repeated].mean(axis=1)
    test = data.curves[metric][repeated if len(repeated) else made.test]
    ranks = range(1, min(12, svd.rank_of(train)) + 1)
    study = residuals.rank_study(train, test, ranks, test_mean=means)
    chosen = [rank for rank in (1, 3, 6, 12) if rank in ranks]
    example = data.curves[metric][made.shown(1)]
    shown = {
        rank: compression.reconstruct(
            compression.fit("svd", made.key, train, rank=rank), example
        )[0]
        for rank in chosen
    }
    surrogate_curves.draw_rank_study(
        list(ranks),
        [row.singular_value for row in study],
        [row.train_mse for row in study],
        [row.test_mse for row in study],
        example[0],
        shown,
        folder / "figures" / "figure_5_3",
        epochs=data.epochs,
        label=metric.replace("_", " "),
    )
    left = train - compression.reconstruct(fitted.members[0].compressor, train)
    lags = residuals.autocorrelation(left, min(20, train.shape[1] - 1))
    surrogate_curves.draw_residuals(
        left,
        lags,
        *residuals.band(left),
        folder / "figures" / "figure_5_6",
        epochs=data.epochs,
    )
    normal = residuals.normality(left)
    draw_predictions(made, fitted, folder, "figure_5_1", first=3)
    return {
        "ranks": [row._asdict() for row in study],
        "residual_autocorrelation": lags[1:4],
        "residual_kurtosis": [float(np.nanmedian(normal.kurtosis))],
    }


def draw_predictions(
    made: Study,
    fitted: model.CurveModel,
    folder: pathlib.Path,
    name: str,
    *,
    first: int,
) -> list[pathlib.Path]:
    """True and predicted curves; the noise of every panel is drawn by its own key."""
    from nasjax.report import surrogate_curves  # here: it loads matplotlib

    rows = made.shown(first)
    keys = jax.random.split(made.key, (len(rows), 200))
    features = jnp.asarray(made.data.features[rows])
    predicted = held_out.predict(fitted.members, np.asarray(features))
    draw = jax.vmap(jax.vmap(model.CurveModel.sample, (None, 0, None)), (None, 0, 0))
    noisy = np.asarray(jax.jit(draw)(fitted, keys, features))
    low, high = np.quantile(noisy, [0.05, 0.95], axis=1)
    panels = [
        surrogate_curves.Panel(
            f"architecture {row}",
            np.asarray(made.data.epochs),
            made.data.curves[made.metric][row],
            predicted[i],
            noisy[i, 0],
            low[i],
            high[i],
        )
        for i, row in enumerate(rows)
    ]
    label = made.metric.replace("_", " ")
    return surrogate_curves.draw_predictions(panels, label, folder / "figures" / name)
