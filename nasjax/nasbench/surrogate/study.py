"""An experiment with surrogates: its data, their split, and what is fitted to them.

The architectures are split once, by row: a row of the embedded benchmark is a function,
so no function is in both parts.
"""

from typing import Any

import jax
import numpy as np

from nasjax.core import errors
from nasjax.jobs.nasbench_x11 import data
from nasjax.nasbench.surrogate import compression, early_stopping, fitting
from nasjax.nasbench.surrogate.trees import boosting

Config = dict[str, Any]

DEFAULT_RANK = {"thesis": 6, "released": 5}
"""Of the SVD where a configuration says 0."""
MIN_LIGHTGBM = 2 * boosting.LightGBM.min_child_samples
"""Curves below which LightGBM predicts the same of all: a split leaves too few."""


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
        self.data, self.repeats = data.read(config)
        count = len(self.data)
        num_train = _num_train(config, count)
        order = np.random.default_rng(config["seed"]).permutation(count)
        self.train, self.test = np.sort(order[:num_train]), np.sort(order[num_train:])
        self.settings = {s.name: s for s in _settings(config)}
        _check_names(config)
        epochs = self.data.curves[self.metric].shape[1]
        for settings in self.settings.values():
            _check(settings, epochs, _num_fitted(config, count, num_train))

    @property
    def key(self) -> jax.Array:
        return jax.random.key(self.config["seed"])

    def shown(self, count: int) -> np.ndarray:
        """Held-out rows for figures, spread over the final value of their curves.

        All of them where there are no more than `count`.
        """
        count = min(count, len(self.test))
        final = self.data.curves[self.metric][self.test, -1]
        places = (np.arange(count) + 0.5) / count * (len(self.test) - 1)
        return self.test[np.argsort(final)[places.round().astype(int)]]

    @property
    def unit(self) -> float:
        """What the decimals of rounded predictions count."""
        return 0.01 if self.metric.endswith("accuracy") else 1.0


def _num_train(config: Config, count: int) -> int:
    num_train = int(config["data"]["num_train"]) or int(round(0.8 * count))
    if not 10 <= num_train < count:
        raise errors.ConfigError(
            f"config.data.num_train {num_train} of {count} architectures: keep at "
            "least 10 to fit to and 1 to judge by"
        )
    if config["folds"] and not 2 <= config["folds"] <= count // 2:
        raise errors.ConfigError(
            f"config.folds is {config['folds']}: pass 2 to {count // 2}, so that each "
            f"has two of {count} architectures, or 0 to fit and save"
        )
    return num_train


def _num_fitted(config: Config, count: int, num_train: int) -> int:
    """The fewest architectures that anything is fitted to."""
    return count - -(-count // config["folds"]) if config["folds"] else num_train


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


def _settings(config: Config) -> list[fitting.Settings]:
    names: list[Any] = [
        part.strip()
        for name in config["surrogates"]
        # On a command line `svd_lgb_std,svd_xgb_std` is one text.
        for part in str(name).split(",")
        if part.strip()
    ]
    if names == ["all"]:
        names = [
            f"{c}_{r}_{n}"
            for c in compression.COMPRESSORS
            for r in fitting.REGRESSORS
            for n in fitting.NOISES[:3]
        ]
    if not names:
        raise errors.ConfigError(
            "config.surrogates is empty: pass --config.surrogates=\"('svd_lgb_gkde',)\""
        )
    chosen = []
    for name in names:
        parts = name.split("_")
        if len(parts) != 3:
            raise errors.ConfigError(
                f"a surrogate is COMPRESSION_REGRESSOR_NOISE, such as svd_lgb_gkde, "
                f"not {name!r}; pass --config.surrogates=\"('svd_lgb_gkde',)\", with a "
                f"noise of {', '.join(fitting.NOISES)}"
            )
        chosen.append(fitting.Settings(*parts, **config["surrogate"]))
    return chosen


def _check_names(config: Config) -> None:
    """A name that no surrogate could have would be left out in silence."""
    known = [
        f"{c}_{r}_{n}"
        for c in compression.COMPRESSORS
        for r in fitting.REGRESSORS
        for n in fitting.NOISES
    ]
    for name in config["keep_all_metrics"]:
        if name not in known:
            raise errors.unknown_name(
                "surrogate in config.keep_all_metrics", str(name), known
            )
