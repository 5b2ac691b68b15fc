"""Boosters of LightGBM and XGBoost in pickles: their text, without either library.

Everything around a booster that changes what it predicts is worked into the text (the
best iteration of one that stopped early) or refused by name (missing values that are
not NaN).
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nasjax.core import safe_pickle
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import xgboost_rounds, xgboost_snapshot


class BoosterModel(NamedTuple):
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


def _default_dict(_: Any = None) -> dict[Any, Any]:
    """`collections.defaultdict`; what its missing items are is not kept."""
    return {}


def _empty_dict() -> dict[Any, Any]:
    """`dict`, which older defaultdicts name as what their missing items are."""
    return {}


def _bytearray(data: Any = b"") -> bytes:
    """`bytearray` of bytes, as protocols 2 to 4 write it."""
    if not isinstance(data, bytes):
        raise DataError(f"refused a bytearray of {type(data).__name__}")
    return data


ALLOW: dict[tuple[str, str], Callable[..., Any]] = {
    **safe_pickle.NUMPY,
    ("builtins", "bytearray"): _bytearray,
    ("__builtin__", "bytearray"): _bytearray,
    ("builtins", "dict"): _empty_dict,
    ("__builtin__", "dict"): _empty_dict,
    ("collections", "defaultdict"): _default_dict,
    ("lightgbm.basic", "Booster"): _LIGHTGBM,
    ("lightgbm.sklearn", "LGBMRegressor"): _ESTIMATOR,
    ("xgboost.core", "Booster"): _XGBOOST,
    ("xgboost.sklearn", "XGBRegressor"): _ESTIMATOR,
    ("xgboost.sklearn", "XGBRFRegressor"): _ESTIMATOR,
}
"""Allow-list of boosters and their regressors; each becomes an inert stub."""


def is_booster(value: Any) -> bool:
    """Whether an object of the file is a booster itself."""
    return isinstance(value, _LIGHTGBM | _XGBOOST)


def read(value: Any, *, name: str) -> BoosterModel:
    """The model of a booster or of a fitted regressor around one.

    Args:
      value: what the allow-list made of it.
      name: what error messages call the file.

    Raises:
      DataError: it is neither, it is not fitted, or its model is damaged.
    """
    estimator: dict[str, Any] | None = None
    if isinstance(value, _ESTIMATOR):
        estimator = value.state if isinstance(value.state, dict) else {}
        value = estimator.get("_Booster")
    if not is_booster(value) or not isinstance(value.state, dict):
        raise DataError(
            f"{name}: holds no fitted model of LightGBM or XGBoost where one should be"
        )
    handle = value.state.get("handle", value.state.get("_handle"))
    if isinstance(value, _XGBOOST) and isinstance(handle, bytes | bytearray):
        return BoosterModel("xgboost", _xgboost_text(handle, estimator, name))
    if isinstance(value, _LIGHTGBM) and isinstance(handle, str):
        if handle.startswith("tree\n"):
            if "end of trees" not in handle:
                raise DataError(
                    f"{name}: a LightGBM model without 'end of trees': it is truncated "
                    "or of a version before 2.2; save it again with a newer one"
                )
            best = value.state.get("best_iteration")
            return BoosterModel("lightgbm", _first_iterations(handle, best, name))
    raise DataError(f"{name}: a booster without its model; save the fitted one")


def _xgboost_text(
    handle: bytes | bytearray, estimator: dict[str, Any] | None, name: str
) -> str:
    """A booster predicts with all of its trees, an estimator with the best ones."""
    model = xgboost_snapshot.document(handle, name=name)
    if estimator is not None:
        xgboost_rounds.check_missing(estimator.get("missing"), f"{name}: XGBRegressor")
        with safe_pickle.reading(name):
            # Before 1.4 fitting left its number of trees in the estimator.
            num_trees = estimator.get("best_ntree_limit")
            if num_trees is None:
                best = estimator.get("best_iteration")
                num_trees = xgboost_rounds.best_trees(model, best)
            kept = int(num_trees) if num_trees else None
            model = xgboost_rounds.first_trees(model, kept)
    else:
        # A booster that has loaded the file of an estimator predicts as a booster.
        model["learner"].get("attributes", {}).pop("scikit_learn", None)
    return json.dumps(model)


def _first_iterations(text: str, best: Any, name: str) -> str:
    """The text that `model_to_string(num_iteration=best)` gives.

    A pickled booster holds all trees and, beside them, how many it predicts with.
    """
    if best is None:
        return text
    if isinstance(best, bool) or not isinstance(best, int | np.integer):
        raise DataError(
            f"{name}: best_iteration of the LightGBM booster is of type "
            f"{type(best).__name__}, not a whole number; set it to one and save again"
        )
    if best <= 0:
        return text
    found = re.search(r"^num_tree_per_iteration=(\d{1,9})$", text, re.MULTILINE)
    kept = best * (int(found[1]) if found else 1)
    start, end = text.find(f"\nTree={kept}\n"), text.find("\nend of trees")
    if start < 0 or end < start:
        return text
    text = text[:start] + "\n" + text[end:]
    sizes = re.search(r"^tree_sizes=(.*)$", text, re.MULTILINE)
    if sizes is None:
        raise DataError(f"{name}: a LightGBM model without tree_sizes; save it again")
    first = " ".join(sizes[1].split()[:kept])
    return text[: sizes.start(1)] + first + text[sizes.end(1) :]
