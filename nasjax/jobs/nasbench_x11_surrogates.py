"""Fits surrogates of learning curves, judges them and draws curves (chapter 5).

The architectures are split once, by row: a row of the embedded benchmark is a function,
so no function is in both parts. Every surrogate that is finished is a file in
`surrogates/`, and a run that was killed goes on with the next one.
"""

import json
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import nasbench
from nasjax.core import arrays, errors, progress, result, statistics, workdir
from nasjax.nasbench.surrogate import (
    compression,
    curve_data,
    evaluation,
    fitting,
    model,
    noise_seeds,
    residuals,
    storage,
)
from nasjax.nasbench.table import TabularBenchmark
from nasjax.report import surrogate_curves

RESULT_FILE = "result.json"
EVALUATION_FILE = "evaluation.json"
SAMPLES_FILE = "samples.safetensors"
SURROGATES = "surrogates"
SEED_NOISE = "seeds"
"""Name of the noise model that is fitted to several seeds, besides the thesis'."""
KEYS = ("avg_r2", "final_r2", "avg_kt", "final_kt", "avg_kl", "final_kl")
TABLE_5_2 = {
    "nasbench111_cell": (0.529, 0.630, 0.531, 0.645, 2.016),
    "nasbench111": (0.630, 0.853, 0.611, 0.794, 1.710),
    "nasbench311": (0.779, 0.800, 0.728, 0.788, 0.905),
    "nasbench_nlp11_cell": (0.326, 0.314, 0.505, 0.475, None),
    "nasbench_nlp11": (0.878, 0.895, 0.878, 0.844, None),
}
"""The thesis' avg. R2, final R2, avg. KT, final KT and avg. KL by features."""

Config = dict[str, Any]


class Experiment:
    """What a configuration says: data, split and the surrogates by name.

    Attributes:
      data: all architectures.
      train: row numbers.
      test: row numbers.
      repeats: float64 `[N, S, T]`, curves of further seeds of every row, or None.
      metric: what is judged, such as `valid_accuracy`.
      settings: of each surrogate, by name.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metric = config["data"]["metric"]
        self.data, self.repeats = _read(config)
        if self.metric not in self.data.curves:
            raise errors.unknown_name("metric", self.metric, self.data.curves)
        count = len(self.data)
        num_train = int(config["data"]["num_train"]) or int(round(0.8 * count))
        if not 10 <= num_train < count:
            raise errors.ConfigError(
                f"config.data.num_train {num_train} of {count} architectures: keep at "
                "least 10 to fit to and 1 to judge by"
            )
        order = np.random.default_rng(config["seed"]).permutation(count)
        self.train, self.test = np.sort(order[:num_train]), np.sort(order[num_train:])
        self.settings = {s.name: s for s in _settings(config)}

    @property
    def key(self) -> jax.Array:
        return jax.random.key(self.config["seed"])

    def shown(self, count: int) -> np.ndarray:
        """Held-out rows for figures, spread over the final value of their curves."""
        final = self.data.curves[self.metric][self.test, -1]
        places = (np.arange(count) + 0.5) / count * (len(self.test) - 1)
        return self.test[np.argsort(final)[places.round().astype(int)]]

    @property
    def unit(self) -> float:
        """What the decimals of rounded predictions count."""
        return 0.01 if self.metric.endswith("accuracy") else 1.0


def fit(config: Config, folder: pathlib.Path) -> dict[str, Any]:
    """Fits, judges and saves every surrogate of the configuration.

    Returns:
      What `result.json` holds.
    """
    began = time.time()
    workdir.claim(folder, config)
    experiment = Experiment(config)
    if config["folds"]:
        outcome = cross_validate(experiment)
    else:
        outcome = _fit_all(experiment, folder)
    outcome |= {
        "seconds": time.time() - began,
        "config": config,
        "versions": result.versions(),
    }
    result.write(folder / RESULT_FILE, outcome)
    print(summary(outcome))
    return outcome


def evaluate(config: Config, folder: pathlib.Path) -> dict[str, Any]:
    """Judges the saved surrogates again, on the same held-out architectures."""
    experiment = Experiment(config)
    scores: dict[str, Any] = {}
    for path in _saved(folder):
        surrogate = storage.load(path)
        scores[path.stem] = _judge(experiment, surrogate.require(experiment.metric))
        scores[path.stem]["version"] = surrogate.version
    outcome = {"surrogates": scores, "versions": result.versions()}
    result.write(folder / EVALUATION_FILE, outcome)
    print(summary(outcome))
    return outcome


def sample(config: Config, folder: pathlib.Path) -> dict[str, Any]:
    """Draws curves of the held-out architectures and writes them, with figure 5.7."""
    experiment = Experiment(config)
    settings = config["sample"]
    name = settings["surrogate"] or next(iter(experiment.settings))
    path = folder / SURROGATES / f"{name}.safetensors"
    if not path.exists():
        known = [saved.stem for saved in _saved(folder)]
        raise errors.unknown_name(f"surrogate in {folder}", name, known)
    curve_model = storage.load(path).require(experiment.metric)
    rows = experiment.test[: settings["num_archs"]]
    keys = jax.random.split(experiment.key, (len(rows), settings["num_samples"]))
    draw = jax.jit(
        jax.vmap(jax.vmap(model.CurveModel.sample, (None, 0, None)), (None, 0, 0))
    )
    features = jnp.asarray(experiment.data.features[rows])
    curves = np.asarray(draw(curve_model, keys, features))
    arrays.save(folder / SAMPLES_FILE, {"rows": rows, experiment.metric: curves})
    figures = _draw_predictions(experiment, curve_model, folder, "figure_5_7", first=9)
    print(f"{folder / SAMPLES_FILE}: {curves.shape} curves of {name}; {figures[0]}")
    return {"surrogate": name, "shape": list(curves.shape)}


def cross_validate(experiment: Experiment) -> dict[str, Any]:
    """K-fold scores of each surrogate by what it may read, and paired comparisons.

    Where some features were measured in the training itself, the surrogate with them
    is compared with the same surrogate on these measurements alone.
    """
    data, config = experiment.data, experiment.config
    order = np.random.default_rng(config["seed"]).permutation(len(data))
    folds = np.array_split(order, config["folds"])
    inputs = {"all features": data.features}
    if data.num_measured:
        inputs["architecture only"] = data.features[:, : -data.num_measured]
        inputs["measured only"] = data.features[:, -data.num_measured :]
    targets, outcome = data.curves[experiment.metric], {}
    for name, settings in experiment.settings.items():
        scores: dict[str, list[dict[str, float]]] = {key: [] for key in inputs}
        for number, test in enumerate(
            progress.progress(folds, description=f"{name} folds")
        ):
            train = np.setdiff1d(np.arange(len(data)), test)
            for key, features in inputs.items():
                mean = fitting.fit_mean(
                    jax.random.fold_in(experiment.key, number),
                    features[train],
                    targets[train],
                    settings,
                )
                predicted = _predict(mean.members, features[test])
                scores[key].append(
                    evaluation.evaluate(targets[test], predicted, unit=experiment.unit)
                )
        outcome[name] = _fold_table(scores)
    return {
        "cross_validation": outcome,
        "num_archs": len(data),
        "num_epochs": targets.shape[1],
        "ignored": data.ignored,
    }


def _fold_table(scores: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Mean and deviation over folds, and the paired test against measurements."""
    table: dict[str, Any] = {}
    for inputs, folds in scores.items():
        columns = {key: [fold[key] for fold in folds] for key in KEYS[:4]}
        table[inputs] = {
            key: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1))}
            for key, v in columns.items()
        }
    if "measured only" in scores:
        for key in KEYS[:4]:
            ours, theirs = (
                [fold[key] for fold in scores[inputs]]
                for inputs in ("all features", "measured only")
            )
            difference = statistics.paired_t_test(ours, theirs)
            table["all features"][key] |= {
                "above_measured_only": float(difference.mean),
                "p_value": float(difference.p_value),
            }
    return table


def _fit_all(experiment: Experiment, folder: pathlib.Path) -> dict[str, Any]:
    train = experiment.data.take(experiment.train)
    targets = train.curves[experiment.metric]
    scores: dict[str, Any] = {}
    means: dict[str, fitting.Mean] = {}
    bar = progress.progress(len(experiment.settings), description="surrogates")
    for name, settings in experiment.settings.items():
        path = folder / SURROGATES / f"{name}.safetensors"
        report = path.with_suffix(".json")
        if not report.exists():
            kind = f"{settings.compression}_{settings.regressor}"
            if kind not in means:
                means = {
                    kind: fitting.fit_mean(
                        experiment.key, train.features, targets, settings
                    )
                }
            surrogate = _surrogate(experiment, train, means[kind], settings)
            surrogate = storage.save(path, surrogate)
            score: dict[str, Any] = dict(
                _judge(experiment, surrogate.require(experiment.metric))
            )
            score |= {"fit_seconds": means[kind].seconds, "version": surrogate.version}
            result.write(report, score)
        scores[name] = json.loads(report.read_text())
        bar.update(1)
    bar.close()
    outcome: dict[str, Any] = {
        "surrogates": scores,
        "num_train": len(experiment.train),
        "num_test": len(experiment.test),
        "tables": _tables(experiment, scores),
    }
    first = next(iter(experiment.settings))
    fitted = storage.load(folder / SURROGATES / f"{first}.safetensors")
    curve_model = fitted.require(experiment.metric)
    if experiment.repeats is not None:
        outcome["seed_noise"] = _judge_seed_noise(experiment, curve_model)
    outcome["studies"] = _draw_studies(experiment, curve_model, folder)
    return outcome


def _surrogate(
    experiment: Experiment,
    train: curve_data.CurveData,
    mean: fitting.Mean,
    settings: fitting.Settings,
) -> model.Surrogate:
    """The judged metric's model and, where it is kept whole, those of all metrics."""
    metric = experiment.metric
    models = {
        metric: fitting.add_noise(
            experiment.key, mean, train.curves[metric], settings, metric
        )
    }
    if settings.name in experiment.config["keep_all_metrics"]:
        others = {name: c for name, c in train.curves.items() if name != metric}
        models |= fitting.fit(experiment.key, train.features, others, settings)
    seconds = None
    if train.seconds is not None:
        seconds = fitting.fit_seconds(train.features, train.seconds, settings)
    return model.Surrogate(
        models=models,
        seconds=seconds,
        space=train.space,
        features=train.features_name,
        data_set=train.data_set,
        epochs=tuple(range(1, train.curves[metric].shape[1] + 1)),
        metric=metric.rsplit("_", 1)[-1],
        techniques=settings.techniques,
    )


def _judge(experiment: Experiment, fitted: model.CurveModel) -> dict[str, float]:
    """The numbers of table 5.3 on the held-out architectures."""
    data, rows = experiment.data, experiment.test
    predicted = _predict(fitted.members, data.features[rows])
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


def _predict(members: tuple[model.Member, ...], features: np.ndarray) -> np.ndarray:
    """Mean curves float64 `[N, T]`."""
    curve = jax.jit(
        lambda members, x: jnp.mean(
            jnp.stack([jax.vmap(member.predict)(x) for member in members]), axis=0
        )
    )
    return np.asarray(curve(members, jnp.asarray(features)), np.float64)


def _judge_seed_noise(
    experiment: Experiment, fitted: model.CurveModel
) -> dict[str, float]:
    """Divergence of noise that is fitted to the training functions' seeds."""
    assert experiment.repeats is not None
    if experiment.repeats.shape[1] < 2:
        return {}
    runs = experiment.repeats[experiment.train]
    noise = noise_seeds.fit(runs)
    predicted = _predict(fitted.members, experiment.data.features[experiment.test])
    divergence = evaluation.average_kl(
        experiment.key, noise, predicted, experiment.repeats[experiment.test]
    )
    return dict(divergence._asdict())


def _draw_studies(
    experiment: Experiment, fitted: model.CurveModel, folder: pathlib.Path
) -> dict[str, Any]:
    """Figures 5.1, 5.3 and 5.6, and the numbers behind them."""
    data, metric = experiment.data, experiment.metric
    train = data.curves[metric][experiment.train]
    test = data.curves[metric][experiment.test]
    means = None
    if experiment.repeats is not None:
        means = experiment.repeats[experiment.test].mean(axis=1)
    ranks = range(1, min(12, train.shape[1], len(train)) + 1)
    study = residuals.rank_study(train, test, ranks, test_mean=means)
    chosen = [rank for rank in (1, 3, 6, 12) if rank in ranks]
    example = data.curves[metric][experiment.shown(1)]
    shown = {
        rank: compression.reconstruct(
            compression.fit("svd", experiment.key, train, rank=rank), example
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
    )
    left = train - compression.reconstruct(fitted.members[0].compressor, train)
    lags = residuals.autocorrelation(left, min(20, train.shape[1] - 1))
    surrogate_curves.draw_residuals(
        left, lags, *residuals.band(left), folder / "figures" / "figure_5_6"
    )
    normal = residuals.normality(left)
    _draw_predictions(experiment, fitted, folder, "figure_5_1", first=3)
    return {
        "ranks": [row._asdict() for row in study],
        "residual_autocorrelation": lags[1:4],
        "residual_kurtosis": [float(np.nanmedian(normal.kurtosis))],
    }


def _draw_predictions(
    experiment: Experiment,
    fitted: model.CurveModel,
    folder: pathlib.Path,
    name: str,
    *,
    first: int,
) -> list[pathlib.Path]:
    rows = experiment.shown(first)
    keys = jax.random.split(experiment.key, 200)
    features = jnp.asarray(experiment.data.features[rows])
    predicted = _predict(fitted.members, np.asarray(features))
    draw = jax.vmap(jax.vmap(model.CurveModel.sample, (None, 0, None)), (None, None, 0))
    noisy = np.asarray(jax.jit(draw)(fitted, keys, features))
    low, high = np.quantile(noisy, [0.05, 0.95], axis=1)
    panels = [
        surrogate_curves.Panel(
            f"architecture {row}",
            experiment.data.curves[experiment.metric][row],
            predicted[i],
            noisy[i, 0],
            low[i],
            high[i],
        )
        for i, row in enumerate(rows)
    ]
    label = experiment.metric.replace("_", " ")
    return surrogate_curves.draw_predictions(panels, label, folder / "figures" / name)


def _read(config: Config) -> tuple[curve_data.CurveData, np.ndarray | None]:
    """The data, and the curves of further seeds where a benchmark has them."""
    settings = config["data"]
    name, features = settings["name"], settings["features"]
    if name.endswith((".csv", ".csv.gz")) or settings["arrays"]:
        data = curve_data.read(
            name,
            features_name=features,
            prefix=settings["prefix"],
            metric=settings["metric"],
            scale=settings["scale"],
        )
        data = data.with_first_epochs(settings["first_epochs"], settings["metric"])
        return data, None
    options = {"data_set": settings["data_set"]} if settings["data_set"] else {}
    benchmark = nasbench.load(name, **options)
    if not isinstance(benchmark, TabularBenchmark):
        raise errors.ConfigError(f"{name} is no table; a surrogate is fitted to curves")
    seed = settings["benchmark_seed"]
    data = curve_data.from_benchmark(benchmark, features, seed=seed)
    runs = benchmark.require(settings["metric"])
    others = [s for s in range(runs.num_seeds) if s != seed]
    if not others or len(data) != len(benchmark.archs):
        return data, None
    return data, np.asarray(runs.values, np.float64)[:, others]


def _settings(config: Config) -> list[fitting.Settings]:
    names = config["surrogates"]
    if names == ["all"]:
        names = [
            f"{c}_{r}_{n}"
            for c in compression.COMPRESSORS
            for r in fitting.REGRESSORS
            for n in fitting.NOISES[:3]
        ]
    chosen = []
    for name in names:
        parts = name.split("_")
        if len(parts) != 3:
            raise errors.ConfigError(
                f"a surrogate is COMPRESSION_REGRESSOR_NOISE, such as svd_lgb_gkde, "
                f"not {name!r}"
            )
        chosen.append(fitting.Settings(*parts, **config["surrogate"]))
    return chosen


def _tables(experiment: Experiment, scores: dict[str, Any]) -> dict[str, Any]:
    """Tables 5.2 and 5.3 in the form of every `result.json`."""
    data = experiment.config["data"]
    thesis = dict(
        zip(KEYS[:4] + ("avg_kl",), TABLE_5_2.get(data["features"], ()), strict=False)
    )
    rows = [
        {
            "settings": {"surrogate": name, "metric": key, "data": data["name"]},
            "value": score[key],
            "num_seeds": 1,
            "thesis": thesis.get(key) if name == "svd_lgb_gkde" else None,
        }
        for name, score in scores.items()
        for key in KEYS
        if key in score
    ]
    return {
        "5.2": [r for r in rows if r["settings"]["surrogate"] == "svd_lgb_gkde"],
        "5.3": rows,
    }


def _saved(folder: pathlib.Path) -> list[pathlib.Path]:
    paths = sorted((folder / SURROGATES).glob("*.safetensors"))
    if not paths:
        raise errors.DataError(f"{folder}: no surrogates; run --mode=fit first")
    return paths


def summary(outcome: dict[str, Any]) -> str:
    """The printed table."""
    if "cross_validation" in outcome:
        return _fold_summary(outcome)
    lines = [f"{'surrogate':<22}" + "".join(f"{key:>10}" for key in KEYS)]
    for name, score in outcome["surrogates"].items():
        found = (score.get(key) for key in KEYS)
        cells = (f"{'-':>10}" if v is None else f"{v:>10.3f}" for v in found)
        lines.append(f"{name:<22}" + "".join(cells))
    if seeds := outcome.get("seed_noise"):
        noise = f"{seeds['avg_kl']:>10.3f}{seeds['final_kl']:>10.3f}"
        lines.append(f"{'noise fitted to seeds':<22}" + " " * 40 + noise)
    return "\n".join(lines)


def _fold_summary(outcome: dict[str, Any]) -> str:
    title = f"{outcome['num_archs']} architectures, {outcome['num_epochs']} epochs"
    lines = [title, " " * 36 + "".join(f"{key:>16}" for key in KEYS[:4])]
    for name, table in outcome["cross_validation"].items():
        for inputs, row in table.items():
            scores = [f"{row[k]['mean']:>9.3f} ({row[k]['std']:.3f})" for k in KEYS[:4]]
            lines.append(f"{name:<16}{inputs:<20}" + "".join(scores))
        if "measured only" in table:
            gains = [table["all features"][key] for key in KEYS[:4]]
            tests = [
                f"{gain['above_measured_only']:>+7.3f} (p {gain['p_value']:.2f})"
                for gain in gains
            ]
            lines.append(" " * 16 + f"{'above measured only':<20}" + "".join(tests))
    return "\n".join(lines)
