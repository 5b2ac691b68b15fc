"""Boosted trees as pytrees: a prediction is a few gathers, under jit and vmap.

Every feature, or group of features with few values, picks one row of leaf bit masks
(see `quickscorer`); the AND of the rows leaves one bit a tree, whose number picks the
value of a leaf. For 3,000 trees of 40 leaves a row is 15 KB, and a prediction reads one
row a feature and 4 bytes a tree.

Rows are `[R, S, W, Z]`: R rows of S slabs of Z blocks (trees) with masks of W bytes. A
query alone takes its rows whole, each one contiguous piece of memory. A batch is walked
slab by slab on CPUs, so that one slab of all rows stays in the cache while many queries
use it.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import custom_batching, lax

from nasjax.core.types import Array
from nasjax.nasbench.surrogate.trees import memory_layout, quickscorer, tree_arrays
from nasjax.nasbench.surrogate.trees.tree_arrays import Trees

_SLAB = 256
_CUT_GROUPS = (16, 256)
"""Features with at most so many cuts are compared with them in one array."""


class Steps(struct.PyTreeNode):
    """One feature with very many codes: the masks of each block as a step function.

    Attributes:
      start: int32 `[K, S, Z]`, the first code of each piece, ascending.
      masks: uint8 `[K, S, W, Z]`.
      feature: which of the coded features it is.
    """

    start: Array
    masks: Array
    feature: int = struct.field(pytree_node=False)


class Forest(struct.PyTreeNode):
    """The sum of T trees as a function of x `[D]`.

    Arrays of numbers are float32, or float64 when it is built with 64 bits enabled.

    Attributes:
      columns: int32 `[F]`, the inputs that are coded, by their number of cuts.
      cuts: for features with similarly many cuts `[C, F']`, padded with infinity.
      nan_codes: int32 `[F]`, the code of a missing value.
      strides: int32 `[F, G]`, what a code adds to the number of the row of each group.
      offsets: int32 `[G]`, the first row of each group.
      rows: uint8 `[R, S, W, Z]`.
      steps: features that have no rows.
      values: float `[S, Z (1 + 8W)]`: what a block adds for no bit, and for each bit.
      bias: float `[]`, added to the sum.
      num_features: D.
      single: whether inputs are rounded to float32 first, as XGBoost does.
    """

    columns: Array
    cuts: tuple[Array, ...]
    nan_codes: Array
    strides: Array
    offsets: Array
    rows: Array
    steps: tuple[Steps, ...]
    values: Array
    bias: Array
    num_features: int = struct.field(pytree_node=False)
    single: bool = struct.field(pytree_node=False)

    @classmethod
    def build(
        cls, trees: Trees, *, joint_rows: int = quickscorer.JOINT_ROWS
    ) -> "Forest":
        """Expands node arrays into tables of masks.

        Args:
          trees: what a reader returned.
          joint_rows: features with few values are coded jointly in up to so many rows;
            fewer take less memory (at NAS-Bench-311's size 61 MB for 32 and 113 MB for
            64) and more time (a half).
        """
        dtype = np.dtype(jax.dtypes.canonicalize_dtype(np.float64))
        blocks = quickscorer.cut_into_blocks(trees)
        codes = quickscorer.code_features(trees, blocks, dtype)
        codes.sort(key=lambda code: len(code.cuts))
        layout = memory_layout.Layout.of(len(blocks.valid), blocks.num_bytes, _SLAB)
        groups = quickscorer.joined(codes, joint_rows)
        strides = np.zeros((len(codes), len(groups)), np.int32)
        sizes = []
        for g, group in enumerate(groups):
            sizes.append(math.prod(len(_masks(codes[i])) for i in group))
            stride = sizes[-1]
            for i in group:
                stride //= len(_masks(codes[i]))
                strides[i, g] = stride
        ends = np.cumsum([0, *sizes])
        # Where no row is picked (no tree has a split) the last one is.
        whole = layout.masks(blocks.valid[None])
        rows = np.empty((ends[-1] + 1, *whole.shape[1:]), np.uint8)
        rows[-1] = whole[0]
        tables = _tables(codes, layout)
        for group, begin, end in zip(groups, ends, ends[1:], strict=False):
            own = rows[begin:end]
            quickscorer.joint_masks([tables[i] for i in group], own)
        steps = [
            Steps(
                start=jax.device_put(layout.numbers(code.pieces.start)),
                masks=jax.device_put(layout.masks(code.pieces.masks)),
                feature=i,
            )
            for i, code in enumerate(codes)
            if code.pieces is not None
        ]
        values = layout.values(blocks.value).astype(dtype)
        return cls(
            columns=jax.device_put(np.array([c.column for c in codes], np.int32)),
            cuts=tuple(map(jax.device_put, _padded_cuts(codes, dtype))),
            nan_codes=jax.device_put(np.array([c.nan_code for c in codes], np.int32)),
            strides=jax.device_put(strides),
            offsets=jax.device_put(ends[:-1].astype(np.int32)),
            rows=jax.device_put(rows),
            steps=tuple(steps),
            values=jax.device_put(values),
            bias=jax.device_put(np.asarray(trees.bias, dtype)),
            num_features=trees.num_features,
            single=trees.library == tree_arrays.XGBOOST,
        )

    def predict(self, x: Array) -> Array:
        """The prediction, float `[]`, for inputs `[D]`; vmap over several."""
        return _predict_one((self,), x, chained=False)[0]

    def predict_batch(self, xs: Array) -> Array:
        """Predictions `[B]` for inputs `[B, D]`; what vmap of `predict` computes."""
        return _predict_batch((self,), xs, chained=False)[:, 0]

    @property
    def num_bytes(self) -> int:
        """Memory of the tables."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self))


class Chain(struct.PyTreeNode):
    """One forest for each component of a vector, sklearn's `RegressorChain`.

    Attributes:
      forests: k of them. Where `chained`, forest j takes x and after it the predictions
        of the forests before it.
      source: the trees they are made of, for `to_arrays`.
      chained: False where the components are independent of each other.
    """

    forests: tuple[Forest, ...]
    source: tuple[Trees, ...] = struct.field(pytree_node=False)
    chained: bool = struct.field(pytree_node=False, default=True)

    @classmethod
    def build(
        cls,
        models: Sequence[Trees],
        *,
        chained: bool = True,
        joint_rows: int = quickscorer.JOINT_ROWS,
    ) -> "Chain":
        """The chain of `models`, in this order; `joint_rows` as in `Forest.build`.

        Raises:
          ValueError: the numbers of features are not those of a chain.
        """
        models = tuple(models)
        first = models[0].num_features
        for j, model in enumerate(models):
            expected = first + j * chained
            if model.num_features != expected:
                raise ValueError(
                    f"component {j} of a chain of {first} features takes {expected}, "
                    f"not {model.num_features}"
                )
        forests = tuple(Forest.build(m, joint_rows=joint_rows) for m in models)
        return cls(forests, source=models, chained=chained)

    def predict(self, x: Array) -> Array:
        """Components, float `[k]`, for inputs `[D]`; vmap over several."""
        return _predict_one(self.forests, x, chained=self.chained)

    def predict_batch(self, xs: Array) -> Array:
        """Components `[B, k]` for inputs `[B, D]`; what vmap of `predict` computes."""
        return _predict_batch(self.forests, xs, chained=self.chained)

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The node arrays, small, and JSON-able metadata, for `core.arrays.save`."""
        arrays, metadata = tree_arrays.to_arrays(self.source)
        return arrays, {**metadata, "chained": self.chained}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, np.ndarray], metadata: dict[str, Any]
    ) -> "Chain":
        """What `to_arrays` was called on, the tables expanded anew.

        Raises:
          errors.DataError: arrays or metadata are incomplete or malformed.
        """
        models = tree_arrays.from_arrays(arrays, metadata)
        return cls.build(models, chained=bool(metadata.get("chained", True)))

    @property
    def num_components(self) -> int:
        """k."""
        return len(self.forests)

    @property
    def num_features(self) -> int:
        """D, without the components that are fed back."""
        return self.forests[0].num_features

    @property
    def num_bytes(self) -> int:
        """Memory of the tables."""
        return sum(forest.num_bytes for forest in self.forests)


def _masks(code: quickscorer.Codes) -> np.ndarray:
    assert code.masks is not None
    return code.masks


def _tables(
    codes: list[quickscorer.Codes], layout: memory_layout.Layout
) -> dict[int, np.ndarray]:
    """uint8 `[codes, S, W, Z]` of each feature that has masks, by its place."""
    known = [i for i, code in enumerate(codes) if code.masks is not None]
    if not known:
        return {}
    masks = [_masks(codes[i]) for i in known]
    whole = layout.masks(np.concatenate(masks))
    ends = np.cumsum([len(table) for table in masks])[:-1]
    return dict(zip(known, np.split(whole, ends), strict=True))


def _padded_cuts(codes: list[quickscorer.Codes], dtype: np.dtype) -> list[np.ndarray]:
    """Cuts of features, which are sorted by their number, in a few rectangles."""
    limits = [*_CUT_GROUPS, np.inf]
    arrays, low = [], -1.0
    for limit in limits:
        chosen = [code.cuts for code in codes if low < len(code.cuts) <= limit]
        low = limit
        if chosen:
            padded = np.full((len(chosen[-1]), len(chosen)), np.inf, dtype)
            for i, cuts in enumerate(chosen):
                padded[: len(cuts), i] = cuts
            arrays.append(padded)
    return arrays


def _predict_one(forests: tuple[Forest, ...], x: Array, *, chained: bool) -> Array:
    x = jnp.asarray(x)
    if x.shape != (forests[0].num_features,):
        raise ValueError(
            f"inputs have shape {x.shape}, not ({forests[0].num_features},); vmap over "
            "several"
        )
    return _predict_batch(forests, x[None], chained=chained)[0]


def _predict_batch(forests: tuple[Forest, ...], xs: Array, *, chained: bool) -> Array:
    xs = jnp.asarray(xs)
    if xs.ndim != 2 or xs.shape[1] != forests[0].num_features:
        raise ValueError(
            f"inputs have shape {xs.shape}, not (B, {forests[0].num_features})"
        )
    xs = xs.astype(forests[0].values.dtype)
    found: Array = (_chained if chained else _independent)(forests, xs)
    return found


def _batched(chained: bool) -> Any:
    """`(forests, xs [B, D]) -> [B, k]`, whose vmap makes one larger batch."""

    @custom_batching.custom_vmap
    def evaluate(forests: tuple[Forest, ...], xs: Array) -> Array:
        return memory_layout.in_chunks(
            lambda chunk: _components(forests, chunk, chained), xs
        )

    @evaluate.def_vmap
    def rule(
        axis_size: int, in_batched: Any, forests: tuple[Forest, ...], xs: Array
    ) -> tuple[Array, bool]:
        forests_batched, xs_batched = in_batched
        leaves, structure = jax.tree.flatten(forests)
        flags = jax.tree.leaves(forests_batched)
        if any(flags):
            # Several forests: one after the other, each with its whole batch.
            mapped = [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag]

            def one(operands: tuple[list[Array], Array | None]) -> Array:
                own, x = iter(operands[0]), operands[1]
                merged = [
                    next(own) if flag else leaf
                    for leaf, flag in zip(leaves, flags, strict=True)
                ]
                found: Array = evaluate(
                    jax.tree.unflatten(structure, merged), xs if x is None else x
                )
                return found

            return lax.map(one, (mapped, xs if xs_batched else None)), True
        flat = evaluate(forests, xs.reshape(-1, xs.shape[-1]))
        return flat.reshape(axis_size, xs.shape[1], len(forests)), True

    return evaluate


_chained, _independent = _batched(True), _batched(False)


def _components(forests: tuple[Forest, ...], xs: Array, chained: bool) -> Array:
    """`[B, k]` of one chunk of inputs `[B, D]`."""
    components: list[Array] = []
    for forest in forests:
        found = _sums(forest, xs)
        components.append(found)
        if chained:
            xs = jnp.concatenate([xs, found[:, None]], axis=1)
    return jnp.stack(components, axis=1)


def _codes(forest: Forest, xs: Array) -> Array:
    """int32 `[B, F]`, the interval of each coded input: how many cuts are below it."""
    if forest.single:
        xs = xs.astype(jnp.float32).astype(forest.values.dtype)
    xs = xs[:, forest.columns]
    counts, start = [], 0
    for cuts in forest.cuts:
        own = xs[:, None, start : start + cuts.shape[1]]
        counts.append(jnp.sum(cuts[None] < own, axis=1, dtype=jnp.int32))
        start += cuts.shape[1]
    codes = (
        jnp.concatenate(counts, axis=1) if counts else jnp.zeros(xs.shape, jnp.int32)
    )
    return jnp.where(jnp.isnan(xs), forest.nan_codes[None], codes)


def _sums(forest: Forest, xs: Array) -> Array:
    """float `[B]`, the predictions for inputs `[B, D]`."""
    codes = _codes(forest, xs)
    picked = codes @ forest.strides + forest.offsets[None]

    def masks(slab: Any, picked: Array, codes: Array) -> Array:
        """uint8 `[B, ...]`, one bit a block."""
        rows = [
            memory_layout.take(forest.rows, picked[:, g], slab)
            for g in range(picked.shape[1])
        ]
        if not rows and not forest.steps:
            rows = [
                memory_layout.take(forest.rows, jnp.zeros(len(picked), jnp.int32), slab)
            ]
        rows += [
            _step_masks(step, slab, codes[:, step.feature]) for step in forest.steps
        ]
        return functools.reduce(jnp.bitwise_and, rows)

    num_bytes = forest.rows.shape[2]
    return forest.bias + memory_layout.total(
        masks, picked, codes, forest.values, num_bytes
    )


def _step_masks(steps: Steps, slab: Any, code: Array) -> Array:
    """uint8 `[B, ...]`: of each block, the masks of the last piece that has begun."""
    num_bytes = steps.masks.shape[2]

    def piece(k: int) -> tuple[Array, Array]:
        row = jnp.full(1, k, jnp.int32)
        return memory_layout.take(steps.start, row, slab), memory_layout.take(
            steps.masks, row, slab
        )

    found = piece(0)[1]
    for k in range(1, steps.start.shape[0]):
        start, masks = piece(k)
        reached = code[:, None] >= start
        size = steps.start.shape[2]
        reached = reached.reshape(len(code), -1, 1, size)
        shape = (len(code), reached.shape[1], num_bytes, size)
        reached = jnp.broadcast_to(reached, shape).reshape(len(code), -1)
        found = jnp.where(reached, masks, found)
    return found
