"""LightGBM's text format, read without LightGBM.

The text is a header of `key=value` lines, then one block of lines for each tree, whose
arrays are separated by spaces. Everything the format can hold is either turned into
`Trees` or refused by name, and so is a key that is not known: a newer LightGBM may say
with it what changes the prediction.
"""

import re
from typing import Any

import numpy as np

from nasjax.core import errors
from nasjax.nasbench.surrogate.trees import tree_arrays
from nasjax.nasbench.surrogate.trees.tree_arrays import Trees

_VERSIONS = ("v2", "v3", "v4")
_IDENTITY_OBJECTIVES = {
    *("", "none", "custom", "regression", "regression_l1", "huber", "fair"),
    *("quantile", "mape", "lambdarank", "rank_xendcg"),
}
"""Objectives whose prediction is the sum of the trees."""
_HEADER_KEYS = {
    *("tree", "version", "num_class", "num_tree_per_iteration", "label_index"),
    *("max_feature_idx", "objective", "average_output", "feature_names"),
    *("monotone_constraints", "feature_infos", "tree_sizes"),
}
_TREE_KEYS = {
    *("number", "num_leaves", "num_cat", "split_feature", "split_gain", "threshold"),
    *("decision_type", "left_child", "right_child", "leaf_parent", "leaf_value"),
    *("leaf_weight", "leaf_count", "internal_value", "internal_weight"),
    *("internal_count", "cat_boundaries", "cat_threshold", "is_linear", "shrinkage"),
}
_FOOTER_LINE = re.compile(
    r"end of trees|feature[ _]importances:|.*=\d+|pandas_categorical:.*|"
    r"end of parameters"
)


@tree_arrays.parsing("LightGBM")
def parse(model: Any) -> Trees:
    """The trees of a LightGBM regression model.

    Args:
      model: the text of `Booster.model_to_string()`, a `lightgbm.Booster` or a fitted
        `lightgbm.LGBMRegressor`. Of one that stopped early, the best iterations; of a
        text all trees that it holds.

    Returns:
      Trees with float64 thresholds and leaves, numbered as in the text.

    Raises:
      errors.DataError: the text is truncated or malformed, or the model is of a kind
        that has no such sum of trees: several outputs, an objective that transforms
        the sum, linear leaves, pandas categories; or a key of it is not known.
    """
    if hasattr(type(model), "booster_"):
        try:
            model = model.booster_
        except (AttributeError, ValueError) as error:
            raise errors.DataError(
                "the LightGBM regressor is not fitted; call fit first"
            ) from error
    if hasattr(model, "model_to_string"):
        model = model.model_to_string()
    if not isinstance(model, str) or not re.match(r"\s*tree\s*\n", model):
        raise errors.DataError(
            "not the text of a LightGBM model; pass Booster.model_to_string()"
        )
    start, end = model.find("\nTree="), model.find("\nend of trees")
    if end < 0:
        raise errors.DataError(
            "the LightGBM model is truncated: 'end of trees' is missing; get or save "
            "it again"
        )
    header = _fields(model[: start if 0 <= start < end else end])
    _refuse_unsupported(header, model[end:])
    blocks = model[start:end].split("\nTree=")[1:] if 0 <= start < end else []
    promised = header.get("tree_sizes")
    if promised is not None and len(promised.split()) != len(blocks):
        raise errors.DataError(
            f"the LightGBM model is truncated: {len(blocks)} of "
            f"{len(promised.split())} trees are there; get or save it again"
        )
    parsed = [_tree(number, block) for number, block in enumerate(blocks)]
    num_features = int(_numbers("header", header, "max_feature_idx", int)[0]) + 1
    value = _joined(parsed, "value", float)
    if "average_output" in header and parsed:
        value = value / len(parsed)
    sizes = _joined(parsed, "set_size", int)
    return tree_arrays.build(
        num_features=num_features,
        library=tree_arrays.LIGHTGBM,
        num_leaves=[len(tree["value"]) for tree in parsed],
        value=value,
        set_start=np.concatenate([[0], np.cumsum(sizes)]),
        threshold=_spanning_sets(parsed),
        feature=_joined(parsed, "feature", int),
        kind=_joined(parsed, "kind", int),
        left=_joined(parsed, "left", int),
        right=_joined(parsed, "right", int),
        set_members=_joined(parsed, "set_members", int),
    )


def _fields(text: str) -> dict[str, str]:
    """`key=value` lines; a bare word is a key with an empty value."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _numbers(where: str, fields: dict[str, str], name: str, kind: type) -> np.ndarray:
    if name not in fields:
        raise errors.DataError(
            f"the LightGBM model is malformed: {where} has no {name}; get or save it "
            "again"
        )
    try:
        return np.array(fields[name].split(), kind)
    except ValueError as error:
        raise errors.DataError(
            f"the LightGBM model is malformed: {name} of {where}: {error}; get or save "
            "it again"
        ) from error


def _refuse_unsupported(header: dict[str, str], footer: str) -> None:
    objective = header.get("objective", "").split()
    name = objective[0] if objective else ""
    refusals = []
    if header.get("version") not in _VERSIONS:
        known = ", ".join(_VERSIONS)
        refusals.append(f"version={header.get('version', '')[:20]} (known: {known})")
    for key in ("num_class", "num_tree_per_iteration"):
        if header.get(key, "1") != "1":
            refusals.append(f"{key}={header[key][:20]}: several outputs")
    if name not in _IDENTITY_OBJECTIVES or objective[1:]:
        refusals.append(
            f"objective={' '.join(objective)[:80]}: its predictions are not the sum of "
            "trees"
        )
    for key in sorted(header.keys() - _HEADER_KEYS)[:3]:
        refusals.append(f"{key[:40]} in the header is not known")
    for line in _unknown_lines(footer):
        refusals.append(f"{line[:40]} after the trees is not known")
    pandas = re.search(r"^pandas_categorical:(.*)$", footer, re.MULTILINE)
    if pandas and pandas[1].strip() not in ("null", "[]", ""):
        refusals.append("pandas_categorical: fit on integer categories in an array")
    if refusals:
        raise errors.DataError(
            f"LightGBM model not supported: {'; '.join(refusals)}. Supported are "
            "regression models of one output"
        )


def _unknown_lines(footer: str) -> list[str]:
    """Lines behind the trees that belong to none of its sections."""
    lines = [line.strip() for line in footer.splitlines() if line.strip()]
    # The settings of the training say nothing that the trees do not.
    if "parameters:" in lines:
        begin = lines.index("parameters:")
        end = lines.index("end of parameters") if "end of parameters" in lines else -1
        lines = lines[:begin] + (lines[end:] if end > begin else [])
    return [line for line in lines if not _FOOTER_LINE.fullmatch(line)][:3]


def _tree(number: int, block: str) -> dict[str, np.ndarray]:
    """The arrays of one block, named as in `Trees`."""
    fields, where = _fields("number=" + block), f"tree {number}"
    if fields.get("is_linear", "0") != "0":
        raise errors.DataError(
            f"LightGBM model not supported: is_linear=1 ({where} has linear models in "
            "its leaves); fit with linear_tree=False"
        )
    for key in sorted(fields.keys() - _TREE_KEYS):
        raise errors.DataError(
            f"LightGBM model not supported: {key[:40]} in {where} is not known"
        )
    num_leaves = int(_numbers(where, fields, "num_leaves", int)[0])
    tree = {"value": _numbers(where, fields, "leaf_value", float)}
    names = {
        "feature": "split_feature",
        "kind": "decision_type",
        "left": "left_child",
        "right": "right_child",
    }
    if num_leaves == 1:
        fields = dict.fromkeys([*names.values(), "threshold"], "")
    for ours, theirs in names.items():
        tree[ours] = _numbers(where, fields, theirs, int)
    tree["threshold"] = _numbers(where, fields, "threshold", float)
    if any(
        len(array) != num_leaves - (name != "value") for name, array in tree.items()
    ):
        raise errors.DataError(
            f"the LightGBM model is malformed: the lists of {where} differ in length; "
            "get or save it again"
        )
    _check_kinds(where, tree["kind"])
    categorical = (tree["kind"] & tree_arrays.CATEGORICAL) != 0
    # A missing category goes right whatever the other bits say.
    tree["kind"] = np.where(categorical, tree_arrays.CATEGORICAL, tree["kind"])
    tree["set_size"], tree["set_members"] = np.zeros(0, int), np.zeros(0, int)
    if categorical.any():
        tree["set_size"], tree["set_members"] = _category_sets(where, fields)
    return tree


def _check_kinds(where: str, kinds: np.ndarray) -> None:
    missing = kinds >> tree_arrays.MISSING_SHIFT
    unknown = (kinds < 0) | (missing > tree_arrays.NAN_IS_MISSING)
    if unknown.any():
        raise errors.DataError(
            f"LightGBM model not supported: decision_type={kinds[unknown][0]} in "
            f"{where}; known are bits 0 (categorical), 1 (default left) and 2-3 "
            "(missing: 0 none, 1 zero, 2 NaN)"
        )


def _category_sets(where: str, fields: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and members of the sets of a tree: bit b of word w is category 32w + b."""
    bounds = _numbers(where, fields, "cat_boundaries", int)
    words = _numbers(where, fields, "cat_threshold", int)
    if not len(bounds) or (np.diff(bounds, prepend=0) < 0).any():
        raise errors.DataError(
            f"the LightGBM model is malformed: cat_boundaries of {where}; get or save "
            "it again"
        )
    members = []
    for begin, stop in zip(bounds[:-1], bounds[1:], strict=True):
        bits = (words[begin:stop, None] >> np.arange(32)) & 1
        members.append(np.flatnonzero(bits.reshape(-1)))
    sizes = np.array([len(each) for each in members], int)
    return sizes, np.concatenate([np.zeros(0, int), *members])


def _spanning_sets(parsed: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Thresholds, with numbers of category sets that span all trees."""
    before, spanning = 0, [np.zeros(0)]
    for tree in parsed:
        categorical = (tree["kind"] & tree_arrays.CATEGORICAL) != 0
        own = tree["threshold"][categorical]
        if not np.isin(own, np.arange(len(tree["set_size"]))).all():
            raise errors.DataError(
                "the LightGBM model is malformed: a category set is missing; get or "
                "save it again"
            )
        spanning.append(tree["threshold"] + before * categorical)
        before += len(tree["set_size"])
    return np.concatenate(spanning)


def _joined(parsed: list[dict[str, np.ndarray]], name: str, kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *(tree[name] for tree in parsed)])
