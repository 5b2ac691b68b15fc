"""XGBoost's models, saved or dumped, read without XGBoost.

Every key that a model holds is known here, or the model is refused by that key's name:
a newer XGBoost may say with it what changes the prediction.
"""

import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasjax.core import errors, progress
from nasjax.nasbench.readers import xgboost_rounds, xgboost_snapshot
from nasjax.nasbench.surrogate.trees import tree_arrays
from nasjax.nasbench.surrogate.trees.tree_arrays import Trees

_IDENTITY_OBJECTIVES = (
    *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:absoluteerror"),
    *("reg:pseudohubererror", "reg:quantileerror", "reg:expectileerror"),
    *("rank:pairwise", "rank:ndcg", "rank:map"),
)
"""Objectives whose prediction is the sum of the trees and the base score."""
NEWEST_VERSION = (3, 4)
"""Of XGBoost; models that a newer one wrote are read as far as their keys are known."""
_MODEL_KEYS = {"gbtree_model_param", "trees", "tree_info", "iteration_indptr", "cats"}
_KNOWN_KEYS: dict[str, set[str]] = {
    "model file": {"learner", "version"},
    "learner": {"attributes", "feature_names", "feature_types", "gradient_booster"}
    | {"learner_model_param", "objective"},
    "learner_model_param": {"base_score", "boost_from_average", "num_class"}
    | {"num_feature", "num_target"},
    "objective": {"name", "reg_loss_param", "pseudo_huber_param", "lambdarank_param"}
    | {"quantile_loss_param", "expectile_loss_param", "lambda_rank_param"}
    | {"ti+", "tj-"},
    "gradient_booster": {"name", "model", "gbtree", "weight_drop"},
    "gbtree": {"name", "model"},
    "model": _MODEL_KEYS | {"weight_drop"},
    "gbtree_model_param": {"num_trees", "num_parallel_tree", "size_leaf_vector"},
    "cats": {"enc", "feature_segments", "sorted_idx"},
    "tree": {"base_weights", "categories", "categories_nodes", "categories_segments"}
    | {"categories_sizes", "default_left", "id", "leaf_child_counts", "left_children"}
    | {"loss_changes", "parents", "right_children", "split_conditions"}
    | {"split_indices", "split_type", "sum_hessian", "tree_param"},
    "tree_param": {"num_deleted", "num_feature", "num_nodes", "size_leaf_vector"},
    "node of a dump": {"children", "cover", "depth", "gain", "leaf", "missing", "no"}
    | {"nodeid", "split", "split_condition", "yes"},
}
_MISSING_LEFT = (
    tree_arrays.DEFAULT_LEFT | tree_arrays.NAN_IS_MISSING << tree_arrays.MISSING_SHIFT
)
_MISSING_RIGHT = tree_arrays.NAN_IS_MISSING << tree_arrays.MISSING_SHIFT


@tree_arrays.parsing("XGBoost")
def parse(model: Any) -> Trees:
    """The trees of an XGBoost regression model.

    Args:
      model: what `Booster.save_model("model.json")` or `save_raw("json")` writes (text
        or bytes), its object, the bytes of `model.ubj` or of a binary model of XGBoost
        before 3.1, an `xgboost.Booster` or a fitted `xgboost.XGBRegressor`. Of a
        regressor that stopped early, and of the file that it saved, the trees up to
        the best iteration, as its `predict` does; of a booster all of them.

    Returns:
      Trees, the base score in `bias`, the weights of a dart model in the leaves.

    Raises:
      errors.DataError: the model is malformed, or of a kind that has no such sum of
        trees: linear boosters, several outputs, objectives that transform the sum,
        categories of data frames, missing values that are not NaN; or it holds a key
        that is not known.
    """
    learner = _object(_first_rounds(model), "learner")
    booster = _object(learner, "gradient_booster")
    inner = _object(_object(booster, "gbtree") if "gbtree" in booster else booster)
    listed = _object(inner, "trees", list)
    weights = booster.get("weight_drop") or inner.get("weight_drop") or None
    parameters = _object(learner, "learner_model_param")
    parsed = [_saved_tree(tree) for tree in listed]
    bias = _base_score(parameters.get("base_score", "0"))
    num_features = int(parameters["num_feature"])
    weights = None if weights is None else np.asarray(weights, np.float32)
    if weights is None and booster["name"] == "dart" and listed:
        raise _malformed("a dart model without weight_drop")
    if weights is not None:
        if weights.shape != (len(listed),):
            raise _malformed("weight_drop and the list of trees differ in length")
        for tree, weight in zip(parsed, weights, strict=True):
            tree["value"] = tree["value"] * np.float64(weight)
    return _assembled(parsed, num_features=num_features, bias=bias)


@tree_arrays.parsing("XGBoost")
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
    parsed = [_dumped_tree(json.loads(text)) for text in dump]
    return _assembled(parsed, num_features=num_features, bias=base_score)


def _first_rounds(model: Any) -> dict[str, Any]:
    """The object of a model that is supported, without trees `predict` leaves out."""
    best = None
    if hasattr(model, "get_booster"):
        xgboost_rounds.check_missing(getattr(model, "missing", None), "XGBRegressor")
        try:
            booster = model.get_booster()
        except (AttributeError, ValueError) as error:
            raise errors.DataError(
                "the XGBoost regressor is not fitted; call fit first"
            ) from error
        best, model = getattr(model, "best_iteration", None), booster
    found = _loaded(model)
    _refuse_unsupported(found)
    # A booster that has loaded the file of an estimator still predicts as a booster.
    live = hasattr(model, "save_raw")
    settings = {} if live else xgboost_rounds.estimator_settings(found)
    if "missing" in settings:
        xgboost_rounds.check_missing(settings["missing"], "the saved XGBRegressor")
    if best is None and not settings:
        return found
    num_trees = xgboost_rounds.best_trees(found, best)
    return xgboost_rounds.first_trees(found, num_trees)


def _loaded(model: Any) -> dict[str, Any]:
    if hasattr(model, "save_raw"):
        model = bytes(model.save_raw("json"))
    if isinstance(model, dict):
        return model
    if isinstance(model, bytes | bytearray) and not xgboost_snapshot.is_json(model):
        return xgboost_snapshot.document(model, name="the XGBoost model")
    if not isinstance(model, str | bytes | bytearray):
        raise errors.DataError(
            f"not an XGBoost model: {type(model).__name__}; pass a Booster or the text "
            "of its JSON file"
        )
    try:
        if isinstance(model, str):
            model = model.removeprefix("\ufeff")
        found = json.loads(model)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(
            "the XGBoost model is not JSON; save it with "
            "Booster.save_model('model.json')"
        ) from error
    if not isinstance(found, dict):
        raise _malformed("its JSON is no object")
    return found


def _object(parent: Any, name: str = "model", kind: type = dict) -> Any:
    found = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(found, kind):
        raise _malformed(f"{name} is missing")
    return found


def _malformed(what: str) -> errors.DataError:
    return errors.DataError(
        f"the XGBoost model is malformed: {what}; get or save it again"
    )


def _refuse_unsupported(found: dict[str, Any]) -> None:
    learner = _object(found, "learner")
    booster = _object(learner, "gradient_booster")
    parameters = _object(learner, "learner_model_param")
    name, objective = booster.get("name"), _object(learner, "objective").get("name")
    refusals = []
    if name not in ("gbtree", "dart"):
        refusals.append(f"booster={_shown(name)} (known: gbtree, dart)")
    if objective not in _IDENTITY_OBJECTIVES:
        refusals.append(
            f"objective={_shown(objective)}: its predictions are not the sum of trees"
        )
    for key in ("num_class", "num_target"):
        if str(parameters.get(key, "0")) not in ("0", "1"):
            refusals.append(f"{key}={_shown(parameters[key])}: several outputs")
    if not refusals:
        inner = _object(_object(booster, "gbtree") if "gbtree" in booster else booster)
        categories = inner.get("cats")
        if isinstance(categories, dict) and any(categories.values()):
            refusals.append("categories of a data frame: fit on an array of integers")
        groups = inner.get("tree_info")
        if isinstance(groups, list) and any(groups):
            refusals.append("tree_info is not 0: several outputs")
        refusals += _unknown_keys(found, booster, inner)
    if refusals:
        raise errors.DataError(
            f"XGBoost model not supported: {'; '.join(refusals)}. Supported are "
            f"regression models of one output, of XGBoost up to {_TESTED}"
        )
    version = found.get("version", [0])
    known = isinstance(version, list) and all(
        type(number) is int and 0 <= number < 1000 for number in version
    )
    if not known:
        raise _malformed("version is no list of small integers")
    if tuple(version[:2]) > NEWEST_VERSION:
        _tell_newer(tuple(version[:2]))


def _unknown_keys(
    found: dict[str, Any], booster: dict[str, Any], inner: dict[str, Any]
) -> list[str]:
    """What each key that is not known is called, once."""
    learner = found["learner"]
    places: list[tuple[str, Any]] = [
        ("model file", found),
        ("learner", learner),
        ("learner_model_param", learner["learner_model_param"]),
        ("objective", learner["objective"]),
        ("gradient_booster", booster),
        ("gbtree", booster.get("gbtree")),
        ("model", inner),
        ("gbtree_model_param", inner.get("gbtree_model_param")),
        ("cats", inner.get("cats")),
    ]
    for tree in _object(inner, "trees", list):
        if not isinstance(tree, dict):
            raise _malformed("a tree is no JSON object")
        places += [("tree", tree), ("tree_param", tree.get("tree_param"))]
    refused: dict[str, None] = {}
    for place, content in places:
        if isinstance(content, dict) and content.keys() - _KNOWN_KEYS[place]:
            for key in sorted(content.keys() - _KNOWN_KEYS[place])[:3]:
                refused[f"{_shown(key)} in {place} is not known"] = None
    return list(refused)


def _shown(name: Any) -> str:
    """A name of the file for a message, short whatever it is."""
    return name[:40] if isinstance(name, str) else f"a {type(name).__name__}"


_TESTED = ".".join(map(str, NEWEST_VERSION))


@functools.cache
def _tell_newer(version: tuple[int, ...]) -> None:
    progress.echo(
        f"a model of XGBoost {'.'.join(map(str, version))}: this version of nasjax is "
        f"tested up to {_TESTED}; compare some predictions"
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
    left, right = _integers(tree["left_children"]), _integers(tree["right_children"])
    number = len(left)
    with np.errstate(over="ignore"):
        conditions = np.asarray(tree["split_conditions"], np.float64)
        conditions = conditions.astype(np.float32)
    split_type = _integers(tree.get("split_type") or [0] * number)
    feature = _integers(tree["split_indices"])
    default_left = _integers(tree["default_left"]) != 0
    lists = (right, conditions, split_type, feature, default_left)
    if any(each.shape != (number,) for each in lists):
        raise ValueError("lists of nodes differ in length")
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
    categories = _integers(tree.get("categories", []))
    starts = dict(
        zip(
            _integers(tree.get("categories_nodes", [])).tolist(),
            zip(
                _integers(tree.get("categories_segments", [])).tolist(),
                _integers(tree.get("categories_sizes", [])).tolist(),
                strict=True,
            ),
            strict=True,
        )
    )
    sets = {}
    for node in inner[split_type[inner] == 1]:
        begin, count = starts[int(node)]
        if begin < 0 or count < 0 or begin + count > len(categories):
            raise ValueError("a set of categories is not there")
        sets[int(node)] = categories[begin : begin + count]
    return _nodes(
        feature=feature[inner],
        condition=conditions[inner],
        left=child[left[inner]],
        right=child[right[inner]],
        default_left=default_left[inner],
        categories=[sets.get(int(node)) for node in inner],
        value=conditions[leaves],
    )


def _integers(values: Any) -> np.ndarray:
    """int64 `[n]` of a list of integers or booleans, of nothing else."""
    found = np.asarray(values)
    if found.ndim != 1 or len(found) and found.dtype.kind not in "iub":
        raise ValueError("a list of integers holds something else")
    return found.astype(np.int64)


def _dumped_tree(root: dict[str, Any]) -> dict[str, Any]:
    """Node records of a dumped tree, where children hang below their parents."""
    inner: list[dict[str, Any]] = []
    value: list[float] = []
    children: dict[int, int] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        for key in node.keys() - _KNOWN_KEYS["node of a dump"]:
            raise ValueError(f"{_shown(key)} in a node is not known")
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
        "kind": kind | np.where(chosen, tree_arrays.CATEGORICAL, 0),
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
    return tree_arrays.build(
        num_features=num_features,
        library=tree_arrays.XGBOOST,
        bias=bias,
        num_leaves=[len(tree["value"]) for tree in parsed],
        threshold=np.concatenate([np.zeros(0), *thresholds]),
        value=joined("value", float),
        set_start=np.cumsum([0, *(len(members) for members in sets)]),
        set_members=np.concatenate([np.zeros(0, int), *sets]),
        **{name: joined(name) for name in ("feature", "kind", "left", "right")},
    )
