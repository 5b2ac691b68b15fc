"""Decision trees as plain host arrays: what every reader of a model returns.

A node is one of two kinds. A numerical one sends x to the left where x <= threshold;
a categorical one where the integer part of x is in a set. Readers turn every other
convention into this one, and refuse by name what does not fit.
"""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nasjax.core import errors

CATEGORICAL = 1
"""Bit of `kind`: the node tests whether a category is in a set."""
DEFAULT_LEFT = 2
"""Bit of `kind`: a missing value goes left."""
MISSING_SHIFT = 2
NAN_IS_ZERO, ZERO_IS_MISSING, NAN_IS_MISSING = 0, 1, 2
"""Values of `kind >> MISSING_SHIFT` of numerical nodes, as in LightGBM."""
ZERO_BAND = float(np.float32(1e-35))
"""Where zero is missing, everything within this distance of it is."""
LIGHTGBM, XGBOOST = "lightgbm", "xgboost"
FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Trees:
    """The sum of T trees with M inner nodes and L leaves in all, tree after tree.

    Equal and hashable by content.

    Attributes:
      num_features: D; nodes test columns 0 to D - 1.
      library: whose conventions hold. `"lightgbm"`: inputs are compared as they are, a
        category is x without its fraction, and a missing one goes right. `"xgboost"`:
        inputs are rounded to float32, negative numbers are no category, and a missing
        one goes the default way. A category that is in no set goes right in both.
      bias: added to the sum.
      num_leaves: int32 `[T]`, at least 1; a tree has one inner node less.
      feature: int32 `[M]`, the column that a node tests.
      kind: uint8 `[M]`, bits as above.
      threshold: float64 `[M]`; of a categorical node the number of its set. Infinity
        where every number goes to the left and a missing value its own way.
      left: int32 `[M]`, child: the number of an inner node of the same tree, whose root
        is 0, or -1 - the number of a leaf of it.
      right: int32 `[M]`.
      value: float64 `[L]`, what the leaves add.
      set_start: int32 `[S + 1]`, where each set begins in `set_members`.
      set_members: int32, the categories that go left.
    """

    num_features: int
    library: str
    bias: float
    num_leaves: np.ndarray
    feature: np.ndarray
    kind: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    set_start: np.ndarray
    set_members: np.ndarray

    @property
    def num_trees(self) -> int:
        """T."""
        return len(self.num_leaves)

    @functools.cached_property
    def tree_of_node(self) -> np.ndarray:
        """int64 `[M]`, which tree each inner node belongs to."""
        return np.repeat(np.arange(self.num_trees), self.num_leaves - 1)

    @functools.cached_property
    def children(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 `[M]` twice, `left` and `right` with numbers that span all trees."""
        tree = self.tree_of_node
        leaf = np.cumsum(self.num_leaves) - self.num_leaves
        node = leaf - np.arange(self.num_trees)

        def spanning(child: np.ndarray) -> np.ndarray:
            numbers: np.ndarray = np.where(
                child >= 0, child + node[tree], child - leaf[tree]
            )
            return numbers

        return spanning(self.left), spanning(self.right)

    @functools.cached_property
    def levels(self) -> list[np.ndarray]:
        """Inner nodes (numbers that span all trees) by their distance to the root.

        Raises:
          errors.DataError: a node or leaf is reached twice or not at all.
        """
        left, right = self.children
        num_nodes, num_leaves = len(left), len(self.value)
        times = np.bincount(
            np.concatenate([left, right]) + num_leaves, minlength=num_leaves + num_nodes
        )
        roots = self.num_leaves > 1
        starts = np.cumsum(self.num_leaves - 1) - (self.num_leaves - 1)
        frontier = starts[roots].astype(np.int64)
        times[num_leaves + frontier] += 1
        alone = (np.cumsum(self.num_leaves) - self.num_leaves)[~roots]
        times[num_leaves - 1 - alone] += 1
        found: list[np.ndarray] = []
        while len(frontier):
            found.append(frontier)
            below = np.concatenate([left[frontier], right[frontier]])
            frontier = below[below >= 0]
            if sum(map(len, found)) + len(frontier) > num_nodes:
                break
        if (times != 1).any() or sum(map(len, found)) != num_nodes:
            raise errors.DataError(
                "a tree of the model is no tree: its nodes do not form one; the model "
                "is damaged, get or save it again"
            )
        return found

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of everything above."""
        digest = hashlib.sha256()
        for field in dataclasses.fields(self):
            content = getattr(self, field.name)
            raw = isinstance(content, np.ndarray)
            digest.update(content.tobytes() if raw else repr(content).encode())
            digest.update(b"|")
        return digest.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trees) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


_NODE_FIELDS = ("feature", "kind", "threshold", "left", "right")
_DTYPES = {
    "num_leaves": np.int32,
    "feature": np.int32,
    "kind": np.uint8,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
    "set_start": np.int32,
    "set_members": np.int32,
}


@contextlib.contextmanager
def parsing(library: str) -> Iterator[None]:
    """Turns whatever malformed content raises into a `DataError`; a decorator, too.

    Args:
      library: whose model it is, for people.
    """
    try:
        yield
    except (
        *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError),
        *(TypeError, ValueError),
    ) as error:
        reason = " ".join(str(error)[:200].split())[:80]
        raise errors.DataError(
            f"the {library} model is malformed: {type(error).__name__}: {reason}; get "
            "or save it again"
        ) from error


def build(
    *, num_features: int, library: str, bias: float = 0.0, **arrays: Any
) -> Trees:
    """Trees from arrays of any integer or float type, after checking them.

    Raises:
      errors.DataError: the arrays contradict each other or hold a number that is not
        finite (thresholds may be infinite).
    """
    cast = {name: _cast(name, arrays[name], dtype) for name, dtype in _DTYPES.items()}
    trees = Trees(num_features=num_features, library=library, bias=bias, **cast)
    num_nodes, num_leaves = len(trees.feature), len(trees.value)
    tree, num_sets = trees.tree_of_node, len(trees.set_start) - 1
    categorical = (trees.kind & CATEGORICAL) != 0
    sets = trees.threshold[categorical]
    faults = {
        "a tree has no leaf": (trees.num_leaves < 1).any(),
        "lists of nodes differ in length": any(
            len(cast[name]) != len(tree) for name in _NODE_FIELDS
        ),
        "the number of leaves is wrong": num_leaves != trees.num_leaves.sum(),
        "a split is on a feature that the model does not have": num_nodes
        and (trees.feature.min() < 0 or trees.feature.max() >= num_features),
        "a number is not finite": not (
            np.isfinite(trees.value).all()
            and np.isfinite(sets).all()
            and not np.isnan(trees.threshold).any()
            and np.isfinite(bias)
        ),
        "a category set is missing": len(sets)
        and (sets.min() < 0 or sets.max() >= num_sets),
        "a category is negative": len(trees.set_members)
        and cast["set_members"].min() < 0,
    }
    for what, fault in faults.items():
        if fault:
            raise errors.DataError(
                f"the trees are malformed: {what}; get or save the model again"
            )
    for child in (trees.left, trees.right):
        inside = (child < trees.num_leaves[tree] - 1) & (
            child >= -trees.num_leaves[tree]
        )
        if not inside.all():
            raise errors.DataError(
                "the trees are malformed: a child is out of range; get or save the "
                "model again"
            )
    _ = trees.levels
    return trees


def _cast(name: str, values: Any, dtype: type) -> np.ndarray:
    found = np.asarray(values)
    with np.errstate(invalid="ignore"):
        cast: np.ndarray = found.astype(dtype)
    if dtype is not np.float64 and not np.array_equal(cast, found):
        raise errors.DataError(
            f"the trees are malformed: {name} holds what is no {np.dtype(dtype)}; get "
            "or save the model again"
        )
    return cast


def to_arrays(models: Sequence[Trees]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Several models of one library as one flat dict of small arrays, and metadata.

    Thresholds are kept once each, in float64, and integers in the smallest type.

    Returns:
      arrays and a JSON-able dict, which `core.arrays.save` takes and `from_arrays`
      turns back.
    """
    arrays = {
        name: np.concatenate([getattr(m, name) for m in models])
        for name in _DTYPES
        if name != "set_start"
    }
    distinct, inverse = np.unique(arrays.pop("threshold"), return_inverse=True)
    arrays["threshold"], arrays["threshold_number"] = distinct, inverse
    arrays["set_size"] = np.concatenate([np.diff(m.set_start) for m in models])
    packed = {name: _smallest(array) for name, array in arrays.items()}
    packed["bias"] = np.array([m.bias for m in models], np.float64)
    metadata = {
        "format": FORMAT,
        "library": models[0].library,
        "num_features": [m.num_features for m in models],
        "num_trees": [m.num_trees for m in models],
        "num_sets": [len(m.set_start) - 1 for m in models],
    }
    return packed, metadata


def _smallest(array: np.ndarray) -> np.ndarray:
    """Integers in the smallest type that holds them all."""
    if array.dtype.kind == "f" or not len(array):
        return array
    low, high = int(array.min()), int(array.max())
    kinds = (np.uint8, np.uint16, np.uint32) if low >= 0 else (np.int8, np.int16)
    for dtype in kinds:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array


def from_arrays(
    arrays: dict[str, np.ndarray], metadata: dict[str, Any]
) -> tuple[Trees, ...]:
    """The models that `to_arrays` was given.

    Raises:
      errors.DataError: something is missing, malformed or of a newer format.
    """
    if metadata.get("format") != FORMAT:
        raise errors.DataError(
            f"trees of format {metadata.get('format')!r} cannot be read, only "
            f"{FORMAT}; save the model again with this version of nasjax"
        )
    try:
        whole = dict(arrays)
        numbers = whole.pop("threshold_number").astype(np.int64)
        whole["threshold"] = np.asarray(whole["threshold"])[numbers]
        num_trees = np.cumsum(metadata["num_trees"])[:-1]
        num_sets = np.cumsum(metadata["num_sets"])[:-1]
        leaves = np.split(whole.pop("num_leaves").astype(np.int32), num_trees)
        sizes = np.split(whole.pop("set_size").astype(np.int32), num_sets)
        biases = whole.pop("bias")
        ends = {
            **dict.fromkeys(_NODE_FIELDS, np.cumsum([(n - 1).sum() for n in leaves])),
            "value": np.cumsum([n.sum() for n in leaves]),
            "set_members": np.cumsum([n.sum() for n in sizes]),
        }
        parts = {name: np.split(whole[name], ends[name][:-1]) for name in ends}
        return tuple(
            build(
                num_features=int(metadata["num_features"][i]),
                library=str(metadata["library"]),
                bias=float(biases[i]),
                num_leaves=leaves[i],
                set_start=np.concatenate([[0], np.cumsum(sizes[i])]),
                **{name: parts[name][i] for name in ends},
            )
            for i in range(len(leaves))
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise errors.DataError(
            f"the arrays of the trees are incomplete or malformed ({error}); get or "
            "make the file again"
        ) from error
