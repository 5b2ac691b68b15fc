"""A study of surrogates: curves, their split, and what is fitted to them.

    curves = CurveData(features, {"valid_accuracy": accuracy}, epochs=range(1, 51))
    settings = study.surrogates(["svd_lgb_gkde"])
    made = study.make(0, curves, settings, metric="valid_accuracy")
    surrogate = study.fit(made, "svd_lgb_gkde")

The architectures are split once, by row: a row of the embedded benchmark is a function,
so no function is in both parts. `held_out` judges what is fitted, `cross_validation`
fits and judges in folds.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nasjax.core import errors
from nasjax.core.settings import read as read_settings
from nasjax.core.types import Key
from nasjax.nasbench.surrogate import compression, early_stopping, fitting
from nasjax.nasbench.surrogate.curve_data import CurveData
from nasjax.nasbench.surrogate.model import Surrogate
from nasjax.nasbench.surrogate.noise import models as noise_models
from nasjax.nasbench.surrogate.trees import boosting

DEFAULT_RANK = {"thesis": 6, "released": 5}
"""Of the SVD where settings say 0."""
MIN_LIGHTGBM = 2 * boosting.LightGBM.min_child_samples
"""Curves below which LightGBM predicts the same of all: a split leaves too few."""


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """Data, their split and the surrogates that are compared.

    Attributes:
      seed: of the split and of whatever the fits draw.
      data: all N architectures.
      metric: what is judged, such as `valid_accuracy`.
      train: row numbers.
      test: row numbers.
      settings: of each surrogate, by name.
      folds: of a cross-validation; 0: there is none.
      repeats: by metric float64 `[N, S, T]`, curves of further seeds of the rows; NaN
        where a row lacks one. Empty where there are none.
    """

    seed: int
    data: CurveData
    metric: str
    train: np.ndarray
    test: np.ndarray
    settings: Mapping[str, fitting.Settings]
    folds: int = 0
    repeats: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> Key:
        return jax.random.key(self.seed)

    @functools.cached_property
    def fitted(self) -> CurveData:
        """The architectures that are fitted to."""
        return self.data.take(self.train)

    def shown(self, count: int) -> np.ndarray:
        """Held-out rows for figures, spread over the final value of their curves.

        All of them where there are no more than `count`.
        """
        count = min(count, len(self.test))
        final = self.data.curves[self.metric][self.test, -1]
        places = (np.arange(count) + 0.5) / count * (len(self.test) - 1)
        rows: np.ndarray = self.test[np.argsort(final)[places.round().astype(int)]]
        return rows

    def repeated(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that have curves of every further seed."""
        if self.metric not in self.repeats:
            return rows[:0]
        whole = np.isfinite(self.repeats[self.metric][rows]).all(axis=(1, 2))
        kept: np.ndarray = rows[whole]
        return kept

    @property
    def unit(self) -> float:
        """What the decimals of rounded predictions count."""
        return 0.01 if self.metric.endswith("accuracy") else 1.0


def make(
    seed: int,
    data: CurveData,
    settings: Iterable[fitting.Settings],
    *,
    metric: str,
    num_train: int = 0,
    train_fraction: float = 0.8,
    folds: int = 0,
    repeats: Mapping[str, np.ndarray] | None = None,
) -> Study:
    """Splits the data at random and checks that everything can be fitted.

    Args:
      seed: of the split and of the fits.
      data: all N architectures.
      settings: of the surrogates, such as those of `surrogates`.
      metric: a name of `data.curves`.
      num_train: architectures to fit to; 0: as the fraction says.
      train_fraction: of the architectures to fit to.
      folds: of a cross-validation; 0: there will be none.
      repeats: see `Study`.

    Raises:
      ConfigError: the numbers do not fit the data, or there is no such metric.
    """
    if metric not in data.curves:
        raise errors.unknown_name("metric", metric, data.curves)
    count = len(data)
    num_train = _num_train(num_train, train_fraction, folds, count)
    order = np.random.default_rng(seed).permutation(count)
    made = Study(
        seed=seed,
        data=data,
        metric=metric,
        train=np.sort(order[:num_train]),
        test=np.sort(order[num_train:]),
        settings={s.name: s for s in settings},
        folds=folds,
        repeats=repeats or {},
    )
    epochs = data.curves[metric].shape[1]
    fewest = count - -(-count // folds) if folds else num_train
    for one in made.settings.values():
        _check(one, epochs, fewest)
        if one.noise == "seeds" and not folds and len(made.repeated(made.train)) < 2:
            other = f"{one.compression}_{one.regressor}_gkde"
            raise errors.ConfigError(
                f"{one.name} fits its noise to repeated trainings, which fewer than "
                f"two of {num_train} architectures have: train more seeds, or pass "
                f"--config.surrogates=\"('{other}',)\""
            )
    return made


def surrogates(names: Sequence[str], **options: Any) -> list[fitting.Settings]:
    """Settings by names such as `svd_lgb_gkde`; `all` stands for those of table 5.3.

    Args:
      names: COMPRESSION_REGRESSOR_NOISE; one text may hold several, with commas.
      **options: of `fitting.Settings`, the same for all.

    Raises:
      ConfigError: a name or an option is unknown, or there is no name.
    """
    given: list[Any] = [
        part.strip()
        for name in names
        # On a command line `svd_lgb_std,svd_xgb_std` is one text.
        for part in str(name).split(",")
        if part.strip()
    ]
    if "all" in given:
        every = [
            f"{c}_{r}_{n}"
            for c in compression.COMPRESSORS
            for r in fitting.REGRESSORS
            for n in noise_models.NOISE_MODELS
        ]
        given = list(
            dict.fromkeys([*every, *(name for name in given if name != "all")])
        )
    if not given:
        raise errors.ConfigError(
            "config.surrogates is empty: pass --config.surrogates=\"('svd_lgb_gkde',)\""
        )
    chosen = []
    for name in given:
        parts = name.split("_")
        if len(parts) != 3:
            raise errors.ConfigError(
                f"a surrogate is COMPRESSION_REGRESSOR_NOISE, such as svd_lgb_gkde, "
                f"not {name!r}; pass --config.surrogates=\"('svd_lgb_gkde',)\", with a "
                f"noise of {', '.join(fitting.NOISES)}"
            )
        own = dict(zip(("compression", "regressor", "noise"), parts, strict=True))
        chosen.append(read_settings(fitting.Settings, "surrogate", options | own))
    return chosen


def fit(study: Study, name: str, *, all_metrics: bool = False) -> Surrogate:
    """Fits one of a study's surrogates to its training architectures.

    Args:
      study: the data, and the settings by name.
      name: a key of `study.settings`.
      all_metrics: model every metric of the data, not only the judged one.

    Raises:
      ConfigError: the study has no such surrogate.
    """
    if name not in study.settings:
        raise errors.unknown_name("surrogate", name, study.settings)
    settings = study.settings[name]
    return complete(study, fit_mean(study, settings), settings, all_metrics=all_metrics)


def fit_mean(study: Study, settings: fitting.Settings) -> fitting.Mean:
    """Fits everything but the noise to the training architectures."""
    data = study.fitted
    return fitting.fit_mean(
        study.key, data.features, data.curves[study.metric], settings
    )


def complete(
    study: Study,
    mean: fitting.Mean,
    settings: fitting.Settings,
    *,
    all_metrics: bool = False,
) -> Surrogate:
    """A surrogate of a fitted mean: its noise, training seconds and other metrics.

    Args:
      study: the data.
      mean: of `fit_mean`; surrogates that differ in their noise share it.
      settings: of the surrogate.
      all_metrics: model every metric of the data, not only the judged one.
    """
    data, metric = study.fitted, study.metric
    names = list(data.curves) if all_metrics else [metric]
    noises: Mapping[str, noise_models.NoiseModel] = {}
    if settings.noise == "seeds":
        noises = fitting.fit_seed_noise(_runs(study), names)
    models = {
        metric: fitting.add_noise(
            study.key,
            mean,
            data.curves[metric],
            settings,
            metric,
            noise=noises.get(metric),
        )
    }
    others = {name: data.curves[name] for name in names if name != metric}
    models |= fitting.fit(study.key, data.features, others, settings, noises=noises)
    seconds = None
    if data.seconds is not None:
        seconds = fitting.fit_seconds(data.features, data.seconds, settings)
    return Surrogate(
        models=models,
        seconds=seconds,
        space=data.space,
        features=data.features_name,
        data_set=data.data_set,
        epochs=data.epochs,
        metric=metric.rsplit("_", 1)[-1],
        techniques=settings.techniques,
        joint_noise=settings.noise == "seeds",
    )


def _runs(study: Study) -> dict[str, np.ndarray]:
    """By metric the curves of every seed of the training architectures `[N, S, T]`."""
    fitted, rows = study.fitted.curves, study.train
    return {
        name: np.concatenate([fitted[name][:, None], others[rows]], axis=1)
        for name, others in study.repeats.items()
    }


def names() -> list[str]:
    """Of every surrogate that there could be."""
    return [
        f"{c}_{r}_{n}"
        for c in compression.COMPRESSORS
        for r in fitting.REGRESSORS
        for n in fitting.NOISES
    ]


def _num_train(asked: int, fraction: float, folds: int, count: int) -> int:
    if not 0 < fraction < 1:
        raise errors.ConfigError(
            f"config.data.train_fraction is {fraction}: pass a number between 0 and 1"
        )
    num_train = asked or int(round(fraction * count))
    if not 10 <= num_train < count:
        raise errors.ConfigError(
            f"config.data.num_train {num_train} of {count} architectures: keep at "
            "least 10 to fit to and 1 to judge by"
        )
    if folds and not 2 <= folds <= count // 2:
        raise errors.ConfigError(
            f"config.folds is {folds}: pass 2 to {count // 2}, so that each "
            f"has two of {count} architectures, or 0 to fit and save"
        )
    return num_train


def _check(settings: fitting.Settings, epochs: int, num_fitted: int) -> None:
    """What would otherwise fail late, or quietly fit nothing."""
    rank = settings.rank or DEFAULT_RANK[settings.variant]
    if settings.compression == "svd" and rank > min(epochs, num_fitted):
        raise errors.ConfigError(
            f"{settings.name} describes a curve by {rank} numbers, but there are "
            f"{num_fitted} curves of {epochs} epochs: pass --config.surrogate.rank=1 "
            f"to {min(epochs, num_fitted)}"
        )
    stops = settings.early_stopping and settings.regressor != "mlp"
    if stops and early_stopping.num_train(num_fitted) < 2:
        raise errors.ConfigError(f"{num_fitted} curves are too few to hold any out")
    fitted = early_stopping.num_train(num_fitted) if stops else num_fitted
    held_out = f" ({num_fitted - fitted} of {num_fitted} stop it early)" * bool(stops)
    if settings.regressor == "lgb" and fitted < MIN_LIGHTGBM:
        other = f"{settings.compression}_xgb_{settings.noise}"
        fixed = "--config.surrogate.early_stopping=0 or " * (num_fitted >= MIN_LIGHTGBM)
        raise errors.ConfigError(
            f"{settings.name} would be fitted to {fitted} curves{held_out}; with fewer "
            f"than {MIN_LIGHTGBM} LightGBM's trees have no split: train more "
            f"architectures, or pass {fixed}--config.surrogates=\"('{other}',)\""
        )
