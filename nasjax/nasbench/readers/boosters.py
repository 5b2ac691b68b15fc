"""Boosters of LightGBM and XGBoost in pickles: their text, without either library."""

from collections.abc import Callable
from typing import Any, NamedTuple

from nasjax.core import safe_pickle
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import xgboost_snapshot


class Model(NamedTuple):
    """One booster.

    Attributes:
      library: `"lightgbm"` or `"xgboost"`.
      text: what `lightgbm.Booster.model_to_string` returns, or the JSON text that
        `xgboost.Booster.save_model` writes.
    """

    library: str
    text: str


_LIGHTGBM = safe_pickle.stub("LightGBM")
_XGBOOST = safe_pickle.stub("XGBoost")
_ESTIMATOR = safe_pickle.stub("Estimator")


def _default_dict(_: Any = None) -> dict:
    """`collections.defaultdict`; what its missing items are is not kept."""
    return {}


def _bytearray(data: Any = b"") -> bytes:
    """`bytearray` of bytes, as protocols 2 to 4 write it."""
    if not isinstance(data, bytes):
        raise DataError(f"refused a bytearray of {type(data).__name__}")
    return data


ALLOW: dict[tuple[str, str], Callable] = {
    **safe_pickle.NUMPY,
    ("builtins", "bytearray"): _bytearray,
    ("__builtin__", "bytearray"): _bytearray,
    ("collections", "defaultdict"): _default_dict,
    ("lightgbm.basic", "Booster"): _LIGHTGBM,
    ("lightgbm.sklearn", "LGBMRegressor"): _ESTIMATOR,
    ("xgboost.core", "Booster"): _XGBOOST,
    ("xgboost.sklearn", "XGBRegressor"): _ESTIMATOR,
}
"""Allow-list of boosters and their regressors; each becomes an inert stub."""


def is_booster(value: Any) -> bool:
    """Whether an object of the file is a booster itself."""
    return isinstance(value, _LIGHTGBM | _XGBOOST)


def read(value: Any, *, name: str) -> Model:
    """The model of a booster or of a fitted regressor around one.

    Args:
      value: what the allow-list made of it.
      name: what error messages call the file.

    Raises:
      DataError: it is neither, it is not fitted, or its model is damaged.
    """
    if isinstance(value, _ESTIMATOR):
        state = value.state if isinstance(value.state, dict) else {}
        value = state.get("_Booster")
    if not is_booster(value) or not isinstance(value.state, dict):
        raise DataError(
            f"{name}: holds no fitted model of LightGBM or XGBoost where one should be"
        )
    handle = value.state.get("handle", value.state.get("_handle"))
    if isinstance(value, _XGBOOST) and isinstance(handle, bytes | bytearray):
        return Model("xgboost", xgboost_snapshot.model_json(handle, name=name))
    if isinstance(value, _LIGHTGBM) and isinstance(handle, str):
        if handle.startswith("tree\n") and "end of trees" in handle:
            return Model("lightgbm", handle)
    raise DataError(f"{name}: a booster without its model; save the fitted one")
