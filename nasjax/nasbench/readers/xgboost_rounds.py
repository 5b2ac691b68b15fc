"""The trees of an XGBoost model that its `predict` takes: not all after early stopping.

A booster predicts with all of its trees, an estimator (`XGBRegressor`) with those up to
its best iteration, which is an attribute of the booster, of its JSON too.
"""

import json
from typing import Any

import numpy as np

from nasjax.core.errors import DataError


def best_trees(model: dict[str, Any], best_iteration: Any = None) -> int | None:
    """How many trees an estimator around this model predicts with; None: all.

    Args:
      model: the object of the model's JSON.
      best_iteration: of the estimator; None: the attribute of the booster.

    Raises:
      ValueError: the number is none.
    """
    learner = model["learner"]
    attributes = learner.get("attributes") or {}
    if best_iteration is None:
        best_iteration = attributes.get("best_iteration")
    if best_iteration is None:
        return None
    rounds = int(best_iteration) + 1
    inner = tree_model(learner["gradient_booster"])
    # Since version 2.0 it says where rounds begin.
    starts = inner.get("iteration_indptr")
    if starts:
        return int(starts[min(rounds, len(starts) - 1)])
    # From 1.4 to 1.7 the number of trees is an attribute, too.
    limit = int(attributes.get("best_ntree_limit") or 0)
    if limit > 0 and str(best_iteration) == str(attributes.get("best_iteration")):
        return limit
    parallel = inner["gbtree_model_param"].get("num_parallel_tree")
    if parallel is None:
        # Before 1.3 only the settings of the estimator have it.
        parallel = estimator_settings(model).get("num_parallel_tree")
    groups = len(set(inner.get("tree_info") or [0]))
    return rounds * int(parallel or 1) * groups


def first_trees(model: dict[str, Any], num_trees: int | None) -> dict[str, Any]:
    """The model of the first trees alone, which predicts so whoever loads it."""
    if num_trees is None:
        return model
    learner = model["learner"]
    booster = learner["gradient_booster"]
    inner = dict(tree_model(booster))
    for name in ("trees", "tree_info", "weight_drop"):
        if name in inner:
            inner[name] = inner[name][:num_trees]
    if inner.get("iteration_indptr"):
        inner["iteration_indptr"] = [
            start for start in inner["iteration_indptr"] if start <= num_trees
        ]
    kept = str(len(inner["trees"]))
    inner["gbtree_model_param"] = {**inner["gbtree_model_param"], "num_trees": kept}
    if "gbtree" in booster:
        booster = {**booster, "gbtree": {**booster["gbtree"], "model": inner}}
    else:
        booster = {**booster, "model": inner}
    if booster.get("weight_drop"):
        booster["weight_drop"] = booster["weight_drop"][:num_trees]
    attributes = {
        name: value
        for name, value in (learner.get("attributes") or {}).items()
        if name not in ("best_iteration", "best_ntree_limit")
    }
    learner = {**learner, "gradient_booster": booster, "attributes": attributes}
    return {**model, "learner": learner}


def tree_model(booster: dict[str, Any]) -> dict[str, Any]:
    """What holds the trees of a `gradient_booster`; dart's is one level further in."""
    model: dict[str, Any] = booster.get("gbtree", booster)["model"]
    return model


def estimator_settings(model: dict[str, Any]) -> dict[str, Any]:
    """What `XGBRegressor.save_model` has written of the estimator itself, or {}.

    Raises:
      ValueError: it is no JSON object.
    """
    attributes = model["learner"].get("attributes") or {}
    settings = json.loads(attributes.get("scikit_learn") or "{}")
    if not isinstance(settings, dict):
        raise ValueError("scikit_learn of the attributes is no JSON object")
    return settings


def check_missing(missing: Any, where: str) -> None:
    """Raises `DataError` where an estimator takes another number than NaN for missing.

    The trees alone do not say so, and would take that number for a value.
    """
    number = isinstance(missing, int | float | np.number)
    if missing is None or number and missing != missing:
        return
    value = f"{missing:g}" if number else f"a {type(missing).__name__}"
    raise DataError(
        f"{where} takes another number than NaN for a missing value (missing={value}); "
        "fit it with missing=nan on inputs that have NaN there"
    )
