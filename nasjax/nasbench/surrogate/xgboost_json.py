"""XGBoost's JSON, both the saved model and the dump, read without XGBoost."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasjax.core import errors
from nasjax.nasbench.surrogate import trees
from nasjax.nasbench.surrogate.trees import Trees

_IDENTITY_OBJECTIVES = (
    *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:absoluteerror"),
    *("reg:pseudohubererror", "reg:quantileerror"),
    *("rank:pairwise", "rank:ndcg", "rank:map"),
)
"""Objectives whose prediction is the sum of the trees and the base score."""
_MISSING_LEFT = trees.DEFAULT_LEFT | trees.NAN_IS_MISSING << trees.MISSING_SHIFT
_MISSING_RIGHT = trees.NAN_IS_MISSING << trees.MISSING_SHIFT


def parse(model: Any) -> Trees:
    """The trees of an XGBoost regression model.

    Args:
      model: the JSON text that `Booster.save_model("model.json")` or
        `save_raw("json")` writes (text or bytes), its object, an `xgboost.Booster` or
        a fitted `xgboost.XGBRegressor`. Of a regressor that stopped early, the trees
        up to the best iteration, as its `predict` does; of a booster all of them.

    Returns:
      Trees, the base score in `bias`, the weights of a dart model in the leaves.

    Raises:
      errors.DataError: the model is malformed, or of a kind that has no such sum of
        trees: linear boosters, several outputs, objectives that transform the sum,
        categories of data frames.
    """
    num_rounds = None
    if hasattr(model, "get_booster"):
        best = getattr(model, "best_iteration", None)
        num_rounds = None if best is None else best + 1
        model = model.get_booster()
    if hasattr(model, "save_raw"):
        model = bytes(model.save_raw("json"))
    learner = _object(_json(model), "learner")
    booster = _object(learner, "gradient_booster")
    _refuse_unsupported(learner, booster)
    weights = None
    if booster["name"] == "dart":
        weights = np.asarray(booster.get("weight_drop", []), np.float32)
        booster = _object(booster, "gbtree")
    listed = _object(_object(booster, "model"), "trees", list)
    if num_rounds is not None:
        parallel = _object(booster["model"], "gbtree_model_param")
        listed = listed[: num_rounds * int(parallel.get("num_parallel_tree", 1) or 1)]
    if weights is not None and len(weights) < len(listed):
        raise _malformed("weight_drop is shorter than the list of trees")
    parameters = _object(learner, "learner_model_param")
    try:
        parsed = [_saved_tree(tree) for tree in listed]
        bias = _base_score(parameters.get("base_score", "0"))
        num_features = int(parameters["num_feature"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _malformed(f"{type(error).__name__}: {error}") from error
    for tree, weight in zip(parsed, [] if weights is None else weights, strict=False):
        tree["value"] = tree["value"] * np.float64(weight)
    return _assembled(parsed, num_features=num_features, bias=bias)


def parse_dump(dump: Sequence[str], *, num_features: int, base_score: float) -> Trees:
    """The trees of `Booster.get_dump(dump_format="json")`.

    Args:
      dump: one JSON text for each tree. Features have the names f0, f1, ...: dump
        without a feature map and from a booster without feature names.
      num_features: D.
      base_score: what the dump leaves out; `Booster.save_config()` has it.

    Returns:
      Trees; those of a dart model lack its weights, which the dump does not hold.

    Raises:
      errors.DataError: a tree is malformed or has a split without a condition.
    """
    try:
        parsed = [_dumped_tree(json.loads(text)) for text in dump]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _malformed(f"{type(error).__name__}: {error}") from error
    return _assembled(parsed, num_features=num_features, bias=base_score)


def _json(model: Any) -> Any:
    if isinstance(model, dict):
        return model
    if not isinstance(model, str | bytes | bytearray):
        raise errors.DataError(
            f"not an XGBoost model: {type(model).__name__}; pass a Booster or the text "
            "of its JSON file"
        )
    try:
        return json.loads(model)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(
            "the XGBoost model is not JSON (UBJSON and the old binary form are not "
            "read); save it with Booster.save_model('model.json')"
        ) from error


def _object(parent: Any, name: str, kind: type = dict) -> Any:
    found = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(found, kind):
        raise _malformed(f"{name} is missing")
    return found


def _malformed(what: str) -> errors.DataError:
    return errors.DataError(
        f"the XGBoost model is malformed: {what}; get or save it again"
    )


def _refuse_unsupported(learner: dict[str, Any], booster: dict[str, Any]) -> None:
    refusals = []
    name, objective = booster.get("name"), _object(learner, "objective").get("name")
    parameters = _object(learner, "learner_model_param")
    if name not in ("gbtree", "dart"):
        refusals.append(f"booster={name} (known: gbtree, dart)")
    if objective not in _IDENTITY_OBJECTIVES:
        refusals.append(
            f"objective={objective}: its predictions are not the sum of trees"
        )
    for key in ("num_class", "num_target"):
        if str(parameters.get(key, "0")) not in ("0", "1"):
            refusals.append(f"{key}={parameters[key]}: several outputs")
    inner = booster.get("gbtree", booster)
    model = inner.get("model", {}) if isinstance(inner, dict) else {}
    categories = model.get("cats") if isinstance(model, dict) else None
    if isinstance(categories, dict) and categories.get("enc"):
        refusals.append("categories of a data frame: fit on an array of integers")
    if refusals:
        raise errors.DataError(
            f"XGBoost model not supported: {'; '.join(refusals)}. Supported are "
            "regression models of one output"
        )


def _base_score(text: Any) -> float:
    """A number, or since version 3.1 a list of one."""
    content = json.loads(text) if isinstance(text, str) else text
    scores = np.atleast_1d(np.asarray(content, np.float32))
    if len(scores) != 1:
        raise ValueError(f"base_score has {len(scores)} numbers")
    return float(scores[0])


def _saved_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """Node records of a saved tree, from those that the root reaches."""
    size = int(tree["tree_param"].get("size_leaf_vector", "1") or 1)
    if size > 1:
        raise errors.DataError(
            f"XGBoost model not supported: size_leaf_vector={size}: several outputs"
        )
    left = np.asarray(tree["left_children"], np.int64)
    right = np.asarray(tree["right_children"], np.int64)
    number = len(left)
    conditions = np.asarray(tree["split_conditions"], np.float64).astype(np.float32)
    split_type = np.asarray(tree.get("split_type") or np.zeros(number), np.int64)
    reached = np.zeros(number, bool)
    frontier = np.array([0])
    while len(frontier):
        again = reached[frontier].any() or len(np.unique(frontier)) < len(frontier)
        if again or (frontier < 0).any():
            raise ValueError("a node is reached twice, or is none")
        reached[frontier] = True
        inner = frontier[left[frontier] != -1]
        frontier = np.concatenate([left[inner], right[inner]])
    inner = np.flatnonzero(reached & (left != -1))
    leaves = np.flatnonzero(reached & (left == -1))
    child = np.zeros(number, np.int64)
    child[inner] = np.arange(len(inner))
    child[leaves] = -1 - np.arange(len(leaves))
    categories = np.asarray(tree.get("categories", []), np.int64)
    starts = dict(
        zip(
            tree.get("categories_nodes", []),
            zip(
                tree.get("categories_segments", []),
                tree.get("categories_sizes", []),
                strict=True,
            ),
            strict=True,
        )
    )
    sets = {}
    for node in inner[split_type[inner] == 1]:
        begin, count = starts[int(node)]
        sets[int(node)] = categories[begin : begin + count]
    return _nodes(
        feature=np.asarray(tree["split_indices"], np.int64)[inner],
        condition=conditions[inner],
        left=child[left[inner]],
        right=child[right[inner]],
        default_left=np.asarray(tree["default_left"], bool)[inner],
        categories=[sets.get(int(node)) for node in inner],
        value=conditions[leaves],
    )


def _dumped_tree(root: dict[str, Any]) -> dict[str, Any]:
    """Node records of a dumped tree, where children hang below their parents."""
    inner: list[dict[str, Any]] = []
    value: list[float] = []
    children: dict[int, int] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if "leaf" in node:
            value.append(float(node["leaf"]))
            children[int(node["nodeid"])] = -len(value)
            continue
        if "split_condition" not in node:
            raise ValueError(f"split {node['split']!r} has no condition")
        children[int(node["nodeid"])] = len(inner)
        inner.append(node)
        waiting.extend(node["children"])
    names = [str(node["split"]) for node in inner]
    if not all(name[0] == "f" and name[1:].isdecimal() for name in names):
        raise ValueError("features are not named f0, f1, ...")
    conditions = [node["split_condition"] for node in inner]
    is_set = [isinstance(condition, list) for condition in conditions]
    sides = [(children[int(n["yes"])], children[int(n["no"])]) for n in inner]
    # A set is written with the side of its members as "yes", which is the right child.
    sides = [s[::-1] if c else s for s, c in zip(sides, is_set, strict=True)]
    pairs = zip(conditions, is_set, strict=True)
    return _nodes(
        feature=np.array([int(name[1:]) for name in names], np.int64),
        condition=np.array([0 if c else v for v, c in pairs], np.float32),
        left=np.array([s[0] for s in sides], np.int64),
        right=np.array([s[1] for s in sides], np.int64),
        default_left=np.array(
            [
                children[int(node["missing"])] == side[0]
                for node, side in zip(inner, sides, strict=True)
            ],
            bool,
        ),
        categories=[
            np.array(v, np.int64) if c else None
            for v, c in zip(conditions, is_set, strict=True)
        ],
        value=np.array(value, np.float32),
    )


def _nodes(
    *,
    feature: np.ndarray,
    condition: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    default_left: np.ndarray,
    categories: list[np.ndarray | None],
    value: np.ndarray,
) -> dict[str, Any]:
    """Turns XGBoost's conventions into ours.

    Its x < t is our x <= t' with the float32 before t. Categories in its sets go to
    the right; we swap the children.
    """
    members = [each for each in categories if each is not None]
    chosen = np.array([each is not None for each in categories], bool)
    before = np.nextafter(condition, np.float32(-np.inf))
    threshold = np.where(chosen, np.cumsum(chosen) - 1, before.astype(np.float64))
    missing_left = np.where(chosen, ~default_left, default_left)
    kind = np.where(missing_left, _MISSING_LEFT, _MISSING_RIGHT)
    return {
        "feature": feature,
        "kind": kind | np.where(chosen, trees.CATEGORICAL, 0),
        "threshold": threshold,
        "left": np.where(chosen, right, left),
        "right": np.where(chosen, left, right),
        "value": value.astype(np.float64),
        "chosen": chosen,
        "sets": members,
    }


def _assembled(
    parsed: list[dict[str, Any]], *, num_features: int, bias: float
) -> Trees:
    def joined(name: str, kind: type = int) -> np.ndarray:
        return np.concatenate([np.zeros(0, kind), *(tree[name] for tree in parsed)])

    sets = [members for tree in parsed for members in tree["sets"]]
    before = np.cumsum([0, *(len(tree["sets"]) for tree in parsed)])
    thresholds = [
        tree["threshold"] + start * tree["chosen"]
        for tree, start in zip(parsed, before, strict=False)
    ]
    return trees.build(
        num_features=num_features,
        library=trees.XGBOOST,
        bias=bias,
        num_leaves=[len(tree["value"]) for tree in parsed],
        threshold=np.concatenate([np.zeros(0), *thresholds]),
        value=joined("value", float),
        set_start=np.cumsum([0, *(len(members) for members in sets)]),
        set_members=np.concatenate([np.zeros(0, int), *sets]),
        **{name: joined(name) for name in ("feature", "kind", "left", "right")},
    )
