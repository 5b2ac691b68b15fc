"""Fits a surrogate to learning curves: compression, regression, noise (section 5.3)."""

import dataclasses
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nasjax.core import errors
from nasjax.core.types import Key
from nasjax.nasbench.surrogate import compression, early_stopping, mlp, scaling
from nasjax.nasbench.surrogate.model import CurveModel, Member, Seconds
from nasjax.nasbench.surrogate.noise import gkde, seeds
from nasjax.nasbench.surrogate.noise import models as noise_models
from nasjax.nasbench.surrogate.trees import boosting

VARIANTS = ("thesis", "released")
_LIBRARIES = {"lgb": "lightgbm", "xgb": "xgboost"}
REGRESSORS = (*_LIBRARIES, "mlp")
NOISES = ("gkde", "std", "window", "seeds", "none")


@dataclasses.dataclass(frozen=True)
class Settings:
    """One of the eighteen surrogates of table 5.3, or a relative of them.

    Attributes:
      compression: `"svd"` or `"vae"`.
      regressor: `"lgb"` (LightGBM), `"xgb"` (XGBoost) or `"mlp"`.
      noise: `"gkde"`, `"std"`, `"window"`, `"seeds"` (fitted to repeated trainings,
        all metrics together) or `"none"`.
      rank: numbers that describe a curve; 0: 6 for SVD, 5 for VAE.
      centered: subtract the mean curve before the SVD.
      boosting: how large forests are, a name of `boosting.PRESETS`.
      chained: each component's trees also see the components before it, as in the
        thesis; False fits components independently of each other.
      num_rounds: trees of each component, or at most where `early_stopping` is set; 0:
        as many as `boosting` says, 3,000 in the thesis.
      early_stopping: rounds of boosting without progress on held-out rows after which
        no tree is added (`early_stopping.choose_rounds`); 0: `num_rounds` trees, as in
        the thesis.
      num_members: size of the ensemble. Members differ: each has a seed of its own,
        and trees of several members draw rows and features.
      variant: `"thesis"`, or `"released"` for what the published benchmarks are: rank
        5, one member (theirs are identical), noise clipped and halved.
      released_clip: see `gkde.fit`.
      num_threads: of the boosting libraries.
    """

    compression: str = "svd"
    regressor: str = "lgb"
    noise: str = "gkde"
    rank: int = 0
    centered: bool = False
    boosting: str = "thesis"
    chained: bool = True
    num_rounds: int = 0
    early_stopping: int = 0
    num_members: int = 1
    variant: str = "thesis"
    released_clip: float = 0.03
    num_threads: int = 1

    def __post_init__(self) -> None:
        for field, known in (
            ("compression", tuple(compression.COMPRESSORS)),
            ("regressor", REGRESSORS),
            ("noise", NOISES),
            ("variant", VARIANTS),
            ("boosting", tuple(boosting.PRESETS)),
        ):
            value = getattr(self, field)
            if value not in known:
                raise errors.unknown_name(field, value, known)
        for field, least in (("num_rounds", 0), ("num_members", 1)):
            if getattr(self, field) < least:
                raise errors.ConfigError(
                    f"{field} must be at least {least}, not {getattr(self, field)}"
                )
        if self._is_released and not (self.chained and self.boosting == "thesis"):
            raise errors.ConfigError(
                "the variant released has chained=True and boosting='thesis' only"
            )
        if self.early_stopping < 0 or (self.early_stopping and self._is_released):
            raise errors.ConfigError(
                f"early_stopping is {self.early_stopping}: pass 0 for a fixed number "
                "of rounds, which the variant released always has, or rounds from 1 on"
            )

    @property
    def _is_released(self) -> bool:
        return self.variant == "released"

    @property
    def name(self) -> str:
        """Such as `svd_lgb_gkde`."""
        return "_".join((self.compression, self.regressor, self.noise))

    @property
    def techniques(self) -> tuple[str, ...]:
        """The methods that a search with this surrogate should not use itself."""
        return tuple(sorted({self.compression, self.regressor}))


class Mean(NamedTuple):
    """An ensemble before noise.

    Attributes:
      members: one or more.
      reconstructed: float64 `[N, T]`, the training curves after the first member's
        compression; noise models are fitted to the rest.
      seconds: that the fit took.
      rounds: trees of each component of each member; () of a perceptron.
    """

    members: tuple[Member, ...]
    reconstructed: np.ndarray
    seconds: float
    rounds: tuple[tuple[int, ...], ...] = ()


def fit_mean(
    key: Key, features: ArrayLike, targets: ArrayLike, settings: Settings
) -> Mean:
    """Fits everything but the noise.

    Args:
      key: of whatever the settings draw.
      features: float `[N, D]`; NaN where a value is missing.
      targets: float `[N, T]`, curves in their unit (accuracies in [0, 1]).
      settings: what to fit.

    Raises:
      DataError: features are infinite, curves not finite, or their N differ.
      ConfigError: a setting does not fit these curves.
    """
    started = time.monotonic()
    x = scaling.check(features, "features", missing=True)
    y = scaling.check(targets, "curves", shape=(len(x), *np.shape(targets)[1:]))
    members, rounds = [], []
    released = settings.variant == "released"
    for i in range(1 if released else settings.num_members):
        key_member = jax.random.fold_in(key, i)
        key_compress, key_fit = jax.random.split(key_member)
        options: dict[str, Any] = {"rank": settings.rank or _rank(settings)}
        if settings.compression == "svd":
            options["centered"] = settings.centered and not released
        compressor = compression.fit(settings.compression, key_compress, y, **options)
        codes = np.asarray(compression.compress(compressor, jnp.asarray(y)))
        if settings.regressor == "mlp":
            regressor: Any = mlp.fit(key_fit, x, codes)
        else:
            library = _library(settings)
            chosen = _rounds(x, codes, library, i, settings)
            regressor = boosting.fit_chain(
                x, codes, library, i, chained=settings.chained, num_rounds=chosen
            )
            rounds.append(chosen)
        members.append(Member(regressor, compressor))
        if i == 0:
            reconstructed = compression.reconstruct(compressor, y)
    seconds = time.monotonic() - started
    return Mean(tuple(members), reconstructed, seconds, tuple(rounds))


def _rank(settings: Settings) -> int:
    if settings.variant == "released" or settings.compression == "vae":
        return 5
    return 6


def _library(settings: Settings) -> boosting.Settings:
    library = boosting.settings(
        _LIBRARIES[settings.regressor], settings.variant, settings.boosting
    )
    library = dataclasses.replace(library, num_threads=settings.num_threads)
    if settings.variant == "thesis" and settings.num_rounds:
        library = dataclasses.replace(library, num_rounds=settings.num_rounds)
    if settings.num_members > 1:
        library = boosting.for_ensemble(library)
    return library


def _rounds(
    features: np.ndarray,
    codes: np.ndarray,
    library: boosting.Settings,
    seed: int,
    settings: Settings,
) -> tuple[int, ...]:
    """Trees of each component."""
    if not settings.early_stopping:
        rounds: tuple[int, ...] = (library.num_rounds,) * codes.shape[1]
        return rounds
    return early_stopping.choose_rounds(
        features,
        codes,
        library,
        seed,
        patience=settings.early_stopping,
        chained=settings.chained,
    )


def add_noise(
    key: Key,
    mean: Mean,
    targets: ArrayLike,
    settings: Settings,
    metric: str,
    *,
    noise: noise_models.NoiseModel | None = None,
) -> CurveModel:
    """The model of a metric: the ensemble and its noise.

    Args:
      key: of noise models that are trained.
      mean: from `fit_mean`.
      targets: `[N, T]`, the curves that it was fitted to.
      settings: `noise` and `variant` count here.
      metric: accuracies stay in [0, 1] and losses at least 0 with noise, unless the
        variant is `released`.
      noise: the metric's own of `fit_seed_noise`, where the settings say `"seeds"`.
    """
    residuals = np.asarray(targets, np.float64) - mean.reconstructed
    low, high = 0.0, 1.0 if metric.endswith("accuracy") else np.inf
    if settings.variant == "released":
        low, high = -np.inf, np.inf
    fitted = noise
    if settings.noise in ("none", "seeds"):
        pass
    elif settings.noise == "gkde" and settings.variant == "released":
        fitted = gkde.fit(
            residuals, variant="released", released_clip=settings.released_clip
        )
    else:
        fitted = noise_models.fit(settings.noise, key, mean.reconstructed, residuals)
    count = len(mean.members)
    return CurveModel(
        members=mean.members,
        weights=jnp.full(count, 1 / count),
        noise=fitted,
        low=jnp.asarray(low),
        high=jnp.asarray(high),
    )


def fit_seed_noise(
    repeats: Mapping[str, ArrayLike] | None, metrics: Collection[str]
) -> dict[str, seeds.SeedNoise]:
    """Noise of metrics that are drawn together, from repeated trainings.

    Args:
      repeats: by metric `[N, S, T]`, curves of S >= 2 seeds; a row that lacks one is
        left out.
      metrics: names of `repeats`.

    Raises:
      DataError: a metric was not trained with two seeds of at least two architectures.
    """
    given = {name: np.asarray(v) for name, v in (repeats or {}).items()}
    if lacking := sorted(set(metrics) - set(given)):
        raise errors.DataError(
            f"noise of seeds needs repeated trainings, and {', '.join(lacking)} has "
            "none: train more seeds, or choose a noise of gkde, std or window"
        )
    whole = np.all([np.isfinite(given[n]).all(axis=(1, 2)) for n in metrics], axis=0)
    return seeds.fit_joint({name: given[name][whole] for name in metrics})


def fit(
    key: Key,
    features: ArrayLike,
    targets: Mapping[str, ArrayLike],
    settings: Settings,
    *,
    noises: Mapping[str, noise_models.NoiseModel] | None = None,
) -> dict[str, CurveModel]:
    """One model for each metric.

    Args:
      key: of whatever the settings draw.
      features: float `[N, D]`.
      targets: by metric `[N, T]`.
      settings: what to fit.
      noises: by metric, of `fit_seed_noise`, where the settings say `"seeds"`.
    """
    models, given = {}, noises or {}
    for number, (metric, values) in enumerate(sorted(targets.items())):
        key_mean, key_noise = jax.random.split(jax.random.fold_in(key, number))
        mean = fit_mean(key_mean, features, values, settings)
        models[metric] = add_noise(
            key_noise, mean, values, settings, metric, noise=given.get(metric)
        )
    return models


def fit_seconds(features: ArrayLike, seconds: ArrayLike, settings: Settings) -> Seconds:
    """A boosted model of the logarithm of the training seconds `[N]`."""
    values = scaling.check(np.asarray(seconds)[:, None], "seconds", ndim=2)
    if values.min() <= 0:
        raise errors.DataError("training seconds must be positive")
    library = boosting.settings("lightgbm", preset=settings.boosting)
    most = min(settings.num_rounds or library.num_rounds, 1000)
    library = dataclasses.replace(
        library, num_rounds=most, num_threads=settings.num_threads
    )
    x, logarithms = np.asarray(features, np.float64), np.log(values)
    rounds = _rounds(x, logarithms, library, 0, settings)
    chain = boosting.fit_chain(x, logarithms, library, seed=0, num_rounds=rounds)
    return Seconds(None, (chain,), logarithm=True)
