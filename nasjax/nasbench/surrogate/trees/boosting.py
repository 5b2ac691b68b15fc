"""Fitting boosted trees with LightGBM and XGBoost themselves.

The fitted models become pytrees (`forest.Chain`); predicting needs neither library.
"""

import dataclasses
import functools
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasjax.core import errors
from nasjax.nasbench.surrogate.trees import lightgbm_text, xgboost_json
from nasjax.nasbench.surrogate.trees.forest import Chain

VARIANTS = ("thesis", "released")
PRESETS: dict[str, dict[str, Any]] = {
    "thesis": {},
    "compact": {"num_rounds": 600, "leaves": 32, "learning_rate": 0.03},
    "small": {"num_rounds": 300, "leaves": 16, "learning_rate": 0.05},
}
"""Sizes of forests by name: the thesis' 3,000 trees of 40 leaves, and a fifth and a
twentieth of them, which learn faster from little regularised leaves of five rows and
more. With thousands of architectures both predict as well as the large forest or
better."""
_RATE = 0.02182249761978233
_CHILD_WEIGHT = 0.582192788716
_ALPHA = 0.011489772418204284
_LAMBDA = 134.50743557010372


@dataclasses.dataclass(frozen=True)
class LightGBM:
    """Settings of LightGBM; the defaults are NAS-Bench-x11's.

    Attributes:
      num_rounds: trees of each component, fixed or at most (`early_stopping`).
      num_leaves: of a tree, at most.
      max_depth: at most.
      learning_rate: shrinkage of each tree.
      min_child_weight: least sum of Hessians in a leaf.
      min_child_samples: least number of rows in a leaf.
      reg_alpha: L1 penalty of leaf values.
      reg_lambda: L2 penalty of leaf values.
      max_bin: values that a feature is binned to, at most.
      bagging_fraction: share of the rows that each tree sees.
      feature_fraction: share of the features that each tree sees.
      pass_seed: whether the seed reaches the library.
      num_threads: of the library; more than there are idle cores makes it far slower.
    """

    num_rounds: int = 3000
    num_leaves: int = 40
    max_depth: int = 18
    learning_rate: float = _RATE
    min_child_weight: float = _CHILD_WEIGHT
    min_child_samples: int = 20
    reg_alpha: float = _ALPHA
    reg_lambda: float = _LAMBDA
    max_bin: int = 255
    bagging_fraction: float = 1.0
    feature_fraction: float = 1.0
    pass_seed: bool = True
    num_threads: int = 1


@dataclasses.dataclass(frozen=True)
class XGBoost:
    """Settings of XGBoost; the defaults are those of `LightGBM` where both have them.

    Attributes:
      num_rounds: trees of each component, fixed or at most (`early_stopping`).
      max_leaves: of a tree, at most, split where the gain is highest; 0: no limit,
        split level by level.
      max_depth: at most.
      learning_rate: shrinkage of each tree.
      min_child_weight: least sum of Hessians in a leaf.
      reg_alpha: L1 penalty of leaf values.
      reg_lambda: L2 penalty of leaf values.
      max_bin: values that a feature is binned to, at most.
      bagging_fraction: share of the rows that each tree sees.
      feature_fraction: share of the features that each tree sees.
      pass_seed: whether the seed reaches the library.
      num_threads: of the library; more than there are idle cores makes it far slower.
    """

    num_rounds: int = 3000
    max_leaves: int = 40
    max_depth: int = 18
    learning_rate: float = _RATE
    min_child_weight: float = _CHILD_WEIGHT
    reg_alpha: float = _ALPHA
    reg_lambda: float = _LAMBDA
    max_bin: int = 256
    bagging_fraction: float = 1.0
    feature_fraction: float = 1.0
    pass_seed: bool = True
    num_threads: int = 1


Settings = LightGBM | XGBoost
LIBRARIES: dict[str, type[LightGBM] | type[XGBoost]] = {
    "lightgbm": LightGBM,
    "xgboost": XGBoost,
}


def settings(library: str, variant: str = "thesis", preset: str = "thesis") -> Settings:
    """Settings of a library by name.

    Args:
      library: a name of `LIBRARIES`.
      variant: `"released"` does what the released code does: no seed reaches the
        library, so that the members of an ensemble are equal, and XGBoost makes its
        default of 100 trees, because the names of the number of rounds and of the
        limit on leaves are none of its own.
      preset: a name of `PRESETS`; `"released"` has its own size, that of `"thesis"`.

    Raises:
      errors.ConfigError: one of the names is unknown, or a preset is asked for that
        the variant does not have.
    """
    if library not in LIBRARIES:
        raise errors.unknown_name("boosting library", library, LIBRARIES)
    if variant not in VARIANTS:
        raise errors.unknown_name("variant", variant, VARIANTS)
    if preset not in PRESETS:
        raise errors.unknown_name("preset of boosting", preset, PRESETS)
    if variant == "thesis":
        return _sized(library, dict(PRESETS[preset]))
    if preset != "thesis":
        raise errors.ConfigError(
            f"boosting is {preset!r}: the variant released has only 'thesis'"
        )
    if library == "xgboost":
        return XGBoost(num_rounds=100, max_leaves=0, pass_seed=False)
    return LightGBM(pass_seed=False)


def _sized(library: str, preset: dict[str, Any]) -> Settings:
    """The settings of a preset; Hessians are 1, so that their sum counts rows."""
    if not preset:
        return LIBRARIES[library]()
    leaves = preset.pop("leaves")
    preset |= {"reg_alpha": 0.0, "reg_lambda": 1.0}
    if library == "xgboost":
        return XGBoost(max_leaves=leaves, min_child_weight=5.0, **preset)
    return LightGBM(num_leaves=leaves, min_child_samples=5, **preset)


def for_ensemble(
    settings: Settings, *, bagging_fraction: float = 0.9, feature_fraction: float = 0.9
) -> Settings:
    """The settings with rows and features drawn for each tree.

    Without drawing, boosting does not depend on the seed, and all members of an
    ensemble are the same model.
    """
    return dataclasses.replace(
        settings, bagging_fraction=bagging_fraction, feature_fraction=feature_fraction
    )


def fit_chain(
    features: np.ndarray,
    targets: np.ndarray,
    settings: Settings,
    seed: int,
    *,
    chained: bool = True,
    categorical: Sequence[int] = (),
    num_rounds: Sequence[int] | None = None,
) -> Chain:
    """One model for each target; in a chain each also sees the targets before it.

    Fitting uses the true targets as features, predicting the predictions, as
    scikit-learn's `RegressorChain` does.

    Args:
      features: `[N, D]`; NaN where a value is missing.
      targets: `[N, k]`.
      settings: `LightGBM` or `XGBoost`.
      seed: from 0; what rows and features are drawn with.
      chained: False fits the targets independently of each other.
      categorical: columns that hold categories, integers from 0.
      num_rounds: trees of each target's model, as `early_stopping.choose_rounds` says;
        default: what the settings say.

    Raises:
      errors.ConfigError: a setting is out of range, or XGBoost is not installed.
      errors.DataError: features or targets are not what is said above.
    """
    features = np.asarray(features, np.float64)
    targets = np.asarray(targets, np.float64)
    _check(features, targets, settings, categorical)
    models = []
    for j in range(targets.shape[1]):
        seen = np.concatenate([features, targets[:, : j * chained]], axis=1)
        if num_rounds is not None:
            settings = dataclasses.replace(settings, num_rounds=num_rounds[j])
        booster = train(seen, targets[:, j], settings, seed, tuple(categorical))
        is_lightgbm = isinstance(settings, LightGBM)
        parse = lightgbm_text.parse if is_lightgbm else xgboost_json.parse
        models.append(parse(booster))
    return Chain.build(models, chained=chained)


def train(
    features: np.ndarray,
    target: np.ndarray,
    settings: Settings,
    seed: int,
    categorical: tuple[int, ...] = (),
    *,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
    patience: int = 0,
) -> Any:
    """The library's own booster of one target.

    Args:
      features: `[N, D]`.
      target: `[N]`.
      settings: `LightGBM` or `XGBoost`.
      seed: what rows and features are drawn with.
      categorical: columns that hold categories.
      held_out: features and target of other rows; training ends when their squared
        error has not fallen for `patience` rounds.
      patience: rounds.
    """
    fit = _train_lightgbm if isinstance(settings, LightGBM) else _train_xgboost
    return fit(features, target, categorical, settings, seed, held_out, patience)


def _check(
    features: np.ndarray,
    targets: np.ndarray,
    settings: Settings,
    categorical: Sequence[int],
) -> None:
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
        raise errors.DataError(
            f"features {features.shape} and targets {targets.shape} are not [N, D] and "
            "[N, k] of the same N"
        )
    if not features.size or not targets.size:
        raise errors.DataError("there is nothing to fit: features or targets are empty")
    if not np.isfinite(targets).all():
        raise errors.DataError("targets are not finite; leave those rows out")
    if np.isinf(features).any():
        raise errors.DataError("features are infinite; clip them, or use NaN: missing")
    for column in categorical:
        if not 0 <= column < features.shape[1]:
            raise errors.ConfigError(
                f"categorical column {column}: there are {features.shape[1]} columns"
            )
        present = features[:, column]
        present = present[~np.isnan(present)]
        if (present < 0).any() or (present != np.trunc(present)).any():
            raise errors.DataError(
                f"column {column} is categorical, but not of integers from 0; use NaN "
                "for missing ones"
            )
    for name in ("bagging_fraction", "feature_fraction"):
        if not 0 < getattr(settings, name) <= 1:
            raise errors.ConfigError(
                f"{name}={getattr(settings, name)} is not above 0 and at most 1"
            )
    if settings.num_rounds < 1:
        raise errors.ConfigError(f"num_rounds={settings.num_rounds} is not positive")


def _train_lightgbm(
    features: np.ndarray,
    target: np.ndarray,
    categorical: tuple[int, ...],
    settings: Any,
    seed: int,
    held_out: tuple[np.ndarray, np.ndarray] | None,
    patience: int,
) -> Any:
    import lightgbm

    parameters: dict[str, Any] = {
        "objective": "regression",
        "num_leaves": settings.num_leaves,
        "max_depth": settings.max_depth,
        "learning_rate": settings.learning_rate,
        "min_sum_hessian_in_leaf": settings.min_child_weight,
        "min_data_in_leaf": settings.min_child_samples,
        "lambda_l1": settings.reg_alpha,
        "lambda_l2": settings.reg_lambda,
        "max_bin": settings.max_bin,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": int(settings.bagging_fraction < 1),
        "feature_fraction": settings.feature_fraction,
        "num_threads": settings.num_threads,
        "verbosity": -1,
        # The same model for every number of threads.
        "deterministic": True,
        "force_row_wise": True,
    }
    if settings.pass_seed:
        parameters["seed"] = seed
    data = lightgbm.Dataset(
        features, target, categorical_feature=list(categorical), params=parameters
    )
    options: dict[str, Any] = {}
    if held_out is not None:
        options = {
            "valid_sets": [data.create_valid(*held_out)],
            "callbacks": [lightgbm.early_stopping(patience, verbose=False)],
        }
    return lightgbm.train(
        parameters, data, num_boost_round=settings.num_rounds, **options
    )


@functools.cache
def _xgboost() -> types.ModuleType:
    try:
        import xgboost
    except ImportError as error:
        raise errors.ConfigError(
            "XGBoost is not installed; pip install 'nasjax[xgb]', or fit with LightGBM"
        ) from error
    return xgboost


def _train_xgboost(
    features: np.ndarray,
    target: np.ndarray,
    categorical: tuple[int, ...],
    settings: Any,
    seed: int,
    held_out: tuple[np.ndarray, np.ndarray] | None,
    patience: int,
) -> Any:
    xgboost = _xgboost()
    parameters: dict[str, Any] = {
        "objective": "reg:squarederror",
        "tree_method": "hist",
        "grow_policy": "lossguide" if settings.max_leaves else "depthwise",
        "max_leaves": settings.max_leaves,
        "max_depth": settings.max_depth,
        "learning_rate": settings.learning_rate,
        "min_child_weight": settings.min_child_weight,
        "reg_alpha": settings.reg_alpha,
        "reg_lambda": settings.reg_lambda,
        "max_bin": settings.max_bin,
        "subsample": settings.bagging_fraction,
        "colsample_bytree": settings.feature_fraction,
        "nthread": settings.num_threads,
        "verbosity": 0,
    }
    if settings.pass_seed:
        parameters["seed"] = seed
    kinds = ["c" if i in categorical else "q" for i in range(features.shape[1])]

    def matrix(features: np.ndarray, target: np.ndarray) -> Any:
        return xgboost.DMatrix(
            features,
            target,
            feature_types=kinds,
            enable_categorical=True,
            nthread=settings.num_threads,
        )

    options: dict[str, Any] = {}
    if held_out is not None:
        options = {
            "evals": [(matrix(*held_out), "held_out")],
            "early_stopping_rounds": patience,
            "verbose_eval": False,
        }
    return xgboost.train(
        parameters,
        matrix(features, target),
        num_boost_round=settings.num_rounds,
        **options,
    )
