"""What a pickled XGBoost booster holds, as the JSON text of its model.

The bytes of a booster have had four forms: the binary model (before 1.0), the same
with a configuration behind it (1.0 to 1.2), JSON (1.3 to 1.5) and Universal Binary JSON
(from 1.6 on). XGBoost itself reads the first two no more since 3.1. Each becomes the
text that `Booster.save_model("model.json")` writes, field by field.
"""

import json
import re
import struct
from typing import Any

import numpy as np

from nasjax.core import read_guard, safe_pickle
from nasjax.core.errors import DataError

_OFFSET = b"CONFIG-offset:"
_NODE = np.dtype(
    [("parent", "<u4"), ("left", "<i4"), ("right", "<i4")]
    + [("split", "<u4"), ("value", "<f4")]
)
_STATISTICS = np.dtype(
    [("gain", "<f4"), ("hessian", "<f4"), ("weight", "<f4"), ("leaves", "<i4")]
)
_HIGH_BIT = 1 << 31
_NUMBERS = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}
_NUMBERS["u"], _NUMBERS["m"], _NUMBERS["M"] = "H", "I", "Q"
_CONSTANTS = {"T": True, "F": False, "Z": None}


def model_json(handle: bytes | bytearray, *, name: str) -> str:
    """The JSON text of `document`."""
    return json.dumps(document(handle, name=name))


def document(handle: bytes | bytearray, *, name: str) -> dict[str, Any]:
    """The model in the bytes of a pickled booster, or of a file that it saved.

    Args:
      handle: `handle` in the state of `xgboost.Booster`.
      name: what error messages call it.

    Returns:
      The model in the schema of `Booster.save_model("model.json")`: `learner`,
      `version`. Numbers are exact.

    Raises:
      DataError: the bytes are truncated, of no known form, or no booster of trees.
    """
    content = bytes(handle)
    with safe_pickle.reading(name):
        if is_json(content):
            model: dict[str, Any] = read_guard.parse_json(content, name=name)
        elif content.startswith(b"{"):
            model = _UniversalJson(content).document()
        else:
            model = _binary(content, name)
        model = model.get("Model", model)
        _check_kind(model["learner"]["gradient_booster"]["name"], name)
        return model


def is_json(content: bytes | bytearray) -> bool:
    """Whether a model is text, perhaps indented or with a byte order mark.

    Binary JSON has the mark of a size behind its first brace.
    """
    return re.match(rb"(\xef\xbb\xbf)?\s*\{\s*[\"}]", content) is not None


def _check_kind(booster: Any, name: str) -> None:
    if booster not in ("gbtree", "dart"):
        kind = repr(booster[:40]) if isinstance(booster, str) else "unknown"
        raise DataError(
            f"{name}: a booster of kind {kind}; only trees are read (gbtree, dart): "
            "fit one of those"
        )


class _Bytes:
    """Reads fields one after another."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.content):
            raise ValueError("the model is truncated")
        data, self.at = self.content[self.at : end], end
        return data

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self) -> str:
        (size,) = self.unpack("<Q")
        return self.take(size).decode("utf-8")

    def records(self, count: int, kind: np.dtype) -> np.ndarray:
        return np.frombuffer(self.take(count * kind.itemsize), kind)


def _binary(content: bytes, name: str) -> dict[str, Any]:
    """The model of the two binary forms."""
    if content.startswith(_OFFSET):
        start = len(_OFFSET) + 8
        (size,) = struct.unpack("<q", content[len(_OFFSET) : start])
        content = content[start : start + size]
    source = _Bytes(content.removeprefix(b"binf"))
    base_score, num_feature, num_class, _, _, major, minor = source.unpack("<fI5i")
    source.take(27 * 4)  # reserved
    objective, booster = source.text(), source.text()
    _check_kind(booster, name)
    (num_trees,) = source.unpack("<i")
    source.take(160 - 4)  # sizes that the trees repeat, and reserved
    trees = [_binary_tree(source, i) for i in range(num_trees)]
    groups = source.records(num_trees, np.dtype("<i4")).tolist()
    inner = {
        "model": {
            "gbtree_model_param": {"num_trees": str(num_trees)},
            "tree_info": groups,
            "trees": trees,
        },
        "name": "gbtree",
    }
    gradient_booster: dict[str, Any] = inner
    if booster == "dart":
        # A vector as it is in memory: its length, then its numbers.
        (size,) = source.unpack("<Q") if num_trees else (0,)
        weights = source.records(size, np.dtype("<f4")).tolist()
        gradient_booster = {"gbtree": inner, "name": booster, "weight_drop": weights}
    return {
        "version": [major, minor, 0],
        "learner": {
            "attributes": {},
            "gradient_booster": gradient_booster,
            "learner_model_param": {
                "base_score": repr(base_score),
                "num_class": str(num_class),
                "num_feature": str(num_feature),
            },
            "objective": {"name": objective},
        },
    }


def _binary_tree(source: _Bytes, index: int) -> dict[str, Any]:
    _, num_nodes, num_deleted, _, num_feature, leaf_size = source.unpack("<6i")
    source.take(31 * 4)  # reserved
    nodes = source.records(num_nodes, _NODE)
    statistics = source.records(num_nodes, _STATISTICS)
    if leaf_size:
        raise ValueError("trees with vectors in their leaves are not read")
    return {
        "base_weights": statistics["weight"].tolist(),
        "default_left": (nodes["split"] >= _HIGH_BIT).astype(int).tolist(),
        "id": index,
        "left_children": nodes["left"].tolist(),
        "loss_changes": statistics["gain"].tolist(),
        # The root has all bits set; in others the highest says which child it is.
        "parents": np.where(
            nodes["parent"] == 2 * _HIGH_BIT - 1,
            _HIGH_BIT - 1,
            nodes["parent"] % _HIGH_BIT,
        ).tolist(),
        "right_children": nodes["right"].tolist(),
        "split_conditions": nodes["value"].tolist(),
        "split_indices": (nodes["split"] % _HIGH_BIT).tolist(),
        "sum_hessian": statistics["hessian"].tolist(),
        "tree_param": {
            "num_deleted": str(num_deleted),
            "num_feature": str(num_feature),
            "num_nodes": str(num_nodes),
            "size_leaf_vector": str(leaf_size),
        },
    }


class _UniversalJson(_Bytes):
    """Universal Binary JSON (draft 12), as far as XGBoost writes it."""

    _values_left = 4_000_000

    def document(self) -> Any:
        return self._value(self._marker())

    def _count(self, values: int) -> None:
        """Two bytes can be a list of 80: the number of values is limited, too."""
        self._values_left -= values
        if self._values_left < 0:
            raise ValueError("too many values")

    def _marker(self) -> str:
        return self.take(1).decode("latin1")

    def _value(self, marker: str) -> Any:
        self._count(1)
        if marker == "{":
            return self._object()
        if marker == "[":
            return self._array()
        if marker in _NUMBERS:
            return self.unpack(">" + _NUMBERS[marker])[0]
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == "S":
            return self.take(self._size(self._marker())).decode("utf-8")
        raise ValueError(f"unknown marker {marker!r} in binary JSON")

    def _size(self, marker: str) -> int:
        if marker not in "iUIlLumM":
            raise ValueError(f"marker {marker!r} in the place of a size")
        size: int = self._value(marker)
        return size

    def _object(self) -> dict[str, Any]:
        items = {}
        while (marker := self._marker()) != "}":
            key = self.take(self._size(marker)).decode("utf-8")
            items[key] = self._value(self._marker())
        return items

    def _array(self) -> list[Any]:
        items = []
        marker = self._marker()
        if marker == "$":
            kind, hash_mark = self._marker(), self._marker()
            if kind not in _NUMBERS or hash_mark != "#":
                raise ValueError(f"an array of type {kind!r} in binary JSON")
            count = self._size(self._marker())
            self._count(count)
            numbers = self.records(count, np.dtype(">" + _NUMBERS[kind]))
            listed: list[Any] = numbers.tolist()
            return listed
        if marker == "#":
            count = self._size(self._marker())
            return [self._value(self._marker()) for _ in range(count)]
        while marker != "]":
            items.append(self._value(marker))
            marker = self._marker()
        return items
